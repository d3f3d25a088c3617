"""What a swap would cost: pass 2 tried out on a few frames of the clip itself, and thrown away."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from fsvideo.likeness import by_person
from fsvideo.media.write import ENCODERS, WriteOptions, choose_encoder, in_parts, open_writer, refuse
from fsvideo.media.writer import PartsWriter
from fsvideo.options import Forecast, SwapOptions
from fsvideo.render import Job, painted
from fsvideo.survey import Survey, decode_from
from fsvideo.swapper import Swapper
from fsvideo.types import Frame, MediaError, MediaInfo, Ui

_SECONDS = 2.0  # a trial takes about this long, and two batches at least: the time between them is what counts


def forecast(
    options: SwapOptions,
    settings: WriteOptions,
    info: MediaInfo,
    found: Survey,
    jobs: list[Job],
    swapper: Swapper,
    ui: Ui,
    correct: Callable[[list[Job]], list[Job]],
) -> Forecast:
    """Time, and room on the disk, that ``options`` would take. Nothing is written but in the system's scratch folder.

    ``settings``: of the writer, without a work folder. ``correct``: what is done for each person before pass 2; it is
    tried with one. Raises FsvideoError where the output could not be written.
    """
    refuse(options.output, info, overwrite=True)
    faces = np.zeros(len(found.footage.times), np.int64)
    for job in jobs:
        faces[job.track.start : job.track.stop] += job.opacity > 0
    encoder, free = _encoder(options, info), shutil.disk_usage(options.output.parent).free
    if not in_parts(options.output, info):
        return Forecast(encoder, None, None, free)
    people = by_person(jobs)
    began = time.monotonic()
    correct(people[0])
    before = len(people) * (time.monotonic() - began)
    ui.stage("trial", 0)
    first = _begin(found, faces)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        plain, size = _pace(place, options, settings, info, found, first, [], swapper, ui)
        each = 0.0
        if faces.any():
            busy, size = _pace(place, options, settings, info, found, first, jobs, swapper, ui)
            each = max(0.0, busy - plain) / max(1.0, float(faces[first : first + 2 * options.batch_size].mean()))
    seconds = before + len(faces) * plain + int(faces.sum()) * each
    return Forecast(encoder, seconds, round(size * len(faces)), free)


def _begin(found: Survey, faces: Sequence[int] | np.ndarray) -> int:
    """The first swapped frame of the segment with most of them: a segment's first frame can be sought."""
    faces = np.asarray(faces)
    busiest = max(found.segments, key=lambda s: int(faces[s.start : s.stop].sum()))
    return busiest.start + int(np.argmax(faces[busiest.start : busiest.stop] > 0))


def _pace(
    scratch: Path,
    options: SwapOptions,
    settings: WriteOptions,
    info: MediaInfo,
    found: Survey,
    first: int,
    jobs: list[Job],
    swapper: Swapper,
    ui: Ui,
) -> tuple[float, float]:
    """Seconds and bytes a frame of pass 2 from frame ``first`` on."""
    arrivals: list[float] = []
    batch = options.batch_size

    def timed(frames: Generator[tuple[object, Frame]]) -> Generator[Frame]:
        for _, frame in frames:
            arrivals.append(time.monotonic())
            if len(arrivals) > 2 * batch and arrivals[-1] - began > _SECONDS:
                return
            yield frame

    segment = next(s for s in reversed(found.segments) if s.start <= first)
    source = islice(decode_from(info, segment.start, found, options, ui), first - segment.start, None)
    began = time.monotonic()
    trial = scratch / f"trial{options.output.suffix}"
    try:
        writer = open_writer(trial, info, settings)
    except MediaError as error:  # it is the output's, and so is its name
        raise MediaError(str(error).replace(str(trial), str(options.output)), error.hint) from error
    try:
        assert isinstance(writer, PartsWriter)  # in_parts said so
        with closing(painted(source, info, jobs, swapper, options)) as frames:
            writer.write_part(scratch / "part", timed(frames))
    finally:
        writer.abort()
    part = scratch / "part"
    files = [part] if part.is_file() else list(part.iterdir())
    count = max(1, len(arrivals) - 1)
    # Frames come in batches, and the first waits for all stages to start: from batch to batch the pace is even.
    last = max(1, count - count % batch) if count > batch else count
    took = arrivals[last] - arrivals[0] if last < len(arrivals) else time.monotonic() - began
    return took / last, sum(f.stat().st_size for f in files) / count


def _encoder(options: SwapOptions, info: MediaInfo) -> str:
    """In words, with its settings; empty for images."""
    suffix = options.output.suffix.lower()
    if info.kind == "image" or suffix not in {c for e in ENCODERS.values() for c in e.containers}:
        return ""
    name = choose_encoder(suffix, info, options.encoder)
    encoder = ENCODERS[name]
    words = [name]
    if encoder.quality:
        words.append(f"{encoder.quality} {encoder.quality_default if options.quality is None else options.quality}")
    if encoder.preset:
        words.append(f"{encoder.preset} {options.preset or encoder.preset_default}")
    return ", ".join(words)
