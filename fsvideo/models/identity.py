"""The frozen face recogniser whose last feature is ``z_id``.

``DlibFace`` is the ResNet behind dlib's ``dlib_face_recognition_resnet_model_v1`` in plain PyTorch; its affine layers
are folded into the convolutions before them. Its raw embeddings all lie in one narrow cone (cosines of 0.83 to 0.97
between strangers), so ``IdentityEncoder`` subtracts the mean over many people before it normalises.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvideo.types import Array, CropSpec

CHIP = 150  # the side of the picture the network was trained on, pixels
EMBEDDING = 128
_PIXEL_MEAN = (122.782, 117.001, 104.298)  # RGB, 0..255
# Where dlib's alignment puts the five points of types.Face in a chip, pixels.
_CHIP_POINTS = ((45.81, 44.89), (101.5, 44.82), (73.83, 77.65), (49.4, 101.15), (98.64, 101.07))
# (channels, halves the picture) of each residual block.
_BLOCKS = (
    *[(32, False)] * 3,
    *[(64, True)] + [(64, False)] * 3,
    *[(128, True)] + [(128, False)] * 2,
    *[(256, True)] + [(256, False)] * 2,
    (256, True),
)


class _Residual(nn.Module):
    """Two 3x3 convolutions beside a skip without weights: zero-padded in channels, averaged where the block halves."""

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.down = down
        # dlib pads only where the stride is 1.
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(F.relu(self.conv1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            # Averaging keeps a last row and column that the convolution, without padding, does not reach.
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return F.relu(x + y)


class DlibFace(nn.Module):
    """dlib's face recognition ResNet: 5.6 M parameters, 0.27 GMAC a face."""

    pixel_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(_PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        widths = (32, *(channels for channels, _ in _BLOCKS))
        blocks = (_Residual(widths[i], channels, down) for i, (channels, down) in enumerate(_BLOCKS))
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(256, EMBEDDING, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 150, 150) RGB chips in [-1, 1] -> (N, 128) raw embeddings."""
        x = (127.5 * (x + 1) - self.pixel_mean) / 256
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2)
        x = self.blocks(x).mean(dim=(2, 3))
        z: Tensor = self.fc(x)
        return z


def chip_transform(template: tuple[tuple[float, float], ...], size: int) -> tuple[float, float, float]:
    """Scale s and shift (x, y) of the best map from crop pixels to chip pixels: chip = s * crop + (x, y).

    Least squares over the five points. The rotation a full similarity would add is a quarter of a degree, dlib's
    points not being quite symmetric: leaving it out makes the cut separable.
    """
    source = CropSpec(size, template).points.astype(np.float64)
    chip = np.asarray(_CHIP_POINTS, np.float64)
    centred = source - source.mean(0)
    scale = float((centred * chip).sum() / (centred**2).sum())
    x, y = chip.mean(0) - scale * source.mean(0)
    return scale, float(x), float(y)


def resampling_matrix(size: int, scale: float, shift: float) -> Array:
    """(CHIP, size) weights that resample one axis: row i looks around crop position (i - shift) / scale.

    Linear interpolation where the chip is larger than the crop; where it is smaller the triangle widens with it, so
    that nothing aliases. Positions beyond the crop repeat its edge.
    """
    width = max(1.0, 1 / scale)
    centre = np.clip((np.arange(CHIP) - shift) / scale, 0, size - 1)
    weights = np.maximum(0, 1 - np.abs(np.arange(size)[None] - centre[:, None]) / width)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


class IdentityEncoder(nn.Module):
    """From aligned crops to ``z_id``. Frozen, but gradients flow to the crops.

    ``template`` is that of the CropSpec the crops were cut with. ``mean`` is the mean raw embedding over the training
    crops, part of the state dict; zeros until it is measured.
    """

    name = "dlib-resnet-v1"
    mean: Tensor

    def __init__(self, template: tuple[tuple[float, float], ...] = CropSpec().template) -> None:
        super().__init__()
        self.template = template
        self.net = DlibFace()
        self.register_buffer("mean", torch.zeros(EMBEDDING))
        self._cuts: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}
        self.eval().requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) RGB crops in [-1, 1], any S -> (N, 128) centred embeddings of unit length."""
        return F.normalize(self.raw(crops) - self.mean, dim=1)

    def raw(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) RGB crops in [-1, 1], any S -> (N, 128) embeddings as dlib gives them."""
        z: Tensor = self.net(self.chips(crops))
        return z

    def chips(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 3, 150, 150): the part of each crop that dlib's alignment would cut, antialiased."""
        rows, columns = self._cut(crops)
        return rows @ (crops @ columns.T)

    def _cut(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        key = (crops.shape[-1], crops.device, crops.dtype)
        if key not in self._cuts:
            scale, x, y = chip_transform(self.template, crops.shape[-1])
            rows, columns = (resampling_matrix(crops.shape[-1], scale, shift) for shift in (y, x))
            with torch.inference_mode(False):  # a matrix made in inference mode could not serve a backward pass later
                self._cuts[key] = (torch.from_numpy(rows).to(crops), torch.from_numpy(columns).to(crops))
        return self._cuts[key]


IDENTITY_ENCODERS: dict[str, type[IdentityEncoder]] = {IdentityEncoder.name: IdentityEncoder}
