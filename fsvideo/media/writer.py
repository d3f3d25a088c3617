"""What every writer shares: the names of encoders and containers, and an output that is whole or not there.

Everything that is not the picture is copied from the input: times, sound, subtitles, chapters, tags, colour tags,
orientation, aspect. An output is built under a temporary name beside its place and appears there when it is complete.
"""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

import av

from fsvideo.disk import remove, sync
from fsvideo.media.opening import reason
from fsvideo.types import Frame, MediaError, WriteError


@dataclass(frozen=True)
class WriteOptions:
    """``encoder``: a name in ``ENCODERS``, None: what suits container and input. ``quality``: the encoder's own scale
    (crf; 1..100 for JPEG and WebP). ``start``, ``stop``: the cut, in seconds after the first frame, as ``frames`` has
    it. ``tags`` are added to the file's own. ``work``: a folder on the output's disk in which it grows under a fixed
    name, for runs that are to be resumed; None: beside its place, under a name of its own."""

    encoder: str | None = None
    quality: int | None = None
    preset: str | None = None
    audio: Literal["copy", "none"] = "copy"
    overwrite: bool = False
    threads: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    start: float | None = None
    stop: float | None = None
    work: Path | None = None


@dataclass(frozen=True)
class Encoder:
    """One line of ``ENCODERS``: FFmpeg's name, where it goes, its quality and preset options and their defaults."""

    codec: str
    containers: tuple[str, ...]
    quality: str = ""
    quality_default: int = 0
    quality_most: int = 100  # beyond it the encoder fails, or goes no further
    preset: str = ""
    preset_default: str = ""
    presets: dict[str, str] = field(default_factory=dict)  # x264's words for its own numbers
    alpha: bool = False  # the encoder keeps transparency
    rgb: bool = False  # RGB stays RGB (players of the other formats expect YUV)
    options: dict[str, str] = field(default_factory=dict)


_ISO = (".mp4", ".m4v", ".mov")
ENCODERS: dict[str, Encoder] = {
    # At crf 12 "medium" takes twice the time of "faster" for 0.2 to 0.6 dB and a tenth of the size at most.
    "x264": Encoder("libx264", (*_ISO, ".mkv", ".avi"), "crf", 12, 51, "preset", "faster"),
    "x265": Encoder("libx265", (*_ISO, ".mkv"), "crf", 16, 51, "preset", "medium"),
    "vp9": Encoder(
        "libvpx-vp9",
        (".webm", ".mkv", ".mp4"),
        "crf",
        18,
        63,
        "cpu-used",
        "3",
        {"veryfast": "6", "medium": "3", "slow": "1"},
        alpha=True,
        options={"row-mt": "1", "deadline": "good"},
    ),
    "av1": Encoder(
        "libsvtav1",
        (".webm", ".mkv", ".mp4"),
        "crf",
        20,
        63,
        "preset",
        "6",
        {"veryfast": "9", "medium": "6", "slow": "4"},
    ),
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


class Part(Protocol):
    """A stretch of frames on its way into a file or folder of its own, later to be joined."""

    def write(self, frame: Frame) -> None: ...

    def close(self) -> None:
        """Complete it."""

    def abort(self) -> None:
        """Let go of it as it is."""


class Writer(ABC):
    """Takes frames in order; ``close`` makes the output appear; a ``with`` block left by an exception leaves nothing.

    ``notes``: sentences on what the output could not hold as it was. ``on_whole`` is called with the complete file or
    folder just before it is moved to its place.
    """

    def __init__(self, output: Path, options: WriteOptions, folder: bool = False) -> None:
        self.notes: list[str] = []
        self.output = output
        self.on_whole: Callable[[Path], None] | None = None
        self._overwrite = options.overwrite
        if options.work is None:
            self._temp = output.parent / f".{output.stem[:80]}.{secrets.token_hex(4)}.part"
        else:
            self._temp = options.work / "whole"
        self._open = True
        try:
            if options.work is not None:
                remove(self._temp)
            if folder:
                self._temp.mkdir()
            else:
                os.close(os.open(self._temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except OSError as error:
            raise MediaError(f"{output}: cannot be written ({error.strerror})", "choose another folder") from error

    def write(self, frame: Frame) -> None:
        """Add the next frame. Raises ``WriteError`` if it cannot be written (a full disk, an encoder that refuses)."""
        with self._told():
            self._write(frame)

    def close(self) -> None:
        """Flush, finish the file and move it to its place. After ``abort`` or a second time: nothing."""
        if not self._open:
            return
        try:
            with self._told():
                self._finish()
                if self.on_whole is not None:
                    self.on_whole(self._temp)
                self._publish()
            self._open = False
        finally:
            self.abort()

    def abort(self) -> None:
        """Give up: nothing is left behind."""
        if not self._open:
            return
        self._open = False
        self._release()
        remove(self._temp)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException) -> WriteError:
        return WriteError(f"{self.output}: writing failed ({reason(error)})", "is there room on the disk?")

    def _publish(self) -> None:
        sync(self._temp)
        self._move()
        sync(self.output.parent)

    def _move(self) -> None:
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


class PartsWriter(Writer):
    """A writer whose output can also be made in stretches, at different times, that are joined at the end."""

    def write_part(self, path: Path, frames: Iterable[Frame]) -> None:
        """Store a stretch of frames at ``path``, for ``join``. Whole, or not there; raises like ``write``."""
        part: Part | None = None
        try:
            with self._told():
                remove(path)
                part = self._part(path)
            for frame in frames:
                with self._told():
                    part.write(frame)
            with self._told():
                part.close()
        except BaseException:
            if part is not None:
                part.abort()
            remove(path)
            raise

    def join(self, parts: Iterable[Path]) -> None:
        """In place of ``write``: everything from parts, in order."""
        with self._told():
            self._join(list(parts))

    @abstractmethod
    def _part(self, path: Path) -> Part: ...

    @abstractmethod
    def _join(self, parts: list[Path]) -> None: ...


def exists(output: Path) -> MediaError:
    return MediaError(f"{output}: exists already", "choose another name, or allow it to be replaced with --overwrite")
