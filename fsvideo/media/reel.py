"""A reel that shows two videos of the same moments at once: before and after."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from fsvideo.media import read
from fsvideo.media.ffmpeg import ONLY_MEDIA, TIME_LIMIT, file_of, run, word
from fsvideo.types import MediaError

_TICKS = 90000  # a second, of the reel
_PATIENCE = 100  # seconds of work a second of the reel, before it is taken for stuck
_EARLY = 0.002  # seconds: more than two containers differ in rounding a time, less than half a frame
_SWEEP = 8.0  # seconds of the wipe's way there and back
_EDGE = 4  # pixels of the wipe's edge

Layout = Callable[[Any, Any, int, int], Any]
"""(after, before, width, height of either) -> one picture of both, shown at the times of ``after``."""


def _together(after: Any, before: Any, x: str, y: str, width: str, height: str, at: tuple[str, str]) -> Any:
    """A canvas of this size with ``after`` at (x, y) and ``before`` at ``at``."""
    return ffmpeg.overlay(after.filter("pad", width, height, x, y), before, x=at[0], y=at[1], eof_action="repeat")


def _side(after: Any, before: Any, width: int, height: int) -> Any:
    return _together(after, before, "iw", "0", "2*iw", "ih", ("0", "0"))


def _stack(after: Any, before: Any, width: int, height: int) -> Any:
    return _together(after, before, "0", "ih", "iw", "2*ih", ("0", "0"))


def _wipe(after: Any, before: Any, width: int, height: int) -> Any:
    """An edge that sweeps over the one picture: before on its left, after on its right.

    Both pictures go through one stream, so that they are cut at the same moments; then a window as wide as the
    picture is moved over [after, before] and laid back where it came from, so that ``before`` stands still.
    """
    both = _together(after, before, "0", "0", "2*iw", "ih", ("W/2", "0")).filter_multi_output("split")
    edge = f"2*floor({width}*(0.5+0.5*sin(2*PI*t/{_SWEEP:g}))/2)"  # whole chroma samples
    picture = both[0].filter("crop", width, height, 0, 0)
    window = both[1].filter("crop", width, height, edge, 0)
    window = window.filter("drawbox", width - _EDGE, 0, _EDGE, height, "white", "fill")
    return ffmpeg.overlay(picture, window, x=f"{edge}-{width}", y=0)


LAYOUTS: dict[str, Layout] = {"side": _side, "wipe": _wipe, "stack": _stack}


def check(output: Path) -> None:
    """Raise ``MediaError`` for a name that a reel cannot have."""
    if output.suffix.lower() not in (".mp4", ".mov", ".mkv"):
        raise MediaError(f"{output}: a comparison is a video", "name it .mp4, .mov or .mkv")


def compare(
    before: Path,
    after: Path,
    output: Path,
    layout: Layout = _side,
    *,
    between: tuple[float, float] | None = None,
    overwrite: bool = False,
    height: int = 720,
    tags: Mapping[str, str] | None = None,
    complete: Callable[[Path], object] = lambda part: None,
) -> None:
    """A reel of two videos, upright, each ``height`` pixels high, with the times and the sound of ``after``.

    ``between``: the times, in seconds as ``before`` states them, of its frames that are the first and the last of
    ``after``; None: all of it. ``tags``: the reel's metadata. ``complete`` is called with the finished file before it
    is moved to its place.
    """
    if output.exists() and not overwrite:
        raise MediaError(f"{output}: exists already", "choose another name, or allow it with --overwrite")
    check(output)
    info = read.probe(after, read.NO_LIMITS)
    width = round(info.display_width * height / info.display_height / 2) * 2

    def sized(stream: Any) -> Any:
        return stream.filter("scale", width, height).filter("setsar", "1").filter("settb", f"1/{_TICKS}")

    old, new = _cut(before, between), ffmpeg.input(file_of(after), **ONLY_MEDIA)
    # The one picture's times lead; the other's begin with them, a little early, so that each is there when it is due.
    start = float(info.start * info.time_base) - _EARLY
    picture = layout(sized(new.video), sized(old).filter("setpts", f"PTS-STARTPTS+{start:.6f}/TB"), width, height)
    temp = output.parent / f".{output.stem[:80]}.{secrets.token_hex(4)}.part{output.suffix}"
    options: dict[str, Any] = {
        "c:v": "libx264",
        "crf": 16,
        "preset": "veryfast",
        "pix_fmt": "yuv420p",
        "c:a": "copy",
        "map": "1:a?",
        "map_metadata": -1,
        "enc_time_base": Fraction(1, _TICKS),
        "fps_mode": "passthrough",
    }
    for number, (key, value) in enumerate((tags or {}).items()):  # numbered, as a graph holds each option once
        options[f"metadata:g:{number}"] = word(f"{key}={value}")
    if output.suffix.lower() != ".mkv":
        options["movflags"] = "faststart+use_metadata_tags"  # else it keeps only the keys it knows
        options["video_track_timescale"] = _TICKS
    try:
        patience = max(TIME_LIMIT, _PATIENCE * info.duration)
        run(ffmpeg.output(picture, file_of(temp), copyts=None, **options), patience)
        complete(temp)
        os.replace(temp, output)
    finally:
        temp.unlink(missing_ok=True)


def _cut(path: Path, between: tuple[float, float] | None) -> Any:
    """The video between two times, both frames included."""
    if between is None:
        return ffmpeg.input(file_of(path), **ONLY_MEDIA).video
    first, last = between
    near = {"ss": max(0.0, first - 1), "seek_timestamp": 1, "noaccurate_seek": None} if first > 1 else {}
    source = ffmpeg.input(file_of(path), **near, **ONLY_MEDIA)
    return source.video.filter("trim", start=f"{first - _EARLY:.6f}", end=f"{last + _EARLY:.6f}")
