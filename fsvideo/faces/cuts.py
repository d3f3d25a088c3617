"""Notice hard cuts, and only those: not flashes, pans, zooms, shaking cameras or people who pass the lens."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.types import Array, Image

_WIDTH, _HEIGHT = 64, 36  # the thumbnail, whatever the picture's shape
_TOP = 2  # rows of it above the first block
_BLOCK, _REACH = 8, 7  # a block of the last thumbnail is looked for this many pixels around its place
_STRUCTURE = 0.26  # share of structure not found again: motion stays below 0.2, unrelated pictures begin at 0.29
_JUMP = 1.6  # ... and this many times what the last few frames lost, for whip pans
_COLOUR = 0.17  # share of the colour histogram that differs; a pan keeps most of its colours
_EVEN = 2  # standard deviation of the levels below which a picture shows nothing
_BURNT = 250  # level from which a pixel tells nothing
_READABLE = 0.3  # share of structure that must be readable in both pictures to judge at all


class CutDetector:
    """Give it every frame in order; it says of each whether a new shot begins there.

    Two things must happen at once: the colours differ, and the blocks of the last picture are found nowhere near in
    this one, by a correlation that brightness does not change. Pictures without structure (black, white, burnt out by a
    flash) are passed over: the next readable one is compared with the last readable one.
    """

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._last: Image | None = None
        self._recent: deque[_Step] = deque(maxlen=4)

    def update(self, image: Image) -> bool:
        """True if this RGB picture starts a new shot; False for the very first. Less than a millisecond."""
        thumb = _thumbnail(image)
        last, self._last = self._last, thumb
        if image.shape != self._shape:
            self._shape = image.shape
            self._recent.clear()
            return last is not None
        assert last is not None
        step = _step(last, thumb)
        if step is None:
            self._last = last
            return False
        if _colour_difference(last, thumb) > _COLOUR and step.lost > _STRUCTURE:
            usual = sum(one.lost for one in self._recent) / max(1, len(self._recent))
            if step.lost > _JUMP * usual:
                self._recent.clear()
                return True
        self._recent.append(step)
        return False


def _thumbnail(image: Image) -> Image:
    """By halves as far as they are whole: of those OpenCV makes short work."""
    while image.shape[0] >= 4 * _HEIGHT and image.shape[1] >= 4 * _WIDTH and not any(n % 2 for n in image.shape[:2]):
        half = image.shape[1] // 2, image.shape[0] // 2
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class _Step:
    """From one readable thumbnail to the next: their detail, and how much there is to read in each block."""

    before: Array
    after: Array
    readable: Array  # (rows, columns); nothing where the last picture showed nothing

    @cached_property
    def lost(self) -> float:
        """How much of the structure of the last one is not found near its place: 0 all is there, 1 nothing.

        Asked for only where colours differ, as it takes longest.
        """
        total = float(self.readable.sum())
        if total == 0:
            return 1.0
        padded = cv2.copyMakeBorder(self.after, _REACH, _REACH, _REACH, _REACH, cv2.BORDER_REFLECT)
        lost = 0.0
        for row, column in zip(*np.nonzero(self.readable), strict=True):
            top, left = _TOP + _BLOCK * int(row), _BLOCK * int(column)
            block = self.before[top : top + _BLOCK, left : left + _BLOCK]
            window = padded[top : top + _BLOCK + 2 * _REACH, left : left + _BLOCK + 2 * _REACH]
            found = cv2.matchTemplate(window, block, cv2.TM_CCOEFF_NORMED).max()
            lost += float(self.readable[row, column]) * (1 - float(found))
        return lost / total


def _step(last: Image, thumb: Image) -> _Step | None:
    """None where too little of either can be read."""
    before, after = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(np.float32) for x in (last, thumb))
    if after.std() < _EVEN:
        return None
    burnt = np.maximum(before, after) >= _BURNT
    shows = before.std() >= _EVEN  # only where the clip begins with such pictures it does not
    before, after = _detail(before), _detail(after)
    weights, dull = _blocks(before).std((2, 3)), _blocks(burnt).mean((2, 3)) > 0.1
    readable = np.where(dull | (weights < 0.01), 0, weights)
    if not shows:
        return _Step(before, after, np.zeros_like(readable))
    return _Step(before, after, readable) if readable.sum() > _READABLE * weights.sum() else None


def _blocks(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(rows, columns, _BLOCK, _BLOCK) the thumbnail's blocks; a strip above and below them is left out."""
    rows = (_HEIGHT - _TOP) // _BLOCK
    whole = values[_TOP : _TOP + rows * _BLOCK].reshape(rows, _BLOCK, _WIDTH // _BLOCK, _BLOCK)
    return whole.swapaxes(1, 2)


def _detail(grey: Array) -> Array:
    """What remains without the light that falls on the scene: logarithms, less their smooth part."""
    log = np.log(grey + 8)
    return np.asarray(log - cv2.GaussianBlur(log, (0, 0), 2.5), np.float32)


def _colour_difference(a: Image, b: Image) -> float:
    """Share of the pixels that would have to change colour to turn one picture's histogram into the other's."""
    return max(1 - float(np.minimum(*pair).sum()) for pair in zip(_histograms(a), _histograms(b), strict=True))


def _histograms(thumb: Image) -> tuple[Array, Array]:
    """Of hue and saturation, which light does not change, and of RGB, for grey pictures; each sums to one."""
    hsv = cv2.cvtColor(thumb, cv2.COLOR_RGB2HSV)
    hue = cv2.calcHist([hsv], [0, 1], None, [16, 8], [0, 180, 0, 256])
    # Square roots: steps between shadows count as much as those between lights.
    rgb = cv2.calcHist([np.sqrt(thumb, dtype=np.float32)], [0, 1, 2], None, [8, 8, 8], [0, 16] * 3)
    return _normalised(hue), _normalised(rgb)


def _normalised(histogram: npt.NDArray[np.float32]) -> Array:
    flat = histogram.ravel()
    return np.asarray(flat / flat.sum(), np.float32)
