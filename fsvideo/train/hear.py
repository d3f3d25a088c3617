"""Training HEAR-Net behind a frozen AEI-Net: occluded pairs, and one step (FaceShifter, section 3.2).

The paper trains on pairs alone: where source and target are one, the target is the answer. With an occluder that we
pasted ourselves the answer is known for every pair: AEI-Net's result with the occluder laid over it. That is one more
term, ``occ``; the paper's own loss is that with ``w_occ`` = 0 and the other weights 1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fsvideo.faces.occlude import Occluders
from fsvideo.faces.shown import tinted
from fsvideo.models.aei import AEINet
from fsvideo.models.hear import PRESETS, HEARNet
from fsvideo.models.identity import EncoderEnsemble
from fsvideo.models.jitter import jitter
from fsvideo.train import losses
from fsvideo.train.data import FaceData
from fsvideo.train.descend import autocast, descend
from fsvideo.train.footage import as_footage
from fsvideo.train.run import Ema, to_image, to_tensor
from fsvideo.train.settings import HEARSettings
from fsvideo.train.world import World
from fsvideo.types import Array, Image


@dataclass(frozen=True)
class OccludedBatch:
    """``target`` (B, 3, S, S) with its occluders pasted; ``occluder`` alike and its ``alpha`` (B, 1, S, S), 0: nothing.

    ``z_id`` (B, D) of the sources, ``z_target`` of the targets without occluders, as a track of frames is known where
    ``known`` (B,), bool, says so: a photo, or who wears a mask all the time, is not. ``source`` pictures, to look at;
    ``same`` (B,) bool.
    """

    target: Tensor
    occluder: Tensor
    alpha: Tensor
    source: Tensor
    z_id: Tensor
    z_target: Tensor
    known: Tensor
    same: Tensor


class OccludedPairs:
    """Random pairs with occluders; step k draws the same pairs in every run of a seed.

    ``z_id`` (N, D): who the crops show. ``hard``: indices of the crops of the largest heuristic error. ``held_out``:
    draw the occluders kept for validation, one on every target, and no pair whose source is the target.
    """

    def __init__(
        self,
        data: FaceData,
        z_id: Tensor,
        occluders: Occluders,
        hard: npt.NDArray[np.int64],
        settings: HEARSettings,
        world: World,
        held_out: bool = False,
    ) -> None:
        self.data, self.occluders, self.hard, self.settings = data, occluders, hard, settings
        self.world, self.held_out = world, held_out
        self.z_id = z_id

    def draw(self, step: int) -> OccludedBatch:
        s = self.settings
        rng = np.random.default_rng((s.seed, step))
        target = rng.integers(len(self.data), size=s.batch)
        hard = rng.random(s.batch) < s.hard
        target[hard] = rng.choice(self.hard, int(hard.sum()))
        source = rng.integers(len(self.data), size=s.batch)
        same = rng.random(s.batch) < (0.0 if self.held_out else s.same)
        source[same] = target[same]
        rgb = self.data.rgb[target]
        flip = rng.random(s.batch) < 0.5
        rgb[flip] = rgb[flip, :, ::-1]
        covered = rng.random(s.batch) < (1.0 if self.held_out else s.occluded)
        occluder, alpha = self._occluders(rng, rgb, covered)
        poor = rng.random(s.batch) < (0.0 if self.held_out else s.footage)
        seed = rng.integers(2**62, size=s.batch)
        known = rng.random(s.batch) < (1.0 if self.held_out else s.known)
        mine, device = self.world.rows, self.world.device
        clean = to_tensor(mine(torch.from_numpy(rgb)), device)
        occluder, alpha = mine(occluder).to(device), mine(alpha).to(device)
        shown = torch.lerp(clean, occluder, alpha)
        poor_, seed_ = mine(torch.from_numpy(poor)), mine(torch.from_numpy(seed))
        for row in torch.nonzero(poor_)[:, 0].tolist():
            made = as_footage(to_image(shown[row]), np.random.default_rng(int(seed_[row])))
            shown[row] = to_tensor(made[None], device)[0]
            occluder[row] = shown[row]  # which is the occluder where one lies
        return OccludedBatch(
            shown,
            occluder,
            alpha,
            to_tensor(mine(torch.from_numpy(self.data.rgb[source])), device),
            mine(self.z_id[source]).to(device),
            mine(self.z_id[target]).to(device),
            mine(torch.from_numpy(known)).to(device),
            mine(torch.from_numpy(same)).to(device),
        )

    def _occluders(self, rng: np.random.Generator, rgb: Image, covered: npt.NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        pictures, alphas = np.zeros(rgb.shape, np.float32), np.zeros(rgb.shape[:3], np.float32)
        for i in np.flatnonzero(covered):
            pictures[i], alphas[i] = self.occluders.draw(rng, rgb[i], self.held_out)
        picture = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
        return picture.contiguous(), torch.from_numpy(alphas)[:, None]


class HEARTrainer:
    """HEAR-Net, its optimiser, and the frozen nets before and behind it. ``init``: a HEAR-Net to start from."""

    def __init__(
        self,
        settings: HEARSettings,
        aei: AEINet,
        encoder: EncoderEnsemble,
        world: World,
        init: HEARNet | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.world, device = settings, world, world.device
        self.aei = aei.to(device).eval().requires_grad_(False)
        self.encoder = encoder.to(device)
        self.net = (init or HEARNet(PRESETS[settings.preset])).to(device).train()
        self.opt = torch.optim.Adam(self.net.parameters(), settings.lr, betas=(0.5, 0.99), fused=True)
        self.ema = Ema(self.net, settings.ema)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.step = 0

    def train_step(self, batch: OccludedBatch) -> dict[str, float]:
        """One update; returns the named losses."""
        s = self.settings
        with autocast(self.world.device, s.precision):
            y_hat, delta_y = swap(self.aei, as_known(batch, self.encoder))
            y = self.net(y_hat, delta_y, batch.target)
            shown = jitter(tinted(y, batch.target), self.generator, self.world.size, self.world.rows)
            z_y = self.encoder(shown).float()
        y, y_hat = y.float(), y_hat.float()
        terms = {
            "id": losses.identity(z_y, batch.z_id, s.enough),
            "change": losses.change(y, y_hat, batch.alpha, batch.same),
            "rec": losses.reconstruction(y, batch.target, batch.same),
            "occ": losses.occlusion(y, torch.lerp(y_hat, batch.occluder, batch.alpha), batch.alpha),
        }
        weights = {"id": s.w_id, "change": s.w_change, "rec": s.w_rec, "occ": s.w_occ}
        told = descend(terms, weights, self.opt, self.world, self.step)
        self.ema.update(self.net, self.step)
        self.step += 1
        return told

    def state(self) -> dict[str, object]:
        return {
            "step": self.step,
            "settings": asdict(self.settings),
            "config": self.net.config.to_json(),
            "identity": self.encoder.name,
            "net": self.net.state_dict(),
            "opt": self.opt.state_dict(),
            "ema": self.ema.values,
            "generator": self.generator.get_state(),
        }

    def load(self, state: dict[str, object]) -> None:
        self.net.load_state_dict(state["net"])  # type: ignore[arg-type]
        self.opt.load_state_dict(state["opt"])  # type: ignore[arg-type]
        self.ema.values = {k: v.to(self.world.device) for k, v in state["ema"].items()}  # type: ignore[attr-defined]
        self.generator.set_state(state["generator"])  # type: ignore[arg-type]
        self.step = int(state["step"])  # type: ignore[call-overload]

    @torch.no_grad()
    def look(self, batch: OccludedBatch) -> tuple[list[Tensor], dict[str, float]]:
        """source | target | y_hat | delta_y | y, by the averaged weights, and how well the occluders came back.

        PSNR in dB under the occluders, before and after HEAR-Net; mean |y - y_hat| where there are none, grey levels;
        cosine to the source, before and after.
        """
        net = HEARNet(self.net.config).to(self.world.device)
        net.load_state_dict(self.ema.values)
        net.eval()
        y_hat, delta_y = swap(self.aei, batch)
        y = net(y_hat, delta_y, batch.target)
        wanted = torch.lerp(y_hat, batch.occluder, batch.alpha)
        under, clear = batch.alpha > 0.5, batch.alpha < 0.02
        found = {
            "look_occ_before": _psnr(y_hat, wanted, under),
            "look_occ": _psnr(y, wanted, under),
            "look_change": 127.5 * float(_mean((y - y_hat).abs(), clear)),
            "look_id_before": 1 - float(losses.identity(self.encoder(y_hat), batch.z_id)),
            "look_id": 1 - float(losses.identity(self.encoder(y), batch.z_id)),
        }
        return [batch.source, batch.target, y_hat, delta_y.clamp(-1, 1), y], found


@torch.no_grad()
def swap(aei: AEINet, batch: OccludedBatch) -> tuple[Tensor, Tensor]:
    """y_hat, and the heuristic error delta_y = target - AEI(target, z_id(target))."""
    z_att = aei.attributes(batch.target)
    again = aei.generate(z_att, batch.z_target, batch.target)
    return aei.generate(z_att, batch.z_id, batch.target), batch.target - again


@torch.no_grad()
def as_known(batch: OccludedBatch, encoder: EncoderEnsemble) -> OccludedBatch:
    """The batch with the identities of targets that are known by this picture alone, whatever lies over them."""
    if bool(batch.known.all()):
        return batch
    z_target = batch.z_target.clone()
    z_target[~batch.known] = encoder(batch.target[~batch.known]).to(z_target.dtype)
    return replace(batch, z_target=z_target)


@torch.no_grad()
def heuristic_errors(aei: AEINet, pairs: OccludedPairs, rows: npt.NDArray[np.int64]) -> Array:
    """(len(rows),) mean |delta_y| over the face of each of these crops of the data, as they are."""
    target = to_tensor(pairs.data.rgb[rows], pairs.world.device)
    error = (target - aei(target, pairs.z_id[rows].to(pairs.world.device))[0]).abs().mean(1)
    side = torch.linspace(-1, 1, target.shape[-1], device=pairs.world.device)
    # The face lies in an ellipse in the middle; what is around it is no occluder, and never pasted back.
    face = ((side[None] / 0.6) ** 2 + ((side[:, None] - 0.1) / 0.8) ** 2 < 1).float()
    mean: Array = ((error * face).sum((1, 2)) / face.sum()).cpu().numpy()
    return mean


def _mean(x: Tensor, where: Tensor) -> Tensor:
    """Mean of (N, 3, S, S) over the pixels of (N, 1, S, S) bool."""
    return (x.mean(1, keepdim=True) * where).sum() / where.sum().clamp(min=1)


def _psnr(x: Tensor, wanted: Tensor, where: Tensor) -> float:
    return float(10 * torch.log10(4 / _mean((x - wanted).square(), where).clamp(min=1e-8)))
