"""Chips: the part of an aligned crop that a frozen network is to see, at the size it was trained on.

Separable, antialiased and linear, so that gradients flow through it to the crop.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fsvideo.types import Array, CropSpec

Points = tuple[tuple[float, float], ...]


def chip_transform(template: Points, size: int, points: Points) -> tuple[float, float, float]:
    """Scale s and shift (x, y) of the best map from crop pixels to chip pixels: chip = s * crop + (x, y).

    ``points``: where the chip has the template's five points, pixels. Least squares over the five. The rotation that a
    full similarity would add is a quarter of a degree at most, no chip's points being quite symmetric: leaving it out
    makes the cut separable.
    """
    source = CropSpec(size, template).points.astype(np.float64)
    chip = np.asarray(points, np.float64)
    centred = source - source.mean(0)
    scale = float((centred * chip).sum() / (centred**2).sum())
    x, y = chip.mean(0) - scale * source.mean(0)
    return scale, float(x), float(y)


def resampling_matrix(size: int, scale: float, shift: float, chip: int) -> Array:
    """(chip, size) weights that resample one axis: row i looks around crop position (i - shift) / scale.

    Linear interpolation where the chip is larger than the crop; where it is smaller the triangle widens with it, so
    that nothing aliases. Positions beyond the crop repeat its edge.
    """
    width = max(1.0, 1 / scale)
    centre = np.clip((np.arange(chip) - shift) / scale, 0, size - 1)
    weights = np.maximum(0, 1 - np.abs(np.arange(size)[None] - centre[:, None]) / width)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


class Chips:
    """Cuts chips of ``side`` pixels out of crops of any size; keeps the weights for the sizes it has seen."""

    def __init__(self, template: Points, side: int, points: Points) -> None:
        self.template, self.side, self.points = template, side, points
        self._cuts: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def __call__(self, crops: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, C, side, side): the part of each crop that the network is to see, antialiased."""
        rows, columns = self._cut(crops)
        return rows @ (crops @ columns.T)

    def _cut(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        key = (crops.shape[-1], crops.device, crops.dtype)
        if key not in self._cuts:
            size = crops.shape[-1]
            scale, x, y = chip_transform(self.template, size, self.points)
            rows, columns = (resampling_matrix(size, scale, shift, self.side) for shift in (y, x))
            with torch.inference_mode(False):  # a matrix made in inference mode could not serve a backward pass later
                self._cuts[key] = (torch.from_numpy(rows).to(crops), torch.from_numpy(columns).to(crops))
        return self._cuts[key]
