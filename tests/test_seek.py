"""Going on in the middle of a clip gives the very frames that reading from the start does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_fixtures import clip, damage, remux

from fsvideo.media import read, seek
from fsvideo.media.seek import Marks, fingerprint, frames_from, stretches
from fsvideo.types import Frame, MediaInfo

LONG: dict[str, Any] = {"seconds": 3, "size": "96x64"}
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-bf", "3", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:open-gop=1:keyint=12:bframes=3")
VFR = "select='not(mod(n,3))+gt(random(1),.5)'"


def edit_list(folder: Path) -> Path:
    return remux(clip(folder / "whole.mp4", **LONG, encode=X264), folder / "a.mp4", "-ss", "0.77")


CLIPS: dict[str, Callable[[Path], Path]] = {
    "b-frames": lambda d: clip(d / "a.mp4", **LONG, encode=X264),
    "variable rate": lambda d: clip(d / "a.mp4", "-fps_mode", "vfr", **LONG, filters=VFR, encode=X264),
    "matroska, variable": lambda d: clip(d / "a.mkv", "-fps_mode", "vfr", **LONG, filters=VFR, encode=X264),
    "open groups": lambda d: clip(d / "a.mp4", **LONG, encode=(*X264, "-x264-params", "open-gop=1")),
    "open groups, hevc": lambda d: clip(d / "a.mp4", **LONG, encode=X265),
    "gradual refresh": lambda d: clip(d / "a.mp4", **LONG, encode=(*X264, "-x264-params", "intra-refresh=1")),
    "edit list": edit_list,
    "late start": lambda d: clip(d / "a.mp4", "-output_ts_offset", "5", **LONG, encode=X264),
    "transport stream": lambda d: clip(d / "a.ts", **LONG, encode=X264),
    "mpeg-2 stream": lambda d: clip(d / "a.ts", **LONG, encode=("-c:v", "mpeg2video", "-g", "12", "-bf", "2")),
    "avi, packed": lambda d: clip(d / "a.avi", **LONG, encode=("-c:v", "mpeg4", "-g", "12", "-bf", "2")),
    "vp9": lambda d: clip(d / "a.webm", **LONG, encode=("-c:v", "libvpx-vp9", "-g", "12", "-cpu-used", "8")),
    "gif": lambda d: clip(d / "a.gif", audio=0, **LONG, encode=()),
}


def marked(frames: list[Frame]) -> Marks:
    prints = {frame.index: fingerprint(frame) for frame in frames}
    return Marks(np.array([f.pts for f in frames]), np.array([f.key for f in frames]), prints)


def assert_equal(a: list[Frame], b: list[Frame]) -> None:
    assert [(f.index, f.pts, f.duration) for f in a] == [(f.index, f.pts, f.duration) for f in b]
    for one, two in zip(a, b, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(one.planes, two.planes, strict=True)), one.index


@pytest.mark.parametrize("name", CLIPS)
def test_frames_from_anywhere_are_the_same(tmp_path: Path, name: str) -> None:
    info = read.probe(CLIPS[name](tmp_path))
    frames = list(read.frames(info))
    assert len(frames) > 25
    for first in (1, 13, 30, len(frames) - 1):
        assert_equal(list(frames_from(info, first, marked(frames), threads=2)), frames[first:])


def starts(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Where decoding is asked to begin, each time."""
    seen: list[float | None] = []

    def watched(info: MediaInfo, start: float | None = None, *rest: Any, **how: Any) -> Any:
        seen.append(start)
        return kept(info, start, *rest, **how)

    kept = seek.read.frames
    monkeypatch.setattr(seek.read, "frames", watched)
    return seen


def test_it_seeks_and_not_where_anything_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = read.probe(CLIPS["b-frames"](tmp_path))
    frames = list(read.frames(info))
    marks = marked(frames)
    seen = starts(monkeypatch)
    assert_equal(list(frames_from(info, 50, marks)), frames[50:])
    assert seen == [pytest.approx(36 / 25)]  # the second key frame before it
    wrong = [
        replace(marks, prints={50: "another"}),
        replace(marks, prints={}),
        replace(marks, pts=marks.pts + (np.arange(75) > 40)),
        replace(marks, key=np.arange(75) == 0),
    ]
    for other in wrong:
        seen.clear()
        assert_equal(list(frames_from(info, 50, other)), frames[50:])
        assert seen[-1] is None


def test_a_cut_and_damage_keep_their_numbers(tmp_path: Path) -> None:
    info = read.probe(CLIPS["b-frames"](tmp_path))
    part = list(read.frames(info, 0.4, 2.6))
    assert_equal(list(frames_from(info, 40, marked(part), 0.4, 2.6)), part[40:])
    hurt = read.probe(damage(info.path, tmp_path / "hurt.mp4", 0.3, 4096))
    told: list[object] = []
    frames = list(read.frames(hurt, on_damage=told.append))
    assert told
    for first in (20, 60):
        assert_equal(list(frames_from(hurt, first, marked(frames), on_damage=told.append)), frames[first:])


@pytest.mark.parametrize("name", CLIPS)
def test_stretches_are_found_near_and_far(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seek, "_FAR", 0.6)  # some moments are sought, some read on to
    info = read.probe(CLIPS[name](tmp_path))
    frames = list(read.frames(info))
    times = [float((f.pts - info.start) * info.time_base) for f in frames]
    firsts = [0, 8, 12, len(frames) - 4]
    moments = [0.0, *((times[n - 1] + times[n]) / 2 for n in firsts[1:])]
    found = list(stretches(info, [*moments, 99.0], 3))
    assert [len(run) for run in found] == [3, 3, 3, 3, 0]
    for first, run in zip(firsts, found, strict=False):
        assert [f.pts for f in run] == [f.pts for f in frames[first : first + 3]]
        for one, two in zip(run, frames[first:], strict=False):
            assert all(np.array_equal(x, y) for x, y in zip(one.planes, two.planes, strict=True)), one.index
