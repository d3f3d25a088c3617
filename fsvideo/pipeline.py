"""`fsvideo swap`: the stages wired together.

Pass 1 decodes, finds and follows faces and keeps small values only; then tracks are smoothed with a view of the whole
clip; pass 2 decodes again and does the pixels. Decoding, network and encoding overlap, and memory does not grow with
the clip.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np

import fsvideo
from fsvideo import casting, report, weights
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.follow import Follower, rescaled
from fsvideo.faces.smooth import fade, smooth
from fsvideo.flow import ahead
from fsvideo.media import ffmpeg, provenance, read
from fsvideo.media.view import upright
from fsvideo.media.write import MUXERS, STILLS, WriteOptions, open_writer, refuse
from fsvideo.render import FrameTask, Job, Painter, cut_faces, swap_faces
from fsvideo.swapper import Swapper
from fsvideo.types import (
    FaceError,
    Footage,
    Frame,
    FsvideoError,
    Identity,
    Image,
    MediaError,
    MediaInfo,
    SwapOptions,
    SwapResult,
    Track,
    Ui,
)

_AHEAD = 4  # frames decoded ahead in pass 1
_LOOK_SIDE = 1280  # pixels of the long side that pass 1 looks at: a 40-pixel face of a 1080p frame still has 27


class Finder(FaceFinder):
    """The face finder with the weights that ship. Raises FsvideoError where a system library is missing."""

    def __init__(self) -> None:
        models = weights.read_bytes("detector"), weights.read_bytes("landmarker")
        try:
            super().__init__(*models)
        except (OSError, ImportError) as error:  # mediapipe loads the system's EGL and GLES when it starts
            raise FsvideoError(f"the face landmarker cannot start: {error}", "fsvideo doctor says why") from error


def survey(info: MediaInfo, finder: FaceFinder, swapper: Swapper, options: SwapOptions, ui: Ui) -> Footage:
    """Pass 1: find and follow the faces of a clip."""
    ui.stage("faces", _expected(info, options))
    spec = casting.embedding_spec(swapper)
    follower = Follower(finder, lambda crops: swapper.embed(np.stack(crops)), spec)
    factor = (1.0, 1.0)
    with closing(ahead(_looks(info, options, ui), _AHEAD)) as looks:
        for rgb, seconds in looks:
            follower.update(rgb, seconds)
            factor = (info.display_width / rgb.shape[1], info.display_height / rgb.shape[0])
            ui.advance()
    found = follower.finish()
    return Footage(found.times, [rescaled(t, factor) for t in found.tracks], found.cuts)


def _looks(info: MediaInfo, options: SwapOptions, ui: Ui) -> Generator[tuple[Image, float]]:
    """What pass 1 sees of each frame, and its time in seconds."""
    for frame in _decode(info, options, ui):
        yield upright(frame, info, _LOOK_SIDE).rgb, float(frame.pts * info.time_base)


def plan(footage: Footage, chosen: list[Track], identity: Identity, options: SwapOptions) -> list[Job]:
    """The tracks to swap, steadied with a view of the whole clip, and how opaque each of their frames is."""
    bounds = {0, *footage.cuts, len(footage.times)}
    jobs = []
    for track in chosen:
        times = footage.times[track.start : track.stop]
        steady = smooth(track, times, options.smooth)
        jobs.append(Job(steady, fade(steady, times, bounds), identity))
    return jobs


def render(
    info: MediaInfo, jobs: list[Job], swapper: Swapper, options: SwapOptions, ui: Ui, only: set[int] | None = None
) -> Generator[tuple[FrameTask, Frame]]:
    """Pass 2: every frame (or those in ``only``) in order, as it was taken and as it is swapped."""
    frames = _decode(info, options, ui)
    wanted = frames if only is None else (f for f in frames if f.index in only)
    cut = ahead(cut_faces(wanted, info, jobs, options, swapper.spec), 2 * options.batch_size)
    swapped = ahead(swap_faces(cut, swapper, options.batch_size), options.batch_size)
    painter = Painter(info, options)
    with closing(swapped):
        for task in swapped:
            yield task, painter.paint(task)


def swap(options: SwapOptions, swapper: Swapper, ui: Ui, write: bool = True) -> SwapResult:
    """Run one input from end to end. With ``write`` False it only says what it would do (``--dry-run``).

    The output exists whole when this returns, or not at all. Raises FsvideoError for what a user can mend.
    """
    began = time.monotonic()
    info = read.probe(options.input)
    settings = _write_options(options, swapper) if write and options.preview is None else None
    if write:
        _check_outputs(options, info, settings)
    with Finder() as finder:
        cast = casting.Cast.of(options, finder, swapper)
        footage = survey(info, finder, swapper, options, ui)
    chosen = cast.choose(footage.tracks)
    jobs = plan(footage, chosen, cast.identity, options)
    result = SwapResult(options.input, None, swapper.name, info, footage, frames=len(footage.times))
    result.swapped_frames, result.swapped_faces = _counts(jobs, len(footage.times))
    if not chosen:
        _no_face(options, footage)
        result.notes.append("no face to swap was found" + (": the input was copied" if settings is not None else ""))
    if write and options.preview is not None:
        indices = report.spread(jobs, len(footage.times))
        shown = render(info, jobs, swapper, options, ui, set(indices))
        report.write_preview(options.preview, shown, info, len(indices), ui)
    elif settings is not None and not chosen and _same_kind(options):
        _copy(options)
        result.output = options.output
    elif settings is not None:
        _write(options, settings, info, jobs, swapper, result, ui)
    result.seconds = time.monotonic() - began
    return result


def _write_options(options: SwapOptions, swapper: Swapper) -> WriteOptions:
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
    )


def _write(
    options: SwapOptions,
    settings: WriteOptions,
    info: MediaInfo,
    jobs: list[Job],
    swapper: Swapper,
    result: SwapResult,
    ui: Ui,
) -> None:
    ui.stage("swap", result.frames)
    log = report.FrameLog(info, swapper) if options.report else None
    with (
        open_writer(options.output, info, settings) as writer,
        closing(render(info, jobs, swapper, options, ui)) as frames,
    ):
        for task, frame in frames:
            writer.write(frame)
            if log is not None:
                log.add(task)
            ui.advance()
        writer.close()
        result.notes += writer.notes
    result.output = options.output
    if log is not None and options.report is not None:
        report.write_json(options.report, log.document(options, result))
    if options.compare is not None:
        ui.stage("compare", 0)
        start = options.start or 0.0
        ffmpeg.side_by_side(options.input, options.output, options.compare, start=start, overwrite=options.overwrite)


def _decode(info: MediaInfo, options: SwapOptions, ui: Ui) -> Generator[Frame]:
    on_damage = (lambda error: ui.note(f"{error}: skipped")) if options.keep_going else None
    yield from read.frames(info, options.start, options.end, threads=options.threads, on_damage=on_damage)


def _expected(info: MediaInfo, options: SwapOptions) -> int:
    """Frames to come, as far as the headers can tell: for the progress display."""
    if info.rate is None or not info.duration:
        return info.frames
    stop = min(options.end or info.duration, info.duration)
    return max(0, round((stop - (options.start or 0.0)) * info.rate))


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
    if footage.tracks and options.faces == "reference":
        raise FaceError(
            f"{options.input}: nobody in it looks like the person in {options.reference}",
            "give a sharper --reference picture, or choose with --faces largest or all",
        )


def _check_outputs(options: SwapOptions, info: MediaInfo, settings: WriteOptions | None) -> None:
    """Refuse what could not be written before the long work, not after it."""
    if settings is not None:
        open_writer(options.output, info, settings).abort()
    if options.compare is not None:
        if info.kind != "video":
            raise MediaError(f"{options.input}: --compare needs a video", "for images use --preview")
        ffmpeg.check_reel(options.compare)
    for place in (options.preview,) if settings is None else (options.report, options.compare):
        if place is not None:
            refuse(place, info, options.overwrite)


def check_input(path: Path) -> None:
    """Raises MediaError for an input that cannot be read."""
    read.probe(path)


def _same_kind(options: SwapOptions) -> bool:
    whole = options.start is None and options.end is None and options.audio == "copy"
    return whole and options.input.suffix.lower() == options.output.suffix.lower()


def _copy(options: SwapOptions) -> None:
    """A byte-exact copy that appears whole."""
    part = options.output.parent / f".{options.output.name[:80]}.{secrets.token_hex(4)}.part"
    try:
        if options.input.is_dir():
            shutil.copytree(options.input, part)
            if options.output.exists():
                shutil.rmtree(options.output)
        else:
            shutil.copyfile(options.input, part)
        os.replace(part, options.output)
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
