"""Reading: what a file is, and its frames with the times a player shows."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_fixtures import X264, clip, cut_off, damage, exif, ffmpeg, remux, still, tiff

from fsvideo.media import imagemeta
from fsvideo.media.read import folder_images, frames, probe, upright
from fsvideo.types import Box, MediaError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("read") / "base.mp4", seconds=2)


def test_a_plain_clip_is_described_and_decoded(base: Path) -> None:
    info = probe(base)
    assert (info.kind, info.width, info.height, info.pix_fmt, info.codec) == ("video", 160, 96, "yuv420p", "h264")
    assert (info.rate, info.frames, info.bit_depth, info.start) == (Fraction(25), 50, 8, 0)
    assert info.audio == ("aac 44.1 kHz mono",)
    assert not info.variable_rate and not info.interlaced and info.rotation == 0
    read = list(frames(info))
    assert [frame.index for frame in read] == list(range(50))
    assert [frame.pts * info.time_base for frame in read] == [Fraction(n, 25) for n in range(50)]
    assert [plane.shape for plane in read[0].planes] == [(96, 160), (48, 80), (48, 80)]
    assert read[0].key and not read[0].planes[0].flags.writeable


def test_planes_are_the_decoders_own(base: Path) -> None:
    with av.open(str(base)) as container:
        theirs = [picture.to_ndarray() for picture in container.decode(video=0)]
    for frame, whole in zip(frames(probe(base), threads=2), theirs, strict=True):
        assert np.array_equal(np.concatenate([plane.reshape(-1) for plane in frame.planes]), whole.reshape(-1))


def test_a_cut_is_exact(base: Path) -> None:
    info = probe(base)
    every = list(frames(info))
    for start, stop in ((0.6, 1.2), (1.48, None), (None, 0.2), (1.0, 1.04)):
        got = list(frames(info, start, stop))
        times = [frame.pts for frame in every]
        low, high = (start or 0) - 1e-6, (stop or 99) - 1e-6
        assert [frame.pts for frame in got] == [pts for pts in times if low <= float(pts * info.time_base) < high]
        assert got[0].index == 0
        same = next(frame for frame in every if frame.pts == got[0].pts)
        assert np.array_equal(got[0].planes[0], same.planes[0])


def test_a_cut_between_frames_takes_those_in_it(base: Path, tmp_path: Path) -> None:
    for number in range(8):
        still(tmp_path / f"{number}.png", size="32x32")
    coarse, fine = probe(tmp_path), probe(base)
    picture = probe(tmp_path / "0.png")
    for start, stop, want in (
        (0.1, 0.16, [3]),
        (0.12, 0.17, [3, 4]),
        (None, 0.01, [0]),
        (0.24, 0.28, [6]),
        (0.2, 0.2, []),
    ):
        assert [frame.pts for frame in frames(coarse, start, stop)] == want
        assert [float(frame.pts * fine.time_base * 25) for frame in frames(fine, start, stop)] == want
    assert len(list(frames(picture, None, 0.01))) == 1


def test_an_edit_list_hides_frames(base: Path, tmp_path: Path) -> None:
    edited = remux(base, tmp_path / "edit.mp4", "-ss", "0.77")
    with av.open(str(edited)) as container:
        assert container.streams.video[0].frames > 30
    assert len(list(frames(probe(edited)))) == 30


def test_times_of_variable_rate_and_jitter_and_offset(tmp_path: Path) -> None:
    vfr = probe(
        clip(tmp_path / "vfr.mp4", "-fps_mode", "vfr", seconds=2, filters="select='not(mod(n,3))+gt(random(1),.5)'")
    )
    assert vfr.variable_rate
    gaps = np.diff([frame.pts for frame in frames(vfr)]) * float(vfr.time_base)
    assert set(np.round(gaps, 4)) >= {0.04, 0.08}
    passing = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-video_track_timescale", "90000")
    jitter = probe(clip(tmp_path / "jitter.mp4", *passing, filters="settb=1/90000,setpts='PTS+0.008*random(2)/TB'"))
    assert jitter.variable_rate and jitter.time_base == Fraction(1, 90000)
    late = probe(clip(tmp_path / "late.mp4", "-output_ts_offset", "5"))
    assert late.start * late.time_base == 5
    assert [float(f.pts * late.time_base) for f in frames(late, 0.4, 0.48)] == pytest.approx([5.4, 5.44])


@pytest.mark.parametrize(
    ("option", "rotation", "mirrored"),
    [
        (("-display_rotation", "90"), 90, False),
        (("-display_rotation", "180"), 180, False),
        (("-display_rotation", "-90"), 270, False),
        (("-display_hflip",), 0, True),
        (("-display_vflip",), 180, True),
        (("-display_rotation", "90", "-display_hflip"), 90, True),
    ],
)
def test_upright_is_what_ffmpeg_shows(
    base: Path, tmp_path: Path, option: tuple[str, ...], rotation: int, mirrored: bool
) -> None:
    turned = remux(base, tmp_path / "turned.mp4", *option)
    info = probe(turned)
    assert (info.rotation, info.mirrored) == (rotation, mirrored)
    shown = tmp_path / "shown.png"
    ffmpeg("-i", turned, "-frames:v", "1", "-vf", "scale=in_color_matrix=bt601:in_range=tv", "-update", "1", shown)
    want = upright(next(iter(frames(probe(shown)))), probe(shown)).rgb
    view = upright(next(iter(frames(info))), info)
    assert view.rgb.shape == want.shape == (info.display_height, info.display_width, 3)
    assert np.abs(view.rgb.astype(int) - want).mean() < 6
    # the corners of the native picture land where to_display says
    native = np.array([[0, 0], [info.width - 1, 0], [0, info.height - 1]], np.float32)
    landed = native @ info.to_display[:, :2].T + info.to_display[:, 2]
    luma = next(iter(frames(info))).planes[0]
    for (x, y), (u, v) in zip(native.astype(int), np.rint(landed).astype(int), strict=True):
        assert 0 <= u < info.display_width and 0 <= v < info.display_height
        gray = float(view.rgb[v, u] @ np.array([0.299, 0.587, 0.114]))
        assert gray == pytest.approx((float(luma[y, x]) - 16) * 255 / 219, abs=12)


def test_upright_scales_and_cuts_and_knows_where_it_is(tmp_path: Path) -> None:
    wide = probe(clip(tmp_path / "sar.mp4", filters="setsar=4/3"))
    assert wide.sample_aspect == Fraction(4, 3) and (wide.display_width, wide.display_height) == (213, 96)
    frame = next(iter(frames(wide)))
    whole = upright(frame, wide)
    assert whole.rgb.shape == (96, 213, 3)
    small = upright(frame, wide, max_side=107)
    assert max(small.rgb.shape) == 107
    corner = small.to_display(np.array([[-0.5, -0.5], [small.rgb.shape[1] - 0.5, small.rgb.shape[0] - 0.5]]))
    assert corner == pytest.approx(np.array([[-0.5, -0.5], [212.5, 95.5]]), abs=1e-3)
    part = upright(frame, wide, box=Box(40, 20, 120, 70))
    inside = part.to_display(np.array([[10.0, 10.0]], np.float32))
    x, y = np.rint(inside[0]).astype(int)
    assert np.abs(part.rgb[10, 10].astype(int) - whole.rgb[y, x]).max() <= 60  # same place, resampled
    assert np.abs(part.rgb.mean((0, 1)) - whole.rgb[20:70, 40:120].mean((0, 1))).max() < 6


def test_depth_range_tags_and_fields(tmp_path: Path) -> None:
    tags = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error")
    ten = probe(clip(tmp_path / "pq.mp4", filters=tags, encode=x265))
    assert (ten.bit_depth, ten.pix_fmt) == (10, "yuv420p10le")
    assert (ten.color.primaries, ten.color.transfer, ten.color.matrix, ten.color.range) == (9, 16, 9, 1)
    assert next(iter(frames(ten))).planes[0].dtype == np.uint16
    full = clip(tmp_path / "full.mp4", "-color_range", "pc", filters="scale=out_range=pc,format=yuvj420p")
    assert probe(full).color.range == 2 and probe(full).pix_fmt == "yuv420p"
    fields = ("-c:v", "libx264", "-flags", "+ildct+ilme", "-x264-params", "tff=1", "-pix_fmt", "yuv420p")
    assert probe(clip(tmp_path / "i.mp4", filters="tinterlace=interleave_top,fieldorder=tff", encode=fields)).interlaced


def test_odd_sizes_packed_formats_and_alpha(tmp_path: Path) -> None:
    odd = probe(clip(tmp_path / "odd.mp4", size="161x97", encode=(*X264[:-1], "yuv444p")))
    assert (odd.width, odd.height, odd.pix_fmt) == (161, 97, "yuv444p")
    raw = clip(tmp_path / "packed.avi", audio=0, encode=("-c:v", "rawvideo", "-pix_fmt", "yuyv422"))
    packed = probe(raw)
    assert packed.pix_fmt == "yuv422p"
    with av.open(str(raw)) as container:
        pairs = next(container.decode(video=0)).to_ndarray()
    luma, blue, _ = next(iter(frames(packed))).planes
    assert np.array_equal(luma, pairs[:, :, 0]) and np.array_equal(blue, pairs[:, ::2, 1])
    ramp = "format=yuva420p,geq=lum='p(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='X*255/W'"
    vp9 = ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-cpu-used", "8")
    clear = probe(clip(tmp_path / "alpha.webm", filters=ramp, encode=vp9))
    assert clear.pix_fmt == "yuva420p"
    alpha = next(iter(frames(clear))).planes[3]
    assert alpha[:, 150].mean() - alpha[:, 10].mean() == pytest.approx(223, abs=6)


def test_cover_art_is_not_the_video_and_descriptions_name_streams(base: Path, tmp_path: Path) -> None:
    cover = still(tmp_path / "cover.jpg", size="640x480")
    srt = tmp_path / "words.srt"
    srt.write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n")
    both = tmp_path / "both.mp4"
    maps = ("-map", "1", "-map", "0", "-map", "2", "-c", "copy", "-c:s", "mov_text", "-metadata:s:s:0", "language=fra")
    ffmpeg("-i", base, "-i", cover, "-i", srt, *maps, "-disposition:v:0", "attached_pic", both)
    info = probe(both)
    assert (info.width, info.height) == (160, 96) and len(list(frames(info))) == 50
    assert info.subtitles == ("mov_text fra",)
    alone = tmp_path / "song.m4a"
    ffmpeg("-i", base, "-i", cover, "-map", "0:a", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic", alone)
    with pytest.raises(MediaError, match="no video"):
        probe(alone)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_stills(tmp_path: Path, suffix: str) -> None:
    packed = ("-pix_fmt", "rgb24") if suffix == "tiff" else ()
    info = probe(still(tmp_path / f"one.{suffix}", *packed, size="81x61"))
    assert (info.kind, info.width, info.height, info.rate) == ("image", 81, 61, None)
    (frame,) = frames(info)
    view = upright(frame, info)
    reference = probe(still(tmp_path / "reference.png", size="81x61"))
    want = upright(next(iter(frames(reference))), reference).rgb
    assert np.abs(view.rgb.astype(int) - want).mean() < 8


def test_exif_orientation_turns_a_photo(tmp_path: Path) -> None:
    plain = still(tmp_path / "plain.jpg", "-q:v", "2")
    upright_rgb = upright(next(iter(frames(probe(plain)))), probe(plain)).rgb
    undo = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1]} | {
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }
    for number, show in undo.items():
        photo = tmp_path / f"o{number}.jpg"
        photo.write_bytes(imagemeta.embed(plain.read_bytes(), imagemeta.ImageMeta(exif=exif(number))))
        info = probe(photo)
        assert np.array_equal(upright(next(iter(frames(info))), info).rgb, show(upright_rgb)), number


def test_a_tiff_is_turned_and_several_pages_are_not_overlooked(tmp_path: Path) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (20, 30, 3), np.uint8)
    for number, show in ((1, picture), (3, picture[::-1, ::-1]), (6, np.rot90(picture, -1))):
        info = probe(tiff(tmp_path / f"o{number}.tif", (picture, number)))
        assert np.array_equal(upright(next(iter(frames(info))), info).rgb, show), number
    with pytest.raises(MediaError, match="several pages"):
        probe(tiff(tmp_path / "pages.tif", (picture, 1), (picture, 1)))
    assert probe(tiff(tmp_path / "preview.tif", (picture, 1), (picture[::2, ::2], 1), previews=True)).width == 30


def test_an_animated_png_is_a_video_whatever_stands_before_its_pictures(base: Path, tmp_path: Path) -> None:
    moving = tmp_path / "a.png"
    ffmpeg("-i", base, "-frames:v", "5", "-f", "apng", moving)
    profile = imagemeta.ImageMeta(icc=np.random.default_rng(5).bytes(9000))
    moving.write_bytes(imagemeta.embed(moving.read_bytes(), profile))
    assert (probe(moving).kind, len(list(frames(probe(moving))))) == ("video", 5)
    still(tmp_path / "b.png")
    with pytest.raises(MediaError, match=r"a\.png is an animation"):
        probe(tmp_path)


def test_a_gif_and_one_frame_and_avi(tmp_path: Path) -> None:
    gif = probe(clip(tmp_path / "a.gif", audio=0, rate=10, encode=()))
    assert (gif.kind, gif.pix_fmt) == ("video", "gbrap")
    assert [frame.pts for frame in frames(gif)] == list(range(0, 100, 10))
    single = probe(clip(tmp_path / "single.mp4", "-frames:v", "1", audio=0))
    assert len(list(frames(single))) == 1
    old = probe(clip(tmp_path / "old.avi", encode=("-c:v", "mpeg4", "-bf", "2")))
    times = [frame.pts for frame in frames(old)]
    assert len(times) == 25 and set(np.diff(times)) == {1}
    for number in (0, 2):  # AVI states no times of display
        new = probe(clip(tmp_path / f"new{number}.avi", audio=0, encode=(*X264, "-bf", str(number))))
        assert [frame.pts - number for frame in frames(new)] == list(range(25))


def test_a_folder_is_a_clip_in_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        still(tmp_path / f"img{number}.png", filters=f"eq=brightness={number / 20}")
    (tmp_path / "notes.txt").write_text("not an image")
    info = probe(tmp_path)
    assert (info.kind, info.frames, info.width) == ("folder", 3, 160)
    assert [path.name for path in folder_images(tmp_path)] == ["img1.png", "img2.png", "img10.png"]
    means = [frame.planes[0].mean() for frame in frames(info)]
    assert means == sorted(means) and means[0] < means[2]
    still(tmp_path / "img11.jpg")  # another format: all become RGB
    mixed = probe(tmp_path)
    assert mixed.pix_fmt == "gbrp"
    views = [upright(frame, mixed).rgb for frame in frames(mixed)]
    assert len(views) == 4 and {view.shape for view in views} == {(96, 160, 3)}
    still(tmp_path / "img12.png", size="80x48")
    with pytest.raises(MediaError, match="differ in size"):
        probe(tmp_path)
    with pytest.raises(MediaError, match="no images"):
        probe(tmp_path.parent)


@pytest.mark.parametrize("name", ["a:b.mp4", "%03d.mp4", "-x.mp4", "sp ace 'quote\".mp4", "é中.mp4", "[0-9]*?.mp4"])
def test_names_that_hurt(base: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(base.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(list(frames(probe(Path(name))))) == 50


def test_a_name_that_is_not_utf8(base: Path, tmp_path: Path) -> None:
    path = tmp_path / b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    path.write_bytes(base.read_bytes())
    assert len(list(frames(probe(path)))) == 50


def test_percent_in_a_photos_name(tmp_path: Path) -> None:
    for number in (1, 2):
        still(tmp_path / f"x{number}.png", size=f"{number}0x40")
    (tmp_path / "x%d.png").write_bytes((tmp_path / "x2.png").read_bytes())
    assert probe(tmp_path / "x%d.png").width == 20


def test_files_that_are_no_video_give_one_line(base: Path, tmp_path: Path) -> None:
    made = {
        "empty.mp4": b"",
        "text.mp4": b"hello, world\n" * 50,
        "text.txt": b"hello",
        "noise.mkv": bytes(range(256)) * 9,
    }
    for name, blob in made.items():
        (tmp_path / name).write_bytes(blob)
    playlist = f"ffconcat version 1.0\nfile '{base}'\n"
    (tmp_path / "list.mp4").write_text(playlist)
    (tmp_path / "hls.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{base}\n#EXT-X-ENDLIST\n")
    cut_off(base, tmp_path / "nomoov.mp4")
    for name in (*made, "list.mp4", "hls.mp4", "nomoov.mp4", "missing.mp4"):
        with pytest.raises(MediaError) as caught:
            list(frames(probe(tmp_path / name)))
        assert name in str(caught.value) and "\n" not in str(caught.value), name
    with pytest.raises(MediaError) as caught:
        probe(tmp_path / "nomoov.mp4")
    assert "index" in caught.value.hint


def test_damage_is_reported_with_its_time_or_skipped(tmp_path: Path) -> None:
    sound = clip(tmp_path / "sound.mp4", "-movflags", "+faststart", size="320x240", seconds=4, audio=0)
    bad = damage(sound, tmp_path / "bad.mp4")
    with pytest.raises(MediaError, match=r"bad\.mp4: damaged at [12]\.\d+ s"):
        list(frames(probe(bad)))
    told: list[MediaError] = []
    got = list(frames(probe(bad), on_damage=told.append))
    assert told and 90 <= len(got) <= 100
    for name in ("cut.mp4", "cut.mkv"):
        whole = sound if name.endswith("mp4") else remux(sound, tmp_path / "whole.mkv")
        with pytest.raises(MediaError, match=r"cut off|damaged"):
            list(frames(probe(cut_off(whole, tmp_path / name))))
    told.clear()
    assert 40 <= len(list(frames(probe(tmp_path / "cut.mkv"), on_damage=told.append))) <= 60 and told


def test_absurd_sizes_are_refused(tmp_path: Path) -> None:
    png = bytearray(still(tmp_path / "small.png").read_bytes())
    png[16:24] = struct.pack(">II", 40000, 40000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    (tmp_path / "huge.png").write_bytes(png)
    with pytest.raises(MediaError, match=r"huge\.png"):
        probe(tmp_path / "huge.png")


def test_a_bare_stream_is_read_from_its_start_where_it_cannot_be_sought(tmp_path: Path) -> None:
    bare = remux(clip(tmp_path / "clip.mp4", audio=0, seconds=1), tmp_path / "clip.h264")
    info = probe(bare)
    every = [frame.pts for frame in frames(info)]
    begin = (every[10] - info.start) * info.time_base
    assert [frame.pts for frame in frames(info, float(begin))] == every[10:]
    assert list(frames(info, 1e20)) == []
