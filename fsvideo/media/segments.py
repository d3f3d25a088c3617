"""Segments: stretches of encoded pictures in files of their own, and many of them made one stream again.

Each segment comes from an encoder of its own, so that it depends on nothing before it, and holds what the encoder
returned and nothing else. Times of decoding are not kept: they follow from the times of display once all are known.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from av.packet import Packet, PacketSideData
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from fsvideo.media.priority import usual_priority
from fsvideo.types import Frame, MediaError

_HEAD = struct.Struct("<8sI")  # magic, bytes of extradata, which follow
_RECORD = struct.Struct("<qqIII")  # pts, duration, is a key frame, bytes of payload and of side data, which follow
_MAGIC = b"fsvseg01"
_ALPHA = "matroska_block_additional", 15  # the side data that belongs to the picture: VP9's transparency


class SegmentWriter:
    """Encodes frames into a file of packets. ``pictures`` makes of a frame what the encoder takes."""

    def __init__(
        self, path: Path, encoder: VideoCodecContext, pictures: Callable[[Frame], Iterable[VideoFrame]]
    ) -> None:
        self._encoder, self._pictures = encoder, pictures
        with usual_priority():
            self._encoder.open(strict=False)
        self._file: BinaryIO = path.open("wb")
        extra = encoder.extradata or b""
        self._file.write(_HEAD.pack(_MAGIC, len(extra)) + extra)

    def write(self, frame: Frame) -> None:
        """Add the next frame. Raises av.error.FFmpegError or OSError."""
        for picture in self._pictures(frame):
            self._store(picture)

    def close(self) -> None:
        """Encode what the encoder holds back, and close the file."""
        self._store(None)
        self.abort()

    def abort(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _store(self, picture: VideoFrame | None) -> None:
        for packet in self._encoder.encode(picture):
            payload = bytes(packet)
            side = bytes(packet.get_sidedata("matroska_block_additional"))
            record = packet.pts or 0, packet.duration or 0, packet.is_keyframe, len(payload), len(side)
            self._file.write(_RECORD.pack(*record) + payload + side)


def joined(paths: Iterable[Path], extradata: bytes) -> Iterator[Packet[Stream]]:
    """The packets of all segments in order, with the times of decoding that one encoder would have given them.

    ``extradata``: what the container's header was written with. Raises MediaError for a segment that does not fit.
    """
    paths = list(paths)
    times = (record[0] for path in paths for record in _records(path, extradata))
    coded = np.fromiter(times, np.int64)
    shown = np.sort(coded)
    delay = int((np.arange(len(coded)) - np.searchsorted(shown, coded)).max(initial=0))
    for at, (pts, duration, key, payload, side) in enumerate(
        record for path in paths for record in _records(path, extradata, payloads=True)
    ):
        packet: Packet[Stream] = Packet(payload)
        packet.pts, packet.duration = pts, duration
        packet.dts = int(shown[at - delay] if at >= delay else shown[at] - (shown[delay] - shown[0]))
        packet.is_keyframe = key
        if side:
            extra = PacketSideData(_ALPHA[1], len(side))  # type: ignore[call-arg]
            extra.update(side)
            packet.set_sidedata(extra)
        yield packet


def _records(path: Path, extradata: bytes, payloads: bool = False) -> Iterator[tuple[int, int, bool, bytes, bytes]]:
    """(pts, duration, is a key frame, payload, side data) of every packet; the last two only with ``payloads``."""
    with path.open("rb") as file:
        magic, size = _HEAD.unpack(file.read(_HEAD.size))
        if magic != _MAGIC or file.read(size) != extradata:
            raise MediaError(f"{path}: made by another encoder than the rest", "start again without --resume")
        while head := file.read(_RECORD.size):
            pts, duration, key, length, beside = _RECORD.unpack(head)
            if payloads:
                yield pts, duration, bool(key), file.read(length), file.read(beside)
            else:
                file.seek(length + beside, 1)
                yield pts, duration, bool(key), b"", b""
