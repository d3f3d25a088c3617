"""Random pairs of source and target for AEI-Net."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo.train.data import FaceData
from fsvideo.train.run import to_tensor
from fsvideo.train.settings import AEISettings
from fsvideo.train.world import World


@dataclass(frozen=True)
class Batch:
    """``target`` (B, 3, S, S); ``source`` pictures alike, to look at; ``same`` (B,) bool.

    ``z_source``, ``z_target``: who they show, (B, D) of unit length, by the identity encoder under "id" and by other
    recognisers under their names.
    """

    target: Tensor
    source: Tensor
    z_source: dict[str, Tensor]
    z_target: dict[str, Tensor]
    same: Tensor


class Pairs:
    """Random pairs of source and target from crops in memory; step k draws the same pairs in every run of a seed.

    The crops lie on the device where they fit into half of what is free there. Of several processes each gets its rows
    of the batch that all of them draw.
    """

    def __init__(self, data: FaceData, mean: Tensor, settings: AEISettings, world: World) -> None:
        self.settings, self.world = settings, world
        self.rgb = torch.from_numpy(data.rgb)
        if world.device.type == "cuda" and self.rgb.nbytes < torch.cuda.mem_get_info(world.device)[0] // 2:
            self.rgb = self.rgb.to(world.device)
        raw = {name: torch.from_numpy(z) for name, z in {"id": data.embeddings, **data.others}.items()}
        means = {name: mean.cpu() if name == "id" else z.mean(0) for name, z in raw.items()}
        self.z = {name: F.normalize(z - means[name], dim=1) for name, z in raw.items()}

    def draw(self, step: int) -> Batch:
        rng = np.random.default_rng((self.settings.seed, step))
        count = self.settings.batch
        target = rng.integers(len(self.rgb), size=count)
        source = rng.integers(len(self.rgb), size=count)
        early = max(0.0, 1 - step / max(1, self.settings.ramp))
        same = rng.random(count) < self.settings.same + early * (0.5 - self.settings.same)
        source[same] = target[same]
        flip = rng.random(count) < 0.5
        target_, source_, same_, flip_ = (self.world.rows(torch.from_numpy(v)) for v in (target, source, same, flip))
        device = self.world.device
        shown = self._crops(target_)
        return Batch(
            torch.where(flip_.to(device)[:, None, None, None], shown.flip(3), shown),
            self._crops(source_),
            {name: z[source_].to(device) for name, z in self.z.items()},
            {name: z[target_].to(device) for name, z in self.z.items()},
            same_.to(device),
        )

    def _crops(self, rows: Tensor) -> Tensor:
        return to_tensor(self.rgb[rows.to(self.rgb.device)], self.world.device)
