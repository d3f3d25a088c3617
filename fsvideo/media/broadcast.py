"""Live outputs: a window, a loopback video device, a network stream, or a file that grows as it is made."""

from __future__ import annotations

import os
import secrets
import sys
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import cv2
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fsvideo.disk import remove
from fsvideo.media import sei
from fsvideo.media.capture import PROTOCOLS, is_device, scheme_of
from fsvideo.media.color import effective_tags
from fsvideo.media.container import convert
from fsvideo.media.formats import pack
from fsvideo.media.opening import reason
from fsvideo.media.view import turn_frame, upright
from fsvideo.media.write import refuse
from fsvideo.types import ColorTags, Frame, MediaError, MediaInfo, WriteError

FILES = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".ts": "mpegts", ".flv": "flv"}
_STREAMED = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "rtp": "rtp_mpegts"}  # the others carry MPEG-TS
_TAGGED = {"mp4", "mov", "matroska", "flv"}  # MPEG-TS has but a name of its service
_TITLE = "fsvideo: AI-edited"
_TICK = Fraction(1, 90000)
_QUICK = {"preset": "veryfast", "tune": "zerolatency", "crf": "20"}
_QUIT = (27, ord("q"))  # escape
_WIDEST = 1280  # pixels of a window's longer side when it opens


class Sink(Protocol):
    """Takes swapped frames in order. ``live``: whoever is behind it expects them in their own time."""

    live: bool

    def write(self, frame: Frame) -> bool:
        """The next frame. False: the viewer wants no more. Raises WriteError."""
        ...

    def close(self) -> None:
        """Complete it."""
        ...

    def abort(self) -> None:
        """Give up; of a file nothing is left."""
        ...


def open_sink(name: str, info: MediaInfo, tags: dict[str, str], overwrite: bool) -> Sink:
    """``window``, a video device, an address or a file. Raises MediaError where it cannot take ``info``'s frames."""
    if name == "window":
        return Window(info)
    return Encoded(name, info, tags, overwrite)


def check_sink(name: str) -> None:
    """Refuse at once what cannot become an output, before networks are loaded and cameras are opened."""
    if name == "window":
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise MediaError("window: there is no display here", "name a file, a device or an address as --output")
    elif not scheme_of(name) and not is_device(name) and Path(name).suffix.lower() not in FILES:
        raise MediaError(
            f"{name}: not a live output",
            f"known: window, /dev/videoN, a file ({', '.join(FILES)}) and addresses ({', '.join(PROTOCOLS)})",
        )


class Window:
    """An OpenCV window; q, Escape or closing it ends the run."""

    live = True

    def __init__(self, info: MediaInfo) -> None:
        check_sink("window")
        self._info = info
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # OpenCV's Qt misses fonts it does not need
        shown = min(1.0, _WIDEST / max(info.display_width, info.display_height))
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.resizeWindow(_TITLE, round(info.display_width * shown), round(info.display_height * shown))
        except cv2.error as error:
            raise MediaError("window: cannot be opened", "name a file, a device or an address as --output") from error

    def write(self, frame: Frame) -> bool:
        cv2.imshow(_TITLE, upright(frame, self._info).rgb[..., ::-1])
        return cv2.waitKey(1) & 0xFF not in _QUIT and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) > 0

    def close(self) -> None:
        cv2.destroyAllWindows()

    abort = close


class Encoded:
    """A file, a device or an address, through FFmpeg, encoded so that no frame waits for a later one.

    A file grows under a hidden name and appears when it is closed.
    """

    def __init__(self, name: str, info: MediaInfo, tags: dict[str, str], overwrite: bool) -> None:
        check_sink(name)
        self.name, self._info = name, info
        scheme = scheme_of(name)
        self.live = bool(scheme) or is_device(name)
        self._file = None if self.live else Path(name)
        self._temp: Path | None = None
        target, form = name, _STREAMED.get(scheme, "mpegts")
        options = {"protocol_whitelist": PROTOCOLS[scheme]} if scheme else {}
        if is_device(name):
            form = "v4l2"
        elif self._file is not None:
            refuse(self._file, info, overwrite)
            form = FILES[self._file.suffix.lower()]
            self._temp = self._file.parent / f".{self._file.stem[:80]}.{secrets.token_hex(4)}.part"
            target = f"file:{self._temp}"
            options = {"movflags": "use_metadata_tags+frag_keyframe+empty_moov"} if form in ("mp4", "mov") else {}
        self._said = b"" if form == "v4l2" else sei.message(tags)
        self._turn = bool(info.rotation or info.mirrored)
        try:
            self._container = av.open(target, "w", format=form, options=options, timeout=10.0)
            self._stream = self._add_stream(form)
            self._container.metadata.update(tags if form in _TAGGED else {"service_name": _TITLE})
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise MediaError(f"{name}: cannot be opened for writing ({reason(error)})", _hint(name)) from error

    def _add_stream(self, form: str) -> VideoStream:
        info = self._info
        rate = (info.rate or Fraction(30)).limit_denominator(60000)
        codec = "rawvideo" if form == "v4l2" else "libx264"
        stream = self._container.add_stream(codec, rate=rate, options={} if form == "v4l2" else _QUICK)
        assert isinstance(stream, VideoStream)
        sides = (info.display_width, info.display_height) if self._turn else (info.width, info.height)
        stream.width, stream.height = (side & ~1 for side in sides)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = _TICK
        context.gop_size = max(1, round(2 * rate))  # who joins waits two seconds at most
        self._color = ColorTags(info.color.primaries, info.color.transfer, effective_tags(info, "yuv420p").matrix, 1)
        context.color_primaries, context.color_trc = self._color.primaries, self._color.transfer
        context.colorspace, context.color_range = self._color.matrix, self._color.range
        if not self._turn:
            context.sample_aspect_ratio = info.sample_aspect
        return stream

    def write(self, frame: Frame) -> bool:
        info = self._info
        ticks = round((frame.pts - info.start) * info.time_base / _TICK)
        if self._turn:
            frame = turn_frame(frame, info.rotation, info.mirrored)
        source = effective_tags(info, frame.pix_fmt)
        picture = pack(frame, source)
        context = self._stream.codec_context
        if (picture.width, picture.height) != (context.width, context.height):  # an odd row or column
            picture = picture.reformat(width=context.width, height=context.height)
        if picture.format.name != "yuv420p" or source.range != self._color.range:
            picture = convert(picture, "yuv420p", source, self._color)
            picture.colorspace, picture.color_range = self._color.matrix, self._color.range
        picture.pts, picture.time_base = ticks, _TICK
        try:
            self._encode(picture)
        except (av.error.FFmpegError, OSError) as error:
            raise WriteError(f"{self.name}: writing failed ({reason(error)})", _hint(self.name)) from error
        return True

    def _encode(self, picture: VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            said = self._said if packet.is_keyframe else b""
            self._container.mux_one(sei.marked(packet, said) if said else packet)

    def close(self) -> None:
        try:
            self._encode(None)
            self._container.close()
            if self._temp is not None and self._file is not None:
                os.replace(self._temp, self._file)
        except (av.error.FFmpegError, OSError) as error:
            self.abort()
            raise WriteError(f"{self.name}: writing failed ({reason(error)})", _hint(self.name)) from error

    def abort(self) -> None:
        container = getattr(self, "_container", None)
        try:
            if container is not None:
                container.close()
        except (av.error.FFmpegError, OSError, ValueError):
            pass  # it is what broke
        if self._temp is not None:
            remove(self._temp)


def _hint(name: str) -> str:
    if scheme_of(name):
        return "is somebody listening there?"
    if is_device(name):
        return "is it a loopback device (v4l2loopback) that nobody else writes to?"
    return "is there room on the disk?"
