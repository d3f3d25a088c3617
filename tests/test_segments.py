"""Segments: encoded apart, joined to what one encoder would have written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from media_fixtures import clip, packets

from fsvideo.media.read import frames, probe
from fsvideo.media.write import ENCODERS, WriteOptions, open_writer
from fsvideo.types import Frame, MediaError, WriteError

FASTEST = {"x264": "ultrafast", "x265": "ultrafast", "vp9": "8", "av1": "12"}
PAIRS = [(name, suffix) for name, encoder in ENCODERS.items() for suffix in encoder.containers if suffix != ".gif"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("segments") / "base.mp4", seconds=1.6)


def in_parts(source: Path, output: Path, options: WriteOptions, lengths: list[int]) -> None:
    """Decode, encode in parts of so many frames, join."""
    info = probe(source)
    work = output.with_name(output.name + ".work")
    work.mkdir()
    with open_writer(output, info, replace(options, work=work)) as writer:
        pictures = frames(info)
        places = [work / f"{number}" for number in range(len(lengths))]
        for place, length in zip(places, lengths, strict=True):
            writer.write_part(place, islice(pictures, length))
        writer.join(places)


def straight(source: Path, output: Path, options: WriteOptions) -> None:
    with open_writer(output, probe(source), options) as writer:
        for frame in frames(probe(source)):
            writer.write(frame)


def shown(path: Path) -> list[Frame]:
    return list(frames(probe(path)))


@pytest.mark.parametrize(("encoder", "suffix"), PAIRS)
def test_every_encoder_s_segments_make_one_stream(base: Path, tmp_path: Path, encoder: str, suffix: str) -> None:
    options = WriteOptions(encoder=encoder, preset=FASTEST.get(encoder), threads=2)
    if encoder == "x264":
        options = replace(options, preset="medium")  # with B-frames
    one, whole, many = (tmp_path / f"{name}{suffix}" for name in ("one", "whole", "many"))
    straight(base, one, options)
    in_parts(base, whole, options, [40])
    in_parts(base, many, options, [12, 1, 3, 24])
    for kind in ("video", "audio") if suffix != ".webm" else ("video",):
        assert packets(one, kind) == packets(whole, kind)
    assert [(f.pts, f.duration) for f in shown(whole)] == [(f.pts, f.duration) for f in shown(one)]
    if suffix != ".webm":
        assert packets(one, "audio") == packets(many, "audio")
    joined = shown(many)
    assert [(f.pts, f.duration) for f in joined] == [(f.pts, f.duration) for f in shown(one)]
    assert [n for n in (0, 12, 13, 16) if not joined[n].key] == []
    for a, b in zip(shown(one), joined, strict=True):
        error = np.mean((a.planes[0].astype(float) - b.planes[0]) ** 2)
        assert error < 40 * (np.iinfo(a.planes[0].dtype).max / 255) ** 2


@pytest.mark.parametrize("encoder", ["x264", "x265", "vp9", "av1"])
def test_what_lay_in_memory_before_is_not_encoded(base: Path, tmp_path: Path, encoder: str) -> None:
    """Two processes whose memory is filled with other bytes where it is new (glibc does it) write the same packets."""
    suffix = ".mp4" if encoder in ("x264", "x265") else ".webm"
    code = """if True:
        import sys
        from pathlib import Path
        from test_segments import straight
        from fsvideo.media.write import WriteOptions
        base, output, encoder, preset = sys.argv[1:]
        straight(Path(base), Path(output), WriteOptions(encoder=encoder, preset=preset, threads=2))"""
    outputs = []
    for fill in ("85", "170"):
        outputs.append(tmp_path / f"{fill}{suffix}")
        preset = FASTEST[encoder] if encoder in ("vp9", "av1") else "medium"
        line = [sys.executable, "-c", code, str(base), str(outputs[-1]), encoder, preset]
        tests = Path(__file__).parent
        paths = os.pathsep.join([str(tests.parent), str(tests)])
        subprocess.run(line, check=True, env={**os.environ, "MALLOC_PERTURB_": fill, "PYTHONPATH": paths})
    assert packets(outputs[0], "video") == packets(outputs[1], "video")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells the priority of threads")
def test_an_encoder_goes_before_nobody_else_on_the_machine(base: Path, tmp_path: Path) -> None:
    """SVT-AV1 takes a real-time priority where root runs it."""
    seen: set[int] = set()

    def watched() -> Iterator[Frame]:
        for frame in frames(probe(base)):
            for thread in Path("/proc/self/task").iterdir():
                with suppress(OSError):  # it has ended
                    seen.add(os.sched_getscheduler(int(thread.name)))
            yield frame

    before, (part, work) = os.sched_getscheduler(0), (tmp_path / "part", tmp_path / "work")
    work.mkdir()
    with open_writer(tmp_path / "a.webm", probe(base), WriteOptions(encoder="av1", preset="12", work=work)) as writer:
        writer.write_part(part, islice(watched(), 4))
        writer.join([part])
    assert seen == {before}


def test_transparency_goes_through_segments(tmp_path: Path) -> None:
    ramp = "format=yuva420p,geq=lum='p(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='X*255/W'"
    vp9 = ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-cpu-used", "8")
    source = clip(tmp_path / "a.webm", filters=ramp, encode=vp9, seconds=0.4)
    in_parts(source, tmp_path / "b.webm", WriteOptions(preset="8"), [4, 6])
    for a, b in zip(shown(source), shown(tmp_path / "b.webm"), strict=True):
        assert np.abs(a.planes[3].astype(int) - b.planes[3]).mean() < 3


def test_a_variable_rate_and_a_late_start_go_through_segments(tmp_path: Path) -> None:
    late = ("-output_ts_offset", "5", "-fps_mode", "vfr")
    source = clip(tmp_path / "a.mp4", *late, seconds=2, filters="select='not(mod(n,3))+gt(random(1),.5)'")
    count = len(shown(source))
    for suffix in (".mp4", ".mkv"):
        output = tmp_path / f"out{suffix}"
        in_parts(source, output, WriteOptions(preset="medium"), [10, 10, count - 20])
        ours = [float(f.pts * probe(output).time_base) for f in shown(output)]
        assert ours == pytest.approx([float(f.pts * probe(source).time_base) for f in shown(source)], abs=1e-3)
        assert [sound for _, sound in packets(source, "audio")] == [sound for _, sound in packets(output, "audio")]


def test_a_part_is_whole_or_not_there_and_must_fit(base: Path, tmp_path: Path) -> None:
    info, work = probe(base), tmp_path / "work"
    work.mkdir()
    options = WriteOptions(preset="ultrafast", work=work)
    with pytest.raises(RuntimeError), open_writer(tmp_path / "a.mp4", info, options) as writer:

        def breaking() -> object:
            yield from islice(frames(info), 5)
            raise RuntimeError

        writer.write_part(work / "0", breaking())  # type: ignore[arg-type]
    assert list(work.iterdir()) == []
    with open_writer(tmp_path / "a.mp4", info, options) as writer:
        with pytest.raises(WriteError, match="writing failed"):
            writer.write_part(work / "no" / "0", frames(info))
        writer.write_part(work / "0", islice(frames(info), 9))
        writer.abort()
    other = replace(options, encoder="x265")
    with pytest.raises(MediaError, match="another encoder"), open_writer(tmp_path / "a.mp4", info, other) as writer:
        writer.join([work / "0"])
    assert [p.name for p in tmp_path.iterdir()] == ["work"]
