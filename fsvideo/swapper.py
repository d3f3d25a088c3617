"""What makes the swap: crops and an identity in, swapped crops out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo import weights
from fsvideo.models import aei, hear
from fsvideo.models.identity import IDENTITY_ENCODERS, IdentityEncoder
from fsvideo.types import Array, CropSpec, FsvideoError, Identity, Image, WeightsError


class Swapper(Protocol):
    """One way to put a face on another. ``spec`` says how its crops are cut; ``name`` is what the result's tags say."""

    name: str

    @property
    def spec(self) -> CropSpec: ...

    def embed(self, crops: Array | Image) -> Array:
        """(N, S, S, 3) RGB on the 0..255 scale -> (N, D) unit-length identity embeddings."""
        ...

    def swap(self, crops: Array, identities: Sequence[Identity]) -> Array:
        """(N, S, S, 3) float32 RGB on the 0..255 scale and one identity each -> the swapped crops, alike."""
        ...


@dataclass
class AEISwapper:
    """AEI-Net and, where given, HEAR-Net behind it, on one device."""

    name: str
    net: aei.AEINet
    encoder: IdentityEncoder
    refiner: hear.HEARNet | None
    spec: CropSpec
    device: torch.device

    def embed(self, crops: Array | Image) -> Array:
        with torch.inference_mode():
            embeddings: Array = self.encoder(self._tensor(crops)).cpu().numpy()
        return embeddings

    def swap(self, crops: Array, identities: Sequence[Identity]) -> Array:
        with torch.inference_mode(), self._autocast:
            target = self._tensor(crops)
            z_id = torch.from_numpy(np.stack([i.embedding for i in identities])).to(self.device)
            y, z_att = self.net(target, z_id)
            if self.refiner is not None:
                delta_y = target - self.net.generate(z_att, self.encoder(target))
                y = self.refiner(y, delta_y)
            rgb: Array = (y.float() * 127.5 + 127.5).permute(0, 2, 3, 1).cpu().numpy()
        return np.ascontiguousarray(rgb)

    def _tensor(self, crops: Array | Image) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device)
        return x.permute(0, 3, 1, 2).float() / 127.5 - 1

    @cached_property
    def _autocast(self) -> torch.autocast | nullcontext[None]:
        return torch.autocast("cuda", torch.float16) if self.device.type == "cuda" else nullcontext()


@dataclass
class Unchanged:
    """Returns its input: shows what the pipeline around a swap does to a picture by itself (nothing)."""

    encoder: IdentityEncoder
    spec: CropSpec
    name: str = "unchanged"

    def embed(self, crops: Array | Image) -> Array:
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
            embeddings: Array = self.encoder(x).numpy()
        return embeddings

    def swap(self, crops: Array, identities: Sequence[Identity]) -> Array:
        return crops


def pick_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU. Raises FsvideoError for a device that is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(d for d in ("cuda", "mps", "cpu") if there[d])
    if not there.get(name, False):
        found = ", ".join(d for d, ok in there.items() if ok)
        raise FsvideoError(f"no {name} device here", f"found: {found}; leave out --device to take the best of them")
    return torch.device(name)


def load_encoder() -> IdentityEncoder:
    """The shipped identity encoder."""
    checkpoint = weights.load("identity", "identity")
    encoder = IDENTITY_ENCODERS[checkpoint.meta["name"]]()
    encoder.load_state_dict(checkpoint.tensors)
    return encoder.eval()


def load_swapper(model: str, refine: bool, device: torch.device) -> Swapper:
    """The swapper of this name or weights file. Raises WeightsError where the file is not one."""
    if model in SWAPPERS:
        return SWAPPERS[model]()
    checkpoint = weights.load(model, "aei")
    meta = checkpoint.meta
    encoder = load_encoder()
    try:
        config = aei.AEIConfig.from_json(meta["config"])
        spec = CropSpec.from_json(meta["crop"])
        net = aei.AEINet(config)
        net.load_state_dict(checkpoint.tensors)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{checkpoint.path}: its tensors do not fit an AEI-Net of the sizes it states",
            "take a file that `fsvideo train aei` wrote",
        ) from error
    if meta.get("identity") != encoder.name or spec.size != config.size:
        raise WeightsError(
            f"{checkpoint.path}: made for another identity encoder or crop", f"this fsvideo has {encoder.name}"
        )
    refiner = _load_refiner(meta.get("refiner", ""), spec) if refine else None
    modules = [m for m in (net, encoder, refiner) if m is not None]
    for module in modules:
        module.eval().requires_grad_(False).to(device)
    name = meta.get("name", model) + (" with HEAR-Net" if refiner is not None else " without HEAR-Net")
    return AEISwapper(name, net, encoder, refiner, spec, device)


def _load_refiner(name: str, spec: CropSpec) -> hear.HEARNet | None:
    """The HEAR-Net that an AEI-Net names as its own; None where it names none."""
    if not name:
        return None
    checkpoint = weights.load(name, "hear")
    try:
        net = hear.HEARNet(hear.HEARConfig.from_json(checkpoint.meta["config"]))
        net.load_state_dict(checkpoint.tensors)
        fits = CropSpec.from_json(checkpoint.meta["crop"]) == spec
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{checkpoint.path}: its tensors do not fit a HEAR-Net of the sizes it states",
            "take a file that `fsvideo train hear` wrote, or swap with --no-refine",
        ) from error
    if not fits:
        raise WeightsError(f"{checkpoint.path}: made for other crops than the AEI-Net that names it", "use --no-refine")
    return net


def unchanged() -> Swapper:
    """The swapper that returns its input."""
    return Unchanged(load_encoder(), CropSpec(256))


def tiny() -> Swapper:
    """An AEI-Net of random weights, small and quick: for trying the machinery, not for faces."""
    torch.manual_seed(0)
    net = aei.AEINet(aei.PRESETS["tiny"])
    return AEISwapper("tiny", net.eval(), load_encoder(), None, CropSpec(net.config.size), torch.device("cpu"))


SWAPPERS = {"unchanged": unchanged, "tiny": tiny}


def mean_identity(embeddings: Array, sources: Sequence[str]) -> Identity:
    """Average (N, D) embeddings of one person."""
    mean = torch.from_numpy(embeddings).mean(0)
    return Identity(F.normalize(mean, dim=0).numpy(), tuple(sources))
