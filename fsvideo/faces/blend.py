"""Put a swapped crop back: only inside the mask, with the target's own fine grain."""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.align import compose, invert, scale_of, transform, warp, with_fourth
from fsvideo.faces.tone import LUMA
from fsvideo.types import Array, Box

_FINE = 3.0  # pixels of the crop, a standard deviation: a coarser change is of light, which moves no edge ...
_SAME = 4.0  # ... and levels of a finer one under which the target's own detail is fully kept
_SPARSE = 3  # pixels between those from which the grain's strength is estimated
_AROUND = 8  # pixels of the crop around a mask, from which what lies under its edge is interpolated
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
    edges only where the finest that the crop holds was left as it was. Detail is brightness: few videos hold colour any
    finer than a crop.
    """
    height, width = region.shape[:2]
    spot = _spot(mask)
    crop, swapped, mask = crop[spot.slices], swapped[spot.slices], mask[spot.slices]
    back = compose(invert(matrix), np.array([[1, 0, spot.left], [0, 1, spot.top]], np.float32))
    step = with_fourth(np.asarray(cv2.subtract(swapped, crop), np.float32), mask)
    if scale_of(matrix) >= 0.95:
        return _weighted(np.asarray(warp(step, back, width, height), np.float32), None, opacity)
    # What is lost is soft: it is worked out on the crop's grid, which has fewer pixels than the region's.
    light = cv2.transform(cv2.subtract(swapped, crop), LUMA)
    fine = cv2.absdiff(light, cv2.GaussianBlur(light, (0, 0), _FINE))
    moved = cv2.GaussianBlur(fine, (0, 0), 2)
    lost = _sampled(1 - cv2.exp(moved * moved * np.float32(-1 / _SAME**2)), back, width, height)
    step = _enlarged(step, back, width, height)
    seen = _enlarged(np.asarray(cv2.transform(crop, LUMA), np.float32), back, width, height)
    detail = cv2.subtract(cv2.transform(region, LUMA), seen)
    sample = np.s_[::_SPARSE, ::_SPARSE]
    values = np.abs(detail[sample][step[sample][..., 3] > 0.5])
    if not len(values):
        return _weighted(step, None, opacity)
    grain = _GRAIN * 1.4826 * float(np.partition(values, len(values) // 2)[len(values) // 2])
    edges = cv2.subtract(detail, cv2.min(cv2.max(detail, -grain), grain))
    return _weighted(step, cv2.multiply(edges, lost), opacity)


def _weighted(step: Array, lost: Array | None, opacity: float) -> tuple[Array, Array]:
    """(h, w, 3) what to add where the mask lies, and (h, w) how much it counts there, of (h, w, 4) a step and its mask.

    ``lost`` (h, w): what is to be taken away from each channel besides.
    """
    weight = cv2.extractChannel(step, 3).clip(0, 1) * np.float32(opacity)
    change = cv2.cvtColor(step, cv2.COLOR_RGBA2RGB)
    if lost is not None:
        change = cv2.subtract(change, cv2.cvtColor(lost, cv2.COLOR_GRAY2RGB))
    return np.asarray(cv2.multiply(change, cv2.cvtColor(weight, cv2.COLOR_GRAY2RGB)), np.float32), weight


def _spot(mask: Array) -> Box:
    """The part of a crop that its mask (S, S) reaches, and a little around it."""
    size = len(mask)
    left, top, wide, high = cv2.boundingRect((mask > 0).astype(np.uint8))
    right, bottom = (min(size, at + _AROUND) for at in (left + wide, top + high))
    return Box(max(0, left - _AROUND), max(0, top - _AROUND), right, bottom)


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
    double = np.asarray(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.float32)
    finer = compose(matrix, np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]], np.float32))
    return _sampled(double, finer, width, height)


def _sampled(image: Array, matrix: Array, width: int, height: int) -> Array:
    """``warp`` for a matrix that enlarges what is soft."""
    flags, border, to = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE, matrix.astype(np.float64)
    return np.asarray(cv2.warpAffine(image, to, (width, height), flags=flags, borderMode=border), np.float32)
