"""Where results go, and what they are where nobody is swapped: copies, refusals, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
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


@pytest.fixture
def mine(tmp_path: Path, short: Path) -> Path:
    """A folder with everything that a run can be given, under names that its results could have, too."""
    for name in ("clip.mp4", "other.mp4"):
        shutil.copy(short, tmp_path / name)
    for name in ("face.mp4", "face.png", "she.png", "cert.mp4", "key.mp4", "photos/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(SOURCE, tmp_path / name)
    (tmp_path / "people.json").write_text('[[person]]\nname = "A"\nreference = "she.png"\nsource = "face.mp4"\n')
    (tmp_path / "my.json").write_text('mask = "ellipse"\n')
    os.link(tmp_path / "face.mp4", tmp_path / "hard.mp4")
    (tmp_path / "soft.png").symlink_to("photos/1.png")
    return tmp_path


_FACE, _CLIP = ("--source", "face.mp4"), ("--input", "clip.mp4")


@pytest.mark.parametrize(
    "given",
    [
        (*_FACE, *_CLIP, "--output", "clip.mp4"),
        (*_FACE, *_CLIP, "--output", "photos/../face.mp4"),
        (*_FACE, *_CLIP, "--output", "hard.mp4"),
        (*_FACE, *_CLIP, "--output", "new.mp4", "--compare", "face.mp4"),
        (*_FACE, *_CLIP, "--output", "new.mp4", "--report", "my.json", "--config", "my.json"),
        ("--source", "face.png", *_CLIP, "--preview", "face.png"),
        ("--source", "photos", *_CLIP, "--preview", "soft.png"),
        (*_FACE, "--faces", "reference", "--reference", "she.png", *_CLIP, "--preview", "she.png"),
        ("--map", "face.mp4=she.png", *_CLIP, "--preview", "she.png"),
        ("--people", "people.json", *_CLIP, "--output", "new.mp4", "--report", "people.json"),
        ("--people", "people.json", *_CLIP, "--output", "face.mp4"),
        (*_FACE, *_CLIP, "--output", "key.mp4", "--certificate", "cert.mp4", "--key", "key.mp4"),
        (*_FACE, *_CLIP, "--input", "other.mp4", "--output", "."),
        ("--source", "photos/1.png", "--input", "frames", "--output", "photos"),
    ],
)
def test_nothing_that_a_run_is_given_is_replaced(mine: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]) -> None:
    monkeypatch.chdir(mine)
    (mine / "frames").mkdir()
    cv2.imwrite(str(mine / "frames" / "1.png"), np.zeros((64, 64, 3), np.uint8))
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    said = run("swap", *given, "--model", "unchanged", "--overwrite", code=1).stderr
    assert "itself" in said and len(said.strip().splitlines()) <= 3
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before


def test_lines_of_a_list_replace_neither_what_others_are_given_nor_their_results(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine)
    shutil.copytree("photos", "photos-faces")
    tables = {
        "clip.mp4,a.mp4\nother.mp4,photos/../a.mp4": "line 3: the output photos/../a.mp4 is that of line 2, too",
        "clip.mp4,a.mp4\nother.mp4,clip.mp4": "clip.mp4: is an input itself",
        "clip.mp4,a.mp4\nother.mp4,face.mp4": "face.mp4: is a source itself",
        "clip.mp4,a.mp4\nother.mp4,jobs.csv": "jobs.csv: is a file that this command reads itself",
    }
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    for lines, says in tables.items():
        (mine / "jobs.csv").write_text("source,input,output\n" + "".join(f"face.mp4,{x}\n" for x in lines.split("\n")))
        assert says in " ".join(
            run("swap", "--jobs", "jobs.csv", "--overwrite", "--model", "unchanged", code=1).stderr.split()
        )
    (mine / "jobs.csv").unlink()
    twice = run("swap", "--map", "face.mp4=she.png", "--map", "face.mp4=photos/../she.png", *_CLIP, code=2)
    assert "the same REFERENCE" in twice.stderr
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before
    listed = run("faces", "--input", "photos-faces/1.png", "--output", "photos.toml", "--overwrite", code=1)
    assert "holds the input" in listed.stderr and (mine / "photos-faces" / "1.png").is_file()


def test_a_dry_run_refuses_what_the_run_would(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    before = sorted(mine.rglob("*"))
    given = ("swap", *_FACE, *_CLIP, "--model", "unchanged", "--dry-run")
    for more, says in {
        ("--output", "a.xyz"): "a.xyz: cannot write .xyz",
        ("--output", "a.mp4", "--report", "no/r.json"): "no/r.json: there is no folder no",
        ("--output", "a.mp4", "--report", "r.txt"): "r.txt: a report is a page or data",
        ("--output", "a.mp4", "--compare", "a.mp4"): "a.mp4: two results would have this name",
        ("--output", "a.mp4", "--quality", 99): "a.mp4: x264 has no quality 99",
        ("--output", "a.mp4", "--preset", "sloppy"): "a.mp4: writing failed",
    }.items():
        assert says in " ".join(run(*given, *more, code=1).stderr.split())
    picture = ("swap", *_FACE, "--input", "face.png", "--model", "unchanged", "--dry-run", "--compare", "c.mp4")
    assert "--compare needs a video" in run(*picture, code=1).stderr
    assert "--preview" in run(*given, "--preview", "p.png", code=2).stderr
    (mine / "r.json").touch()
    told = " ".join(run(*given, "--output", "a.mp4", "--report", "r.json").stderr.split())
    assert "would write report r.json (exists already: needs --overwrite)" in told
    assert sorted(mine.rglob("*")) == sorted([*before, mine / "r.json"])


def test_what_a_finished_run_has_not_made_is_said(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    given = ("swap", *_FACE, *_CLIP, "--output", "other.mp4", "--model", "unchanged", "--resume", "--json")
    done = run(*given, "--report", "my.json", "--compare", "c.mp4")
    assert "c.mp4 was NOT made" in done.stderr and "--overwrite" in done.stderr and "my.json was" not in done.stderr
    assert json.loads(done.stdout)["not_made"] == ["c.mp4"]
    assert "not_made" not in json.loads(run(*given).stdout)


def test_a_name_that_says_nothing_is_refused_before_networks_are_loaded(mine: Path) -> None:
    shutil.copy(mine / "clip.mp4", mine / "bare")
    said = run("swap", "--source", mine / "face.png", "--input", mine / "bare", "--model", "nope", code=1).stderr
    assert "bare-swapped: cannot write a file without extension" in " ".join(said.split())


def test_what_was_asked_for_and_does_nothing_is_said(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    given = ("swap", *_FACE, *_CLIP, "--model", "warp", "--end", 0.1)
    plain = run(*given, "--output", "a.mov").stderr
    assert "nothing" not in plain and "not used" not in plain
    much = run(*given, "--output", "b.mov", "--encoder", "prores", "--quality", 9, "--strength", 0.5).stderr
    assert "--strength does nothing with --model warp" in much and "quality 9 was not used" in much
    refined = ("swap", *_FACE, *_CLIP, "--model", "tiny", "--refine-strength", 0.5, "--no-refine", "--dry-run")
    assert "--refine-strength does nothing with --no-refine" in run(*refined, "--end", 0.1).stderr
    assert "compact, warp" in " ".join(run(*given, "--model", "nope", code=1).stderr.split())
