"""Colour that the footage does not have: specks of it, and any in black and white."""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.tone import FROM_CC, SHRINK, TO_YCC, ramp
from fsvideo.types import Array, Image

_SPECK = 5  # pixels a side of the median that a speck does not reach
_ALLOWED = 4  # levels of a colour difference by which a pixel may stand out anyway, ...
_AROUND = np.ones((7, 7), np.uint8)  # ... besides as much as the target's own do around it
_FLAT = 2.0  # levels: brightness that spreads no more says nothing of hues
_GREY = (1.0, 2.5)  # levels by which hues stray from what brightness says: no colour up to the first


def match_hues(swapped: Array, target: Array) -> Array:
    """Take coloured specks out of a swapped face, and all colour that black-and-white or sepia footage does not have.

    Crops (S, S, 3) on the 0..255 scale; how light they are stays, and the very ``swapped`` comes back where nothing is
    wrong. In nostrils and along brows a network may paint pixels of all colours. As far as the target's own stand out
    around there, as lashes or noise do, they are allowed.
    """
    specks = [_beyond(own, theirs) for own, theirs in zip(_chroma(swapped), _chroma(target), strict=True)]
    if any(one.any() for one in specks):
        swapped = np.asarray(cv2.add(swapped, cv2.transform(cv2.merge(specks), FROM_CC)), np.float32)
    colored, tint = _colored(target)
    if colored == 1:
        return swapped
    ours, theirs = (_strays(one, tint) for one in (swapped, target))
    most = cv2.dilate(np.abs(theirs), _AROUND)
    change = (1 - colored) * (np.minimum(np.maximum(ours, -most), most) - ours)
    return np.asarray(cv2.add(swapped, cv2.transform(change, FROM_CC)), np.float32)


def _chroma(picture: Array) -> list[Image]:
    """Cb and Cr (S, S) in whole levels: medians of those are quick."""
    ycc = cv2.cvtColor(cv2.convertScaleAbs(picture), cv2.COLOR_RGB2YCrCb)
    return [np.asarray(one) for one in cv2.split(ycc)[:0:-1]]


def _beyond(own: Image, theirs: Image) -> Array:
    """(S, S) what to add to our plane so that no pixel stands out too far."""
    middle, middle_t = (cv2.medianBlur(one, _SPECK) for one in (own, theirs))
    most = cv2.add(cv2.dilate(cv2.absdiff(theirs, middle_t), _AROUND), _ALLOWED)
    # Of whole levels none falls below 0: one of the two is 0 at each pixel.
    low, high = (cv2.subtract(cv2.subtract(a, b), most) for a, b in ((middle, own), (own, middle)))
    return np.asarray(cv2.subtract(low, high, dtype=cv2.CV_32F), np.float32)


def _colored(target: Array) -> tuple[np.float32, Array]:
    """Whether a picture has more colour than a tint that goes with brightness, 0..1, and that tint: the Cb and Cr of
    black and, in the second row, of a level of brightness (2, 2)."""
    side = max(8, len(target) // SHRINK)
    small = cv2.transform(cv2.resize(target, (side, side), interpolation=cv2.INTER_AREA), TO_YCC).reshape(-1, 3)
    mean = small.mean(0)
    luma, chroma = small[:, 0] - mean[0], small[:, 1:] - mean[1:]
    slope = luma @ chroma / (float(luma @ luma) + _FLAT**2 * len(luma))
    spread = np.square(chroma - luma[:, None] * slope).mean(keepdims=True)
    return np.float32(ramp(np.sqrt(spread), *_GREY).item()), np.stack([mean[1:] - slope * mean[0], slope])


def _strays(picture: Array, tint: Array) -> Array:
    """(S, S, 2) how far Cb and Cr are from the tint's."""
    ycc = cv2.transform(picture, TO_YCC)
    return np.asarray(ycc[..., 1:] - (tint[0] + tint[1] * ycc[..., :1]), np.float32)
