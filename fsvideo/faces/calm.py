"""Take the shimmer out of a swapped face: where the footage stands still, the result does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from fsvideo.faces.align import with_fourth
from fsvideo.faces.tone import LUMA
from fsvideo.types import Array, Image

_SHARE = 0.16  # of the smoothing's seconds: two frames of 25 a second, by default
_LONGEST = 0.25  # seconds after which what was shown says nothing any more
_FLOOR = 4  # its grain changes the target by more than one in so many places changes
_MOVES = 4.0  # levels by which the target changes where it moves otherwise than as a whole
_SWAPPED = 4.0  # levels by which the face has become another one; the footage's own grain is not touched
_DIFFERS = 16.0  # levels by which the result changes where more than shimmer does


@dataclass(frozen=True)
class Shown:
    """A track's last crop, as it was and as it was shown, at a time."""

    target: Image  # (S, S) luma
    both: Array  # (S, S, 4) the result and that luma
    time: float  # seconds


def calm(
    swapped: Array, target: Array, mask: Array, time: float, seconds: float, before: Shown | None
) -> tuple[Array, Shown | None]:
    """The swapped face, drawn towards what was shown before where neither it nor the target moves.

    Crops (S, S, 3) on the 0..255 scale, mask (S, S), time in seconds; ``before`` is what this function returned for the
    track's last frame. Crops follow the face, so what belongs to it stays in its place there. A network answers grain
    with other shades of skin in every frame. What moves, in the target or in the result, is left as it is; so is
    the footage's own grain where nothing was swapped.
    """
    if seconds <= 0:
        return swapped, None
    light = np.asarray(cv2.transform(target, LUMA), np.float32)
    luma = light.clip(0, 255).astype(np.uint8)
    if before is None or not 0 < time - before.time <= _LONGEST:
        return swapped, _shown(swapped, light, luma, time)
    places = cv2.add(_flow(luma, before.target), _grid(*luma.shape))
    was = cv2.remap(before.both, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    step = cv2.subtract(cv2.cvtColor(was, cv2.COLOR_RGBA2RGB), swapped)
    moves = _strength(cv2.absdiff(cv2.extractChannel(was, 3), light))
    differs = _strength(np.abs(cv2.transform(step, LUMA)))
    inside = cv2.resize(mask, moves.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    values = moves[inside]
    floor = np.partition(values, len(values) // _FLOOR)[len(values) // _FLOOR] if len(values) else np.float32(0)
    odds = (cv2.max(moves - floor, 0) / _MOVES) ** 2 + (differs / _DIFFERS) ** 2
    made = (_strength(np.abs(cv2.transform(cv2.subtract(swapped, target), LUMA))) / _SWAPPED).clip(0, 1)
    keep = made * cv2.exp(-odds) * np.float32(np.exp(-(time - before.time) / (_SHARE * seconds)))
    keep = cv2.resize(keep, swapped.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    result = np.asarray(cv2.add(swapped, cv2.multiply(step, cv2.cvtColor(keep, cv2.COLOR_GRAY2RGB))), np.float32)
    return result, _shown(result, light, luma, time)


def _shown(result: Array, light: Array, luma: Image, time: float) -> Shown:
    return Shown(luma, with_fourth(result, light), time)


def _flow(luma: Image, before: Image) -> Array:
    """(S, S, 2) how far each place of the first picture is moved in the one before.

    Refined once: the preset's five times fit no better. Not at all would take two thirds of the time, but shimmer more.
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow.setVariationalRefinementIterations(1)
    return np.asarray(flow.calc(luma, before, np.zeros((*luma.shape, 2), np.float32)), np.float32)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> Array:
    """(h, w, 2) the place of each pixel; not to be written to."""
    places = np.dstack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (width, height))))
    places.flags.writeable = False
    return places


def _strength(change: Array) -> Array:
    """(S / 2, S / 2) how much a picture changes around each place, of its absolute change (S, S)."""
    size = (change.shape[1] // 2, change.shape[0] // 2)
    half = cv2.resize(change.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(half, (0, 0), 2 * len(half) / 128), np.float32)
