"""Pass 2 on a Ray cluster: every segment by itself, on whichever machine is free; journal and join are those of parts.

A segment cannot wait here for the one before it. So a worker also paints the frames just before it and throws them
away: the averages that keep colour and sharpness steady have then forgotten that they began there. What comes out
depends on neither the number of workers nor on who made what.
"""

from __future__ import annotations

import importlib.util
import logging
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import dropwhile, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import fsvideo
from fsvideo import parts, report, weights
from fsvideo.console import Silent
from fsvideo.journal import Work
from fsvideo.media.write import WriteOptions, open_writer
from fsvideo.media.writer import PartsWriter
from fsvideo.networks import pick_device
from fsvideo.options import SwapOptions
from fsvideo.render import Job, Painter, painted
from fsvideo.survey import Survey, decode_from
from fsvideo.swapper import SWAPPERS, Swapper, load_swapper
from fsvideo.types import Frame, FsvideoError, MediaError, MediaInfo, Ui, WriteError

_WARM_UP = 1.0  # seconds painted before a segment
_CORES = 2  # a worker's, where nothing else is asked for
_LIVES = 3  # how often one worker, or one segment, is begun again


@dataclass(frozen=True)
class Made:
    """A segment as a worker made it: the part's files by name ("" where it is one file), and the report's rows.

    ``error``: what went wrong instead, as message and hint.
    """

    number: int
    files: dict[str, bytes]
    rows: list[dict[str, Any]]
    error: tuple[str, str] | None = None


@dataclass(frozen=True)
class Task:
    """What every worker is told: all but which segment.

    ``size``: the input's bytes; ``version``: of this fsvideo; ``model``: the swapper's name and its files' hashes.
    """

    info: MediaInfo
    found: Survey
    jobs: list[Job]
    options: SwapOptions
    settings: WriteOptions
    size: int
    version: str
    model: tuple[str, dict[str, str]]

    def check(self) -> None:
        """Raise FsvideoError where this machine is not fit for it."""
        here = platform.node()
        if fsvideo.__version__ != self.version:
            message = f"{here} has fsvideo {fsvideo.__version__}, this one is {self.version}"
            raise FsvideoError(message, "install one version on all machines of the cluster")
        path = self.info.path
        if not path.exists() or _size(path) != self.size:
            raise MediaError(f"{path}: not there on {here}", "put it where all machines see it under one name")


class Worker:
    """Makes segments of one run, one after the other: an actor of the cluster."""

    def __init__(self) -> None:
        self._swapper: Swapper | None = None

    def make(self, task: Task, number: int) -> Made:
        """The segment of this number. What a user can mend comes back as ``error``."""
        try:
            task.check()
            self._swapper = self._swapper or _load(task)
            return _make(task, number, self._swapper)
        except FsvideoError as error:
            return Made(number, {}, [], (str(error), error.hint))


def _load(task: Task) -> Swapper:
    options = task.options
    torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    swapper = load_swapper(
        options.model, options.refine, device, options.refine_strength, options.backend, at_once=options.batch_size
    )
    if _identify(swapper) != task.model:
        message = f"{platform.node()} has other weights under the name {options.model} than this machine"
        raise FsvideoError(message, "put one file where all machines see it under one name, and give that as --model")
    return swapper


def _identify(swapper: Swapper) -> tuple[str, dict[str, str]]:
    return swapper.name, dict(swapper.hashes)


def _make(task: Task, number: int, swapper: Swapper) -> Made:
    stretch = task.found.segments[number]
    painter = Painter(task.info, task.options)
    log = report.FrameLog(task.info, swapper) if task.options.report else None
    with TemporaryDirectory(prefix="fsvideo-") as folder, ExitStack() as later:
        writer = open_writer(Path(folder) / task.options.output.name, task.info, task.settings)
        later.callback(writer.abort)
        assert isinstance(writer, PartsWriter)  # in_parts said so
        frames, cuts = _frames(task, number), task.found.cuts
        swapped = painted(frames, task.info, task.jobs, swapper, task.options, cuts, painter)
        later.callback(swapped.close)
        mine = islice(dropwhile(lambda pair: pair[0].frame.index < stretch.start, swapped), len(stretch))
        part = Path(folder) / "part"
        writer.write_part(part, parts.shown(mine, stretch, task.info, log, Silent()))
        inside = {one.name: one for one in part.iterdir()} if part.is_dir() else {"": part}
        files = {name: one.read_bytes() for name, one in inside.items()}
        return Made(number, files, log.frames if log is not None else [])


def _frames(task: Task, number: int) -> Iterator[Frame]:
    """The segment's frames and those of the second before it, as far as that lies in the segment before."""
    segments, times = task.found.segments, task.found.footage.times
    start, before = segments[number].start, segments[max(0, number - 1)].start
    frames = decode_from(task.info, before, task.found, task.options, Silent())
    return dropwhile(lambda frame: times[frame.index] < times[start] - _WARM_UP, frames)


def check() -> None:
    """Raise FsvideoError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise FsvideoError("--engine ray needs ray, which is not installed", "pip install 'fsvideo[cluster]'")


def make(
    work: Work,
    settings: WriteOptions,
    found: Survey,
    info: MediaInfo,
    jobs: list[Job],
    swapper: Swapper,
    options: SwapOptions,
    ui: Ui,
) -> list[Path]:
    """Make every segment that is not there yet; the segments' places, in order.

    On the cluster that RAY_ADDRESS names, or that runs on this machine, or else on one made here of all its cores. A
    worker that dies is begun again, and so is its segment. Raises FsvideoError where a machine is unfit.
    """
    left = parts.missing(work, found, ui)
    if not left:
        return parts.places(work, found)
    path = info.path.absolute()
    model = options.model if options.model in (*weights.SHIPPED, *SWAPPERS) else str(Path(options.model).absolute())
    options = replace(options, input=path, model=model, threads=options.threads or _CORES)
    task = Task(
        replace(info, path=path),
        found,
        jobs,
        options,
        replace(settings, threads=options.threads, work=None),
        _size(path),
        fsvideo.__version__,
        _identify(swapper),
    )
    with _cluster() as ray:
        # No machine must be asked for more cores than it has: it would be waited for without end.
        cores = min(options.threads, max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes()))
        count = min(len(left), max(1, int(ray.cluster_resources()["CPU"]) // cores))
        ui.note(f"Ray: {count} workers of {cores} cores")
        actor = ray.remote(num_cpus=cores, max_restarts=_LIVES, max_task_retries=_LIVES)(Worker)
        told = ray.put(task)
        pool = ray.util.ActorPool([actor.remote() for _ in range(count)])
        for number in left:
            pool.submit(lambda worker, number: worker.make.remote(told, number), number)
        while pool.has_next():
            try:
                made: Made = pool.get_next_unordered()
            except ray.exceptions.RayError as error:
                line = (str(error).splitlines() or [type(error).__name__])[0]
                raise FsvideoError(f"the cluster gave up on a segment: {line}", "look at Ray's logs") from error
            if made.error is not None:
                raise FsvideoError(*made.error)
            _store(work, made)
            ui.advance(len(found.segments[made.number]))
    return parts.places(work, found)


def _store(work: Work, made: Made) -> None:
    place = work.path(parts.name_of(made.number))
    try:
        if "" not in made.files:
            place.mkdir(exist_ok=True)
        for file, content in made.files.items():
            (place / file if file else place).write_bytes(content)
    except OSError as error:
        raise WriteError(f"{place}: cannot be written ({error.strerror})", "is there room on the disk?") from error
    parts.store(work, made.number, {}, made.rows)


def _size(path: Path) -> int:
    """Bytes of a file, or of a folder's files."""
    return sum(one.stat().st_size for one in path.iterdir() if one.is_file()) if path.is_dir() else path.stat().st_size


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray, connected; the connection ends with the block, and with it all workers."""
    import ray
    import ray.util

    try:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except Exception as error:  # of many kinds: no cluster at the address, another version of Ray or Python there
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise FsvideoError(f"no Ray cluster to work on: {line}", "start one with `ray start --head`") from error
    try:
        yield ray
    finally:
        ray.shutdown()
