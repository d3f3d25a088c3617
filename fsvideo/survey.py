"""Pass 1: every frame is seen once, faces are found and followed, and only small values are kept."""

from __future__ import annotations

import io
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsvideo import casting
from fsvideo.console import Silent
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.follow import Follower, rescaled
from fsvideo.faces.scout import Scout, Scouted
from fsvideo.media import read
from fsvideo.media.seek import Marks, fingerprint, frames_from
from fsvideo.media.view import upright
from fsvideo.memory import Memory
from fsvideo.meter import OFF, Meter
from fsvideo.options import Footage, SwapOptions
from fsvideo.processor import one_thread
from fsvideo.swapper import Swapper
from fsvideo.types import Array, Frame, Image, MediaError, MediaInfo, Track, Ui

_AHEAD = 4  # frames decoded ahead
_SHORTEST = 8  # frames of a segment, however far apart they are: its first one costs several others' bits


@dataclass(frozen=True)
class Survey:
    """What pass 1 found. ``cuts``: the first frames of the segments that pass 2 makes one by one, 0 among them."""

    footage: Footage
    marks: Marks
    cuts: list[int]

    @property
    def segments(self) -> list[range]:
        """The frames of each segment."""
        ends = [*self.cuts[1:], len(self.footage.times)]
        return [range(begin, end) for begin, end in zip(self.cuts, ends, strict=True)]


def look(
    info: MediaInfo,
    finder: FaceFinder,
    swapper: Swapper,
    options: SwapOptions,
    ui: Ui,
    memory: Memory | None = None,
    meter: Meter = OFF,
) -> Survey:
    """Find and follow the faces of a clip, and say where its segments begin; with ``memory`` ask no network twice."""
    ui.stage("faces", expected(info, options))
    spec = casting.embedding_spec(swapper)

    def embed(crops: Sequence[Image]) -> Array:
        with meter.stage("recognise"), one_thread():
            return swapper.embed(np.stack(crops))

    if memory is None:
        follower = Follower(finder, embed, spec, options.detect_size)
    else:
        follower = Follower(memory.finder(finder), lambda crops: memory.embed(crops, embed), spec, options.detect_size)
    factor = (1.0, 1.0)
    log = _Log(info, options.segment)
    looks = _looks(info, options, ui, log, follower.scout, memory, meter)
    with closing(meter.ahead(looks, _AHEAD)) as frames:
        for number, (frame, seconds) in enumerate(frames):
            if memory is not None and number in log.cuts:
                memory.store()
            with meter.stage("find"):
                follower.take(frame, seconds)
            height, width = frame.image.shape[:2]
            factor = (info.display_width / width, info.display_height / height)
            ui.advance()
    if not log.pts:
        raise MediaError(f"{info.path}: there is no frame in the part that was asked for", "check --start and --end")
    found = follower.finish()
    footage = Footage(found.times, [rescaled(t, factor) for t in found.tracks], found.cuts)
    return Survey(footage, Marks(np.array(log.pts, np.int64), np.array(log.key, bool), log.prints), log.cuts)


def decode(info: MediaInfo, options: SwapOptions, ui: Ui) -> Iterator[Frame]:
    """The frames that were asked for."""
    return read.frames(info, options.start, options.end, **how_to_read(options, ui))


def decode_from(info: MediaInfo, first: int, found: Survey, options: SwapOptions, ui: Ui) -> Iterator[Frame]:
    """The frames that were asked for from the one numbered ``first`` on, which begins a segment."""
    if first == 0:
        return decode(info, options, ui)
    return frames_from(info, first, found.marks, options.start, options.end, **how_to_read(options, ui))


def frames_at(info: MediaInfo, numbers: Sequence[int], found: Survey, options: SwapOptions) -> Iterator[Frame]:
    """The frames with these numbers, which rise; decoded from the segments' first frames on."""
    for segment in found.segments:
        wanted = {number for number in numbers if number in segment}
        if not wanted:
            continue
        for frame in decode_from(info, segment.start, found, options, Silent()):
            if frame.index in wanted:
                yield frame
            if frame.index >= max(wanted):
                break


def how_to_read(options: SwapOptions, ui: Ui) -> dict[str, Any]:
    """``read.frames``'s options on threads and damage."""
    on_damage = (lambda error: ui.note(f"{error}: skipped")) if options.keep_going else None
    return {"threads": options.threads, "on_damage": on_damage}


class _Log:
    """Notes of every frame where it is, and cuts the clip into segments of so many seconds."""

    def __init__(self, info: MediaInfo, seconds: float) -> None:
        self._ticks = seconds / info.time_base
        self.pts: list[int] = []
        self.key: list[bool] = []
        self.cuts: list[int] = []
        self.prints: dict[int, str] = {}

    def add(self, frame: Frame) -> None:
        self.pts.append(frame.pts)
        self.key.append(frame.key)
        last = self.cuts[-1] if self.cuts else None
        full = last is None or (frame.index - last >= _SHORTEST and frame.pts - self.pts[last] >= self._ticks)
        if full:
            self.cuts.append(frame.index)
            self.prints[frame.index] = fingerprint(frame)


def _looks(
    info: MediaInfo, options: SwapOptions, ui: Ui, log: _Log, scout: Scout, memory: Memory | None, meter: Meter
) -> Generator[tuple[Scouted, float]]:
    """What is looked at of each frame, and its time in seconds; the detector is not asked for what memory knows."""
    for frame in meter.each("decode to find", decode(info, options, ui)):
        log.add(frame)
        with meter.stage("shrink"):
            rgb = upright(frame, info, options.detect_size).rgb
        seconds = float(frame.pts * info.time_base)
        with meter.stage("find"):
            scouted = scout.look(rgb, seconds, ask=memory is None or not memory.knows)
        yield scouted, seconds


def expected(info: MediaInfo, options: SwapOptions) -> int:
    """Frames to come, as far as the headers can tell: for the progress display."""
    if info.rate is None or not info.duration:
        return info.frames
    stop = min(options.end or info.duration, info.duration)
    return max(0, round((stop - (options.start or 0.0)) * info.rate))


# on disk: arrays and a JSON text, never objects

_TRACK_ARRAYS = ("points", "outline", "features", "pose", "score", "embedding")


def to_bytes(found: Survey) -> bytes:
    """A survey as an .npz file."""
    tracks = found.footage.tracks
    text = json.dumps(
        {
            "tracks": [{"id": int(t.id), "start": int(t.start), "person": int(t.person)} for t in tracks],
            "shots": [int(cut) for cut in found.footage.cuts],
            "cuts": found.cuts,
            "prints": list(found.marks.prints.items()),
        }
    )
    arrays = {f"{name}{n}": getattr(t, name) for n, t in enumerate(tracks) for name in _TRACK_ARRAYS}
    file = io.BytesIO()
    np.savez(
        file, text=np.frombuffer(text.encode(), np.uint8), times=found.footage.times,
        pts=found.marks.pts, key=found.marks.key, **arrays,
    )  # fmt: skip
    return file.getvalue()


def from_bytes(blob: bytes) -> Survey:
    """The survey that ``to_bytes`` stored."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
        text = json.loads(arrays["text"].tobytes())
        tracks = [
            Track(**fields, **{name: arrays[f"{name}{n}"] for name in _TRACK_ARRAYS})
            for n, fields in enumerate(text["tracks"])
        ]
        footage = Footage(arrays["times"], tracks, text["shots"])
        return Survey(footage, Marks(arrays["pts"], arrays["key"], dict(text["prints"])), text["cuts"])
