"""Opening what strangers made: only media files, only themselves, and nothing that claims to be larger than allowed."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
from av.container import Flags, InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fsvideo.media import imagemeta
from fsvideo.media.ffmpeg import ONLY_MEDIA
from fsvideo.types import MediaError

_OPTIONS = {**ONLY_MEDIA, "pattern_type": "none"}  # image2: a % in a file's name is a character
_INT_MAX = (1 << 31) - 1
_COVER = Disposition.attached_pic | Disposition.timed_thumbnails
_ALLOW = "if that is right, allow it with --no-limits"


@dataclass(frozen=True)
class Limits:
    """How much a file may claim to be before it is refused, so that a few bytes cannot take all memory.

    ``still``, ``moving``: pixels of an image, and of a video or a folder's image, of which dozens are held at once.
    """

    still: int = 1 << 27  # 134 megapixels
    moving: int = 1 << 26  # 67 megapixels: 8192 x 8192
    hours: float = 24.0
    streams: int = 64


LIMITS = Limits()
NO_LIMITS = Limits(_INT_MAX, _INT_MAX, math.inf, _INT_MAX)


def open_input(path: Path, most: int = LIMITS.still) -> InputContainer:
    """Open a media file of a known format, and no other; ``MediaError`` in one line where that fails.

    ``most``: pixels of the largest picture that a decoder may make room for.
    """
    try:
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: the file is empty")
        options = {**_OPTIONS, "max_pixels": str(most), "codec_whitelist": _tried()}
        form = "apng" if imagemeta.is_animated_png(path) else None
        container = av.open(f"file:{path}", "r", format=form, options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise unreadable(path, error, most) from error
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or error}", "check the name, and who may read it") from error
    if _without_pts(container):
        container.flags &= ~Flags.gen_pts.value  # type: ignore[operator]  # for H.264 it gives the next one's
    return container


@lru_cache(maxsize=1)
def _tried() -> str:
    """The decoders that FFmpeg may try while it opens a file: not PNG's, which unpack whatever metadata there is."""
    return ",".join(sorted(av.codecs_available - {"png", "apng"}))


def pictures_of(decoder: VideoCodecContext, packet: Packet[VideoStream]) -> list[VideoFrame]:
    """Decode; a packet that would unpack to an absurd amount of metadata is refused like a damaged one."""
    if decoder.name in ("png", "apng"):
        try:
            imagemeta.check_png(bytes(packet))
        except (ValueError, struct.error) as error:
            raise av.error.InvalidDataError(1, str(error)) from error
    return decoder.decode(packet)


def time_of(container: InputContainer, one: VideoFrame | Packet[VideoStream]) -> int | None:
    """When it is shown, in ticks."""
    return one.dts if one.pts is None and _without_pts(container) else one.pts


def _without_pts(container: InputContainer) -> bool:
    """AVI states only when frames are decoded."""
    return container.format.name == "avi"


def reason(error: BaseException) -> str:
    """The part of an FFmpeg error that says something, on one line."""
    log = getattr(error, "log", None)
    said = log[2] if log else (getattr(error, "strerror", None) or str(error))
    return " ".join(str(said).split())


def unreadable(path: Path, error: av.error.FFmpegError, most: int) -> MediaError:
    """What to say of a file that FFmpeg refuses, where pictures may have ``most`` pixels."""
    return MediaError(f"{path}: not a readable video or image ({reason(error)})", _hint(path, most))


def _hint(path: Path, most: int) -> str:
    with path.open("rb") as file:
        head = file.read(21).ljust(21)
    if head[4:8] == b"ftyp":
        return "an MP4 without its index: the recording or download broke off"
    if head[8:16] == b"WEBPVP8X" and head[20] & 2:
        return "an animated WebP: make a GIF or a video of it first"
    return "is it a video or an image?" + " (a giant one needs --no-limits)" * (most <= LIMITS.still)


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """The stream that is the video: cover art and thumbnails are not."""
    streams = [stream for stream in container.streams.video if not stream.disposition & _COVER]
    if not streams:
        raise MediaError(f"{path}: there is no video in it")
    stream = next((one for one in streams if one.disposition & Disposition.default), streams[0])
    context = stream.codec_context
    if context is None:
        raise MediaError(f"{path}: its video codec is not known here")
    return stream


def check(path: Path, container: InputContainer, stream: VideoStream, limits: Limits) -> None:
    """Refuse by the header alone what claims to be larger than ``limits``."""
    context, hours = stream.codec_context, (container.duration or 0) / av.time_base / 3600
    most = limits.still if is_still(container) else limits.moving
    claims = [
        (context.width * context.height, most, f"{context.width} x {context.height} pixels"),
        (hours, limits.hours, f"{hours:,.0f} hours"),
        (len(container.streams), limits.streams, f"{len(container.streams)} streams"),
    ]
    for claim, limit, words in claims:
        if claim > limit:
            raise MediaError(f"{path}: claims to have {words}, more than is taken from a file without asking", _ALLOW)


def is_still(container: InputContainer) -> bool:
    """Whether it is an image, which has no times."""
    return container.format.name == "image2" or container.format.name.endswith("_pipe")


def decoder_of(stream: VideoStream, most: int = LIMITS.still) -> VideoCodecContext:
    """The stream's decoder; for VP8 and VP9 with transparency libvpx, as FFmpeg's own decoders drop it.

    It refuses pictures of more than ``most`` pixels: a stream may grow on the way.
    """
    decoder = _decoder(stream)
    decoder.options = {"max_pixels": str(most)}
    return decoder


def _decoder(stream: VideoStream) -> VideoCodecContext:
    library = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.codec.canonical_name)
    if library is None or "1" not in (stream.metadata.get("alpha_mode"), stream.metadata.get("ALPHA_MODE")):
        return stream.codec_context
    decoder = av.CodecContext.create(library, "r")
    assert isinstance(decoder, VideoCodecContext)
    stated = stream.codec_context
    decoder.extradata = stated.extradata
    decoder.color_primaries, decoder.color_trc = stated.color_primaries, stated.color_trc  # the container's word
    decoder.colorspace, decoder.color_range = stated.colorspace, stated.color_range
    return decoder
