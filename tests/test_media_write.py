"""Writing: what goes in comes out, with its times, sound and tags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from media_fixtures import X264, clip, ffmpeg, packets, remux, still
from write_fixtures import FAST, TAGS, psnr, read, rewrite, same_times, seconds

from fsvideo.media.formats import side_data
from fsvideo.media.provenance import read_tags
from fsvideo.media.read import frames, probe, upright
from fsvideo.media.write import choose_encoder
from fsvideo.types import MediaError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("write") / "base.mp4", seconds=2)


def test_picture_times_sound_and_tags_survive(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    assert rewrite(base, out) == []
    old, new = same_times(base, out)
    assert replace(new, path=old.path, to_display=old.to_display) == old
    assert packets(base, "audio") == packets(out, "audio")
    (_, before), (_, after) = read(base), read(out)
    assert min(psnr(a, b) for a, b in zip(before, after, strict=True)) > 42
    assert read_tags(out).items() >= TAGS.items()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("encoder", ["x264", "ffv1"])
@pytest.mark.parametrize("moved", [(), ("-output_ts_offset", "5")])
def test_an_avi_begins_at_once_and_its_sound_with_it(tmp_path: Path, moved: tuple[str, ...], encoder: str) -> None:
    source = clip(tmp_path / "in.mkv", *moved)
    rewrite(source, tmp_path / "out.avi", replace(FAST, encoder=encoder))
    with av.open(str(tmp_path / "out.avi")) as container:
        assert [packet.dts for packet in container.demux(video=0) if packet.size] == list(range(25))
    assert [frame.pts for frame in frames(probe(tmp_path / "out.avi"))] == list(range(25))
    heard = [data for time, data in packets(source, "audio") if time >= (5 if moved else 0)]
    assert [data for _, data in packets(tmp_path / "out.avi", "audio")] == heard


@pytest.mark.parametrize("suffix", ["mkv", "avi"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp", "yuva444p"])
def test_ffv1_is_bit_exact(tmp_path: Path, pix_fmt: str, suffix: str) -> None:
    source = clip(tmp_path / "a.mkv", size="81x61", audio=0, encode=("-c:v", "ffv1", "-pix_fmt", pix_fmt))
    rewrite(source, tmp_path / f"b.{suffix}", replace(FAST, encoder="ffv1"))
    (old, before), (new, after) = read(source), read(tmp_path / f"b.{suffix}")
    assert new.pix_fmt == old.pix_fmt and len(before) == len(after) == 25
    for a, b in zip(before, after, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


def test_variable_rate_jitter_offset_and_edit_list(base: Path, tmp_path: Path) -> None:
    passing = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-video_track_timescale", "90000")
    hard = [
        clip(tmp_path / "vfr.mp4", "-fps_mode", "vfr", seconds=2, filters="select='not(mod(n,3))+gt(random(1),.5)'"),
        clip(tmp_path / "jitter.mp4", *passing, filters="settb=1/90000,setpts='PTS+0.008*random(2)/TB'"),
        clip(tmp_path / "late.mp4", "-output_ts_offset", "5"),
        remux(base, tmp_path / "edit.mp4", "-ss", "0.77"),
        clip(tmp_path / "stream.ts"),
        clip(tmp_path / "film.mkv", rate=24),
        clip(tmp_path / "single.mp4", "-frames:v", "1", audio=0),
    ]
    for source in hard:
        out = tmp_path / f"out-{source.stem}.mp4"
        rewrite(source, out)
        old, new = same_times(source, out)
        assert new.variable_rate == old.variable_rate, source
    late, copied = packets(tmp_path / "late.mp4", "audio"), packets(tmp_path / "out-late.mp4", "audio")
    assert [sound for _, sound in late] == [sound for _, sound in copied]
    assert [time for time, _ in late] == pytest.approx([time for time, _ in copied], abs=1e-3)
    assert copied[0][0] == pytest.approx(5, abs=0.05)
    rewrite(hard[0], tmp_path / "out.mkv", replace(FAST, audio="none"))
    same_times(hard[0], tmp_path / "out.mkv")
    with pytest.raises(MediaError, match="variable frame rate"):
        rewrite(hard[0], tmp_path / "out.avi")


@pytest.mark.parametrize(
    "option",
    [("-display_rotation", "90"), ("-display_rotation", "180"), ("-display_hflip",), ("-display_rotation", "-90")],
)
def test_orientation_is_kept_or_done(base: Path, tmp_path: Path, option: tuple[str, ...]) -> None:
    source = remux(base, tmp_path / "turned.mp4", *option)
    old, before = read(source)
    want = upright(before[3], old).rgb.astype(int)
    for name in ("a.mp4", "a.mov", "a.mkv", "a.gif", "a.avi"):
        notes = rewrite(source, tmp_path / name)
        new, after = read(tmp_path / name)
        stated = name not in ("a.gif", "a.avi")
        assert (new.rotation, new.mirrored) == ((old.rotation, old.mirrored) if stated else (0, False))
        assert any("turned" in note for note in notes) != stated
        assert np.abs(upright(after[3], new).rgb - want).mean() < 7, name


def test_aspect_odd_size_range_depth_and_tags(tmp_path: Path) -> None:
    sar = clip(tmp_path / "sar.mp4", audio=0, filters="setsar=4/3")
    for encoder, name in (("x264", "a.mp4"), ("ffv1", "b.mkv"), ("prores", "c.mov"), ("vp9", "d.webm")):
        rewrite(sar, tmp_path / name, replace(FAST, encoder=encoder, preset="8" if encoder == "vp9" else None))
        made = probe(tmp_path / name)
        assert float(made.sample_aspect) == pytest.approx(4 / 3, rel=5e-3) and made.display_width == 213
        same_times(sar, tmp_path / name)
    odd = clip(tmp_path / "odd.mp4", size="161x97", encode=(*X264[:-1], "yuv444p"))
    assert rewrite(odd, tmp_path / "odd-out.mp4") == []
    assert (probe(tmp_path / "odd-out.mp4").width, probe(tmp_path / "odd-out.mp4").pix_fmt) == (161, "yuv444p")
    vp9 = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-pix_fmt", "yuv420p")
    odd420 = clip(tmp_path / "odd.webm", size="161x97", encode=vp9)
    assert "padded to 162 x 98" in rewrite(odd420, tmp_path / "padded.mp4", replace(FAST, audio="none"))[0]
    assert (probe(tmp_path / "padded.mp4").width, probe(tmp_path / "padded.mp4").height) == (162, 98)
    assert rewrite(odd420, tmp_path / "same.webm", replace(FAST, preset="8")) == []
    assert probe(tmp_path / "same.webm").width == 161
    assert packets(odd420, "audio") == packets(tmp_path / "same.webm", "audio")
    full = clip(tmp_path / "full.mp4", "-color_range", "pc", filters="scale=out_range=pc,format=yuvj420p")
    rewrite(full, tmp_path / "full-out.mp4")
    assert probe(tmp_path / "full-out.mp4").color.range == 2


@pytest.mark.parametrize("encoder", ["x264", "x265", "av1", "prores", "ffv1"])
def test_hdr_keeps_its_bits_tags_and_mastering_data(tmp_path: Path, encoder: str) -> None:
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1")
    setting = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    params = ("-x265-params", f"log-level=error:{display}")
    source = clip(tmp_path / "pq.mp4", filters=setting, encode=(*x265, *params), seconds=0.4)
    out = tmp_path / ("out.mov" if encoder == "prores" else "out.mkv" if encoder == "ffv1" else "out.mp4")
    preset = {"x264": "ultrafast", "x265": "ultrafast", "av1": "12"}.get(encoder)
    notes = rewrite(source, out, replace(FAST, encoder=encoder, preset=preset, audio="none"))
    info = probe(out)
    assert info.bit_depth == 10 and info.color == probe(source).color
    if encoder in ("prores", "ffv1"):
        assert any("mastering" in note for note in notes)
        return
    sides = []
    for path in (source, out):
        with av.open(str(path)) as container:
            sides.append(side_data(next(container.decode(video=0))))
    one, two = (np.frombuffer(side["MASTERING_DISPLAY_METADATA"], np.int32)[:20].reshape(10, 2) for side in sides)
    assert two[:, 0] / two[:, 1] == pytest.approx(one[:, 0] / one[:, 1], abs=2e-4)
    assert sides[0]["CONTENT_LIGHT_LEVEL"] == sides[1]["CONTENT_LIGHT_LEVEL"]
    assert choose_encoder(".mp4", info, None) == "x265"


def test_fields_stay_fields(tmp_path: Path) -> None:
    for order in ("tff", "bff"):
        encode = ("-c:v", "libx264", "-flags", "+ildct+ilme", "-x264-params", f"{order}=1", "-pix_fmt", "yuv420p")
        weave = "interleave_top" if order == "tff" else "interleave_bottom"
        source = clip(tmp_path / f"{order}.mp4", filters=f"tinterlace={weave},fieldorder={order}", encode=encode)
        rewrite(source, tmp_path / f"{order}-out.mp4")
        assert probe(tmp_path / f"{order}-out.mp4").interlaced
        said = []
        for path in (source, tmp_path / f"{order}-out.mp4"):
            with av.open(str(path)) as container:
                next(container.decode(video=0))
                said.append(container.streams.video[0].codec_context.field_order)
        assert said[0] == said[1]


def test_alpha_is_kept_where_it_can_be(tmp_path: Path) -> None:
    ramp = "format=yuva420p,geq=lum='p(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='X*255/W'"
    vp9 = ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-cpu-used", "8")
    source = clip(tmp_path / "a.webm", filters=ramp, encode=vp9, seconds=0.4)
    alpha = read(source)[1][2].planes[3].astype(int)
    for name in ("b.webm", "c.mov", "d.mkv"):
        options = replace(FAST, encoder={".mkv": "ffv1"}.get(name[1:]), preset="8" if name == "b.webm" else None)
        assert not any("transparency" in note for note in rewrite(source, tmp_path / name, options))
        info, made = read(tmp_path / name)
        assert np.abs(made[2].planes[3].astype(float) * 255 / ((1 << info.bit_depth) - 1) - alpha).mean() < 3
    assert any("transparency" in note for note in rewrite(source, tmp_path / "e.mp4"))


def test_sound_subtitles_chapters_cover_and_titles_are_copied(base: Path, tmp_path: Path) -> None:
    cover, srt, meta = still(tmp_path / "cover.jpg"), tmp_path / "words.srt", tmp_path / "meta.txt"
    srt.write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n\n2\n00:00:01,100 --> 00:00:01,900\nWorld\n")
    chapters = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}000\nEND={n + 1}000\ntitle=part {n}\n" for n in (0, 1))
    meta.write_text(f";FFMETADATA1\ntitle=My film\nartist=Me\n{chapters}")
    two = clip(tmp_path / "two.mkv", audio=2, seconds=2)
    for suffix, codec in ((".mp4", "mov_text"), (".mkv", "subrip")):
        source, out = tmp_path / f"rich{suffix}", tmp_path / f"out{suffix}"
        inputs = (
            ("-i", two, "-i", srt, "-i", meta, "-i", cover) if suffix == ".mp4" else ("-i", two, "-i", srt, "-i", meta)
        )
        art = ("-map", "3", "-disposition:v:1", "attached_pic") if suffix == ".mp4" else ()
        tagging = (
            "-metadata:s:a:1",
            "language=deu",
            "-metadata:s:s:0",
            "language=fra",
            "-metadata:s:a:0",
            "title=main",
        )
        maps = ("-map", "0", "-map", "1", *art, "-map_metadata", "2", "-map_chapters", "2", "-c", "copy", "-c:s", codec)
        ffmpeg(*inputs, *maps, *tagging, source)
        assert rewrite(source, out) == []
        same_times(source, out)
        for kind, count in (("audio", 2), ("subtitle", 1)):
            for number in range(count):
                assert packets(source, kind, number) == packets(out, kind, number)
        if art:
            assert packets(source, "video", 1)[0][1] == packets(out, "video", 1)[0][1]
        with av.open(str(source)) as a, av.open(str(out)) as b:
            assert [(c["metadata"], float(c["start"] * c["time_base"])) for c in a.chapters()] == [
                (c["metadata"], float(c["start"] * c["time_base"])) for c in b.chapters()
            ]
            assert [stream.metadata.get("language") for stream in a.streams.audio] == [
                stream.metadata.get("language") for stream in b.streams.audio
            ]
            assert b.streams.subtitles[0].metadata["language"] == "fra"
            assert [stream.disposition for stream in a.streams] == [stream.disposition for stream in b.streams]
        told = read_tags(out)
        assert (told["title"], told["artist"], told["comment"]) == ("My film", "Me", TAGS["comment"])
    rewrite(tmp_path / "rich.mkv", tmp_path / "silent.mkv", replace(FAST, audio="none"))
    assert probe(tmp_path / "silent.mkv").audio == () and probe(tmp_path / "silent.mkv").subtitles
    notes = rewrite(tmp_path / "rich.mkv", tmp_path / "other.mp4")
    assert any("subtitle" in note for note in notes)


def test_longer_and_shorter_sound_is_never_cut(tmp_path: Path) -> None:
    for name, length in (("long", 3), ("short", 0.3)):
        tone = ("-f", "lavfi", "-i", f"sine=440:duration={length}")
        source = tmp_path / f"{name}.mp4"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=1", *tone, *X264, "-c:a", "aac", source)
        rewrite(source, tmp_path / f"{name}-out.mp4")
        assert packets(source, "audio") == packets(tmp_path / f"{name}-out.mp4", "audio")
        same_times(source, tmp_path / f"{name}-out.mp4")


def test_a_cut_starts_at_zero_with_its_sound(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", "-output_ts_offset", "3", seconds=4)
    options = replace(FAST, start=1.0, stop=2.4)
    rewrite(source, tmp_path / "cut.mp4", options)
    info, made = read(tmp_path / "cut.mp4")
    assert seconds(info, made) == pytest.approx([n / 25 for n in range(35)], abs=1e-3)
    whole = dict((data, time) for time, data in packets(source, "audio"))
    part = packets(tmp_path / "cut.mp4", "audio")
    assert 1.35 < sum(1 for _ in part) * 1024 / 44100 < 1.45
    for time, data in part:
        assert whole[data] - 4.0 == pytest.approx(time, abs=1e-3)
    assert psnr(list(frames(probe(source), 1.0, 2.4))[7], made[7]) > 40


def test_gif_keeps_delays_colours_and_says_what_it_is(base: Path, tmp_path: Path) -> None:
    source = clip(tmp_path / "a.gif", audio=0, rate=10, encode=())
    rewrite(source, tmp_path / "b.gif")
    old, new = same_times(source, tmp_path / "b.gif")
    assert new.rate == old.rate
    (_, before), (_, after) = read(source), read(tmp_path / "b.gif")
    for a, b in zip(before, after, strict=True):  # a GIF's frames have 256 colours: they come back exactly
        assert all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))
    assert read_tags(tmp_path / "b.gif").items() >= TAGS.items()
    assert any("no sound" in note for note in rewrite(base, tmp_path / "c.gif"))
    assert len(read(tmp_path / "c.gif")[1]) == 50


CLIPS = (
    *("crowd", "dark_720p", "dark_outdoors", "expressions", "glasses_524", "glasses_talk_20s", "indoor_1080p"),
    *("portrait_720x1280_no_audio", "stage_cuts_mic_small_faces"),
)


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_survive(data: Path, tmp_path: Path, name: str) -> None:
    source, out, count = data / "clips" / f"{name}.mp4", tmp_path / "out.mp4", 60
    assert rewrite(source, out, FAST, limit=count) == []
    old, new = probe(source), probe(out)
    pairs = list(zip((f for f in frames(old) if f.index < count), frames(new), strict=False))
    assert len(pairs) == len(list(frames(new))) == count
    for a, b in pairs:
        assert float(a.pts * old.time_base) == pytest.approx(float(b.pts * new.time_base), abs=1e-3)
    assert min(psnr(a, b) for a, b in pairs[::7]) > 40
    assert (new.color, new.sample_aspect, new.pix_fmt) == (old.color, old.sample_aspect, old.pix_fmt)
    if old.audio:
        assert packets(source, "audio") == packets(out, "audio")
