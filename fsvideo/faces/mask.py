"""Where in the crop the swapped face is laid: the face's own outline with a soft edge, less what is to be kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from fsvideo.faces.align import features_of
from fsvideo.options import Look
from fsvideo.types import Array

Mask = Callable[[Array, int, float], Array]

_SUBPIXEL = 4  # bits of fraction for OpenCV's polygon filler
_ROOM = 0.02  # around a kept feature, in parts of the face's width: lashes and the lips' edges belong to it
_LID = (0.04, 0.09)  # around a closed eye, whose lids are kept, and from there on to where nothing is
_OPEN = (0.03, 0.055)  # area of an eye over its width squared: closed, and as open as those who squint have it
_TELLING = (24.0, 34.0)  # pixels that an eye is wide: too few to see its lids, and enough
_HEAD = 0.12  # around a face that passes, in parts of its width: hair and ears


def face_mask(outline: Array, features: Array, size: int, look: Look, shut: Sequence[float] = (0, 0)) -> Array:
    """(size, size) float32 in 0..1: how much of each pixel of the crop becomes the new face.

    ``outline`` (36, 2) and ``features`` (56, 2), as a track has them, in crop pixels. ``shut``: how far each eye
    is ``closed``. Closed ones stay the target's: a network has seen few, and people notice lids that do not quite meet.
    """
    mask = MASKS[look.mask](scaled(outline, look.scale), size, look.feather)
    wide = float(np.ptp(outline[:, 0]))
    for name in look.keep:
        for part in features_of(features)[name]:
            mask = mask * (1 - kept(part, size, _ROOM * wide, look.feather / 3 * wide))
    if "eyes" not in look.keep:
        for eye, share in zip(features_of(features)["eyes"], shut, strict=True):
            if share > 0:
                mask = mask * (1 - np.float32(share) * kept(eye, size, _LID[0] * wide, _LID[1] * wide))
    return mask


def closed(eye: Array) -> float:
    """How far an eye's lids have come together, 0..1. ``eye`` (8, 2): its outline, corners 1st and 5th, in the video's
    pixels: where an eye has few of them landmarks do not tell, and it counts as open."""
    x, y = (eye - eye[0]).T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    wide = float(np.linalg.norm(eye[len(eye) // 2] - eye[0]))
    sure, lids = (wide - _TELLING[0]) / (_TELLING[1] - _TELLING[0]), area / max(wide, 1) ** 2
    return float(np.clip(sure, 0, 1) * np.clip((_OPEN[1] - lids) / (_OPEN[1] - _OPEN[0]), 0, 1))


def scaled(outline: Array, scale: float) -> Array:
    """The outline (K, 2) enlarged or reduced about its middle."""
    middle = outline.mean(0)
    return np.asarray(middle + scale * (outline - middle), np.float32)


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


def kept(polygon: Array, size: int, room: float, edge: float) -> Array:
    """(size, size) float32: 1 in the polygon (K, 2) and up to ``room`` pixels around it, 0 from ``edge`` further on."""
    away = np.maximum(0, distance_from(polygon, size) - room)
    ramp = np.clip(1 - away / max(1.5, edge), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)


def beside(other: Array, size: int, with_head: bool = True) -> Array:
    """(size, size) float32: 0 on somebody else's head, whose face's outline (K, 2) is given in crop pixels, 1 away.

    ``with_head``: hair and ears around it, too.
    """
    wide = float(np.ptp(other[:, 0]))
    room, edge = (_HEAD, _HEAD) if with_head else (0.0, _ROOM)
    return np.asarray(1 - kept(other, size, room * wide, edge * wide), np.float32)


def distance_from(polygon: Array, size: int, within: bool = False) -> Array:
    """(size, size) distance from the polygon in pixels, 0 inside; or how deep ``within`` it, 0 outside. Up to 2 % off,
    for half the time of an exact one."""
    hard = np.zeros((size, size), np.uint8)
    fixed = np.round(polygon * (1 << _SUBPIXEL)).astype(np.int32)
    cv2.fillPoly(hard, [fixed], 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL)
    inside = hard > 127
    return np.asarray(cv2.distanceTransform((inside == within).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5))


def _soft(polygon: Array, size: int, feather: float) -> Array:
    """(size, size) float32 in 0..1: 1 inside the polygon, falling to 0 outside it within the feather, and at the crop's
    edge. Falling inside would give back the jaw and the brows, which carry much of a likeness."""
    edge = max(1.5, feather * float(np.ptp(polygon[:, 0])))
    away = cv2.GaussianBlur(
        distance_from(polygon, size), (0, 0), max(0.8, edge / 6)
    )  # rounds the ridges that a distance has, and its steps
    ramp = np.clip(1 - (away - 0.5) / edge, 0, 1)
    at = np.arange(size, dtype=np.float32)
    border = np.clip(np.minimum(at, at[::-1]) / np.float32(edge), 0, 1)
    border = border * border * (3 - 2 * border)
    return np.asarray(ramp * ramp * (3 - 2 * ramp) * np.minimum(border[None], border[:, None]), np.float32)


MASKS: dict[str, Mask] = {"outline": outline, "ellipse": ellipse}
