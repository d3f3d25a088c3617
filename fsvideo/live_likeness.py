"""What streams ask for: measured when somebody comes in, and tuned beside the stream while it runs.

``likeness`` looks at a clip before its swap begins. In a stream nobody waits for that: newcomers are looked at when
they are first clearly seen and a few times in the next seconds, and then a thread that gives way tunes what is asked
for on these looks. When it is done results change to it within a second. Who leaves and comes back is known again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fsvideo.faces.people import RECOGNISED
from fsvideo.flow import Aside
from fsvideo.likeness import Seen, always, asked, looked_at
from fsvideo.options import SwapOptions
from fsvideo.render import Job
from fsvideo.swapper import Swapper
from fsvideo.types import Array, Frame, MediaInfo

_LOOKS = 5  # at a person before tuning begins, as in a clip
_EVERY = 1.0  # seconds between two of them: so that the face has moved
_EASE = 1.0  # seconds in which results change to what was tuned


@dataclass
class _Present:
    """A track in the stream, and what is asked for beyond its source."""

    looks: list[Seen] = field(default_factory=list)
    looked: float = -np.inf  # seconds of the stream, when it was looked at last
    measured: Array | None = None  # (D,) by the first look
    tuned: Array | None = None  # (A, D)
    since: float = -np.inf  # seconds, when that was found

    def missing(self, time: float) -> Array | None:
        """What is asked for at this time of the stream."""
        share = np.float32((time - self.since) / _EASE)
        if self.tuned is None or self.measured is None or share >= 1:
            return self.measured if self.tuned is None else self.tuned
        return np.asarray(self.measured + share * (self.tuned - self.measured), np.float32)


class LiveLikeness:
    """Give it the jobs of every frame of one stream in order. ``tune``: steps, 0: what is measured at first stays."""

    def __init__(self, swapper: Swapper, options: SwapOptions, tune: int) -> None:
        self._swapper, self._options, self._steps = swapper, options, tune
        self._present: dict[int, _Present] = {}  # by track
        self._known: list[tuple[Array, Array]] = []  # who was tuned: (D,) who they are, (A, D) what is asked for
        self._aside: Aside[Array] | None = None
        self._of: tuple[int, Array] = 0, np.zeros(0, np.float32)  # whom it tunes: their track, and who they are

    @property
    def tuning(self) -> bool:
        return self._aside is not None

    def corrected(self, jobs: Sequence[Job], frame: Frame, info: MediaInfo) -> list[Job]:
        """The same jobs, asking for what is missing of the source, as far as that is known by now."""
        time = float(frame.pts * info.time_base)
        for number in self._present.keys() - {job.track.id for job in jobs}:
            del self._present[number]
        for job in jobs:
            self._look(job, self._present.setdefault(job.track.id, _Present()), frame, info, time)
        self._take(time)
        return [replace(job, missing=self._present[job.track.id].missing(time)) for job in jobs]

    def close(self) -> None:
        """What is being tuned is no longer wanted."""
        if self._aside is not None:
            self._aside.close()
            self._aside = None

    def _look(self, job: Job, one: _Present, frame: Frame, info: MediaInfo, time: float) -> None:
        """Look at somebody where it is time to, and begin to tune once there are looks enough."""
        wanted = _LOOKS if self._steps and one.tuned is None else 1
        if len(one.looks) < wanted and (not one.looks or time - one.looked >= _EVERY):
            seen = looked_at([job], always(frame), info, self._swapper, self._options, cuts=[frame.index])
            one.looks += seen
            if seen:
                one.looked = time
            first = one.measured is None
            if seen and first:
                one.measured = asked(job, seen, self._swapper, 0)
            if seen and one.tuned is None:  # perhaps under another track, whose tuning ended only now
                one.tuned = next((z for who, z in self._known if float(who @ seen[0].own) > RECOGNISED), None)
                one.since = -np.inf if first else time
        if self._steps and one.tuned is None and len(one.looks) >= _LOOKS and self._aside is None:
            mean = np.mean([seen.own for seen in one.looks], axis=0)
            self._of = job.track.id, np.asarray(mean / np.linalg.norm(mean), np.float32)
            self._aside = Aside(partial(asked, job, one.looks, self._swapper, self._steps))

    def _take(self, time: float) -> None:
        """What was tuned meanwhile is asked for from now on."""
        if self._aside is None or not self._aside.done:
            return
        tuned, (track, who) = self._aside.result(), self._of
        self._aside = None
        self._known.append((who, tuned))
        if (one := self._present.get(track)) is not None:
            one.tuned, one.since = tuned, time
