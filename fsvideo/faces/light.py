"""Light stays the footage's where a face has only skin: on the forehead and the upper cheeks."""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.align import features_of
from fsvideo.faces.mask import distance_from
from fsvideo.types import Array

SHRINK, SIGMA = 4, 1 / 64  # a crop is reduced by the one, and blurred by the other part of its side
LEAST, MOST = 8.0, 1.5  # levels below which brightness is not told apart; logarithm of what is mended at most
_NEAR, _FAR = 0.03, 0.10  # parts of the face's width from a feature: skin up to there is left, from there on is mended
_NOSE = 0.13  # half the nose's width, in parts of the face's
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def skin(outline: Array, features: Array, size: int) -> Array:
    """(size / 4, size / 4) 0..1: where a face has skin and no feature, of any person: forehead and upper cheeks.

    ``outline`` (36, 2) and ``features`` (56, 2), as a track has them, in pixels of a crop of ``size``. Where beards
    grow is none of it.
    """
    small = size // SHRINK
    face, inner = (np.asarray((one + 0.5) / SHRINK - 0.5, np.float32) for one in (outline, features))
    parts = features_of(inner)
    wide = float(np.ptp(face[:, 0]))
    eyes, (mouth,) = [one.mean(0) for one in parts["eyes"]], parts["mouth"]
    middle, across = (eyes[0] + eyes[1]) / 2, eyes[1] - eyes[0]
    across = across / max(1e-6, float(np.linalg.norm(across)))
    down = np.array([-across[1], across[0]], np.float32)
    height = float((mouth.mean(0) - middle) @ down)
    nose = middle + np.array([[-0.05, 0.1], [0.05, 0.1], [_NOSE, 0.75], [-_NOSE, 0.75]]) @ np.stack(
        [across * wide, down * height]
    )
    away = np.full((small, small), np.float32(wide))
    for part in (*parts["brows"], *parts["eyes"], mouth, nose):
        away = cv2.min(away, distance_from(np.asarray(part, np.float32), small))
    y, x = np.mgrid[:small, :small].astype(np.float32)
    depth = ((x - middle[0]) * down[0] + (y - middle[1]) * down[1]) / max(1.0, height)  # 0 at the eyes, 1 at the mouth
    weight = _ramp(away / wide, _NEAR, _FAR) * _ramp(-depth, -0.75, -0.45)
    return np.asarray(weight * (1 - _ramp(distance_from(face, small) / wide, 0.0, 0.05)), np.float32)


def match_light(swapped: Array, target: Array, skin: Array) -> Array:
    """Lay the target's light and shade over the swapped face's ``skin``; how light the skin is as a whole stays.

    Crops (S, S, 3) on the 0..255 scale, ``skin`` (S / 4, S / 4) as the function of this name says. A recogniser is also
    pleased by shades on a forehead, and people see stains.
    """
    total = float(skin.sum())
    if total < 1:
        return swapped
    small, logs = skin.shape[::-1], []
    for picture in (swapped, target):
        luma = cv2.transform(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), _LUMA)
        logs.append(cv2.log(cv2.max(cv2.GaussianBlur(luma, (0, 0), len(skin) * SIGMA), 0) + LEAST))
    ratio = logs[1] - logs[0]
    ratio -= np.float32(float((ratio * skin).sum()) / total)
    factor = cv2.exp((ratio * skin).clip(-MOST, MOST))
    factor = cv2.resize(factor, swapped.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(swapped, cv2.merge([factor] * 3)), np.float32)


def _ramp(x: Array, low: float, high: float) -> Array:
    """0 up to ``low``, 1 from ``high`` on, smooth between."""
    t = ((x - low) / (high - low)).clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
