"""What every writer shares: the names of encoders and containers, and an output that is whole or not there.

Everything that is not the picture is copied from the input: times, sound, subtitles, chapters, tags, colour tags,
orientation, aspect. An output is built under a temporary name beside its place and appears there when it is complete.
"""

from __future__ import annotations

import os
import secrets
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

import av

from fsvideo.media.read import reason
from fsvideo.types import Frame, MediaError


@dataclass(frozen=True)
class WriteOptions:
    """``encoder``: a name in ``ENCODERS``, None: what suits container and input. ``quality``: the encoder's own scale
    (crf; 1..100 for JPEG and WebP). ``start``, ``stop``: the cut, in seconds after the first frame, as ``frames`` has
    it. ``tags`` are added to the file's own."""

    encoder: str | None = None
    quality: int | None = None
    preset: str | None = None
    audio: Literal["copy", "none"] = "copy"
    overwrite: bool = False
    threads: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    start: float | None = None
    stop: float | None = None


@dataclass(frozen=True)
class Encoder:
    """One line of ``ENCODERS``: FFmpeg's name, where it goes, its quality and preset options and their defaults."""

    codec: str
    containers: tuple[str, ...]
    quality: str = ""
    quality_default: int = 0
    preset: str = ""
    preset_default: str = ""
    alpha: bool = False  # the encoder keeps transparency
    rgb: bool = False  # RGB stays RGB (players of the other formats expect YUV)
    options: dict[str, str] = field(default_factory=dict)


_ISO = (".mp4", ".m4v", ".mov")
ENCODERS: dict[str, Encoder] = {
    "x264": Encoder("libx264", (*_ISO, ".mkv", ".avi"), "crf", 14, "preset", "medium"),
    "x265": Encoder("libx265", (*_ISO, ".mkv"), "crf", 16, "preset", "medium"),
    "vp9": Encoder(
        "libvpx-vp9",
        (".webm", ".mkv", ".mp4"),
        "crf",
        18,
        "cpu-used",
        "3",
        alpha=True,
        options={"row-mt": "1", "deadline": "good"},
    ),
    "av1": Encoder("libsvtav1", (".webm", ".mkv", ".mp4"), "crf", 20, "preset", "6"),
    "prores": Encoder("prores_ks", (".mov", ".mkv"), alpha=True, options={"vendor": "apl0"}),
    "ffv1": Encoder("ffv1", (".mkv", ".avi"), alpha=True, rgb=True, options={"level": "3", "slicecrc": "1"}),
    "gif": Encoder("gif", (".gif",), alpha=True, rgb=True),
}
MUXERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".gif": "gif",
}
STILLS = frozenset({".png", ".jpg", ".jpeg", ".webp"})


class Writer(ABC):
    """Takes frames in order; ``close`` makes the output appear; a ``with`` block left by an exception leaves nothing.

    ``notes``: sentences on what the output could not hold as it was.
    """

    def __init__(self, output: Path, overwrite: bool, folder: bool = False) -> None:
        self.notes: list[str] = []
        self.output = output
        self._overwrite = overwrite
        self._temp = output.parent / f".{output.stem[:80]}.{secrets.token_hex(4)}.part"
        self._open = True
        try:
            if folder:
                self._temp.mkdir()
            else:
                os.close(os.open(self._temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except OSError as error:
            raise MediaError(f"{output}: cannot be written ({error.strerror})", "choose another folder") from error

    def write(self, frame: Frame) -> None:
        """Add the next frame. Raises ``MediaError`` if it cannot be written (a full disk, an encoder that refuses)."""
        try:
            self._write(frame)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Flush, finish the file and move it to its place. After ``abort`` or a second time: nothing."""
        if not self._open:
            return
        try:
            self._finish()
            self._publish()
            self._open = False
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Give up: nothing is left behind."""
        if not self._open:
            return
        self._open = False
        self._release()
        if self._temp.is_dir():
            shutil.rmtree(self._temp, ignore_errors=True)
        else:
            self._temp.unlink(missing_ok=True)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _failure(self, error: BaseException) -> MediaError:
        return MediaError(f"{self.output}: writing failed ({reason(error)})", "is there room on the disk?")

    def _publish(self) -> None:
        descriptor = os.open(self._temp, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if self._overwrite:
            os.replace(self._temp, self.output)
            return
        try:
            os.link(self._temp, self.output)  # unlike a rename it never replaces what another run has just put there
        except FileExistsError:
            raise exists(self.output) from None
        except OSError:  # a file system without hard links
            os.replace(self._temp, self.output)
        else:
            self._temp.unlink()

    @abstractmethod
    def _write(self, frame: Frame) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """Complete the temporary file."""

    def _release(self) -> None:  # noqa: B027  (most writers hold nothing)
        """Let go of what is open, whatever state it is in."""


def exists(output: Path) -> MediaError:
    return MediaError(f"{output}: exists already", "choose another name, or allow it to be replaced with --overwrite")
