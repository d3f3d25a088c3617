"""The command line, asked to stop, out of disk or killed at any moment: --resume ends in the same output."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_fixtures import packets
from resume_fixtures import ROOT, SEGMENT, SOURCE, assert_same, make_clip

from fsvideo.journal import folder_of
from fsvideo.media import read


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("resume"))


class Command:
    """Runs the command line in forks of a process that has everything imported: starting anew takes seconds."""

    SERVER = """
import json, os, signal, sys
import mediapipe, fsvideo.pipeline
from fsvideo.cli import main
while line := sys.stdin.readline():
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        if order["limit"]:
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"],) * 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs deaf to it
        sys.argv = ["fsvideo", *order["arguments"]]
        try:
            main()
        except SystemExit as left:
            sys.stdout.flush()
            os._exit(left.code or 0)
        os._exit(99)
    print(child, flush=True)
    sys.stdin.readline()  # until then it keeps its number, even when it has ended: a signal can reach no other process
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._server = subprocess.Popen(
            [sys.executable, "-c", self.SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.pid = 0

    def start(self, *arguments: object, limit: int = 0) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        order = {"arguments": [str(a) for a in arguments], "log": str(self._log), "limit": limit}
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        self.pid = int(self._server.stdout.readline())

    def wait_for(self, seen: Callable[[], bool], limit: float = 120) -> None:
        """Until something is seen, or the command has ended."""
        began = time.monotonic()
        while not seen() and not self._ended() and time.monotonic() - began < limit:
            time.sleep(0.002)

    def _ended(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    def kill(self, number: int) -> None:
        """Send a signal; nothing happens if the command has ended."""
        os.kill(self.pid, number)

    def wait(self) -> tuple[int, str]:
        """Exit code and what was said."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write("\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline()), self._log.read_text()

    def run(self, *arguments: object, limit: int = 0) -> tuple[int, str]:
        self.start(*arguments, limit=limit)
        return self.wait()

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(60)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = Command(tmp_path_factory.mktemp("log") / "log.txt")
    yield server
    server.close()


def arguments_for(clip: Path, output: Path) -> list[object]:
    return [
        *("swap", "--source", SOURCE, "--input", clip, "--output", output, "--model", "tiny", "--preset", "ultrafast"),
        *("--segment", SEGMENT, "--threads", 2, "--batch-size", 3, "--provenance", "metadata", "--quality", 4),
    ]


@pytest.fixture(scope="module")
def told(command: Command, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes that nothing breaks off: it computes with other threads than this process."""
    output = tmp_path_factory.mktemp("told") / "out.mp4"
    assert command.run(*arguments_for(clip, output))[0] == 0
    return output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_says_how_to_go_on(
    command: Command, clip: Path, told: Path, tmp_path: Path, number: int, code: int
) -> None:
    output = tmp_path / "out.mp4"
    arguments = arguments_for(clip, output)
    command.start(*arguments)
    command.wait_for((folder_of(output) / "00001").exists)
    command.kill(number)
    left, said = command.wait()
    assert left == code and "Traceback" not in said
    assert "interrupted" in said and "--resume" in said
    assert [p.name for p in tmp_path.iterdir()] == [folder_of(output).name]
    left, said = command.run(*arguments, "--resume")
    assert left == 0 and "going on" in said
    assert_same(told, output)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_full_disk_costs_a_segment(command: Command, clip: Path, told: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk's end: it comes in a segment, or when all are joined."""
    assert resource.RLIM_INFINITY
    sizes = [len(data) for _, data in packets(told, "video")]
    segments = [sum(part) for part in np.split(sizes, list_segments(clip)[1:])]
    limits = {"join": told.stat().st_size // 2, "segment": int(max(segments) * 0.8)}
    assert 25_000 < limits["segment"] < max(segments) < limits["join"]  # what pass 1 found takes some 22,000 bytes
    for name, limit in limits.items():
        output = tmp_path / f"{name}.mp4"
        arguments = arguments_for(clip, output)
        left, said = command.run(*arguments, limit=limit)
        assert left == 1 and "Traceback" not in said, said
        assert "is there room" in said and "--resume" in " ".join(said.split())
        assert not output.exists()
        left, said = command.run(*arguments, "--resume")
        assert left == 0, said
        assert_same(told, output)
    left, said = command.run(*arguments_for(clip, tmp_path / "early.mp4"), limit=6000)
    assert left == 1 and "is there room" in said and "--resume" not in said  # there was nothing to keep
    assert sorted(p.name for p in tmp_path.iterdir()) == ["join.mp4", "segment.mp4"]


@pytest.mark.slow
def test_thirty_kills_at_any_moment(command: Command, clip: Path, told: Path, tmp_path: Path) -> None:
    """In pass 1, in pass 2, while parts are joined and put in place; each time --resume ends in the same output."""
    dice = random.Random(1)
    output = tmp_path / "out.mp4"
    work, arguments, count = folder_of(output), arguments_for(clip, output), len(list_segments(clip))

    def joining() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return (work / "whole").stat().st_size > 48
        return False

    moments: list[tuple[Callable[[], bool], float]] = [((work / "lock").exists, 2.0)] * 7  # what begins it, seconds
    moments += [((work / f"{dice.randrange(count):05}").exists, 0.3) for _ in range(14)] + [(joining, 0.03)] * 9
    kills = quicker = 0
    while kills < len(moments):
        begins, seconds = moments[kills]
        command.start(*arguments)
        command.wait_for(begins)
        time.sleep(dice.uniform(0, seconds))
        command.kill(signal.SIGKILL)
        left, said = command.wait()
        if left == -signal.SIGKILL:
            kills += 1
        else:  # it came to its end before: no kill, and another is made
            quicker += 1
            assert left == 0 and quicker < 60, said
        if work.exists():
            left, said = command.run(*arguments, "--resume")
            assert left == 0, (kills, said)
        assert_same(told, output)
        assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
        output.unlink()


def list_segments(clip: Path) -> list[int]:
    """The first frames of the segments."""
    info = read.probe(clip)
    starts: list[int] = []
    times: list[float] = []
    for frame in read.frames(info):
        times.append(float(frame.pts * info.time_base))
        if not starts or (frame.index - starts[-1] >= 8 and times[-1] - times[starts[-1]] >= SEGMENT - 1e-9):
            starts.append(frame.index)
    return starts
