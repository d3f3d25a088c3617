"""Take the shimmer out of a swapped face: where the footage stands still, the result does."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fsvideo.faces.tone import LUMA
from fsvideo.types import Array, Image

_SHARE = 0.16  # of the smoothing's seconds: two frames of 25 a second, by default
_LONGEST = 0.25  # seconds after which what was shown says nothing any more
_FLOOR = 25  # percentile of the target's change that is its grain
_MOVES = 4.0  # levels by which the target changes where it moves otherwise than as a whole
_SWAPPED = 4.0  # levels by which the face has become another one; the footage's own grain is not touched
_DIFFERS = 16.0  # levels by which the result changes where more than shimmer does
_FLOW = cv2.DISOPTICAL_FLOW_PRESET_FAST


@dataclass(frozen=True)
class Shown:
    """A track's last crop, as it was and as it was shown, at a time."""

    target: Image  # (S, S) luma
    result: Array  # (S, S, 3)
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
    luma = np.asarray(cv2.transform(target, LUMA).clip(0, 255), np.uint8)
    if before is None or not 0 < time - before.time <= _LONGEST:
        return swapped, Shown(luma, swapped, time)
    flow = cv2.DISOpticalFlow.create(_FLOW).calc(luma, before.target, np.zeros((*luma.shape, 2), np.float32))
    places = flow + np.dstack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in luma.shape[::-1])))
    was, shown = (
        cv2.remap(one, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for one in (before.target, before.result)
    )
    step = cv2.subtract(shown, swapped)
    moves, differs = _strength(cv2.absdiff(was, luma)), _strength(np.abs(cv2.transform(step, LUMA)))
    inside = cv2.resize(mask, moves.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    floor = np.float32(np.percentile(moves[inside], _FLOOR)) if inside.any() else np.float32(0)
    odds = (cv2.max(moves - floor, 0) / _MOVES) ** 2 + (differs / _DIFFERS) ** 2
    made = (_strength(np.abs(cv2.transform(cv2.subtract(swapped, target), LUMA))) / _SWAPPED).clip(0, 1)
    keep = made * cv2.exp(-odds) * np.float32(np.exp(-(time - before.time) / (_SHARE * seconds)))
    keep = cv2.resize(keep, swapped.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    result = np.asarray(cv2.add(swapped, cv2.multiply(step, cv2.merge([keep] * 3))), np.float32)
    return result, Shown(luma, result, time)


def _strength(change: Array) -> Array:
    """(S / 2, S / 2) how much a picture changes around each place, of its absolute change (S, S)."""
    size = (change.shape[1] // 2, change.shape[0] // 2)
    half = cv2.resize(change.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(half, (0, 0), 2 * len(half) / 128), np.float32)
