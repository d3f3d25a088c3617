"""Teeth of the swapped face are the target's: as white, and where they are.

A mouth is opened as the target's is, to the pixel; but a network paints duller teeth in it, each time others.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.mask import distance_from
from fsvideo.faces.tone import LEAST, TO_YCC, ramp
from fsvideo.types import Array

# Parts of the mouth's width:
_INSIDE = (0.02, 0.07)  # within the lips' outline: where teeth may begin, and from where on they may be anywhere
_LIPS = 0.08  # within it: up to there it is lips
# Parts of the redness of lips (a colour difference for each level of brightness):
_PALE = (0.5, 0.8)  # teeth and the dark between them have so little; so much has a lip
_RED = 0.05  # redness of lips below which it tells nothing: black and white, or blue light
_SOFT = 1 / 256  # of the crop's side: standard deviation of the edge


def match_teeth(swapped: Array, target: Array, mouth: Array) -> Array:
    """The swapped face with what the target shows between its lips.

    Crops (S, S, 3) on the 0..255 scale; ``mouth`` (K, 2): the outline of the target's lips in their pixels. The very
    ``swapped`` comes back where the mouth is closed.
    """
    size = len(target)
    left, top = np.floor(mouth.min(0)).astype(int).clip(0, size)
    right, bottom = (np.ceil(mouth.max(0)).astype(int) + 1).clip(0, size)
    wide = float(np.ptp(mouth[:, 0]))
    if right - left < 8 or bottom - top < 4:
        return swapped
    part = np.s_[top:bottom, left:right]
    square = distance_from(mouth - np.array([left, top], np.float32), int(max(right - left, bottom - top)), within=True)
    deep = np.asarray(square[: bottom - top, : right - left] / np.float32(wide), np.float32)
    ycc = np.asarray(cv2.transform(target[part], TO_YCC), np.float32)
    red = np.asarray(ycc[..., 2] / (ycc[..., 0].clip(0) + LEAST), np.float32)
    rim = red[(deep > 0) & (deep < _LIPS)]
    lips = float(np.median(rim)) if len(rim) else 0.0
    if lips < _RED:
        return swapped
    teeth = ramp(deep, *_INSIDE) * (1 - ramp(red / np.float32(lips), *_PALE))
    if not teeth.any():
        return swapped
    share = cv2.GaussianBlur(teeth, (0, 0), size * _SOFT)
    made = swapped.copy()
    made[part] += (target[part] - swapped[part]) * share[..., None]
    return made
