"""Whole-file jobs for the ffmpeg program: found on the path or in imageio-ffmpeg, run with a time limit."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from fsvideo.types import FsvideoError, MediaError

_TIME_LIMIT = 3600.0  # seconds


def find() -> str:
    """The ffmpeg program: the system's, else the one that imageio-ffmpeg brings."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise FsvideoError("no ffmpeg program found", "install ffmpeg, or pip install imageio-ffmpeg") from error


def run(graph: Any, timeout: float = _TIME_LIMIT) -> None:
    """Run an ffmpeg-python graph to its end. ``MediaError`` with ffmpeg's last words if it fails or takes too long."""
    command = [*ffmpeg.compile(graph, cmd=[find(), "-nostdin", "-xerror", "-v", "error"]), "-y"]
    with tempfile.TemporaryFile() as log:  # a pipe could fill up and stall it
        try:
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=timeout).returncode
        except subprocess.TimeoutExpired as error:
            raise MediaError(f"ffmpeg took longer than {timeout:g} s and was stopped") from error
        if code:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            raise MediaError(f"ffmpeg failed ({lines[-1].strip() if lines else f'exit code {code}'})")


def state_aspect(path: Path, muxer: str, aspect: Fraction) -> None:
    """Rewrite a file in place, packets untouched, so that its container states the picture's display aspect."""
    temp = path.with_name(path.name + ".aspect")
    options = {
        "map": "0",
        "c": "copy",
        "avoid_negative_ts": "disabled",
        "f": muxer,
        "aspect": f"{aspect.numerator}:{aspect.denominator}",
    }
    try:
        run(ffmpeg.output(ffmpeg.input(f"file:{path}"), f"file:{temp}", copyts=None, copy_unknown=None, **options))
        os.replace(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def check_reel(output: Path) -> None:
    """Raise ``MediaError`` for a name that a reel cannot have."""
    if output.suffix.lower() not in (".mp4", ".mov", ".mkv"):
        raise MediaError(f"{output}: a comparison is a video", "name it .mp4, .mov or .mkv")


def side_by_side(
    left: Path, right: Path, output: Path, *, start: float = 0.0, overwrite: bool = False, height: int = 720
) -> None:
    """A reel of two videos side by side at ``height`` pixels, upright, with the sound of ``right`` if it has any.

    ``start``: seconds into ``left`` at which ``right`` begins.
    """
    if output.exists() and not overwrite:
        raise MediaError(f"{output}: exists already", "choose another name, or allow it with --overwrite")
    check_reel(output)
    inputs = [
        ffmpeg.input(f"file:{path}", protocol_whitelist="file", ss=skip) for path, skip in ((left, start), (right, 0.0))
    ]
    sized = [source.video.filter("scale", w=f"trunc(iw*sar*{height}/ih/2)*2", h=height) for source in inputs]
    both = ffmpeg.filter([picture.filter("setsar", "1") for picture in sized], "hstack", inputs=2, shortest=1)
    temp = output.parent / f".{output.stem[:80]}.{secrets.token_hex(4)}.part{output.suffix}"
    options = {"c:v": "libx264", "crf": 16, "preset": "veryfast", "pix_fmt": "yuv420p", "c:a": "copy", "map": "1:a?"}
    try:
        run(ffmpeg.output(both, f"file:{temp}", fps_mode="passthrough", **options))
        os.replace(temp, output)
    finally:
        temp.unlink(missing_ok=True)
