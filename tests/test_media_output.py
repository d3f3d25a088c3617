"""An output appears whole or not at all, under the name it was given; every encoder in every container."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from media_fixtures import clip, remux
from write_fixtures import FAST, TAGS, psnr, read, rewrite

from fsvideo.media.provenance import read_tags
from fsvideo.media.read import frames, probe
from fsvideo.media.reel import compare
from fsvideo.media.write import ENCODERS, open_writer
from fsvideo.types import MediaError


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("write") / "base.mp4", seconds=2)


@pytest.mark.parametrize("name", ["a:b.mp4", "%03d.mp4", "-x.mp4", "sp ace 'quote\".mp4", "é中.mkv"])
def test_names_that_hurt(base: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rewrite(base, Path(name))
    assert [path.name for path in tmp_path.iterdir()] == [name] and len(read(Path(name))[1]) == 50


def test_what_is_refused_is_refused_in_one_line_and_leaves_everything(base: Path, tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    video.write_bytes(base.read_bytes())
    (tmp_path / "soft.mp4").symlink_to(video)
    os.link(video, tmp_path / "hard.mp4")
    (tmp_path / "other.mp4").write_text("mine")
    (tmp_path / "plain").write_text("a file")
    before = sorted(path.name for path in tmp_path.iterdir())
    free = replace(FAST, overwrite=True)
    wrong = {
        "v.mp4": (free, "input itself"),
        "soft.mp4": (free, "input itself"),
        "hard.mp4": (free, "input itself"),
        "other.mp4": (FAST, "exists already"),
        "x.xyz": (FAST, "cannot write .xyz"),
        "x": (FAST, "without extension"),
        "no/x.mp4": (FAST, "no folder"),
        "plain/x.mp4": (FAST, "no folder"),
        "x.webm": (replace(FAST, encoder="x264"), "cannot hold x264"),
        "y.mp4": (replace(FAST, encoder="mpeg9"), "no encoder"),
        "z.mp4": (replace(FAST, preset="sloppy"), "writing failed"),
    }
    for name, (options, words) in wrong.items():
        with pytest.raises(MediaError) as caught:
            rewrite(video, tmp_path / name, options)
        assert words in str(caught.value) and "\n" not in str(caught.value), name
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert video.read_bytes() == base.read_bytes() and (tmp_path / "other.mp4").read_text() == "mine"
    rewrite(video, tmp_path / "other.mp4", free)
    assert len(read(tmp_path / "other.mp4")[1]) == 50


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(base: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MediaError, match="cannot be written"):
        rewrite(base, tmp_path / "x.mp4")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(base: Path, tmp_path: Path, failure: type[BaseException]) -> None:
    info = probe(base)
    with pytest.raises(failure), open_writer(tmp_path / "x.mp4", info, FAST) as writer:
        for frame in frames(info):
            writer.write(frame)
            if frame.index == 30:
                raise failure
    assert list(tmp_path.iterdir()) == []


def test_two_runs_at_once_do_not_overwrite_each_other(base: Path, tmp_path: Path) -> None:
    info = probe(base)
    out = tmp_path / "x.mp4"
    with pytest.raises(MediaError, match="exists already"), open_writer(out, info, FAST) as late:
        late.write(next(iter(frames(info))))
        rewrite(base, out)
        kept = out.read_bytes()
    assert out.read_bytes() == kept and [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


def test_a_full_disk_is_one_line_and_no_file(base: Path, tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from fsvideo.media.read import frames, probe; from fsvideo.media.write import WriteOptions, open_writer\n"
        "from fsvideo.types import MediaError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000)); info = probe(Path(sys.argv[1]))\n"
        "try:\n"
        "    with open_writer(Path(sys.argv[2]), info, WriteOptions(preset='ultrafast')) as writer:\n"
        "        [writer.write(frame) for frame in frames(info)]\n"
        "except MediaError as error:\n"
        "    print(error)\n"
    )
    assert resource.RLIM_INFINITY  # the limit stands for the disk's end
    command = [sys.executable, "-c", script, str(base), str(tmp_path / "x.mp4")]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=root)
    assert "x.mp4: writing failed" in done.stdout and done.stdout.count("\n") == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_every_encoder_works_in_every_container_it_names(base: Path, tmp_path: Path, encoder: str) -> None:
    preset = {"x264": "ultrafast", "x265": "ultrafast", "vp9": "8", "av1": "12"}.get(encoder)
    for suffix in ENCODERS[encoder].containers:
        out = tmp_path / f"out{suffix}"
        rewrite(base, out, replace(FAST, encoder=encoder, preset=preset, threads=2), limit=12)
        (_, before), (_, after) = read(base), read(out)
        assert len(after) == 12
        if suffix != ".gif":
            assert read_tags(out)["comment"] == TAGS["comment"], suffix
            assert psnr(before[6], after[6]) > 35 or after[6].pix_fmt != before[6].pix_fmt
    low, high = (tmp_path / f"q{quality}.mkv" for quality in (50, 10))
    if encoder in ("x264", "x265", "vp9", "av1"):
        for path, quality in ((low, 50), (high, 10)):
            rewrite(base, path, replace(FAST, encoder=encoder, preset=preset, quality=quality, audio="none"), limit=12)
        assert low.stat().st_size < high.stat().st_size * 0.7


def test_a_comparison_reel(base: Path, tmp_path: Path) -> None:
    turned = remux(base, tmp_path / "turned.mp4", "-display_rotation", "90")
    compare(turned, remux(turned, tmp_path / "copy.mp4"), tmp_path / "both.mp4", height=120)
    info, made = read(tmp_path / "both.mp4")
    assert (info.width, info.height, len(made)) == (72 + 72, 120, 50) and info.audio
