"""`fsvideo swap`: the stages wired together.

Pass 1 decodes, finds and follows faces and keeps small values only; then tracks are smoothed with a view of the whole
clip; pass 2 decodes again and does the pixels. Decoding, network and encoding overlap, and memory does not grow with
the clip.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

import fsvideo
from fsvideo import cluster, likeness, parts, report
from fsvideo.casting import Cast
from fsvideo.disk import move
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.passing import common, passes_before
from fsvideo.faces.smooth import fade, smooth
from fsvideo.forecast import forecast
from fsvideo.glance import glance
from fsvideo.journal import Work, clear_remains, folder_of
from fsvideo.media import certificate, provenance, read, reel
from fsvideo.media.seal import Seal, can_be_signed
from fsvideo.media.write import MUXERS, STILLS, WriteOptions, Writer, in_parts, open_writer, refuse
from fsvideo.media.writer import PartsWriter
from fsvideo.meter import OFF, Meter
from fsvideo.networks import load_finder
from fsvideo.options import Footage, SwapOptions, SwapResult
from fsvideo.recipe import recipe
from fsvideo.render import FrameTask, Job, painted
from fsvideo.survey import Survey, decode, frames_at, look
from fsvideo.swapper import Swapper
from fsvideo.types import FaceError, Frame, MediaError, MediaInfo, Track, Ui, WriteError


def survey(info: MediaInfo, finder: FaceFinder, swapper: Swapper, options: SwapOptions, ui: Ui) -> Footage:
    """Pass 1: find and follow the faces of a clip."""
    return look(info, finder, swapper, options, ui).footage


def plan(footage: Footage, cast: Cast, info: MediaInfo, options: SwapOptions) -> list[Job]:
    """The tracks to swap, steadied with a view of the whole clip, and how opaque each of their frames is."""
    bounds = {0, *footage.cuts, len(footage.times)}
    chosen = cast.assign(footage, info)
    ids = {track.id for track, _ in chosen}
    bystanders = [_steady(track, footage, options) for track in footage.tracks if track.id not in ids]
    jobs = []
    for track, role in chosen:
        steady, times = _steady(track, footage, options), footage.times[track.start : track.stop]
        opacity = fade(steady, times, bounds, role.takes(steady, times, info))
        if role.face is not None and opacity.any():
            before = tuple(
                other for other in bystanders if any(passes_before(other, steady, k) for k in common(other, steady))
            )
            jobs.append(Job(steady, opacity, role.face, role.look, role.name, before))
    return jobs


def _steady(track: Track, footage: Footage, options: SwapOptions) -> Track:
    return smooth(track, footage.times[track.start : track.stop], options.smooth)


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
    info = check_input(options.input, options.no_limits, options.keep_going)
    if write and options.preview is not None:
        return _preview(options, options.preview, info, swapper, ui)
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
    settings = _write_options(options, swapper, work) if write else None
    if settings is not None and not (work is not None and work.published):
        _check_outputs(options, info, settings)
    seal = _seal(options, info, swapper) if write else None
    with meter.stage("start"):
        opened = load_finder()
    with opened as finder:
        with meter.stage("start"):
            cast = Cast.of(options, finder, swapper)
        if work is None:
            found = look(info, finder, swapper, options, ui, meter=meter)
        else:
            found = parts.surveyed(work, lambda memory: look(info, finder, swapper, options, ui, memory, meter))
    footage = found.footage
    jobs = plan(footage, cast, info, options)
    result = SwapResult(options.input, None, swapper.name, info, footage, frames=len(footage.times))
    result.backend = swapper.backend
    result.provenance = "c2pa" if seal is not None and jobs else "metadata" if jobs else "none"
    result.swapped_frames, result.swapped_faces = _counts(jobs, len(footage.times))
    absent = [part.name for part in options.parts if part.source and part.name not in {job.name for job in jobs}]
    result.notes += [f"{name}: nobody to swap was found" for name in absent if jobs]
    if not jobs:
        _no_face(options, footage)
        made = "copied" if _same_kind(options) else "written anew as it is"
        result.notes.append("no face to swap was found" + (f": the input was {made}" if settings is not None else ""))
    if settings is not None:
        if jobs and not (work is not None and work.published):
            with meter.stage("start"):
                jobs = _corrected(jobs, info, swapper, options, ui, found)
        if not jobs:  # nothing is edited, and nothing must say so
            settings, seal = replace(settings, tags={}), None
        log = report.FrameLog(info, swapper) if options.report else None
        if not jobs and _same_kind(options):
            _copy(options, work)
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
        trial = _write_options(options, swapper, None)
        result.forecast = forecast(options, trial, info, found, jobs, swapper, ui)
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

    return likeness.corrected(jobs, frames, info, swapper, options, found.cuts)


def _preview(options: SwapOptions, place: Path, info: MediaInfo, swapper: Swapper, ui: Ui) -> SwapResult:
    """A sheet of frames and no video; of a long input some moments are looked at."""
    began = time.monotonic()
    refuse(place, info, options.overwrite)
    seal = _seal(options, info, swapper)
    with load_finder() as finder:
        cast = Cast.of(options, finder, swapper)
        seen = glance(info, finder, swapper, options, ui)
    footage = seen.footage
    jobs = plan(footage, cast, info, options)
    kept = {frame.index: frame for frame in seen.frames}
    jobs = likeness.corrected(jobs, lambda at: [kept[k] for k in at], info, swapper, options, among=kept)
    picks = report.spread(jobs, len(footage.times), list(kept))
    shown = painted([frame for frame in seen.frames if frame.index in picks], info, jobs, swapper, options)
    sheet = report.preview(shown, info, len(picks), ui)
    report.write_preview(place, sheet, provenance.tags(fsvideo.__version__, swapper.name), seal, info.path)
    shots = replace(footage, cuts=[]) if seen.moments else footage  # where a moment begins is no cut
    result = SwapResult(options.input, None, swapper.name, info, shots, frames=len(footage.times), moments=seen.moments)
    result.backend = swapper.backend
    result.swapped_frames, result.swapped_faces = _counts(jobs, len(footage.times))
    if not jobs:
        result.notes.append("no face to swap was found" + (" at the moments looked at" if seen.moments else ""))
    result.seconds = time.monotonic() - began
    return result


def _write_options(options: SwapOptions, swapper: Swapper, work: Work | None) -> WriteOptions:
    return WriteOptions(
        encoder=options.encoder,
        quality=options.quality,
        preset=options.preset,
        audio=options.audio,
        overwrite=options.overwrite,
        threads=options.threads,
        tags=provenance.tags(fsvideo.__version__, swapper.name),
        start=options.start,
        stop=options.end,
        work=work.folder if work is not None else None,
    )


def _seal(options: SwapOptions, info: MediaInfo, swapper: Swapper) -> Seal | None:
    """What signs the output; None where it is to have tags only, or cannot hold more."""
    if options.provenance == "metadata" or not can_be_signed(options.preview or options.output, info):
        return None
    if options.certificate is not None and options.key is not None:
        signer = certificate.load(options.certificate, options.key)
    else:
        signer = certificate.kept_or_new()
    seal = Seal(signer, fsvideo.__version__, swapper.name, swapper.hashes)
    seal.try_out()
    return seal


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


def _counts(jobs: list[Job], frames: int) -> tuple[int, int]:
    """Frames in which somebody is swapped, and faces swapped."""
    faces = np.zeros(frames, np.int64)
    for job in jobs:
        faces[job.track.start : job.track.stop] += job.opacity > 0
    return int((faces > 0).sum()), int(faces.sum())


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


def _check_outputs(options: SwapOptions, info: MediaInfo, settings: WriteOptions) -> None:
    """Refuse what could not be written before the long work, not after it."""
    open_writer(options.output, info, settings).abort()
    if options.compare is not None:
        if info.kind != "video":
            raise MediaError(f"{options.input}: --compare needs a video", "for images use --preview")
        reel.check(options.compare)
    if options.report is not None:
        report.check(options.report)
    places = [place for place in (options.output, options.report, options.compare) if place is not None]
    for number, place in enumerate(places[1:], start=1):
        refuse(place, info, options.overwrite)
        if place.resolve() in [other.resolve() for other in places[:number]]:
            raise WriteError(f"{place}: two results would have this name", "name output, report and reel differently")


def check_input(path: Path, no_limits: bool = False, keep_going: bool = False) -> MediaInfo:
    """What an input is. Raises MediaError where it cannot be read."""
    return read.probe(path, read.NO_LIMITS if no_limits else read.LIMITS, keep_going)


def finished_before(options: SwapOptions, listed: bool) -> bool:
    """Whether a run that is resumed has nothing to do here: the output is there, and no unfinished work beside it.

    Of a single input, not ``listed``, that is so where the run was killed after its work, while it cleaned up; else
    an output that exists is an error, as the settings may be others now.
    """
    if not options.resume or options.overwrite or not options.output.exists():
        return False
    cleared = clear_remains(options.output)
    return (listed or cleared) and not folder_of(options.output).exists()


def _same_kind(options: SwapOptions) -> bool:
    whole = options.start is None and options.end is None and options.audio == "copy"
    return whole and options.input.suffix.lower() == options.output.suffix.lower()


def _copy(options: SwapOptions, work: Work | None) -> None:
    """A byte-exact copy that appears whole."""
    if work is not None and work.published:
        return
    part = options.output.parent / f".{options.output.name[:80]}.{secrets.token_hex(4)}.part"
    if work is not None:
        part = work.path("whole")
    try:
        if options.input.is_dir():
            part.mkdir()
            for image in read.folder_images(options.input):
                shutil.copyfile(image, part / image.name)
        else:
            shutil.copyfile(options.input, part)
        if work is not None:
            work.whole(part)
        move(part, options.output)
    except OSError as error:
        raise WriteError(f"{options.output}: cannot be written ({error.strerror})", "is there room?") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)


def default_output(source: Path) -> Path:
    """``INPUT-swapped.EXT`` beside the input; where that kind of file cannot be written, .png for images, else .mp4."""
    suffix = source.suffix
    if suffix and suffix.lower() not in MUXERS and suffix.lower() not in STILLS and not source.is_dir():
        suffix = ".png" if suffix.lower() in (".bmp", ".tif", ".tiff") else ".mp4"
    return source.with_name(f"{source.stem}-swapped{suffix}")
