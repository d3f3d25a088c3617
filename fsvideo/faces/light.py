"""Light stays the footage's where a face has only skin: on the forehead."""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.align import features_of
from fsvideo.faces.mask import distance_from
from fsvideo.types import Array

SHRINK, SIGMA = 4, 1 / 64  # a crop is reduced by the one, and blurred by the other part of its side
LEAST, MOST = 8.0, 1.5  # levels below which brightness is not told apart; logarithm of what is mended at most
# Parts of the face's width from where on skin begins to be mended, and from where it is wholly:
_ABOVE = (0.0, 0.07)  # above the line through the eyes
_AWAY = (0.03, 0.10)  # away from a brow
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def forehead(outline: Array, features: Array, size: int) -> Array:
    """(size / 4, size / 4) 0..1: where a face has skin and nothing that is somebody's, as cheekbones and beards are.

    ``outline`` (36, 2) and ``features`` (56, 2), as a track has them, in pixels of a crop of ``size``.
    """
    small = size // SHRINK
    face, inner = (np.asarray((one + 0.5) / SHRINK - 0.5, np.float32) for one in (outline, features))
    parts, wide = features_of(inner), float(np.ptp(face[:, 0]))
    right, left = (one.mean(0) for one in parts["eyes"])
    across = (left - right) / max(1e-6, float(np.linalg.norm(left - right)))
    up = np.array([across[1], -across[0]], np.float32)
    y, x = np.mgrid[:small, :small].astype(np.float32)
    above = ((x - right[0]) * up[0] + (y - right[1]) * up[1]) / max(1e-6, wide)
    away = cv2.min(*(distance_from(brow, small) for brow in parts["brows"])) / max(1e-6, wide)
    outside = distance_from(face, small) / max(1e-6, wide)
    return np.asarray(_ramp(above, *_ABOVE) * _ramp(away, *_AWAY) * (1 - _ramp(outside, 0.0, 0.05)), np.float32)


def match_light(swapped: Array, target: Array, skin: Array) -> Array:
    """Lay the target's light and shade over the swapped face's ``skin``; how light that is as a whole stays.

    Crops (S, S, 3) on the 0..255 scale, ``skin`` (S / 4, S / 4) as ``forehead`` finds it. A recogniser is also
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
