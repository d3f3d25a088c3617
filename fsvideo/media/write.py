"""Writing: frames in, one whole file out, or none. This is the door; ``container`` and ``stills`` do the work."""

from __future__ import annotations

import os
from pathlib import Path

from fsvideo.media.container import VideoWriter
from fsvideo.media.stills import FolderWriter, ImageWriter
from fsvideo.media.writer import ENCODERS, MUXERS, STILLS, Encoder, WriteOptions, Writer, exists
from fsvideo.types import MediaError, MediaInfo

__all__ = ["ENCODERS", "MUXERS", "STILLS", "WriteOptions", "Writer"]
__all__ += ["check_kind", "choose_encoder", "in_parts", "open_writer", "refuse"]


def open_writer(output: Path, info: MediaInfo, options: WriteOptions | None = None) -> Writer:
    """A writer for ``output`` that takes the frames of ``info``; the extension chooses the container.

    Raises ``MediaError`` at once, before anything is written, where the output cannot become what was asked for.
    """
    output, options = Path(output), options or WriteOptions()
    refuse(output, info, options.overwrite)
    encoder = check_kind(output, info, options.encoder, options.quality)
    if encoder is not None:
        return VideoWriter(output, info, options, encoder)
    return FolderWriter(output, info, options) if info.kind == "folder" else ImageWriter(output, info, options)


def check_kind(output: Path, info: MediaInfo, wanted: str | None, quality: int | None) -> Encoder | None:
    """The encoder of a video, None for images. Raises ``MediaError`` where the output cannot be what its name says."""
    suffix = output.suffix.lower()
    if info.kind == "folder" and suffix not in MUXERS:
        if output.exists() and not output.is_dir():
            raise MediaError(f"{output}: is a file; a folder of images becomes a folder", "choose another name")
        return None
    if suffix in STILLS:
        if info.kind != "image":
            raise MediaError(f"{output}: a video does not fit into one image", "write .mp4 or .gif")
        return None
    if suffix not in MUXERS:
        known = ", ".join(sorted({*MUXERS, *STILLS}))
        raise MediaError(
            f"{output}: cannot write {suffix or 'a file without extension'}", f"name the output with one of {known}"
        )
    name = choose_encoder(suffix, info, wanted)
    if quality is not None and quality > ENCODERS[name].quality_most:
        raise MediaError(
            f"{output}: {name} has no quality {quality}",
            f"its {ENCODERS[name].quality} goes to {ENCODERS[name].quality_most}",
        )
    return ENCODERS[name]


def in_parts(output: Path, info: MediaInfo) -> bool:
    """Whether ``output`` can be made in stretches (a ``PartsWriter``): videos and folders can; images and GIFs,
    short work all of them, are made in one go."""
    return info.kind != "image" and output.suffix.lower() != ".gif"


def refuse(output: Path, info: MediaInfo, overwrite: bool) -> None:
    """Raise ``MediaError`` if ``output`` could not be put in its place, or would replace the input or another file."""
    parent = output.parent
    if not parent.is_dir():
        raise MediaError(f"{output}: there is no folder {parent}", "create it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise MediaError(f"{output}: the folder {parent} cannot be written to", "choose another folder")
    if output.exists() and output.samefile(info.path):
        raise MediaError(f"{output}: is the input itself", "choose another name")
    if info.kind == "folder" and info.path.resolve() in output.resolve().parents:
        raise MediaError(f"{output}: lies in the input's folder, which stays as it is", "choose another folder")
    if output.is_dir() and info.kind != "folder":
        raise MediaError(f"{output}: is a folder", "name a file in it")
    if not overwrite and (output.exists() or output.is_symlink()):
        raise exists(output)


def choose_encoder(suffix: str, info: MediaInfo, wanted: str | None) -> str:
    """The encoder's name for a container: the one asked for, or what keeps most of the input and plays widely."""
    fitting = [name for name, encoder in ENCODERS.items() if suffix in encoder.containers]
    if wanted is not None:
        if wanted not in ENCODERS:
            raise MediaError(f"no encoder is named {wanted}", f"known: {', '.join(ENCODERS)}")
        if wanted not in fitting:
            raise MediaError(f"{suffix} cannot hold {wanted}", f"it holds: {', '.join(fitting)}")
        return wanted
    alpha = "a" in info.pix_fmt.split("p")[0].removeprefix("gr")
    order = [info.codec] if info.codec in ("prores", "ffv1") else []
    order += ["prores", "vp9"] if alpha and suffix != ".mp4" else []
    order += ["x265", "av1"] if info.bit_depth > 8 else []
    return next((name for name in [*order, "x264", "vp9", "gif"] if name in fitting), fitting[0])
