"""Eyes of the swapped face have colours that eyes have: blue, grey, brown; hardly ever green, and not red.

A recogniser is also pleased by a green stain in one eye, and an eye more open than the target's has its lids' hue: dark
as it is, it looks red. The hue of eyes is the source's: nothing else mends it.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.tone import FROM_CC, LEAST, TO_YCC
from fsvideo.types import Array

# Parts of the default crop's side: the eyes lie at 0.385 from its top.
EYES = ((0.32, 0.45), (0.22, 0.78))  # rows and columns
GREEN = (0.5, 0.015)  # levels that an eye may be green, and for each level of its brightness
RED = (2.0, 0.03)  # the same for what is redder than brown
AROUND = 1 / 32  # of the crop's side: so far away the target's own green and red count, which are allowed


def match_irises(swapped: Array, target: Array) -> Array:
    """Take the green and the red out of a swapped face's eyes that are beyond an eye's own and the target's.

    Crops (S, S, 3) on the 0..255 scale, cut by the default template; the very ``swapped`` where there is no such. How
    light they are stays.
    """
    size = len(target)
    part = tuple(slice(*(round(size * one) for one in ends)) for ends in EYES)
    ours, theirs = (np.asarray(cv2.transform(one[part], TO_YCC), np.float32) for one in (swapped, target))
    window = (2 * round(size * AROUND) + 1,) * 2
    luma, luma_t = (cv2.max(one[..., 0], 0) for one in (ours, theirs))
    green, green_t, red, red_t = _green(ours), _green(theirs), _red(ours), _red(theirs)
    most_green = GREEN[0] + GREEN[1] * luma + cv2.max(green_t, cv2.blur(green_t, window))
    # Red goes with brightness: as much of it as in lids would be too much in the dark of an eye.
    reddish = cv2.blur(red_t, window) / (cv2.blur(luma_t, window) + LEAST)
    own = red_t * ((luma + LEAST) / (luma_t + LEAST)).clip(0, 1)
    most_red = RED[0] + RED[1] * luma + cv2.max(reddish * luma, own)
    if not ((green > most_green) | (red > most_red)).any():
        return swapped
    share = cv2.min(most_green / cv2.max(green, most_green), most_red / cv2.max(red, most_red))
    made = swapped.copy()
    made[part] += cv2.transform(ours[..., 1:] * (share - 1)[..., None], FROM_CC)
    return made


def _green(ycc: Array) -> Array:
    """How far from any iris's hue: towards green, and neither blue nor brown; levels, 0 or more."""
    return np.asarray(cv2.max(-ycc[..., 2] - cv2.max(ycc[..., 1], 0), 0), np.float32)


def _red(ycc: Array) -> Array:
    """How much redder than brown, or how purple; levels, 0 or more."""
    return np.asarray(cv2.max(ycc[..., 2] - cv2.max(-ycc[..., 1], 0), 0), np.float32)
