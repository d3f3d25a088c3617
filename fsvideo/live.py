"""`fsvideo live`: pictures come in, are swapped by what came before, and go out at once.

One thread reads, this one swaps and writes. Of a live input the newest picture is taken and older ones are dropped, so
that the result never falls behind; of a file every frame is taken.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fsvideo
from fsvideo.flow import ahead, latest
from fsvideo.media import provenance
from fsvideo.media.broadcast import Sink, check_sink, open_sink
from fsvideo.media.capture import Capture
from fsvideo.media.view import upright
from fsvideo.networks import load_finder
from fsvideo.options import SwapOptions
from fsvideo.stream import Stage, Stream
from fsvideo.swapper import Swapper
from fsvideo.types import Frame, FsvideoError, MediaInfo

_LOOK_SIDE = 1280  # pixels of the long side that is looked at, as in pass 1 of a swap
_AHEAD = 2  # frames of a file decoded ahead
_WINDOW = 50  # frames over which speed and latency are told
_PATIENCE = 0.1  # seconds between two looks at whether to stop


@dataclass
class LiveResult:
    """What a live run did. Latency: from when a picture had arrived to when its swap was handed on."""

    info: MediaInfo
    frames: int = 0
    dropped: int = 0
    swapped_frames: int = 0
    swapped_faces: int = 0
    seconds: float = 0.0
    ended: str = "the input ended"
    latency: deque[float] = field(default_factory=lambda: deque(maxlen=20_000))  # seconds, of the last frames
    _done: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def add(self, faces: int, latency: float, now: float) -> None:
        """Count a frame that went out."""
        self.frames += 1
        self.swapped_faces += faces
        self.swapped_frames += faces > 0
        self.latency.append(latency)
        self._done.append(now)

    def now(self) -> str:
        """One line on how it runs at this moment."""
        span = self._done[-1] - self._done[0] if len(self._done) > 1 else 0.0
        rate = (len(self._done) - 1) / span if span else 0.0
        late = 1000 * float(np.median(list(self.latency)[-_WINDOW:])) if self.latency else 0.0
        return f"{rate:.1f} frames/s, {late:.0f} ms behind, {self.frames} frames, {self.dropped} dropped"

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable form."""
        middle, worst = np.percentile(list(self.latency) or [0.0], (50, 95))
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "frames_swapped": self.swapped_frames,
            "faces_swapped": self.swapped_faces,
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.frames / self.seconds, 2) if self.seconds else 0.0,
            "latency_ms": {"median": round(1000 * float(middle), 1), "p95": round(1000 * float(worst), 1)},
            "ended": self.ended,
        }


def live(
    options: SwapOptions,
    source: str,
    target: str,
    swapper: Swapper,
    stop: threading.Event,
    tell: Callable[[str], None],
) -> LiveResult:
    """Swap from ``source`` to ``target`` until one of them ends or ``stop`` is set.

    ``source``: a file, a video device or an address; ``target``: ``window``, a device, an address or a file. Of
    ``options`` it takes what ``stream.Stage`` does, ``tune`` and ``overwrite``. ``tell`` gets a line a few times a
    second. Raises FsvideoError; a file that was begun is then taken away.
    """
    check_sink(target)
    with load_finder() as finder:
        stage = Stage(options, finder, swapper)
        capture = Capture(source)
        sink: Sink | None = None
        try:
            tags = provenance.tags(fsvideo.__version__, swapper.name)
            sink = open_sink(target, capture.info, tags, options.overwrite)
            result = LiveResult(capture.info)
            with closing(Stream(stage, options.tune)) as stream:
                _run(capture, stream, sink, result, stop, tell)
            if not result.frames and stop.is_set():
                raise KeyboardInterrupt
            if not result.frames and not result.ended:
                raise FsvideoError(f"{source}: no picture came", "is it sending?")
            sink.close()
        except BaseException:
            if sink is None:
                capture.close()  # from the first frame on it is its reader's, who may still wait for a picture
            else:
                sink.abort()
            raise
    return result


def _run(
    capture: Capture,
    stream: Stream,
    sink: Sink,
    result: LiveResult,
    stop: threading.Event,
    tell: Callable[[str], None],
) -> None:
    info, began, told = capture.info, time.monotonic(), 0.0
    paced = sink.live and not capture.live  # a file has no time of its own: it is played in that of its frames
    source = _newest(capture, stop, result) if capture.live else _every(capture)
    try:
        for frame, arrived in source:
            swapped, faces = stream.update(frame, info, upright(frame, info, _LOOK_SIDE).rgb)
            if paced:
                due = began + float((frame.pts - info.start) * info.time_base)
                stop.wait(max(0.0, due - time.monotonic()))
            if not sink.write(swapped):
                result.ended = "the window was closed"
                break
            now = time.monotonic()
            result.add(faces, now - arrived, now)
            if now - told > 0.25:
                tell(result.now() + (", tuning" if stream.tuning else ""))
                told = now
            if stop.is_set():
                result.ended = "it was ended"
                break
    finally:
        source.close()
        result.seconds = time.monotonic() - began


def _every(capture: Capture) -> Generator[tuple[Frame, float]]:
    """Every frame of a file, and when it was there."""
    with closing(ahead(capture.frames(), _AHEAD)) as frames:
        for frame in frames:
            yield frame, time.monotonic()


def _newest(capture: Capture, stop: threading.Event, result: LiveResult) -> Generator[tuple[Frame, float]]:
    """The newest picture each time, and when it came; those in between are counted as dropped."""

    def arriving() -> Generator[tuple[Frame, float]]:
        with closing(capture.frames()) as frames:
            for frame in frames:
                yield frame, time.monotonic()

    index = -1
    with closing(latest(arriving(), stop, _PATIENCE)) as pictures:
        for frame, arrived in pictures:
            result.dropped += frame.index - index - 1
            index = frame.index
            yield frame, arrived
