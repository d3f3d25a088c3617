"""Irises of the swapped face have a colour that irises have: blue, grey, brown, hardly ever green, never as grass.

A recogniser is also pleased by a green stain in one eye, and the hue of eyes is the source's: nothing else mends it.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.tone import FROM_CC, TO_YCC
from fsvideo.types import Array

# Parts of the default crop's side: the eyes lie at 0.385 from its top.
EYES = ((0.32, 0.45), (0.22, 0.78))  # rows and columns
GREEN = (0.5, 0.015)  # levels that an iris may be green, and for each level of its brightness
AROUND = 1 / 32  # of the crop's side: so far away the target's own green counts, which is allowed


def match_irises(swapped: Array, target: Array) -> Array:
    """Take the green out of a swapped face's eyes that is beyond an iris's own and the target's.

    Crops (S, S, 3) on the 0..255 scale, cut by the default template; the very ``swapped`` where there is no such. How
    light they are stays.
    """
    size = len(target)
    part = tuple(slice(*(round(size * one) for one in ends)) for ends in EYES)
    ours, theirs = (np.asarray(cv2.transform(one[part], TO_YCC), np.float32) for one in (swapped, target))
    green, lawful = _green(ours), _green(theirs)
    allowed = cv2.max(lawful, cv2.blur(lawful, (2 * round(size * AROUND) + 1,) * 2))
    limit = GREEN[0] + GREEN[1] * cv2.max(ours[..., 0], 0) + allowed
    if not (green > limit).any():
        return swapped
    less = limit / cv2.max(green, limit) - 1
    made = swapped.copy()
    made[part] += cv2.transform(ours[..., 1:] * less[..., None], FROM_CC)
    return made


def _green(ycc: Array) -> Array:
    """How far from any iris's hue: towards green, and neither blue nor brown; levels, 0 or more."""
    return np.asarray(cv2.max(-ycc[..., 2] - cv2.max(ycc[..., 1], 0), 0), np.float32)
