"""Put a swapped crop back: colour matched and steady, only inside the mask, with the target's own fine grain."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import invert, scale_of, transform, warp
from fsvideo.types import Array, Box

Floats = npt.NDArray[np.float64]

_SAME = 6.0  # levels of change under which the target's own detail is fully kept
_GRAIN = 2.5  # robust standard deviations of fine detail that count as grain


@dataclass
class ColorMatch:
    """Brings the swapped face to the target's mean colour and contrast, by figures averaged over ``seconds``.

    One a track. The network sees the target's light; what is left is a slow cast. Averaging keeps it from flickering.
    """

    seconds: float = 0.5
    _state: tuple[Floats, Floats, float] | None = None  # gain, offset, time in seconds

    def __call__(self, swapped: Array, target: Array, mask: Array, time: float) -> Array:
        """Crops (S, S, 3) on the 0..255 scale, mask (S, S), time in seconds -> the matched crop."""
        weight = (mask > 0.5).astype(np.uint8)
        if int(weight.sum()) < 16:
            return swapped
        mean_y, std_y = (v.reshape(3) for v in cv2.meanStdDev(swapped, mask=weight))
        mean_t, std_t = (v.reshape(3) for v in cv2.meanStdDev(target, mask=weight))
        gain = np.clip(std_t / np.maximum(std_y, 1), 0.8, 1.25)
        gain = np.full(3, gain.mean())  # one contrast for all channels: separate ones tint the shadows
        offset = mean_t - gain * mean_y
        if self._state is not None and self.seconds > 0:
            old_gain, old_offset, before = self._state
            keep = float(np.exp(-max(0.0, time - before) / self.seconds))
            gain, offset = keep * old_gain + (1 - keep) * gain, keep * old_offset + (1 - keep) * offset
        self._state = gain, offset, time
        return (swapped * gain + offset).astype(np.float32)


def region_of(matrix: Array, size: int, width: int, height: int, margin: int = 4) -> Box | None:
    """The part of a ``width`` x ``height`` picture that the crop covers, on even pixels; None where it covers none.

    ``matrix`` maps the picture's pixels to the crop's.
    """
    corners = transform(invert(matrix), [(0, 0), (size - 1, 0), (0, size - 1), (size - 1, size - 1)])
    left, top = (np.floor(corners.min(0)).astype(int) - margin) & ~1
    right, bottom = (np.ceil(corners.max(0)).astype(int) + margin + 1) & ~1
    box = Box(max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom)))
    return box if box.width > 1 and box.height > 1 else None


def shifted(matrix: Array, box: Box) -> Array:
    """The same map for a picture that was cut at ``box``."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.array([box.left, box.top], np.float32)
    return moved


def delta(region: Array, crop: Array, swapped: Array, mask: Array, matrix: Array, opacity: float) -> Array:
    """What to add to the picture's region (h, w, 3), 0..255 scale, so that it shows the swapped face.

    ``crop`` is what the network was given, ``swapped`` what it made, ``mask`` (S, S), all on the crop's grid;
    ``matrix`` maps region pixels to crop pixels. Only the change is carried back, so a swapper that returns its input
    changes nothing.
    A region with more pixels than the crop holds detail that the network never saw: of that, grain stays everywhere,
    edges only where the face was left as it was.
    """
    height, width = region.shape[:2]
    back = invert(matrix)
    alpha = np.clip(warp(mask, back, width, height, cv2.BORDER_CONSTANT), 0, 1)[..., None] * opacity
    change = warp(swapped - crop, back, width, height)
    if scale_of(matrix) < 0.95:
        detail = region - warp(crop, back, width, height)
        inside = alpha[..., 0] > 0.5
        if inside.any():
            grain = _GRAIN * 1.4826 * float(np.median(np.abs(detail[inside])))
            moved = cv2.GaussianBlur(np.abs(change).max(2), (0, 0), 2 / scale_of(matrix))
            lost = 1 - np.exp(-((moved / _SAME) ** 2))[..., None]
            change = change - lost * (detail - np.clip(detail, -grain, grain))
    return np.asarray(alpha * change, np.float32)
