"""Faces turned aside. Photos show people from the front; in video they look wherever they like.

The face's mesh is turned about the head's axis and drawn again, triangle by triangle, what is far behind first; around
it rings that lie further back stand for hair, ears and neck.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.align import OUTLINE, five_points, similarity
from fsvideo.faces.mesh import FACE, drawn, triangles
from fsvideo.types import Array, CropSpec, Image

_RINGS = ((1.06, 0.08), (1.25, 0.35), (1.6, 0.75))  # times the outline's size; how far behind it, in face widths
_AXIS = 0.5  # face widths behind the outline, about which a head turns
_CHEEKS = (234, 454)  # the mesh's points before the right ear and the left one
_AROUND = (-0.75, 1.75)  # of the side: where a grid stands that does not turn ...
_INNER, _GRID = 1.2, 8  # ... outside of the crop's middle of so many sides; its points along a side


def turned(rgb: Image, mesh: Array, yaw: float) -> Image:
    """A crop (S, S, 3) with its face turned by ``yaw`` radians, 0 or more, and cut by the default template again.

    It is turned the way it looks already: nothing is known of a cheek that is not seen. ``mesh`` (478, 3): its points
    in units of the side, as the landmark network has them.
    """
    size = len(rgb)
    points = mesh[:FACE].astype(np.float64) * size - [0.5, 0.5, 0]
    edge = points[list(OUTLINE)]
    middle, wide = edge.mean(0), float(np.ptp(edge[:, 0]))
    rings = [middle + (edge - middle) * [out, out, 1] + [0, 0, back * wide] for out, back in _RINGS]
    line = np.linspace(*_AROUND, _GRID) - 0.5
    grid = np.array([[x, y] for x in line for y in line if max(abs(x), abs(y)) > _INNER / 2])
    still = np.column_stack([(grid + 0.5) * size, np.full(len(grid), 2 * wide)])
    head = np.concatenate([points, *rings])
    axis = middle + np.array([0, 0, _AXIS * wide])
    right, left = (mesh[one, 2] for one in _CHEEKS)
    cos, sin = np.cos(yaw), np.sin(yaw) * (1 if left < right else -1)
    after = np.concatenate([(head - axis) @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) + axis, still])
    five = five_points(np.asarray(after[:FACE, :2], np.float32))
    matrix = similarity(five, np.asarray(CropSpec(size).template, np.float32) * size - 0.5)
    after[:, :2] = after[:, :2] @ matrix[:, :2].T + matrix[:, 2]

    before = np.concatenate([head, still])
    corners = triangles(np.asarray(before[:, :2], np.float32))
    behind = (corners >= FACE).any(1)
    corners = corners[np.lexsort([-after[corners, 2].mean(1), ~behind])]
    margin = size // 2
    places, _ = drawn(before[:, :2] + margin, after[:, :2], corners, size)
    shown = cv2.remap(_beyond(rgb, margin), places[..., 0], places[..., 1], cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.uint8)


def _beyond(rgb: Image, margin: int) -> Image:
    """The crop and, around it, a haze of what it shows."""
    wide = cv2.copyMakeBorder(rgb, *(margin,) * 4, cv2.BORDER_REFLECT)
    small = cv2.resize(wide, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    haze = cv2.resize(cv2.GaussianBlur(small, (0, 0), len(rgb) / 96), wide.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    inside = cv2.copyMakeBorder(np.ones(rgb.shape[:2], np.float32), *(margin,) * 4, cv2.BORDER_CONSTANT, value=0)
    soft = cv2.blur(cv2.erode(inside, np.ones((len(rgb) // 16 + 1,) * 2)), (len(rgb) // 16 + 1,) * 2)[..., None]
    return np.asarray(haze + (wide - haze.astype(np.float32)) * soft, np.uint8)
