"""`fsvideo swap` on many inputs: lists of jobs, and folders of videos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commandline import run
from media_fixtures import clip

from fsvideo.cli.common import seconds_of
from fsvideo.cli.jobs import inputs_in, read_jobs
from fsvideo.options import SwapOptions
from fsvideo.types import FsvideoError, MediaError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
BASE = SwapOptions((), Path(), Path())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A face, and two short clips, only one of which shows a face."""
    (tmp_path / "clips").mkdir()
    shutil.copy(EXAMPLES / "grace_hopper.jpg", tmp_path / "face.jpg")
    run("swap", "--source", tmp_path / "face.jpg", "--input", EXAMPLES / "astronaut.mp4", "--model", "unchanged",
        "--end", "0.2", "--preset", "ultrafast", "--output", tmp_path / "clips" / "face2.mp4")  # fmt: skip
    clip(tmp_path / "clips" / "nobody10.mp4", seconds=0.2)
    return tmp_path


def test_a_list_is_done_and_what_fails_does_not_stop_it(folder: Path) -> None:
    (folder / "clips" / "broken.mp4").write_text("no video")
    (folder / "jobs.csv").write_text(
        "source,input,output,end\n"
        "face.jpg ; face.jpg,clips/face2.mp4,one.mp4,0.1\n"
        "\n"
        "face.jpg,clips/broken.mp4,two.mp4,\n"
        "face.jpg,clips/nobody10.mp4,,\n"
    )
    common = ("swap", "--jobs", folder / "jobs.csv", "--model", "unchanged", "--preset", "ultrafast", "--json")
    done = run(*common, code=1)
    one, two, three = json.loads(done.stdout)
    assert 0 < one["faces_swapped"] == one["frames"] < 5
    assert "broken.mp4" in two["error"]
    assert three["output"] == str(folder / "clips" / "nobody10-swapped.mp4")
    assert "2 of 3 done, 1 failed" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].lstrip().startswith(f"two.mp4 was not made: {folder}/clips/broken.mp4")
    before = (folder / "one.mp4").read_bytes()
    again = json.loads(run(*common, "--resume", code=1).stdout)
    assert [one.get("skipped", False) for one in again] == [True, False, True]
    assert (folder / "one.mp4").read_bytes() == before


def test_a_folder_of_videos_is_each_of_them(folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    common = ("swap", "--source", folder / "face.jpg", "--input", folder / "clips", "--model", "unchanged")
    rows = json.loads(run(*common, "--output", out, "--preset", "ultrafast", "--json").stdout)
    assert [Path(row["output"]).name for row in rows] == ["face2.mp4", "nobody10.mp4"]
    assert sorted(path.name for path in out.iterdir()) == ["face2.mp4", "nobody10.mp4"]
    refused = run(*common, "--output", folder / "nowhere", code=1)
    assert "not a folder" in refused.stderr


def test_what_a_folder_is(tmp_path: Path) -> None:
    for name in ("b10.mp4", "b2.MKV", "b2-swapped.mp4", ".hidden.mp4", "notes.txt", "alone-swapped.mp4"):
        (tmp_path / name).touch()
    assert [one.name for one in inputs_in(tmp_path)] == ["alone-swapped.mp4", "b2.MKV", "b10.mp4"]
    (tmp_path / "thumb.jpg").touch()
    with pytest.raises(MediaError, match="videos and images"):
        inputs_in(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    (images / "1.png").touch()
    assert inputs_in(images) == [images]


def test_every_wrong_line_is_named_before_any_work(folder: Path) -> None:
    lines = [
        "\ufeffinput,source,output,start,end,reference",
        "clips/face2.mp4,face.jpg,a.mp4,0:00.05,0.1,",
        ",face.jpg,b.mp4,,,",
        "clips/face2.mp4,gone.jpg,c.mp4,,,",
        "clips/face2.mp4,face.jpg,d.mp4,soon,,",
        "clips/face2.mp4,face.jpg,e.mp4,2,1,",
        "clips/face2.mp4,face.jpg,a.mp4,,,",
        "clips/face2.mp4,face.jpg",
        "clips/face2.mp4,face.jpg,no/f.mp4,,,",
        "clips,face.jpg,g.mp4,,,",
        "clips/face2.mp4,face.jpg,h.mp4,,,gone.png",
    ]
    (folder / "jobs.csv").write_text("\n".join(lines), "utf-8")
    failed = run("swap", "--jobs", folder / "jobs.csv", "--model", "unchanged", code=1)
    assert [f"line {n}:" in failed.stderr for n in range(1, 12)] == [False, False] + [True] * 9
    assert "line 5: soon is not a time: give seconds" in failed.stderr
    assert not (folder / "a.mp4").exists()
    (folder / "jobs.csv").write_text("\n".join(lines[:2]), "utf-8")
    (job,) = read_jobs(folder / "jobs.csv", BASE)
    assert (job.source, job.output) == ((folder / "face.jpg",), folder / "a.mp4")
    assert (job.start, job.end, job.faces) == (0.05, 0.1, "largest")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column source"),
        ("source,output\na,b\n", "no column input"),
        ("source,input,colour\na,b,c\n", "unknown"),
        ("source,input,input\na,b,c\n", "doubled"),
        ("source,input\n", "no jobs"),
        ('source,input\n"a,b\n', "not a CSV file"),
    ],
)
def test_a_file_that_is_no_list_of_jobs(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "jobs.csv").write_text(text)
    with pytest.raises(FsvideoError, match=said):
        read_jobs(tmp_path / "jobs.csv", BASE)


def test_a_list_stands_alone(tmp_path: Path) -> None:
    listed = run("swap", "--jobs", tmp_path / "jobs.csv", "--input", "a.mp4", code=2)
    reported = run("swap", "--jobs", tmp_path / "jobs.csv", "--report", "a.json", code=2)
    alone = run("swap", "--source", "a.jpg", code=2)
    assert "--input" in listed.stderr and "--report" in reported.stderr and "--input" in alone.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_inputs_do_not_share_an_output(folder: Path) -> None:
    (folder / "more").mkdir()
    shutil.copy(folder / "clips" / "face2.mp4", folder / "more")
    refused = run("swap", "--source", folder / "face.jpg", "--input", folder / "clips", "--input", folder / "more",
                  "--output", folder, code=1)  # fmt: skip
    assert "would be the output of" in refused.stderr


@pytest.mark.parametrize("text", ["", "x", "-1", "1:2:3:4", "nan", "inf"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        seconds_of(text)
