"""A whole run in a process of its own, as a user starts one: start-up, speed and memory of a fresh process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from fsvideo import heap
from fsvideo.bench.setup import BenchOptions, cores, set_threads
from fsvideo.console import Silent
from fsvideo.types import FaceError, FsvideoError

_PATHS = ("input", "source")


@dataclass(frozen=True)
class Whole:
    """Times in seconds. Start-up: from the start of the process until the first frame is asked for."""

    frames: int
    faces: int
    start_wall: float
    start_cpu: float
    wall: float  # from start-up to the finished output
    cpu: float  # of all threads, in that time
    peak: int  # bytes, of the process from its start


def run(options: BenchOptions) -> Whole:
    """Start it and wait. Raises FsvideoError for what the run could not do."""
    wanted = {name: str(value) if name in _PATHS and value else value for name, value in asdict(options).items()}
    command = [sys.executable, "-m", "fsvideo.bench.whole", json.dumps(wanted), repr(time.time())]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise FsvideoError(f"the measured run ended early ({last})", "does fsvideo swap do this clip?") from None
    if "error" in told:
        raise FsvideoError(told["error"], told["hint"])
    return Whole(**told)


class _Watch(Silent):
    """Notes when the first stage begins."""

    begun: tuple[float, float] | None = None

    def stage(self, name: str, total: int) -> None:
        self.begun = self.begun or (time.time(), time.process_time())


def measured(options: BenchOptions, started: float) -> Whole:
    """Do the run in this process, which was started at this time (``time.time``)."""
    with heap.loading():  # as `fsvideo swap` does
        from fsvideo.pipeline import swap

    threads = options.threads or cores()
    set_threads(threads)
    swapper, watch = options.load(), _Watch()
    with tempfile.TemporaryDirectory() as folder:
        result = swap(options.swap_options(Path(folder) / "out.mp4", threads), swapper, watch)
    if not result.swapped_faces:
        raise FaceError(f"{options.clip}: no face to swap was found", "give a clip that shows one with --input")
    assert watch.begun is not None  # every swap begins with looking for faces
    (wall, cpu), now = watch.begun, (time.time(), time.process_time())
    return Whole(result.frames, result.swapped_faces, wall - started, cpu, now[0] - wall, now[1] - cpu, peak())


def peak() -> int:
    """The most memory that this process has held, bytes."""
    try:  # getrusage's figure can be that of the process which started this one
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) << 10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    wanted |= {name: Path(wanted[name]) for name in _PATHS if wanted[name]}
    try:
        told: object = asdict(measured(BenchOptions(**wanted), float(sys.argv[2])))
    except FsvideoError as error:
        told = {"error": str(error), "hint": error.hint}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
