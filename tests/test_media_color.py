"""The region's RGB is right by the stream's own matrix; what is added comes back, and nothing else moves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_fixtures import clip, ffmpeg

from fsvideo.media.color import add_rgb, region_rgb
from fsvideo.media.formats import layout, nearest, planar
from fsvideo.media.read import frames, probe
from fsvideo.types import Box, ColorTags, Frame, MediaError, MediaInfo

WIDTH, HEIGHT = 231, 171
BOX = Box(31, 22, 171, 152)


def info_of(pix_fmt: str, matrix: int = 1, range_: int = 1, kind: Any = "video") -> MediaInfo:
    color = ColorTags(1, 1, matrix, range_)
    return MediaInfo(Path("x"), kind, WIDTH, HEIGHT, pix_fmt, "h264", Fraction(25), Fraction(1, 25), color=color)


def random_frame(pix_fmt: str, low: float = 0.3, high: float = 0.7) -> Frame:
    form = layout(pix_fmt)
    rng = np.random.default_rng(3)
    chroma = ((HEIGHT + (1 << form.shift_y) - 1) >> form.shift_y, (WIDTH + (1 << form.shift_x) - 1) >> form.shift_x)
    shapes = [(HEIGHT, WIDTH)] + ([] if form.gray else [(HEIGHT, WIDTH) if form.rgb else chroma] * 2)
    shapes += [(HEIGHT, WIDTH)] * form.alpha
    planes = [rng.integers(int(low * form.peak), int(high * form.peak), shape).astype(form.dtype) for shape in shapes]
    return Frame(4, 17, tuple(planes), pix_fmt, duration=3)


def smooth_delta(pix_fmt: str) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[0 : BOX.height, 0 : BOX.width] / (BOX.height, BOX.width, 1)[0]
    window = np.clip(1.3 * np.sin(np.pi * np.clip(x, 0, 1)) * np.sin(np.pi * y) - 0.1, 0, 1)[..., None]
    tint = (12.0, 12.0, 12.0) if layout(pix_fmt).gray else (30.0, -25.0, 18.0)
    return (window * np.array(tint)).astype(np.float32)


FORMATS = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv440p", "gray", "gbrp", "yuva420p", "gbrap"),
    *("yuv420p10le", "yuv422p10le", "yuv444p12le", "yuv420p16le", "gray16le", "gbrp16le", "yuva444p10le"),
)


@pytest.mark.parametrize("range_", [1, 2])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_what_is_added_comes_back_and_nothing_else_moves(pix_fmt: str, range_: int) -> None:
    info, frame, delta = info_of(pix_fmt, range_=range_), random_frame(pix_fmt), smooth_delta(pix_fmt)
    before = [plane.copy() for plane in frame.planes]
    changed = add_rgb(frame, info, BOX, delta)
    assert (changed.index, changed.pts, changed.duration, changed.pix_fmt) == (4, 17, 3, pix_fmt)
    step = region_rgb(changed, info, BOX) - region_rgb(frame, info, BOX)
    assert np.abs(step - delta).max() < (2.2 if layout(pix_fmt).depth == 8 else 0.8)
    assert np.abs(step - delta).mean() < (0.6 if layout(pix_fmt).depth == 8 else 0.15)
    form = layout(pix_fmt)
    nx, ny = 1 << form.shift_x, 1 << form.shift_y
    for number, (old, kept, new) in enumerate(zip(frame.planes, before, changed.planes, strict=True)):
        assert np.array_equal(old, kept)  # the input frame is untouched
        sampled = old.shape != (HEIGHT, WIDTH) or (number in (1, 2) and not form.rgb)
        sx, sy = (nx, ny) if sampled else (1, 1)
        outside = np.ones(old.shape, bool)
        outside[BOX.top // sy : -(-BOX.bottom // sy), BOX.left // sx : -(-BOX.right // sx)] = False
        assert np.array_equal(old[outside], new[outside])
        if number == 3:
            assert new is old  # alpha is not even copied
        elif not sampled or nx == ny == 1:
            still = ~np.any(delta, axis=2)
            assert np.array_equal(old[BOX.slices][still], new[BOX.slices][still])


def test_a_zero_delta_changes_no_bit_and_legal_range_is_kept() -> None:
    info = info_of("yuv420p")
    wild = random_frame("yuv420p", 0.0, 1.0)  # samples beyond 16..235, too
    same = add_rgb(wild, info, BOX, np.zeros((BOX.height, BOX.width, 3), np.float32))
    assert all(np.array_equal(a, b) for a, b in zip(wild.planes, same.planes, strict=True))
    bright = add_rgb(wild, info, BOX, np.full((BOX.height, BOX.width, 3), 300, np.float32))
    old, new = wild.planes[0][BOX.slices], bright.planes[0][BOX.slices]
    assert np.array_equal(new, np.maximum(old, 235))
    with pytest.raises(ValueError, match="does not fit"):
        add_rgb(wild, info, BOX, np.zeros((3, 3, 3), np.float32))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv411p"])
def test_a_region_equals_the_whole_picture_there(pix_fmt: str) -> None:
    info, frame = info_of(pix_fmt), random_frame(pix_fmt)
    whole = region_rgb(frame, info, Box(0, 0, WIDTH, HEIGHT))
    for box in (BOX, Box(0, 0, 7, 5), Box(WIDTH - 9, HEIGHT - 3, WIDTH, HEIGHT), Box(50, 60, 51, 61)):
        assert np.abs(region_rgb(frame, info, box) - whole[box.slices]).max() < 1e-3


# 75 % red, green and blue in 8-bit limited-range YUV, from the recommendations' own tables of colour bars
BARS = {
    6: {(65, 100, 212): (191, 0, 0), (112, 72, 58): (0, 191, 0), (35, 212, 114): (0, 0, 191)},
    1: {(51, 109, 212): (191, 0, 0), (133, 63, 52): (0, 191, 0), (28, 212, 120): (0, 0, 191)},
}


@pytest.mark.parametrize("matrix", [1, 6])
def test_colour_bars_have_their_known_values(matrix: int) -> None:
    for (y, u, v), rgb in BARS[matrix].items():
        planes = tuple(np.full(shape, value, np.uint8) for shape, value in (((8, 8), y), ((4, 4), u), ((4, 4), v)))
        got = region_rgb(Frame(0, 0, planes, "yuv420p"), info_of("yuv420p", matrix), Box(0, 0, 8, 8))
        assert got[4, 4] == pytest.approx(rgb, abs=1.6)


def test_white_and_black_span_the_scale_at_every_depth_and_range() -> None:
    for pix_fmt, range_, low, high in (
        ("yuv420p", 1, 16, 235),
        ("yuv420p", 2, 0, 255),
        ("yuv420p10le", 1, 64, 940),
        ("yuv420p10le", 2, 0, 1023),
        ("gray", 1, 16, 235),
        ("gbrp16le", 2, 0, 65535),
    ):
        form = layout(pix_fmt)
        for value, want in ((low, 0), (high, 255)):
            neutral = value if form.rgb else 1 << (form.depth - 1)
            count = 1 if form.gray else 3
            planes = [np.full((8, 8), value, form.dtype)] + [np.full((8, 8), neutral, form.dtype)] * (count - 1)
            frame = Frame(0, 0, tuple(planes), pix_fmt.replace("420", "444"))
            got = region_rgb(frame, info_of(frame.pix_fmt, range_=range_), Box(1, 1, 5, 5))
            assert got == pytest.approx(np.full((4, 4, 3), want), abs=0.01), (pix_fmt, range_)


def test_an_unstated_matrix_is_judged_by_size_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    small = info_of("yuv420p", matrix=2)
    frame = random_frame("yuv420p")
    assert np.array_equal(region_rgb(frame, small, BOX), region_rgb(frame, info_of("yuv420p", matrix=6), BOX))
    tall = MediaInfo(Path("x"), "video", WIDTH, 720, "yuv420p", "h264", None, Fraction(1, 25))
    assert np.array_equal(region_rgb(frame, tall, BOX), region_rgb(frame, info_of("yuv420p", matrix=1), BOX))
    with pytest.raises(MediaError, match="matrix 14"):
        region_rgb(frame, info_of("yuv420p", matrix=14), BOX)


def test_against_ffmpegs_own_conversion(tmp_path: Path) -> None:
    tags = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv,format=yuv444p"
    source = clip(tmp_path / "t.mkv", "-frames:v", "1", audio=0, filters=tags, encode=("-c:v", "ffv1"))
    info = probe(source)
    ours = region_rgb(next(iter(frames(info))), info, Box(0, 0, 160, 96))
    png = tmp_path / "t.png"
    ffmpeg("-i", source, "-vf", "scale=in_color_matrix=bt709:flags=accurate_rnd+full_chroma_int", "-update", "1", png)
    shown = probe(png)
    theirs = region_rgb(next(iter(frames(shown))), shown, Box(0, 0, 160, 96))
    assert np.abs(np.clip(ours, 0, 255) - theirs).mean() < 1.0


def test_packed_formats_become_planar_without_loss() -> None:
    pairs = {"nv12": "yuv420p", "yuyv422": "yuv422p", "rgb24": "gbrp", "bgra": "gbrap", "rgb48be": "gbrp16le"} | {
        "p010le": "yuv420p10le",
        "gray16be": "gray16le",
        "yuv420p10be": "yuv420p10le",
        "ya8": "gbrap",
        "nv24": "yuv444p",
        "yuvj422p": "yuv422p",
        "pal8": "gbrap",
    }
    assert {name: planar(name) for name in pairs} == pairs
    rng = np.random.default_rng(5)
    for packed in ("nv12", "yuyv422", "rgb24", "bgra", "rgb48be", "gray16be", "ya8"):
        picture = av.VideoFrame(64, 48, packed)
        for plane in picture.planes:
            plane.update(rng.integers(0, 256, plane.buffer_size, dtype=np.uint8).tobytes())
        back = picture.reformat(format=planar(packed)).reformat(format=packed)
        assert all(bytes(a) == bytes(b) for a, b in zip(picture.planes, back.planes, strict=True)), packed


def test_the_nearest_format_keeps_what_matters_most() -> None:
    offered = ["gray", "yuv420p", "yuv444p", "yuva420p", "yuv420p10le", "yuv444p10le"]
    assert nearest("yuv422p10le", offered) == "yuv444p10le"
    assert nearest("gbrp", offered) == "yuv420p"
    assert nearest("yuva444p", offered) == "yuva420p"
    assert nearest("gray", offered) == "gray"
    assert nearest("yuv440p", offered) == "yuv444p"


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_the_smallest_block_takes_a_change_too(pix_fmt: str) -> None:
    """Of chroma it has one sample, or a few: OpenCV takes such for a scalar."""
    info, frame, box = info_of(pix_fmt), random_frame(pix_fmt), Box(30, 22, 32, 24)
    changed = add_rgb(frame, info, box, np.full((2, 2, 3), 20.0, np.float32))
    moved = changed.planes[0].astype(int) - frame.planes[0]
    assert (moved[box.slices] > 0).all() and np.count_nonzero(moved) == 4
    assert all(
        np.abs(new.astype(int) - old).max() <= 1 for new, old in zip(changed.planes[1:], frame.planes[1:], strict=True)
    )
