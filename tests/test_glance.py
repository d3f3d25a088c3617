"""A preview looks at some moments of a long clip, and at the beginning to the end of a short one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_fixtures import ffmpeg
from test_resume import EXAMPLE, Watch, options_for

from fsvideo import pipeline
from fsvideo.faces.follow import Follower
from fsvideo.glance import MOMENTS, glance
from fsvideo.media import read
from fsvideo.media.provenance import examine
from fsvideo.networks import load_finder
from fsvideo.options import SwapOptions
from fsvideo.swapper import Swapper, tiny


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example over and over: a minute and a half, with a key frame now and then."""
    clip = tmp_path_factory.mktemp("long") / "long.mp4"
    ffmpeg("-stream_loop", "19", "-i", EXAMPLE, "-c", "copy", clip)
    return clip


@pytest.fixture(scope="module")
def swapper() -> Swapper:
    return tiny()


def test_a_long_clip_is_looked_at_in_moments(long: Path, swapper: Swapper, tmp_path: Path) -> None:
    sheet, watch = tmp_path / "sheet.png", Watch()
    options = options_for(long, tmp_path / "out.mp4", preview=sheet, provenance="c2pa")
    result = pipeline.swap(options, swapper, watch)
    assert result.provenance == "c2pa" and examine(sheet).state == "valid"
    assert watch.done == {"faces": 5 * MOMENTS, "preview": 6}
    assert (result.frames, result.moments, result.people) == (5 * MOMENTS, MOMENTS, 1)
    assert result.footage.cuts == []  # a leap is none
    assert result.swapped_faces == 5 * MOMENTS
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_a_few_frames_of_unknown_number(swapper: Swapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    init = Follower.__init__

    def noted(self: Follower, *rest: Any) -> None:
        looked.append(rest[3])
        init(self, *rest)

    monkeypatch.setattr(Follower, "__init__", noted)
    bare, sheet = tmp_path / "bare.h264", tmp_path / "sheet.png"
    ffmpeg("-i", EXAMPLE, "-frames:v", "3", "-an", "-c:v", "libx264", "-bf", "0", bare)
    result = pipeline.swap(options_for(bare, tmp_path / "out.mp4", preview=sheet, detect_size=777), swapper, Watch())
    assert result.frames == 3 and sheet.exists() and looked == [777]


def test_moments_lie_in_the_part_that_was_asked_for(long: Path, swapper: Swapper) -> None:
    info = read.probe(long)
    options = SwapOptions((), long, long, start=30.0, end=90.0)
    with load_finder() as finder:
        seen = glance(info, finder, swapper, options, Watch())
        assert seen.moments == len(seen.frames) == MOMENTS
        shown = np.array([float(f.pts * info.time_base) for f in seen.frames])
        assert np.abs(shown - (30 + 5 * (np.arange(MOMENTS) + 0.5))).max() < 0.15
        assert [f.index for f in seen.frames] == list(range(2, 5 * MOMENTS, 5))
        assert all(len(track.points) == 5 for track in seen.footage.tracks)  # none goes on over a leap

        short = glance(info, finder, swapper, replace(options, end=31.0), Watch())
    assert short.moments == 0 and len(short.footage.times) == 25
    assert len(short.frames) >= 8 and len(short.footage.tracks) == 1
