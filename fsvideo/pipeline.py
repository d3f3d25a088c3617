"""`fsvideo swap`: the stages wired together.

Pass 1 decodes, finds and follows faces and keeps small values only; then tracks are smoothed with a view of the whole
clip; pass 2 decodes again and does the pixels. Decoding, network and encoding overlap, and memory does not grow with
the clip.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from fsvideo import cluster, heap, likeness, outputs, parts, report
from fsvideo.casting import Cast
from fsvideo.forecast import forecast
from fsvideo.journal import Work, folder_of
from fsvideo.media import read, reel
from fsvideo.media.seal import Seal, can_be_signed
from fsvideo.media.write import WriteOptions, Writer, in_parts, open_writer, refuse
from fsvideo.media.writer import PartsWriter
from fsvideo.meter import OFF, Meter
from fsvideo.networks import load_finder
from fsvideo.options import Footage, SwapOptions, SwapResult
from fsvideo.places import apart
from fsvideo.planning import counts, plan
from fsvideo.preview import preview
from fsvideo.recipe import recipe
from fsvideo.render import FrameTask, Job, painted
from fsvideo.summary import counted
from fsvideo.survey import Survey, decode, frames_at, look
from fsvideo.swapper import Swapper
from fsvideo.types import FaceError, Frame, MediaInfo, Ui


def render(
    info: MediaInfo,
    jobs: list[Job],
    swapper: Swapper,
    options: SwapOptions,
    ui: Ui,
    only: set[int] | None = None,
    meter: Meter = OFF,
) -> Generator[tuple[FrameTask, Frame]]:
    """Pass 2: every frame (or those in ``only``) in order, as it was taken and as it is swapped."""
    frames = meter.each("decode", decode(info, options, ui))
    wanted = frames if only is None else (f for f in frames if f.index in only)
    return painted(wanted, info, jobs, swapper, options, meter=meter)


def swap(options: SwapOptions, swapper: Swapper, ui: Ui, write: bool = True, meter: Meter = OFF) -> SwapResult:
    """Run one input from end to end. With ``write`` False it only says what it would do (``--dry-run``).

    The output exists whole when this returns, or not at all. Of a video or a folder of images a run that breaks off
    leaves what it finished in a work folder, and one with ``options.resume`` goes on from there to the same output.
    Raises FsvideoError for what a user can mend.
    """
    apart([options])
    info = check_input(options.input, options.no_limits, options.keep_going)
    if write and options.preview is not None:
        return preview(options, options.preview, info, swapper, ui)
    if not write or not in_parts(options.output, info):
        return _swap(options, info, swapper, ui, write, None, meter)
    refuse(options.output, info, options.overwrite or folder_of(options.output).exists())
    if options.engine == "ray":
        cluster.check()
    with Work(options.output, recipe(options, swapper), options.resume, options.overwrite, ui.note) as work:
        return _swap(options, info, swapper, ui, write, work, meter)


def _swap(
    options: SwapOptions, info: MediaInfo, swapper: Swapper, ui: Ui, write: bool, work: Work | None, meter: Meter
) -> SwapResult:
    began = time.monotonic()
    settings = outputs.write_options(options, swapper, work) if write else None
    if settings is None:
        outputs.check_places(options, info, write)
    elif not (work is not None and work.published):
        outputs.check(options, info, settings)
    seal = outputs.seal_of(options, info, swapper) if write else None
    with meter.stage("start"):
        opened = load_finder(note=ui.note)
    with opened as finder:
        with meter.stage("start"):
            cast = Cast.of(options, finder, swapper)
        if work is None:
            found = look(info, finder, swapper, options, ui, meter=meter)
        else:
            found = parts.surveyed(work, lambda memory: look(info, finder, swapper, options, ui, memory, meter))
    heap.give_back()
    footage = found.footage
    jobs = plan(footage, cast, info, options)
    result = SwapResult(options.input, None, swapper.name, info, footage, frames=len(footage.times))
    result.backend = swapper.backend
    result.provenance = "c2pa" if seal is not None and jobs else "metadata" if jobs else "none"
    result.swapped_frames, result.swapped_faces = counts(jobs, len(footage.times))
    absent = [part.name for part in options.parts if part.source and part.name not in {job.name for job in jobs}]
    result.notes += [f"{name}: nobody to swap was found" for name in absent if jobs]
    result.notes += cast.doubts(footage, info)
    if left := sum(int((job.opacity == 0).sum()) for job in jobs):
        result.notes.append(f"{counted(left, 'face')} of who is swapped left as is: turned away, hidden or not wanted")
    if not jobs:
        _no_face(options, footage)
        made = "copied" if outputs.same_kind(options) else "written anew as it is"
        result.notes.append("no face to swap was found" + (f": the input was {made}" if settings is not None else ""))
    if settings is not None:
        if jobs and not (work is not None and work.published):
            with meter.stage("start"):
                jobs = _corrected(jobs, info, swapper, options, ui, found)
            heap.give_back()
        if not jobs:  # nothing is edited, and nothing must say so
            settings, seal = replace(settings, tags={}), None
        log = report.FrameLog(info, swapper) if options.report else None
        if not jobs and outputs.same_kind(options):
            outputs.copy(options, work)
            result.output = options.output
        else:
            _write(options, settings, seal, info, jobs, swapper, result, ui, found, work, log, meter)
        result.seconds = time.monotonic() - began
        if log is not None:
            rows = log.frames + (parts.rows(work, found) if work is not None else [])
            made_by = work.key if work is not None else recipe(options, swapper)
            report.write(options, result, swapper, made_by, rows, ui)
        if options.compare is not None:
            _reel(options, options.compare, settings, seal, info, found, ui)
    elif jobs:
        trial = outputs.write_options(options, swapper, None)
        result.seconds = time.monotonic() - began  # what is tried from here on is foretold

        def correct(some: list[Job]) -> list[Job]:
            return _corrected(some, info, swapper, options, ui, found)

        result.forecast = forecast(options, trial, info, found, jobs, swapper, ui, correct)
        return result
    result.seconds = time.monotonic() - began
    return result


def _corrected(
    jobs: list[Job], info: MediaInfo, swapper: Swapper, options: SwapOptions, ui: Ui, found: Survey
) -> list[Job]:
    """The jobs, asking for what a trial says is missing of their sources."""

    def frames(numbers: Sequence[int]) -> Iterator[Frame]:
        ui.stage("likeness", len(numbers))
        for frame in frames_at(info, numbers, found, options):
            yield frame
            ui.advance()
        if options.tune and numbers:
            ui.stage("tuning", 0)  # when the last of them was swapped, seconds go by

    return likeness.corrected(jobs, frames, info, swapper, options, found.cuts)


def _write(
    options: SwapOptions,
    settings: WriteOptions,
    seal: Seal | None,
    info: MediaInfo,
    jobs: list[Job],
    swapper: Swapper,
    result: SwapResult,
    ui: Ui,
    found: Survey,
    work: Work | None,
    log: report.FrameLog | None,
    meter: Meter,
) -> None:
    def complete(part: Path) -> None:
        if seal is not None:
            ui.stage("sign", 0)
            with meter.stage("sign"):
                result.notes.extend(seal.apply(part, options.output, options.input))
        if work is not None:
            work.whole(part)

    if work is None or not work.published:
        with open_writer(options.output, info, settings) as writer:
            writer.on_whole = complete
            if work is not None:
                assert isinstance(writer, PartsWriter)  # in_parts said so
                if options.engine == "ray":
                    made = cluster.make(work, settings, found, info, jobs, swapper, options, ui)
                else:
                    made = parts.make(work, writer, found, info, jobs, swapper, options, ui, meter)
                writer.join(made)
            else:
                _in_one_go(writer, render(info, jobs, swapper, options, ui, meter=meter), log, result, ui, meter)
            writer.close()
            result.notes += writer.notes
    result.output = options.output


def _reel(
    options: SwapOptions,
    place: Path,
    settings: WriteOptions,
    seal: Seal | None,
    info: MediaInfo,
    found: Survey,
    ui: Ui,
) -> None:
    ui.stage("compare", 0)
    sign = seal if can_be_signed(place, info) else None
    ends = (float(found.marks.pts[at] * info.time_base) for at in (0, -1))
    reel.compare(
        options.input,
        options.output,
        place,
        reel.LAYOUTS[options.compare_layout],
        between=(next(ends), next(ends)),
        overwrite=options.overwrite,
        tags=settings.tags,
        complete=lambda part: None if sign is None else sign.apply(part, place, options.output),
    )


def _in_one_go(
    writer: Writer,
    frames: Generator[tuple[FrameTask, Frame]],
    log: report.FrameLog | None,
    result: SwapResult,
    ui: Ui,
    meter: Meter,
) -> None:
    """An image or a GIF."""
    ui.stage("swap", result.frames)
    with closing(frames):
        for task, frame in frames:
            with meter.stage("encode"):
                writer.write(frame)
            if log is not None:
                log.add(task, frame)
            ui.advance()


def _no_face(options: SwapOptions, footage: Footage) -> None:
    if options.no_face == "fail":
        raise FaceError(
            f"{options.input}: no face to swap was found", "leave out --no-face fail to get a copy of the input"
        )
    if footage.tracks and options.parts:
        wanted = ", ".join(part.name for part in options.parts if part.source)
        raise FaceError(
            f"{options.input}: nobody to swap is in it: {wanted}",
            "fsvideo faces lists who is; start, end and region may leave nothing of them",
        )
    if footage.tracks and options.faces == "reference":
        raise FaceError(
            f"{options.input}: nobody in it looks like the person in {options.reference}",
            "give a sharper --reference picture, or choose with --faces largest or all",
        )


def check_input(path: Path, no_limits: bool = False, keep_going: bool = False) -> MediaInfo:
    """What an input is. Raises MediaError where it cannot be read."""
    return read.probe(path, read.NO_LIMITS if no_limits else read.LIMITS, keep_going)
