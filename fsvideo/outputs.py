"""What a run is to write: where, how, signed by what; and the checks before the long work begins."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

import fsvideo
from fsvideo import report
from fsvideo.disk import move
from fsvideo.journal import Work, clear_remains, folder_of
from fsvideo.media import certificate, provenance, read, reel
from fsvideo.media.seal import Seal, can_be_signed
from fsvideo.media.write import MUXERS, STILLS, WriteOptions, check_kind, open_writer, refuse
from fsvideo.options import SwapOptions
from fsvideo.swapper import Swapper
from fsvideo.types import MediaError, MediaInfo, WriteError


def default_output(source: Path) -> Path:
    """``INPUT-swapped.EXT`` beside the input; where that kind of file cannot be written, .png for images, else .mp4."""
    suffix = source.suffix
    if suffix and suffix.lower() not in MUXERS and suffix.lower() not in STILLS and not source.is_dir():
        suffix = ".png" if suffix.lower() in (".bmp", ".tif", ".tiff") else ".mp4"
    return source.with_name(f"{source.stem}-swapped{suffix}")


def finished_before(options: SwapOptions) -> bool:
    """Whether a run that is resumed has nothing to do: the output is there, and no unfinished work beside it."""
    if not options.resume or options.overwrite or options.preview is not None or not options.output.exists():
        return False
    clear_remains(options.output)
    return not folder_of(options.output).exists()


def not_made(options: SwapOptions) -> list[Path]:
    """What is asked for beside an output that an earlier run has finished, and is not there."""
    return [path for path in (options.report, options.compare) if path is not None and not path.exists()]


def check_names(options: SwapOptions, info: MediaInfo, write: bool) -> None:
    """What can be said of a single job before networks are loaded. Raises OSError for a file that is not there."""
    parts = [path for part in options.parts for path in (*part.source, *part.reference)]
    for path in (*options.source, *parts, *((options.reference,) if options.reference is not None else ())):
        path.stat()
    check_places(options, info, write)


def check_places(options: SwapOptions, info: MediaInfo, write: bool) -> None:
    """What can be said of results without writing anything. Raises FsvideoError."""
    if options.preview is not None:
        refuse(options.preview, info, options.overwrite)
        return
    again = not write or options.overwrite or options.resume or folder_of(options.output).exists()
    refuse(options.output, info, again)
    check_kind(options.output, info, options.encoder, options.quality)
    _check_others(options, info, overwrite=True)  # a run that is resumed may have made them already


def write_options(options: SwapOptions, swapper: Swapper, work: Work | None) -> WriteOptions:
    """How the writer is to write; with ``work`` in parts that a broken-off run leaves there."""
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


def seal_of(options: SwapOptions, info: MediaInfo, swapper: Swapper) -> Seal | None:
    """What signs the output; None where it is to have tags only, or cannot hold more.

    Raises FsvideoError where certificate and key cannot sign.
    """
    if options.provenance == "metadata" or not can_be_signed(options.preview or options.output, info):
        return None
    if options.certificate is not None and options.key is not None:
        signer = certificate.load(options.certificate, options.key)
    else:
        signer = certificate.kept_or_new()
    seal = Seal(signer, fsvideo.__version__, swapper.name, swapper.hashes)
    seal.try_out()
    return seal


def check(options: SwapOptions, info: MediaInfo, settings: WriteOptions) -> None:
    """Refuse what could not be written before the long work, not after it. Raises FsvideoError."""
    open_writer(options.output, info, settings).abort()
    _check_others(options, info, options.overwrite)


def _check_others(options: SwapOptions, info: MediaInfo, overwrite: bool) -> None:
    if options.compare is not None:
        if info.kind != "video":
            raise MediaError(f"{options.input}: --compare needs a video", "for images use --preview")
        reel.check(options.compare)
    if options.report is not None:
        report.check(options.report)
    for place in (place for place in (options.report, options.compare) if place is not None):
        refuse(place, info, overwrite)


def same_kind(options: SwapOptions) -> bool:
    """Whether a copy of the input is what the output is to be where nobody is swapped."""
    whole = options.start is None and options.end is None and options.audio == "copy"
    return whole and options.input.suffix.lower() == options.output.suffix.lower()


def copy(options: SwapOptions, work: Work | None) -> None:
    """A byte-exact copy of the input that appears whole. Raises WriteError."""
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
