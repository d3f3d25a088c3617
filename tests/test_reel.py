"""Reels that show before and after: the same moments, at the right times, in every layout."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fsvideo.media import read
from fsvideo.media.reel import LAYOUTS, compare
from fsvideo.media.view import upright
from fsvideo.types import Image, MediaError

# Ticks of 1/90000 s: 8 to 120 ms between frames, none alike.
GAPS = np.random.default_rng(3).integers(720, 10800, 39)
TIMES = np.append(0, np.cumsum(GAPS)) / 90000


def numbered(path: Path, times: np.ndarray, ticks: int, base: int = 0, size: tuple[int, int] = (160, 96)) -> Path:
    """A clip whose frame n has the luma 30 + 5 n, plus ``base`` in its lower half."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", "g": "7"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, ticks)
        for n, time in enumerate(times):
            planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            planes[: size[1]] = 30 + 5 * n
            planes[size[1] // 2 : size[1]] += base
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = round(time * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(path: Path) -> tuple[np.ndarray, list[Image]]:
    info = read.probe(path)
    frames = list(read.frames(info))
    return np.array([float(f.pts * info.time_base) for f in frames]), [upright(f, info).rgb for f in frames]


def gray(numbers: np.ndarray | int) -> np.ndarray:
    """What a viewer sees of a frame's luma."""
    return np.asarray((30 + 5 * np.asarray(numbers) - 16) * 255 / 219)


@pytest.mark.parametrize(
    ("before", "after"), [(("a.mp4", 90000), ("b.mp4", 15360)), (("a.mkv", 1000), ("b.mp4", 90000)),
                          (("a.mp4", 90000), ("b.mkv", 1000))]
)  # fmt: skip
def test_frames_of_a_variable_rate_meet_their_own(
    tmp_path: Path, before: tuple[str, int], after: tuple[str, int]
) -> None:
    clips = [numbered(tmp_path / name, TIMES, ticks) for name, ticks in (before, after)]
    compare(*clips, tmp_path / "reel.mp4", height=96)
    times, pictures = shown(tmp_path / "reel.mp4")
    assert len(times) == len(TIMES)
    assert np.abs(times - times[0] - TIMES).max() < 1.1e-3
    left, right = (np.array([p[8:40, x].mean() for p in pictures]) for x in (slice(8, 152), slice(168, 312)))
    assert np.abs(left - gray(np.arange(len(TIMES)))).max() < 2
    assert np.abs(left - right).max() < 2


def test_a_part_of_a_clip_that_begins_late_meets_its_own(tmp_path: Path) -> None:
    whole = numbered(tmp_path / "whole.mp4", TIMES + 3.7, 90000)
    part = numbered(tmp_path / "part.mp4", TIMES[20:31] - TIMES[20], 15360)
    compare(whole, part, tmp_path / "reel.mkv", between=(3.7 + TIMES[20], 3.7 + TIMES[30]), height=96)
    times, pictures = shown(tmp_path / "reel.mkv")
    assert np.abs(times - times[0] - (TIMES[20:31] - TIMES[20])).max() < 1.1e-3
    left = np.array([p[8:40, 8:152].mean() for p in pictures])
    assert np.abs(left - gray(np.arange(20, 31))).max() < 2


def test_stacked_and_wiped(tmp_path: Path) -> None:
    times = np.arange(0, 9, 0.25)
    before, after = (numbered(tmp_path / f"{base}.mp4", times, 90000, base) for base in (0, 30))
    compare(before, after, tmp_path / "stack.mp4", LAYOUTS["stack"], height=96)
    _, pictures = shown(tmp_path / "stack.mp4")
    assert pictures[0].shape == (192, 160, 3)
    assert all(p[150:180].mean() - p[60:90].mean() == pytest.approx(30 * 255 / 219, abs=2) for p in pictures)

    compare(before, after, tmp_path / "wipe.mp4", LAYOUTS["wipe"], height=96)
    _, pictures = shown(tmp_path / "wipe.mp4")
    assert pictures[0].shape == (96, 160, 3) and len(pictures) == len(times)
    for time, number, picture in zip(times, range(len(times)), pictures, strict=True):
        edge = 80 * (1 + np.sin(2 * np.pi * time / 8))  # the way there and back takes eight seconds
        rows = picture[60:90].mean((0, 2))  # of the lower half
        left, right = rows[: max(0, int(edge) - 8)], rows[int(edge) + 8 :]
        assert np.abs(left - gray(number)).max(initial=0) < 4, time
        assert np.abs(right - gray(number + 6)).max(initial=0) < 4, time
        assert np.abs(picture[8:40].mean((0, 2))[: max(0, int(edge) - 8)] - gray(number)).max(initial=0) < 4


def test_a_reel_has_a_name_of_a_video_and_breaks_off_whole(tmp_path: Path) -> None:
    clip, other = (numbered(tmp_path / f"{name}.mp4", TIMES[:5], 90000) for name in "ab")
    with pytest.raises(MediaError, match="a comparison is a video"):
        compare(clip, other, tmp_path / "reel.webm")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError, match="ffmpeg failed"):
        compare(tmp_path / "text.mp4", clip, tmp_path / "none.mp4")
    compare(clip, other, tmp_path / "reel.mp4", height=96)
    with pytest.raises(MediaError, match="exists already"):
        compare(clip, other, tmp_path / "reel.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "reel.mp4", "text.mp4"]
