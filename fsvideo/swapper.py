"""What makes the swap: crops and an identity in, swapped crops out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import fsvideo
from fsvideo import glasses, weights
from fsvideo.backends.graph import Network
from fsvideo.backends.ready import pick, ready
from fsvideo.backends.runtimes import Cores, Engine
from fsvideo.faces.align import crop, transform
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.mesh import lay
from fsvideo.glasses import Glasses
from fsvideo.models import aei, hear
from fsvideo.models.chain import Chain
from fsvideo.models.identity import EncoderEnsemble
from fsvideo.networks import (
    filled,
    load_blendshapes,
    load_ensemble,
    load_finder,
    load_hear,
    load_mesh,
    shipped_parts,
)
from fsvideo.tuning import Going, Readers, to_the_end, tuned
from fsvideo.types import Array, CropSpec, FsvideoError, Identity, Image, WeightsError

_TOGETHER = 8  # crops that are embedded at once: more take memory, and no less time each
_TORCH = f"torch {torch.__version__}"


class Swapper(Protocol):
    """One way to put a face on another. ``spec`` says how its crops are cut; ``name`` is what the result's tags say.

    ``hashes``: the sha256 of each file that results depend on; outputs state them. ``backend``: what computes it, in
    which version and precision.
    """

    name: str

    @property
    def backend(self) -> str: ...

    @property
    def hashes(self) -> Mapping[str, str]: ...

    @property
    def spec(self) -> CropSpec: ...

    @property
    def glasses(self) -> Glasses | None:
        """What glasses do to its embeddings, where that is known."""
        ...

    def embed(self, crops: Array | Image) -> Array:
        """(N, S, S, 3) RGB on the 0..255 scale -> (N, D) unit-length identity embeddings."""
        ...

    def swap(self, crops: Array, identities: Sequence[Identity], own: Array | None = None) -> Array:
        """(N, S, S, 3) float32 RGB on the 0..255 scale and one identity each -> the swapped crops, alike.

        ``own`` (N, D): who the crops show, as ``embed`` says; without it, a swapper that wants to know asks.
        """
        ...

    def tuned(
        self,
        crops: Array,
        masks: Array,
        goal: Array,
        asked: Array,
        steps: int,
        going: Going = to_the_end,
        held: Array | None = None,
    ) -> Array:
        """(A, D) what to ask each layer for in place of ``asked`` (D,), so that results look more like ``goal`` (D,).

        Crops (N, S, S, 3) of one person, and masks (N, S, S) of where the new face is shown in them. ``steps``: of
        looking at what becomes of it, 0 for ``asked`` itself. ``going`` is asked now and then whether to go on. Along
        ``held`` (D,) nothing is moved.
        """
        ...


@dataclass
class AEISwapper:
    """AEI-Net and, where given, HEAR-Net behind it, on one device; or, with ``engine``, as that runtime has them."""

    name: str
    net: aei.AEINet
    encoder: EncoderEnsemble
    refiner: hear.HEARNet | None
    spec: CropSpec
    device: torch.device
    hashes: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0  # of HEAR-Net's repair
    engine: Engine | None = None
    glasses: Glasses | None = None
    trained: bool = True  # else it knows no faces, and nothing is tuned

    @property
    def backend(self) -> str:
        return self.engine.label if self.engine else f"{_TORCH}, float{16 if self.device.type == 'cuda' else 32}"

    def embed(self, crops: Array | Image) -> Array:
        with torch.inference_mode():
            parts = (self._tensor(crops[at : at + _TOGETHER]) for at in range(0, len(crops), _TOGETHER))
            return np.concatenate([self.encoder(part).cpu().numpy() for part in parts])

    def swap(self, crops: Array, identities: Sequence[Identity], own: Array | None = None) -> Array:
        each = self.net.layers, self.net.config.z_id
        z = [np.stack([np.broadcast_to(i.embedding, each) for i in identities])]
        if self.refiner is not None:
            z.append(self.embed(crops) if own is None else own)
        if self.engine is not None:  # without PyTorch, whose threads would wait for more at full speed
            made = self.engine.run(np.stack([cv2.split(one) for one in crops]) / np.float32(127.5) - 1, *z)
        else:
            with torch.inference_mode(), self._autocast:
                swapped = self._chain(self._tensor(crops), *(torch.from_numpy(each).to(self.device) for each in z))
                made = [y.float().cpu().numpy() for y in swapped]
        # Without HEAR-Net there is only the first.
        y = made[-1] if self.share == 1 else made[0] + np.float32(self.share) * (made[-1] - made[0])
        return np.stack([cv2.merge([*one]) for one in y * np.float32(127.5) + np.float32(127.5)])

    def tuned(
        self,
        crops: Array,
        masks: Array,
        goal: Array,
        asked: Array,
        steps: int,
        going: Going = to_the_end,
        held: Array | None = None,
    ) -> Array:
        if steps == 0 or not self.trained:
            return asked
        # On Apple's GPUs PyTorch lacks some gradients.
        device = torch.device("cpu") if self.device.type == "mps" else self.device
        net, encoder = self.net, self.encoder
        if device != self.device:
            net, encoder = deepcopy(net).to(device), deepcopy(encoder).to(device)
        readers = Readers(encoder, load_mesh().to(device), load_blendshapes().to(device))
        mask, wanted, start = (torch.from_numpy(x).to(device) for x in (masks[:, None], goal, asked))
        along = None if held is None else torch.from_numpy(held).to(device)
        z_id = tuned(net, readers, self._tensor(crops, device), mask, wanted, start, steps, going, along)
        made: Array = z_id.cpu().numpy()
        return made

    @property
    def network(self) -> Network:
        """What there is to export for other programs: all layers are asked for the same."""
        return self._network(Chain(self.net, self.refiner).eval())

    @property
    def layered(self) -> Network:
        """What runtimes compute here: layers may be asked for different things, see ``tuning``."""
        return self._network(self._chain)

    def _network(self, chain: Chain) -> Network:
        meta = {f"sha256 {name}": digest for name, digest in self.hashes.items()}
        meta |= {"fsvideo": fsvideo.__version__, "model": self.name, "crop": self.spec.to_json()}
        meta |= {"identity": self.encoder.name}
        about = " ".join(one.config.to_json() for one in (self.net, self.refiner) if one is not None)
        about += f" z_id {chain.z_id}"
        return Network(chain, chain.inputs, chain.outputs, chain.probe, about, meta)

    @cached_property
    def _chain(self) -> Chain:
        return Chain(self.net, self.refiner, layered=True).eval()

    def _tensor(self, crops: Array | Image, device: torch.device | None = None) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(crops)).to(device or self.device)
        return x.permute(0, 3, 1, 2).float() / 127.5 - 1

    @cached_property
    def _autocast(self) -> torch.autocast | nullcontext[None]:
        return torch.autocast("cuda", torch.float16) if self.device.type == "cuda" else nullcontext()


@dataclass
class Unchanged:
    """Returns its input: shows what the pipeline around a swap does to a picture by itself (nothing)."""

    encoder: EncoderEnsemble
    spec: CropSpec
    name: str = "unchanged"
    hashes: Mapping[str, str] = field(default_factory=dict)
    backend: str = f"{_TORCH}, float32"  # of the encoder
    glasses: Glasses | None = None

    def embed(self, crops: Array | Image) -> Array:
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
            embeddings: Array = self.encoder(x).numpy()
        return embeddings

    def swap(self, crops: Array, identities: Sequence[Identity], own: Array | None = None) -> Array:
        return crops

    def tuned(
        self,
        crops: Array,
        masks: Array,
        goal: Array,
        asked: Array,
        steps: int,
        going: Going = to_the_end,
        held: Array | None = None,
    ) -> Array:
        return asked


@dataclass
class Warp(Unchanged):
    """The plain baseline: the source's own pixels, laid on the target's landmarks, in the target's light."""

    finder: FaceFinder = field(default_factory=load_finder)
    name: str = "warp"

    def swap(self, crops: Array, identities: Sequence[Identity], own: Array | None = None) -> Array:
        return np.stack([self._one(c, i) for c, i in zip(crops, identities, strict=True)])

    def _one(self, target: Array, identity: Identity) -> Array:
        face = self.finder.fit(target.clip(0, 255).astype(np.uint8), self.spec.points)
        if face is None or identity.portrait is None:
            return target
        source = identity.portrait
        cut = crop(source.image, source.face.points, self.spec)
        return lay(cut.rgb, transform(cut.matrix, source.face.landmarks), target, face.landmarks)


def load_swapper(
    model: str,
    refine: bool,
    device: torch.device,
    share: float = 1.0,
    backend: str = "torch",
    note: Callable[[str], None] = lambda text: None,
    at_once: int = 1,
) -> Swapper:
    """The swapper of this name or weights file. ``share``: how much of HEAR-Net's repair is taken, 0..1.
    ``at_once``: faces that it will mostly be given together; see ``Cores``.

    ``backend``: what computes the swap, of ready.BACKENDS, or ``auto``: the fastest for the device, and PyTorch where
    that fails or ``model`` is one of SWAPPERS. ``note`` is told what a user should know.

    Raises WeightsError where the file is not one, FsvideoError for a backend that is not here.
    """
    if model in SWAPPERS:
        return _on(SWAPPERS[model](), "torch" if backend == "auto" else backend, note, at_once)
    chosen = pick(backend, device.type)
    swapper = _load(model, refine, device, share)
    try:
        return _on(swapper, chosen, note, at_once)
    except FsvideoError as error:
        if backend != "auto":
            raise
        note(f"{error}: PyTorch swaps instead")
        return swapper


def _on(swapper: Swapper, backend: str, note: Callable[[str], None], at_once: int) -> Swapper:
    if backend == "torch":
        return swapper
    if not isinstance(swapper, AEISwapper):
        raise FsvideoError(f"{swapper.name} has no networks for the backend {backend}", "leave out --backend")
    cores = Cores(torch.get_num_threads(), at_once)
    swapper.engine = ready(swapper.layered, pick(backend, swapper.device.type), note, cores)
    return swapper


def _load(model: str, refine: bool, device: torch.device, share: float) -> AEISwapper:
    checkpoint = weights.load(model, "aei", others=("warp",))
    meta = checkpoint.meta
    try:
        config = aei.AEIConfig.from_json(meta["config"])
        spec = CropSpec.from_json(meta["crop"])
        net = filled(lambda: aei.AEINet(config), checkpoint.tensors)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{checkpoint.path}: its tensors do not fit an AEI-Net of the sizes it states",
            "take a file that `fsvideo train aei` wrote",
        ) from error
    try:
        encoder = load_ensemble(meta["identity"])
    except KeyError as error:
        raise WeightsError(
            f"{checkpoint.path}: made for an identity encoder that is not here", "take a file made with this fsvideo"
        ) from error
    if spec.size != config.size or encoder.length != config.z_id:
        raise WeightsError(
            f"{checkpoint.path}: its crop or identity encoder does not fit the sizes it states",
            "take a file that `fsvideo train aei` wrote",
        )
    refiner = load_hear(meta["refiner"], spec) if meta.get("refiner") and refine and share > 0 else None
    modules = [m for m in (net, encoder, refiner) if m is not None]
    for module in modules:
        module.eval().requires_grad_(False).to(device)
    hashes = {"AEI-Net": checkpoint.sha256}
    for name, part in zip(encoder.name.split("+"), shipped_parts(encoder.name), strict=True):
        hashes[f"identity encoder {name}"] = weights.sha256(part)
    if refiner is not None:
        hashes["HEAR-Net"] = weights.sha256(meta["refiner"])
    if (known := glasses.load(encoder.name)) is not None:
        hashes["glasses"] = weights.sha256("glasses")
    name = meta.get("name") or checkpoint.path.stem
    name += " with HEAR-Net" if refiner is not None else " without HEAR-Net"
    return AEISwapper(name, net, encoder, refiner, spec, device, hashes, share, glasses=known)


def unchanged() -> Swapper:
    """The swapper that returns its input."""
    return Unchanged(load_ensemble(), CropSpec(256))


def warp() -> Swapper:
    """The swapper that needs no network but the landmarker."""
    return Warp(load_ensemble(), CropSpec(256))


def tiny() -> Swapper:
    """An AEI-Net of random weights, small and quick: for trying the machinery, not for faces."""
    torch.manual_seed(0)
    net = aei.AEINet(aei.PRESETS["tiny"]).eval()
    return AEISwapper("tiny", net, load_ensemble(), None, CropSpec(net.config.size), torch.device("cpu"), trained=False)


SWAPPERS = {"unchanged": unchanged, "tiny": tiny, "warp": warp}


def toward(source: Identity, own: Array, strength: float) -> Identity:
    """The identity between the target's ``own`` embedding (D,), at strength 0, and the source's, at 1.

    Beyond 1 it moves on, away from the target. Unit length.
    """
    if strength == 1:
        return source
    mixed = torch.from_numpy(own + np.float32(strength) * (source.embedding - own))
    return replace(source, embedding=F.normalize(mixed, dim=0).numpy())


def beyond(identity: Identity, missing: Array) -> Identity:
    """The identity moved on by ``missing`` (D,), or for each AAD layer (A, D); unit length."""
    moved = torch.from_numpy(identity.embedding + missing)
    return replace(identity, embedding=F.normalize(moved, dim=-1).numpy())


def mean_identity(embeddings: Array, sources: Sequence[str]) -> Identity:
    """Average (N, D) embeddings of one person."""
    mean = torch.from_numpy(embeddings).mean(0)
    return Identity(F.normalize(mean, dim=0).numpy(), tuple(sources))
