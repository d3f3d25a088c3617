"""Going on in the middle of a clip: the frames from one on, the very same that reading from the start would give."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, dropwhile, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from fsvideo.media import read
from fsvideo.types import Frame, MediaError, MediaInfo

_FAR = 5.0  # seconds of footage that are read rather than leapt over: key frames may be ten seconds apart


@dataclass(frozen=True)
class Marks:
    """What reading a clip to its end told: the time of every frame in ticks, whether decoding can begin there, and the
    fingerprints of some frames' samples by their number."""

    pts: npt.NDArray[np.int64]
    key: npt.NDArray[np.bool_]
    prints: dict[int, str] = field(default_factory=dict)


def fingerprint(frame: Frame) -> str:
    """SHA-256 of a frame's samples."""
    total = hashlib.sha256()
    for plane in frame.planes:
        total.update(np.ascontiguousarray(plane).data)
    return total.hexdigest()


def frames_from(
    info: MediaInfo,
    first: int,
    marks: Marks,
    start: float | None = None,
    stop: float | None = None,
    **how: Any,
) -> Iterator[Frame]:
    """``read.frames`` from the frame numbered ``first`` on; ``how`` are its other options.

    Seeks to the second key frame before it, as pictures behind the nearest one may lean on what lies before that. What
    is found there must agree with ``marks``, frame ``first`` in every sample; where it does not, decoding begins at the
    start of the clip.
    """
    keys = np.flatnonzero(marks.key[: first + 1])
    entry = int(keys[-2]) if len(keys) > 1 else 0
    if entry > 0 and first in marks.prints:
        quiet: dict[str, Any] = {**how, "on_damage": lambda error: None} if how.get("on_damage") else how
        begin = float((int(marks.pts[entry]) - info.start) * info.time_base)
        frames = read.frames(info, begin, stop, **quiet)
        try:
            found = _arrive(frames, entry, first, marks)
        except MediaError:
            found = None
        if found is not None:
            for frame in chain([found], frames):
                frame.index += entry
                yield frame
            return
        _close(frames)
    yield from islice(read.frames(info, start, stop, **how), first, None)


def _arrive(frames: Iterator[Frame], entry: int, first: int, marks: Marks) -> Frame | None:
    """Read on to frame ``first``; None if anything on the way is not as ``marks`` has it."""
    for number, frame in zip(range(entry, first + 1), frames, strict=False):
        if frame.pts != marks.pts[number]:
            return None
        if number == first:
            return frame if fingerprint(frame) == marks.prints[first] else None
    return None


def stretches(
    info: MediaInfo, moments: Sequence[float], count: int = 1, stop: float | None = None, **how: Any
) -> Iterator[list[Frame]]:
    """From each of the moments on, which rise (seconds after the first frame of all), so many frames; fewer at the end.

    Reads on from one moment to a near one, and seeks to a far one; where a file cannot be read from there, it is read
    from its start. ``stop`` and ``how``: ``read.frames``'s options. Raises MediaError for damage.
    """
    frames: Iterator[Frame] = iter(())
    at, sought = -math.inf, False
    for moment in moments:
        if moment - at > _FAR:
            _close(frames)
            frames, sought = read.frames(info, moment, stop, **how), moment > 0
        at = moment
        try:
            run = _run(info, frames, moment, count)
        except MediaError:
            if not sought:
                raise
            frames, sought = read.frames(info, None, stop, **how), False
            run = _run(info, frames, moment, count)
        yield run
    _close(frames)


def _run(info: MediaInfo, frames: Iterator[Frame], moment: float, count: int) -> list[Frame]:
    first = info.tick_at(moment)
    return list(islice(dropwhile(lambda frame: frame.pts < first, frames), count))


def _close(frames: Iterator[Frame]) -> None:
    close: Callable[[], None] | None = getattr(frames, "close", None)
    if close is not None:
        close()
