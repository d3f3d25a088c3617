"""Rims of glasses: what the swapped face lost of the target's dark ones is the target's own pixels, and what it has of
the source's is filled in.

AEI-Net paints dark rims pale where the source wears none, and HEAR-Net gives back only a part. Nothing but glasses
draws a dark line across the bridge of a nose; where there is one, dark lines around the eyes are rims. Of those that a
source wears lines are left, along the nose mostly, whatever is asked for.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.tone import LEAST, LUMA, Plain, ramp
from fsvideo.types import Array, Image

# Parts of the default crop's side: the eyes lie at 0.385 from its top.
_BRIDGE = ((0.33, 0.49), (0.45, 0.55))  # rows and columns between the eyes
_EYES = (0.26, 0.55)  # rows in which rims lie
_FADE = 0.02  # of these rows' ends
_WIDEST = 0.045  # a line
# Logarithm of brightness: how much darker than what is around it a line is,
_CROSSES = (0.12, 0.2)  # where it is palest on the bridge: from where on its pixels may be taken, and all of them are
_LOST = (0.05, 0.2)  # in the target beyond what it is in the result: from where on it is lost in part, and wholly
_LEFT = (0.025, 0.08)  # in the result beyond what it is in the target: from where on it is filled in


def match_rims(swapped: Array, target: Array, plain: Plain) -> Array:
    """Lay the target's dark rims over the swapped face, where it has lost them; skin alone is looked at.

    Crops (S, S, 3) on the 0..255 scale, cut by the default template; the very ``swapped`` where nobody wears such.
    """
    size = len(target)
    rows = slice(*(round(size * one) for one in _EYES))
    lines = _lines(target[rows], size)
    worn = ramp(_crossing(lines, rows.start, size), *_CROSSES)
    if worn == 0:
        return swapped
    skin = cv2.resize(plain.skin, (size, size), interpolation=cv2.INTER_LINEAR)[rows]
    lost = ramp(lines - _lines(swapped[rows], size), *_LOST)
    lost = cv2.GaussianBlur(cv2.dilate(lost, np.ones((3, 3), np.uint8)), (0, 0), size / 256)
    seen = worn * lost * skin * _ends(len(lost), size)
    made = swapped.copy()
    made[rows] += (target[rows] - swapped[rows]) * seen[..., None]
    return made


def without_rims(swapped: Array, target: Array, plain: Plain, worn: float) -> Array:
    """Fill in the thin lines around the eyes that a swapped face has and the target has not, dark and pale ones, as
    far as glasses are ``worn`` by the source, 0..1: on skin they are what is left of its rims.

    Crops (S, S, 3) on the 0..255 scale, cut by the default template; the very ``swapped`` where none are worn.
    """
    if worn == 0:
        return swapped
    size = len(target)
    rows = slice(*(round(size * one) for one in _EYES))
    change = np.zeros((rows.stop - rows.start, size), np.float32)
    for kind, sign in ((cv2.MORPH_BLACKHAT, 1), (cv2.MORPH_TOPHAT, -1)):
        left = cv2.max(_lines(swapped[rows], size, kind) - _lines(target[rows], size, kind), 0)
        change += sign * left * ramp(left, *_LEFT)
    skin = cv2.resize(plain.skin, (size, size), interpolation=cv2.INTER_LINEAR)[rows]
    factor = cv2.exp(change * skin * _ends(len(change), size) * np.float32(worn))
    made = swapped.copy()
    made[rows] = cv2.multiply(swapped[rows], cv2.cvtColor(factor, cv2.COLOR_GRAY2RGB))
    return made


def _ends(count: int, size: int) -> Array:
    """(count, 1) 1 for rows of pixels, and less towards the first and the last."""
    at = np.arange(count, dtype=np.float32)
    return np.asarray((np.minimum(at, at[::-1]) / (_FADE * size)).clip(0, 1)[:, None], np.float32)


def line_across(picture: Array | Image) -> float:
    """How dark a line crosses the bridge of the nose in a crop (S, S, 3) cut by the default template, where it is
    palest: logarithm of brightness. Glasses draw one."""
    size = len(picture)
    rows = slice(*(round(size * one) for one in _EYES))
    lines = _lines(np.asarray(picture[rows], np.float32), size)
    return float(_crossing(lines, rows.start, size))


def _crossing(lines: Array, first: int, size: int) -> Array:
    """How dark a line is all along from eye to eye; the rows of ``lines`` begin with the crop's ``first``."""
    (top, bottom), (left, right) = (tuple(round(size * one) for one in ends) for ends in _BRIDGE)
    return np.asarray(lines[top - first : bottom - first, left:right].max(0).min())


def _lines(picture: Array, size: int, kind: int = cv2.MORPH_BLACKHAT) -> Array:
    """How much darker than around it each pixel of a thin line is, or lighter: logarithm of brightness, 0 or more."""
    light = cv2.log(cv2.max(cv2.transform(picture, LUMA), 0) + LEAST)
    wide = round(_WIDEST * size) | 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    return np.asarray(cv2.morphologyEx(cv2.GaussianBlur(light, (0, 0), size / 256), kind, around), np.float32)
