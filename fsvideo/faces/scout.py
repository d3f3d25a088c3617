"""What can be said of a frame before it is known who was in the last one: a cut, and where newcomers may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fsvideo.faces.cuts import CutDetector
from fsvideo.faces.yunet import Candidate, Detector
from fsvideo.types import Image

LOOK_EVERY = 0.25  # seconds from one look for newcomers to the next
_FAST = 0.5  # of the longer side for most detections ...
_FINE_EVERY = 4  # ... and one of this many in full


@dataclass(frozen=True)
class Scouted:
    """A frame, RGB, and what was seen in it without knowing who was in the one before."""

    image: Image
    cut: bool  # it begins a new shot
    due: bool  # it is one in which newcomers are looked for
    fine: bool  # ... in full
    candidates: list[Candidate] | None  # the detector's answer, where it is due and was asked ahead


class Scout:
    """Goes before the follower, in another thread if you like: finds cuts, and where in some frames faces may be.

    ``side``: in pictures of so many pixels a longer side newcomers are looked for.
    """

    def __init__(self, detector: Detector, side: int) -> None:
        self._detector, self._side = detector, side
        self._cutter = CutDetector()
        self._looked, self._nth = -np.inf, 0  # when newcomers were looked for last, and how often in this shot

    def look(self, image: Image, time: float, cut: bool = False, ask: bool = True) -> Scouted:
        """Take the next frame, seconds ``time``, later than the last one's. ``cut``: it begins a new shot, whatever it
        looks like; ``ask``: the detector, where due.

        The picture is kept for a while: do not write to it afterwards.
        """
        cut = self._cutter.update(image) or cut
        if cut:
            self._looked, self._nth = -np.inf, 0
        due = time - self._looked >= LOOK_EVERY
        fine = self._nth % _FINE_EVERY == 0
        if due:
            self._looked, self._nth = time, self._nth + 1
        found = self._detector.candidates(image, side=reduced(self._side, fine)) if ask and due else None
        return Scouted(image, cut, due, fine, found)


def reduced(side: int, fine: bool) -> int:
    """Pixels of the longer side in which newcomers are looked for."""
    return side if fine else round(_FAST * side)
