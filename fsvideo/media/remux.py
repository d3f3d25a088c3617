"""Copying what is not the picture, packet by packet: sound, subtitles, cover art, attachments, chapters and tags."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Discard, Disposition, Stream

from fsvideo.media.opening import main_video, open_input

_OURS = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # the container's, written anew
_STATISTICS = ("BPS", "DURATION", "NUMBER_OF_", "_STATISTICS_", "vendor_id", "encoder", "ENCODER", "alpha_mode")


class Copier:
    """The packets of ``source`` that are not its main video, in file order, muxed up to the time the video has reached.

    ``start``, ``stop``: seconds on the source's clock that are kept, moved so that ``start`` becomes 0; None: all.
    """

    def __init__(
        self, source: Path, target: OutputContainer, start: Fraction | None, stop: Fraction | None, audio: bool
    ) -> None:
        self.notes: list[str] = []
        self.has_cover = False
        self._start, self._stop = start, stop
        self._target = target
        self._container = open_input(source)
        self._streams: dict[int, Stream] = {}
        video = main_video(self._container, source)
        self.video_metadata = stream_tags(video)
        for stream in self._container.streams:
            if stream is not video and (audio or stream.type != "audio") and self._add(stream):
                continue
            stream.discard = Discard.all
        self._copy_chapters()
        self._packets = self._demux()
        self._next = next(self._packets, None)

    def container_tags(self) -> dict[str, str]:
        return {key: value for key, value in self._container.metadata.items() if key not in _OURS}

    def advance(self, seconds: float) -> None:
        """Mux every packet up to ``seconds`` on the output's clock."""
        while self._next is not None and self._next[0] <= seconds:
            self._target.mux_one(self._next[1])
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Mux the rest: sound may outlast the picture."""
        self.advance(float("inf"))

    def close(self) -> None:
        self._container.close()

    def _add(self, stream: Stream) -> bool:
        cover = bool(stream.disposition & Disposition.attached_pic)
        if stream.type == "video" and not cover:
            self.notes.append("a second video stream is left out")
            return False
        name = stream.codec_context.name if stream.codec_context is not None else stream.type
        if isinstance(stream, AttachmentStream):
            name = stream.metadata.get("filename", "attachment")
            with suppress(ValueError, av.error.FFmpegError):
                self._target.add_attachment(name, stream.mimetype or "", stream.data)
            return False
        if not _fits(stream, self._target.format.name):
            if stream.type != "data" or not self._container.chapters():  # QuickTime lists chapters as data, too
                what = "cover art" if cover else f"{stream.type} stream"
                self.notes.append(f"the {what} ({name}) does not fit into this container and is left out")
            return False
        copy = self._target.add_stream_from_template(stream)
        copy.metadata.update(stream_tags(stream))
        copy.disposition = stream.disposition
        self._streams[stream.index] = copy
        self.has_cover |= cover
        return True

    def _demux(self) -> Iterator[tuple[float, Packet[Stream]]]:
        """(seconds on the output's clock, packet moved to the output's stream)."""
        if not self._streams:
            return
        if self._start:
            self._container.seek(max(0, int((self._start - 5) * av.time_base)))
        reached = Fraction(0)
        with suppress(av.error.FFmpegError):  # damage of the input was told by the decoder, or is forgiven
            for packet in self._container.demux(*(self._container.streams[index] for index in self._streams)):
                if packet.size == 0 or packet.stream_index not in self._streams:
                    continue
                tick = packet.time_base
                cover = bool(packet.stream.disposition & Disposition.attached_pic)
                time = packet.pts if packet.pts is not None else packet.dts
                reached = time * tick if time is not None and not cover else reached
                if self._stop is not None and reached >= self._stop + 5:
                    return
                if not cover and not self._kept(reached):
                    continue
                shift = round((self._start or 0) / tick)
                packet.pts = 0 if cover else packet.pts if packet.pts is None else packet.pts - shift
                packet.dts = 0 if cover else packet.pts if packet.dts is None else packet.dts - shift
                packet.stream = self._streams[packet.stream_index]
                yield float((packet.dts or 0) * tick), packet

    def _kept(self, time: Fraction) -> bool:
        return (self._start is None or time >= self._start) and (self._stop is None or time < self._stop)

    def _copy_chapters(self) -> None:
        chapters = []
        for chapter in self._container.chapters():
            tick = chapter["time_base"] or Fraction(1, 1000)
            begin, end = chapter["start"], chapter["end"]
            if self._start is not None:
                begin, end = (max(0, time - round(self._start / tick)) for time in (begin, end))
            if self._stop is not None:
                length = round((self._stop - (self._start or 0)) / tick)
                begin, end = min(begin, length), min(end, length)
            if end > begin:
                chapters.append({**chapter, "start": begin, "end": end})
        if chapters:
            self._target.set_chapters(chapters)  # type: ignore[arg-type]  # a TypedDict spread is a dict to mypy


def stream_tags(stream: Stream) -> dict[str, str]:
    """A stream's language, title and the like, without figures about the old file."""
    return {key: value for key, value in stream.metadata.items() if not key.startswith(_STATISTICS)}


def _fits(stream: Stream, muxer: str) -> bool:
    """Whether ``muxer`` takes the stream's codec: tried out, as its tables do not tell the whole truth."""
    try:
        trial = av.open(io.BytesIO(), "w", format=muxer)
        trial.add_stream_from_template(stream)
        trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    with suppress(av.error.FFmpegError):
        trial.close()
    return True
