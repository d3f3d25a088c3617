"""Random pairs of source and target for AEI-Net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fsvideo.models.identity import end_to_end
from fsvideo.models.landmarks import FaceMesh
from fsvideo.train.data import FaceData
from fsvideo.train.footage import as_footage
from fsvideo.train.run import to_tensor
from fsvideo.train.settings import AEISettings
from fsvideo.train.turned import turned
from fsvideo.train.world import World

_ASIDE = (0.2, 0.7)  # radians by which a face is turned aside


@dataclass(frozen=True)
class Batch:
    """``target`` (B, 3, S, S); ``source`` pictures alike, to look at; ``same`` (B,) bool.

    ``z_source``, ``z_target``: who they show, (B, D) of unit length, by dlib's recogniser under "id" and by others
    under their names; ``z_id``: what AEI-Net is told of the source.
    """

    target: Tensor
    source: Tensor
    z_source: dict[str, Tensor]
    z_target: dict[str, Tensor]
    z_id: Tensor
    same: Tensor


class Pairs:
    """Random pairs of source and target from crops in memory; step k draws the same pairs in every run of a seed.

    ``means``: the mean raw embedding of each recogniser, "id" and others, that is to be asked. The crops lie on the
    device where they fit into half of what is free there. Of several processes each gets its rows of the batch that
    all of them draw. ``mesh``: the landmark network, without which no face is turned aside.
    """

    def __init__(
        self,
        data: FaceData,
        means: Mapping[str, Tensor],
        settings: AEISettings,
        world: World,
        mesh: FaceMesh | None = None,
    ) -> None:
        self.settings, self.world = settings, world
        self.mesh = mesh.to(world.device) if mesh is not None else None
        self.rgb = torch.from_numpy(data.rgb)
        if world.device.type == "cuda" and self.rgb.nbytes < torch.cuda.mem_get_info(world.device)[0] // 2:
            self.rgb = self.rgb.to(world.device)
        self.sharpest = np.argsort(data.sharpness, kind="stable")[-max(1, len(self.rgb) // 4) :]
        self.z = {name: data.z(name, mean) for name, mean in means.items()}

    def draw(self, step: int) -> Batch:
        rng = np.random.default_rng((self.settings.seed, step))
        count = self.settings.batch
        target = rng.integers(len(self.rgb), size=count)
        sharp = rng.random(count) < self.settings.sharp
        target[sharp] = rng.choice(self.sharpest, int(sharp.sum()))
        source = rng.integers(len(self.rgb), size=count)
        early = max(0.0, 1 - step / max(1, self.settings.ramp))
        same = rng.random(count) < self.settings.same + early * (0.5 - self.settings.same)
        source[same] = target[same]
        flip = rng.random(count) < 0.5
        poor, aside = (rng.random(count) < share for share in (self.settings.footage, self.settings.turned))
        seed = rng.integers(2**62, size=count)
        target_, source_, same_, flip_, poor_, aside_, seed_ = (
            self.world.rows(torch.from_numpy(v)) for v in (target, source, same, flip, poor, aside, seed)
        )
        device = self.world.device
        z_source = {name: z[source_].to(device) for name, z in self.z.items()}
        shown = self._pictures(target_)
        chance = [np.random.default_rng(int(one)) for one in seed_]
        self._turn(shown, aside_, chance)
        for row in torch.nonzero(poor_)[:, 0].tolist():
            shown[row] = torch.from_numpy(as_footage(shown[row].cpu().numpy(), chance[row])).to(device)
        shown[flip_] = shown[flip_].flip(2)
        return Batch(
            to_tensor(shown, device),
            to_tensor(self._pictures(source_), device),
            z_source,
            {name: z[target_].to(device) for name, z in self.z.items()},
            end_to_end([z_source[name] for name in self.settings.identity]),
            same_.to(device),
        )

    def _turn(self, shown: Tensor, which: Tensor, chance: Sequence[np.random.Generator]) -> None:
        """Turn the faces of these rows of pictures aside, where the mesh sees one."""
        rows = torch.nonzero(which)[:, 0].tolist()
        if self.mesh is None or not rows:
            return
        with torch.no_grad():
            meshes, presence = self.mesh.look(to_tensor(shown[rows], self.world.device))
        for row, mesh, seen in zip(rows, meshes.cpu().numpy(), (presence > 0).tolist(), strict=True):
            if seen:
                made = turned(shown[row].cpu().numpy(), mesh, chance[row].uniform(*_ASIDE))
                shown[row] = torch.from_numpy(made).to(self.world.device)

    def _pictures(self, rows: Tensor) -> Tensor:
        """Copies of these crops (N, S, S, 3) uint8, on the device."""
        return self.rgb[rows.to(self.rgb.device)].to(self.world.device)
