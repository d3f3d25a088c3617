"""Tags inside an H.264 stream itself, at its key frames: MPEG-TS and RTSP have no other place for them."""

from __future__ import annotations

from itertools import islice
from typing import Any
from uuid import UUID

import av
from av.container import InputContainer
from av.packet import Packet

from fsvideo.media.opening import decoder_of, pictures_of

_OURS = UUID("7d3b0c52-9a4e-4f61-8c1b-e95fa6d21b37")  # whose user data it is; without zeros, which would need escapes
_UNIT, _USER_DATA, _END = b"\0\0\0\1\6", 5, b"\x80"
_LOOK_AHEAD = 1000  # packets: a recording may begin between two key frames


def message(tags: dict[str, str]) -> bytes:
    """The unit of an Annex B stream that says them."""
    said = _OURS.bytes + "\n".join(f"{key}={value}" for key, value in tags.items()).encode()
    size = b"\xff" * (len(said) // 255) + bytes([len(said) % 255])
    return _UNIT + bytes([_USER_DATA]) + size + said + _END


def marked(packet: Packet[Any], said: bytes) -> Packet[Any]:
    """A key frame with ``said`` in front of it. (FFmpeg's filter for this puts it behind all but the first.)"""
    longer: Packet[Any] = Packet(said + bytes(packet))
    longer.pts, longer.dts, longer.duration = packet.pts, packet.dts, packet.duration
    longer.stream, longer.time_base, longer.is_keyframe = packet.stream, packet.time_base, True
    return longer


def read(container: InputContainer) -> dict[str, str]:
    """The tags at the first key frame; empty where there are none."""
    streams = [one for one in container.streams.video if one.codec_context and one.codec_context.name == "h264"]
    if not streams:
        return {}
    decoder = decoder_of(streams[0])
    try:
        packets = islice(container.demux(streams[0]), _LOOK_AHEAD)
        decoded = (one for packet in packets for one in pictures_of(decoder, packet))
        picture = next((one for one in decoded if one.key_frame), None)
        beside: Any = picture.side_data if picture is not None else ()
    except (av.error.FFmpegError, ValueError):  # damaged, or a kind of side data that PyAV has no name for
        return {}
    ours = next((entry[16:] for entry in map(bytes, beside) if entry.startswith(_OURS.bytes)), b"")
    lines = ours.decode(errors="replace").splitlines()
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}
