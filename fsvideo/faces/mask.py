"""Where in the crop the swapped face is laid: the face's own outline with a soft edge."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fsvideo.types import Array

Mask = Callable[[Array, int, float], Array]

_SUBPIXEL = 4  # bits of fraction for OpenCV's polygon filler


def outline(points: Array, size: int, feather: float) -> Array:
    """The mesh's face oval. ``points`` (K, 2) in crop pixels; ``feather``: soft edge in parts of the face's width."""
    return _soft(points, size, feather)


def ellipse(points: Array, size: int, feather: float) -> Array:
    """The ellipse that fits the outline: calmer than the outline itself where landmarks are poor."""
    center, axes, angle = cv2.fitEllipse(points.astype(np.float32))
    turn = np.radians(np.arange(0, 360, 5))
    unit = np.stack([np.cos(turn) * axes[0] / 2, np.sin(turn) * axes[1] / 2], 1)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return _soft((unit @ np.array([[c, s], [-s, c]]) + center).astype(np.float32), size, feather)


def _soft(polygon: Array, size: int, feather: float) -> Array:
    """(size, size) float32 in 0..1: 1 well inside the polygon, falling to 0 at its edge and at the crop's."""
    edge = max(1.5, feather * float(np.ptp(polygon[:, 0])))
    hard = np.zeros((size, size), np.uint8)
    fixed = np.round(polygon * (1 << _SUBPIXEL)).astype(np.int32)
    cv2.fillPoly(hard, [fixed], 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL)
    hard[[0, -1]] = 0
    hard[:, [0, -1]] = 0
    depth = cv2.distanceTransform((hard > 127).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    depth = cv2.GaussianBlur(depth, (0, 0), max(0.8, edge / 6))  # rounds the ridges that a distance has, and its steps
    ramp = np.clip((depth - 0.5) / edge, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)


MASKS: dict[str, Mask] = {"outline": outline, "ellipse": ellipse}
