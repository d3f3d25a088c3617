"""Where results go, and what they are where nobody is swapped: copies, refusals, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commandline import run
from media_fixtures import ffmpeg
from provenance_fixtures import SOURCE, convert

from fsvideo.media import read
from fsvideo.media.provenance import examine


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few frames of the example, small."""
    return convert(tmp_path_factory.mktemp("short") / "short.mp4", "-t", "0.4", "-vf", "scale=320:-2")


def times(path: Path) -> list[int]:
    return [frame.pts for frame in read.frames(read.probe(path))]


def test_no_face_in_the_input_gives_a_faithful_copy_or_fails(data: Path, tmp_path: Path) -> None:
    picture, output = data / "hard" / "noface_grass__08.jpg", tmp_path / "out.jpg"
    done = run("swap", "--source", SOURCE, "--input", picture, "--output", output, "--model", "tiny")
    assert "no face" in done.stderr
    assert output.read_bytes() == picture.read_bytes()
    other = tmp_path / "other.jpg"
    run(
        "swap",
        "--source",
        SOURCE,
        "--input",
        picture,
        "--output",
        other,
        "--model",
        "tiny",
        "--no-face",
        "fail",
        code=1,
    )
    assert not other.exists()


def test_a_folder_without_a_face_touches_nothing_else(tmp_path: Path) -> None:
    frames, mine = tmp_path / "frames", tmp_path / "out" / "mine.txt"
    for folder in (frames, mine.parent):
        folder.mkdir()
    mine.write_text("keep me")
    for number in range(2):
        cv2.imwrite(str(frames / f"{number}.png"), np.full((96, 128, 3), 90 + number, np.uint8))
    (frames / "notes.txt").write_text("not a picture")
    given = ("swap", "--source", SOURCE, "--input", frames, "--model", "tiny", "--overwrite")
    for output in (mine.parent, tmp_path / "new", tmp_path):
        assert "the input was copied" in run(*given, "--output", output).stderr
        for number in range(2):
            assert (output / f"{number}.png").read_bytes() == (frames / f"{number}.png").read_bytes()
    assert mine.read_text() == "keep me"
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["0.png", "1.png"]
    assert sorted(p.name for p in frames.iterdir()) == ["0.png", "1.png", "notes.txt"]
    assert "lies in the input's folder" in run(*given, "--output", frames / "out", code=1).stderr
    (frames / "1.png").write_bytes((frames / "1.png").read_bytes()[:40])
    run(*given, "--output", tmp_path / "rest", code=1)
    run(*given, "--output", tmp_path / "rest", "--audio", "none", "--keep-going")
    assert sorted(p.name for p in (tmp_path / "rest").iterdir()) == ["0.png"]


def test_what_nobody_edited_bears_no_mark(tmp_path: Path) -> None:
    """Written anew, as a part was asked for, and without a face: nothing says that it is edited."""
    clip, output = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=10:d=1", clip)
    said = json.loads(run("swap", "--source", SOURCE, "--input", clip, "--output", output, "--model", "tiny",
                          "--end", "0.5", "--json").stdout)  # fmt: skip
    assert said["provenance"] == "none" and len(times(output)) == 5
    assert examine(output).state == "nothing"


def test_outputs_are_refused_before_the_work(short: Path, tmp_path: Path) -> None:
    existing = tmp_path / "there.mp4"
    existing.write_bytes(b"keep me")
    for output, says in ((existing, "exists"), (short, "input"), (tmp_path / "no" / "x.mp4", "folder")):
        done = run("swap", "--source", SOURCE, "--input", short, "--output", output, "--model", "tiny", code=1)
        assert says in done.stderr
    twice = tmp_path / "twice.mp4"
    given = ("swap", "--source", SOURCE, "--input", short, "--output", twice, "--model", "tiny")
    assert "two results" in run(*given, "--compare", tmp_path / "." / "twice.mp4", code=1).stderr
    assert not twice.exists()
    long = run("swap", "--source", SOURCE, "--input", tmp_path / ("x" * 300), "--model", "tiny", code=1)
    assert "too long" in long.stderr and "check the name" in long.stderr
    assert existing.read_bytes() == b"keep me"
    run("swap", "--source", SOURCE, "--input", short, "--output", existing, "--model", "tiny", "--overwrite")
    assert len(times(existing)) == len(times(short))
