"""Live inputs: cameras and network streams, and files taken as if they were live.

A network address is opened only because the user named it here; everywhere else only local files are.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame

from fsvideo.media import read
from fsvideo.media.formats import unpack
from fsvideo.media.opening import LIMITS, main_video, reason
from fsvideo.types import Frame, MediaError

# Beside the one that was named, what it is built on, and no more: a playlist cannot lead elsewhere.
PROTOCOLS = {
    "udp": "udp",
    "rtp": "rtp,udp",
    "tcp": "tcp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "srt": "srt,udp",
    "rtsp": "rtsp,rtp,udp,tcp",
}
_DEMUXERS = "mpegts,flv,live_flv,rtsp,rtp,h264,hevc,mjpeg,matroska,webm,nut"
_PATIENCE = (15.0, 5.0)  # seconds to open, and without a packet until a stream is taken to have ended
_PROBE = {"probesize": "1000000", "analyzeduration": "1000000", "fflags": "nobuffer"}  # what is buffered is late


def scheme_of(name: str) -> str:
    """``udp`` of ``udp://...``; empty for a file or device. Raises MediaError for one that is not allowed."""
    match = re.match(r"([a-z][a-z0-9+.-]*)://", name, re.IGNORECASE)
    if match is None:
        return ""
    scheme = match[1].lower()
    if scheme not in PROTOCOLS:
        raise MediaError(f"{name}: {scheme} is not a protocol for live pictures", f"known: {', '.join(PROTOCOLS)}")
    return scheme


def is_device(name: str) -> bool:
    """Whether it is a video device, such as /dev/video0."""
    return not scheme_of(name) and Path(name).is_char_device()


class Capture:
    """An open live input. ``live``: its pictures come in their own time, and those that are not taken are lost.

    ``info`` is known when it is open. Raises MediaError where it cannot be read.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.live = bool(scheme_of(name)) or is_device(name)
        self._container: InputContainer | None = None
        if not self.live:
            self.info = read.probe(Path(name))
            return
        try:
            self._container = self._open()
            self._pictures = self._decoded(self._container)
            first = next(self._pictures, None)
        except (av.error.FFmpegError, OSError) as error:
            raise MediaError(f"{name}: cannot be opened ({reason(error)})", "is it there, and sending?") from error
        if first is None:
            raise MediaError(f"{name}: ended before its first picture")
        self._first = first
        stream = main_video(self._container, Path(name))
        self.info = read.described(
            Path(name), first, stream.codec_context.name, stream.average_rate or stream.guessed_rate, stream.time_base
        )
        if self.info.width * self.info.height > LIMITS.moving:
            raise MediaError(f"{name}: {self.info.width} x {self.info.height} pixels are more than can be swapped live")

    def _open(self) -> InputContainer:
        scheme = scheme_of(self.name)
        if not scheme:
            return av.open(self.name, "r", format="v4l2", timeout=_PATIENCE)
        allowed = {"protocol_whitelist": PROTOCOLS[scheme], "format_whitelist": _DEMUXERS}
        return av.open(self.name, "r", options={**_PROBE, **allowed}, timeout=_PATIENCE)

    def frames(self) -> Generator[Frame]:
        """Every picture in order; times rise, and begin at ``info.start``. The end of a live stream is no error.

        A live input is closed with it.
        """
        if not self.live:
            yield from read.frames(self.info)
            return
        info, last = self.info, self.info.start - 1
        try:
            for index, picture in enumerate(chain([self._first], self._pictures)):
                if (picture.width, picture.height) != (info.width, info.height):
                    picture = picture.reformat(width=info.width, height=info.height)
                last = max(picture.pts if picture.pts is not None else last + 1, last + 1)
                planes = tuple(plane.copy() for plane in unpack(picture, info.pix_fmt))  # a device reuses its buffers
                yield Frame(index, last, planes, info.pix_fmt)
        finally:
            self.close()

    def _decoded(self, container: InputContainer) -> Iterator[VideoFrame]:
        stream = main_video(container, Path(self.name))
        stream.codec_context.options = {"max_pixels": str(LIMITS.moving)}
        packets: Any = container.demux(stream)
        seen = False
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                if not seen:
                    raise
                return  # the sender has gone
            if packet is None:
                return
            try:
                pictures = stream.codec_context.decode(packet)
            except av.error.FFmpegError:
                continue  # whoever joins a stream in its middle waits for the next whole picture
            for picture in pictures:
                if seen or picture.key_frame or not picture.is_corrupt:
                    seen = True
                    yield picture

    def close(self) -> None:
        """Let go of it."""
        if self._container is not None:
            self._container.close()
