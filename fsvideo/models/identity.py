"""The frozen face recognisers whose last features are ``z_id``, and another one for training.

Raw embeddings of dlib's network all lie in one narrow cone (cosines of 0.83 to 0.97
between strangers), so ``IdentityEncoder`` subtracts the mean over many people before it normalises.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvideo.models.chips import Chips, Points
from fsvideo.models.recognisers import CHIP, DlibFace, FaceRes, MobileFaceNet, Recogniser
from fsvideo.types import CropSpec

# Where dlib's alignment puts the five points of types.Face in a chip, pixels.
_CHIP_POINTS = ((45.81, 44.89), (101.5, 44.82), (73.83, 77.65), (49.4, 101.15), (98.64, 101.07))
# Where ArcFace's alignment puts the five points, pixels of 112.
ARCFACE_POINTS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))


class IdentityEncoder(nn.Module):
    """From aligned crops to ``z_id``. Frozen, but gradients flow to the crops.

    ``template`` is that of the CropSpec the crops were cut with. ``mean`` is the mean raw embedding over the training
    crops, part of the state dict; zeros until it is measured.
    """

    name = "dlib-resnet-v1"
    short = "id"  # what training settings and data call it
    chip = CHIP  # the side of the picture its network sees, pixels, and where the five points lie in it
    chip_points: Points = _CHIP_POINTS
    mean: Tensor

    def __init__(self, template: tuple[tuple[float, float], ...] = CropSpec().template) -> None:
        super().__init__()
        self.net = self.build()
        self.register_buffer("mean", torch.zeros(self.net.embedding))
        self.chips = Chips(template, self.chip, self.chip_points)
        self.eval().requires_grad_(False)

    def build(self) -> Recogniser:
        """The network behind it."""
        return DlibFace()

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) RGB crops in [-1, 1], any S -> (N, D) centred embeddings of unit length."""
        return F.normalize(self.raw(crops) - self.mean, dim=1)

    def look(self, crops: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The same, and the maps of features on the way to it, finest first."""
        z, maps = self.net.look(self.chips(crops))
        return F.normalize(z - self.mean, dim=1), maps

    def raw(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) RGB crops in [-1, 1], any S -> (N, D) embeddings as the network gives them."""
        z: Tensor = self.net(self.chips(crops))
        return z


class SecondOpinion(IdentityEncoder):
    """A recogniser of other make and training: what pleases it and dlib's is more of a face than what pleases one.

    Used in training alone, in the identity loss.
    """

    name, short = "faceres-mobilenet", "second"
    chip = 160
    # ArcFace's five points in a square of side 1, a tenth larger about the middle: so the network does best at 160.
    chip_points = tuple(
        (160 * (0.5 + 1.1 * (x / 112 - 0.5)), 160 * (0.5 + 1.1 * (y / 112 - 0.5))) for x, y in ARCFACE_POINTS
    )

    def build(self) -> Recogniser:
        return FaceRes()


class ThirdOpinion(IdentityEncoder):
    """A third one, trained with a margin between people as most recognisers are today."""

    name, short = "mobilefacenet", "third"
    chip = 112
    chip_points = ARCFACE_POINTS

    def build(self) -> Recogniser:
        return MobileFaceNet()


class EncoderEnsemble(nn.Module):
    """Several recognisers, or one, whose embeddings end to end are ``z_id``.

    The cosine of two such embeddings is the mean of the recognisers' own cosines. One alone leaves open what another
    one knows: from dlib's embedding of a photo a third recogniser's can be guessed at a cosine of 0.67, from dlib's and
    MobileFaceNet's at 0.79.
    """

    def __init__(self, parts: Sequence[IdentityEncoder]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.name = "+".join(part.name for part in parts)
        self.lengths = [part.net.embedding for part in parts]
        self.length = sum(self.lengths)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) RGB crops in [-1, 1], any S -> z_id, (N, length), of unit length."""
        return end_to_end([part(crops) for part in self.parts])


def end_to_end(parts: Sequence[Tensor]) -> Tensor:
    """(N, D) embeddings of unit length by several recognisers -> (N, sum of D), of unit length."""
    return torch.cat(list(parts), 1) / len(parts) ** 0.5


_ENCODERS = (IdentityEncoder, SecondOpinion, ThirdOpinion)
IDENTITY_ENCODERS: dict[str, type[IdentityEncoder]] = {e.name: e for e in _ENCODERS}
