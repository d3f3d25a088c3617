"""Whole-file jobs for the ffmpeg program: found on the path or in imageio-ffmpeg, run with a time limit."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from fsvideo.types import FsvideoError, MediaError

TIME_LIMIT = 3600.0  # seconds
# Only these demuxers may open a file, and they may open nothing but it: a playlist with an innocent name cannot make us
# read other files or addresses.
ONLY_MEDIA = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h263,h264,hevc,vvc,obu,"
    "ivf,mjpeg,gif,apng,flv,asf,ogg,nut,mxf,dv,rm,yuv4mpegpipe,image2,png_pipe,jpeg_pipe,jpegls_pipe,webp_pipe,"
    "bmp_pipe,tiff_pipe,gif_pipe",
}


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


def word(text: str) -> str:
    """A word of a graph. ffmpeg-python takes nothing that is not UTF-8: each byte becomes one character."""
    return os.fsencode(text).decode("latin-1")


def file_of(path: Path) -> str:
    """How a graph names a file."""
    return word(f"file:{path}")


def run(graph: Any, timeout: float = TIME_LIMIT) -> None:
    """Run an ffmpeg-python graph of ``file_of`` names to its end.

    Raises ``MediaError`` with ffmpeg's last words if it fails or takes too long.
    """
    words = [*ffmpeg.compile(graph, cmd=["-nostdin", "-xerror", "-v", "error"]), "-y"]
    command = [os.fsencode(find()), *(word.encode("latin-1") for word in words)]
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
        run(
            ffmpeg.output(
                ffmpeg.input(file_of(path), **ONLY_MEDIA), file_of(temp), copyts=None, copy_unknown=None, **options
            )
        )
        os.replace(temp, path)
    finally:
        temp.unlink(missing_ok=True)
