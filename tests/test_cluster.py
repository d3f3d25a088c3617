"""`--engine ray`: segments on a local cluster of two workers, also when one of them is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commandline import run

from fsvideo import cluster
from fsvideo.cluster import Task, Worker
from fsvideo.journal import folder_of
from fsvideo.media import read
from fsvideo.media.write import WriteOptions
from fsvideo.options import Footage, SwapOptions
from fsvideo.survey import Survey

EXAMPLES = Path(__file__).parents[1] / "examples"
CLIP, HOPPER = EXAMPLES / "astronaut.mp4", EXAMPLES / "grace_hopper.jpg"
SHORT = ("--source", HOPPER, "--input", CLIP, "--model", "tiny", "--encoder", "ffv1", "--end", 2.5, "--segment", 0.5)
RAY = (*SHORT, "--engine", "ray", "--threads", 1)


def pictures(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([f.planes[0] for f in read.frames(read.probe(path))])


def workers() -> list[int]:
    """Process numbers of this machine's workers that make segments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::Worker"):
            found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    whole, cut, local = (tmp_path / name for name in ("whole.mkv", "cut.mkv", "local.mkv"))
    said = json.loads(run("swap", *RAY, "--output", whole, "--report", tmp_path / "r.json", "--json").stdout)
    assert said["frames_swapped"] == said["frames"] == len(json.loads((tmp_path / "r.json").read_text())["per_frame"])

    command = [sys.executable, "-m", "fsvideo", "swap", *map(str, RAY), "--output", str(cut), "--report", "again.json"]
    going = subprocess.Popen([*command, "--quiet"], cwd=tmp_path)
    journal = folder_of(cut) / "journal.jsonl"
    while going.poll() is None and not (journal.exists() and b'"segment"' in journal.read_bytes()):
        time.sleep(0.02)
    victims = workers()
    assert going.poll() is None and victims, "the first segment is there, the others are not"
    os.kill(victims[0], signal.SIGKILL)
    assert going.wait(300) == 0
    assert np.array_equal(pictures(cut), pictures(whole)) and not folder_of(cut).exists()

    run("swap", *SHORT, "--output", local)
    here, there = (pictures(path).astype(int) for path in (local, whole))
    assert here.shape == there.shape
    assert 0 < np.abs(here - there).max() < 40 and np.abs(here - there).mean() < 0.1  # averages that began elsewhere


def task(tmp_path: Path) -> Task:
    info = read.probe(CLIP)
    found = Survey(Footage(np.arange(4) / 25, [], []), None, [0])  # type: ignore[arg-type]
    options = SwapOptions((HOPPER,), CLIP, tmp_path / "o.mp4", model="tiny", threads=1)
    return Task(
        info, found, [], options, WriteOptions(), CLIP.stat().st_size, cluster.fsvideo.__version__, ("tiny", {})
    )


def test_a_machine_that_is_not_fit_says_why(tmp_path: Path) -> None:
    good = task(tmp_path)
    good.check()
    other = replace(good, version="0.0.1")
    assert "0.0.1" in (Worker().make(other, 0).error or [""])[0]
    gone = replace(good, info=replace(good.info, path=tmp_path / "gone.mp4"))
    shorter = replace(good, size=good.size - 1)
    for lacking in (gone, shorter):
        message, hint = Worker().make(lacking, 0).error or ("", "")
        assert "not there" in message and "all machines" in hint


def test_other_weights_than_the_commands_are_refused(tmp_path: Path) -> None:
    message, hint = Worker().make(replace(task(tmp_path), model=("tiny", {"AEI-Net": "0" * 64})), 0).error or ("", "")
    assert "other weights" in message and "--model" in hint


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    said = run("swap", *RAY, "--output", tmp_path / "o.mkv", code=1).stderr
    assert "needs ray" in said and "fsvideo[cluster]" in said and list(tmp_path.iterdir()) == []
