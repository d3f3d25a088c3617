"""The networks, read from weights and ready to work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fsvideo import weights
from fsvideo.backends.graph import Network
from fsvideo.backends.ready import of_shape, pick, ready
from fsvideo.backends.runtimes import RUNTIMES, Cores
from fsvideo.faces import yunet
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.landmarks import Fitter
from fsvideo.faces.yunet import Detector
from fsvideo.models import hear
from fsvideo.models.expression import Blendshapes
from fsvideo.models.identity import IDENTITY_ENCODERS, EncoderEnsemble, IdentityEncoder, SecondOpinion, ThirdOpinion
from fsvideo.models.landmarks import CHIP, CHIP_POINTS, ChipMesh, FaceMesh
from fsvideo.types import Array, CropSpec, FsvideoError, Image, WeightsError

Net = TypeVar("Net", bound=nn.Module)

_SHIPPED = {IdentityEncoder.name: "identity", SecondOpinion.name: "second", ThirdOpinion.name: "third"}


def pick_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU. Raises FsvideoError for a device that is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(d for d in ("cuda", "mps", "cpu") if there[d])
    if not there.get(name, False):
        found = ", ".join(d for d, ok in there.items() if ok)
        raise FsvideoError(f"no {name} device here", f"found: {found}; leave out --device to take the best of them")
    return torch.device(name)


def load_encoder(name: str = "identity") -> IdentityEncoder:
    """A recogniser that ships: ``identity``, ``second`` or ``third``."""
    checkpoint = weights.load(name, "identity")
    encoder = IDENTITY_ENCODERS[checkpoint.meta["name"]]()
    encoder.load_state_dict(checkpoint.tensors)
    return encoder.eval()


def load_ensemble(name: str = IdentityEncoder.name) -> EncoderEnsemble:
    """The identity encoder of this name: recognisers' names with a + between them. Raises KeyError for another name."""
    return EncoderEnsemble([load_encoder(shipped) for shipped in shipped_parts(name)])


def shipped_parts(name: str) -> list[str]:
    """The shipped weights behind an identity encoder's name. Raises KeyError where that names no such thing."""
    return [_SHIPPED[part] for part in name.split("+")]


def load_mesh() -> FaceMesh:
    """The shipped landmark network in PyTorch, frozen."""
    mesh = FaceMesh()
    mesh.load_state_dict(weights.load("mesh", "landmarks").tensors)
    return mesh


def load_blendshapes() -> Blendshapes:
    """The shipped expression network in PyTorch, frozen: for training."""
    net = Blendshapes()
    net.load_state_dict(weights.load("expression", "expression").tensors)
    return net


def load_fitter(note: Callable[[str], None] = lambda text: None) -> Fitter:
    """What fits landmarks to followed faces, on the fastest runtime that is installed. ``note``: see ``ready``."""
    net = ChipMesh(load_mesh()).eval()
    network = Network(net, net.inputs, net.outputs, net.probe, "", {})
    name = pick("auto", "cpu")
    try:
        # One thread: beside it decoding, looking for newcomers and recognising have work for the other cores.
        run = None if name == "torch" else ready(network, name, note, Cores(1), exact=True).run
    except FsvideoError:  # as every runtime gives the same, there is nothing to say
        run = None

    def mesh(chip: Image) -> tuple[Array, float]:
        if run is not None:
            points, presence = run(chip[None])
        else:
            with torch.inference_mode():
                points, presence = (one.numpy() for one in net(torch.from_numpy(chip[None])))
        return points[0], float(presence[0])

    return Fitter(mesh, np.array(CHIP_POINTS, np.float32), CHIP)


def load_detector(note: Callable[[str], None] = lambda text: None) -> Detector:
    """What says where faces may be; of clips, on a runtime that takes half the time, where one is installed.

    ``note``: see ``ready``.
    """
    model = weights.read_bytes("detector")
    opencv, name = partial(yunet.by_opencv, model), pick("auto", "cpu")

    def for_shape(shape: tuple[int, ...]) -> yunet.Forward:
        try:
            return of_shape(model, name, shape, note).run
        except FsvideoError:  # as every runtime gives the same, there is nothing to say
            return opencv()

    compiles = name != "torch" and RUNTIMES[name].compiling is not None
    return Detector(opencv(), partial(yunet.by_shape, for_shape) if compiles else opencv)


def load_finder(blendshapes: bool = False, note: Callable[[str], None] = lambda text: None) -> FaceFinder:
    """The face finder with the weights that ship. ``note`` is told, later, what takes time.

    Raises FsvideoError where a system library is missing.
    """
    detector, landmarker = load_detector(note), weights.read_bytes("landmarker")
    try:
        return FaceFinder(detector, landmarker, partial(load_fitter, note), blendshapes=blendshapes)
    except (OSError, ImportError) as error:  # mediapipe loads the system's EGL and GLES when it starts
        raise FsvideoError(f"the face landmarker cannot start: {error}", "fsvideo doctor says why") from error


def load_hear(name: str, spec: CropSpec) -> hear.HEARNet:
    """A HEAR-Net that ships, or of a file, for such crops. Raises WeightsError where it is none."""
    checkpoint = weights.load(name, "hear")
    try:
        sizes = hear.HEARConfig.from_json(checkpoint.meta["config"])
        net = filled(lambda: hear.HEARNet(sizes), checkpoint.tensors)
        fits = CropSpec.from_json(checkpoint.meta["crop"]) == spec
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{checkpoint.path}: its tensors do not fit a HEAR-Net of the sizes it states",
            "take a file that `fsvideo train hear` wrote, or swap with --no-refine",
        ) from error
    if not fits:
        raise WeightsError(f"{checkpoint.path}: made for other crops than the AEI-Net", "swap with --no-refine")
    return net


def filled(make: Callable[[], Net], tensors: Mapping[str, Tensor]) -> Net:
    """The network with these tensors, in single precision.

    It is built without memory of its own, as a file may state any sizes, and nothing is drawn at random for nothing.
    Raises RuntimeError where the tensors do not fit.
    """
    with torch.device("meta"):
        net = make()
    net.load_state_dict({name: t.float() for name, t in tensors.items()}, assign=True)
    return net
