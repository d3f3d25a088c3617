"""Put a swapped crop back: only inside the mask, with the target's own fine grain."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fsvideo.faces.align import compose, invert, scale_of, transform, warp
from fsvideo.types import Array, Box

_SAME = 6.0  # levels of change under which the target's own detail is fully kept
_SPARSE = 3  # pixels between those from which the grain's strength is estimated
_GRAIN = 2.5  # robust standard deviations of fine detail that count as grain


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


def delta(
    region: Array, crop: Array, swapped: Array, mask: Array, matrix: Array, opacity: float
) -> tuple[Array, Array]:
    """What to add to the picture's region (h, w, 3), 0..255 scale, so that it shows the swapped face, and how much of
    the face is shown at each pixel (h, w), 0..1.

    ``crop`` is what the network was given, ``swapped`` what it made, ``mask`` (S, S), all on the crop's grid;
    ``matrix`` maps region pixels to crop pixels. Only the change is carried back, so a swapper that returns its input
    changes nothing.
    A region with more pixels than the crop holds detail that the network never saw: of that, grain stays everywhere,
    edges only where the face was left as it was.
    """
    height, width = region.shape[:2]
    back = invert(matrix)
    step = cv2.subtract(swapped, crop)
    if scale_of(matrix) >= 0.95:
        *change, alpha = cv2.split(warp(cv2.merge([step, mask]), back, width, height))
        return _weighted(change, alpha, opacity)
    # What is lost is soft: it is worked out on the crop's grid, which has fewer pixels than the region's.
    red, green, blue = cv2.split(cv2.absdiff(swapped, crop))
    moved = cv2.GaussianBlur(cv2.max(cv2.max(red, green), blue), (0, 0), 2)
    lost = 1 - cv2.exp(moved * moved * np.float32(-1 / _SAME**2))
    *change, alpha = cv2.split(_enlarged(cv2.merge([step, mask]), back, width, height))
    *seen, lost = cv2.split(_enlarged(cv2.merge([crop, lost]), back, width, height))
    detail = [cv2.subtract(whole, coarse) for whole, coarse in zip(cv2.split(region), seen, strict=True)]
    sample = np.s_[::_SPARSE, ::_SPARSE]
    inside = alpha[sample] > 0.5
    if inside.any():
        values = np.abs(np.concatenate([one[sample][inside] for one in detail]))
        grain = np.float32(_GRAIN * 1.4826 * float(np.partition(values, len(values) // 2)[len(values) // 2]))
        grains = [cv2.min(cv2.max(one, -float(grain)), float(grain)) for one in detail]
        edges = [cv2.subtract(one, fine) for one, fine in zip(detail, grains, strict=True)]
        change = [cv2.subtract(new, cv2.multiply(edge, lost)) for new, edge in zip(change, edges, strict=True)]
    return _weighted(change, alpha, opacity)


def _weighted(change: Sequence[Array], alpha: Array, opacity: float) -> tuple[Array, Array]:
    """(h, w, 3) the change of each channel where the mask lies, ``alpha`` within 0..1, and (h, w) how much counts."""
    weight = alpha.clip(0, 1) * np.float32(opacity)
    return np.asarray(cv2.merge([cv2.multiply(one, weight) for one in change]), np.float32), weight


def masked(mask: Array, matrix: Array, box: Box, margin: int = 4) -> Box:
    """The part of ``box`` that a crop's ``mask`` reaches, on even pixels; at least one block of them, wherever it is.

    ``matrix`` maps the box's pixels to the crop's.
    """
    left, top, wide, high = cv2.boundingRect((mask > 0).astype(np.uint8))
    corners = [(left, top), (left + wide, top), (left, top + high), (left + wide, top + high)]
    reach = transform(invert(matrix), corners)
    sides = np.array([box.width, box.height])
    first = np.clip(np.floor(reach.min(0)).astype(int) - margin, 0, sides - 2) & ~1
    last = np.clip(np.ceil(reach.max(0)).astype(int) + margin + 1 & ~1, first + 2, sides)
    x, y, right, bottom = (int(v) for v in (*first, *last))
    return Box(box.left + x, box.top + y, box.left + right, box.top + bottom)


def _enlarged(image: Array, matrix: Array, width: int, height: int) -> Array:
    """``warp`` for a matrix that enlarges: twice the size by cubic interpolation, the rest by a linear one, which on
    the finer grid is as good and much faster."""
    double = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    finer = compose(matrix, np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]], np.float32)).astype(np.float64)
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(double, finer, (width, height), flags=flags, borderMode=border), np.float32)
