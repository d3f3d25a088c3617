"""The writer of video files: one encoded stream, the input's other packets beside it, exact times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.filter import Graph
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fsvideo.media import ffmpeg, hdr, imagemeta
from fsvideo.media.color import effective_tags
from fsvideo.media.formats import Plane, layout, nearest, pack, reformat
from fsvideo.media.opening import main_video, open_input
from fsvideo.media.priority import usual_priority
from fsvideo.media.remux import Copier
from fsvideo.media.segments import SegmentWriter, joined
from fsvideo.media.view import turn_frame
from fsvideo.media.writer import MUXERS, Encoder, PartsWriter, WriteOptions
from fsvideo.types import ColorTags, Frame, MediaError, MediaInfo

_STATES_ROTATION = frozenset({"mp4", "mov", "matroska"})
_TOP_FIRST, _TOP_CODED_OR_SHOWN_FIRST = 2, (2, 5)  # AVFieldOrder
_ASPECT_FROM_CODEC = frozenset({"matroska", "webm"})  # PyAV cannot tell these muxers the sample aspect,
_NO_ASPECT = frozenset({"libvpx-vp9", "libsvtav1", "prores_ks", "ffv1"})  # nor do these codecs' streams
_REFUSE_ODD = frozenset({"libx264", "libx265"})
_RECIPE = (  # what makes another encoder of the same kind
    *("width", "height", "pix_fmt", "time_base", "framerate", "thread_count", "flags"),
    *("sample_aspect_ratio", "color_primaries", "color_trc", "colorspace", "color_range", "field_order"),
)
_FINEST = 1_000_000  # ticks a second that every muxer can count in
_AVX512 = 256  # OpenCV's number for what x264 means by AVX-512: F, CD, BW, DQ and VL


class VideoWriter(PartsWriter):
    """Encodes frames of ``info`` and muxes them with what ``Copier`` takes from the input."""

    def __init__(self, output: Path, info: MediaInfo, options: WriteOptions, encoder: Encoder) -> None:
        super().__init__(output, options)
        self._options, self._encoder = options, encoder
        self._muxer = MUXERS[output.suffix.lower()]
        self._source = info
        self._container: av.container.OutputContainer | None = None
        self._copier: Copier | None = None
        self._palette: _Palette | None = None
        self._joined = False
        if options.quality is not None and not encoder.quality:
            self.notes.append(f"quality {options.quality} was not used: {encoder.codec} has no such scale")
        try:
            self._info = self._as_stored(info)
            self._pix_fmt = self._choose_format()
            self._pad = self._padding()
            self._color = self._tags()
            self._shift = self._time_shift()
            self._stream = self._start()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abort()
            failure = self._failure(error)
            failure.hint = "try another --encoder, --preset or container"
            raise failure from error
        except BaseException:
            self.abort()
            raise

    # what the output will be

    def _as_stored(self, info: MediaInfo) -> MediaInfo:
        """``info`` as the output stores it: turned upright where the container cannot say that it is to be turned."""
        if self._muxer == "avi" and info.variable_rate:
            raise MediaError(f"{self.output}: AVI cannot hold a variable frame rate", "write .mp4 or .mkv")
        self._turn = bool(info.rotation or info.mirrored) and self._muxer not in _STATES_ROTATION
        if not self._turn:
            return info
        self.notes.append("this container does not state a rotation: the pixels are turned instead")
        if info.rotation % 180 == 0:
            return replace(info, rotation=0, mirrored=False)
        aspect = 1 / info.sample_aspect
        return replace(info, width=info.height, height=info.width, sample_aspect=aspect, rotation=0, mirrored=False)

    def _choose_format(self) -> str:
        """The encoder's pixel format that keeps most of the input's; what it cannot keep is noted."""
        if self._encoder.codec == "gif":
            return "gbrap"
        info, have = self._info, layout(self._info.pix_fmt)
        odd = self._encoder.codec in _REFUSE_ODD and (info.width % 2 or info.height % 2)
        forms = [layout(form.name) for form in av.Codec(self._encoder.codec, "w").video_formats or []]
        offered = [
            form.name
            for form in forms
            if not form.name.startswith("yuvj")
            and (self._encoder.rgb or not form.rgb)
            and (self._encoder.alpha or not form.alpha)
            and not (odd and (have.rgb or have.gray) and form.shift_x)
        ]
        chosen = nearest(info.pix_fmt, offered)
        get = layout(chosen)
        if have.alpha and not get.alpha:
            self.notes.append("transparency is dropped: the encoder has none")
        if have.depth > get.depth:
            self.notes.append(f"{have.depth} bits a sample become {get.depth}")
        if have.rgb != get.rgb or (get.shift_x, get.shift_y) != (have.shift_x, have.shift_y):
            self.notes.append(f"{info.pix_fmt} is written as {chosen}")
        return chosen

    def _padding(self) -> tuple[int, int]:
        """Rows and columns to add where the encoder refuses a size that its chroma blocks do not divide."""
        if self._encoder.codec not in _REFUSE_ODD:
            return 0, 0
        form, info = layout(self._pix_fmt), self._info
        rows, columns = -info.height % (1 << form.shift_y), -info.width % (1 << form.shift_x)
        if rows or columns:
            size = f"{info.width + columns} x {info.height + rows}"
            self.notes.append(f"padded to {size}: {self._encoder.codec} takes no odd size in {self._pix_fmt}")
        return rows, columns

    def _tags(self) -> ColorTags:
        """Colour tags of the output: the input's own, unless RGB has to become YUV or the reverse."""
        have, get, color = layout(self._info.pix_fmt), layout(self._pix_fmt), self._info.color
        if have.rgb and not get.rgb:
            return replace(color, matrix=1 if self._info.height >= 720 else 6, range=1)
        return replace(color, matrix=0, range=2) if get.rgb and not have.rgb else color

    def _time_shift(self) -> int:
        """Ticks that every time moves back by: the cut, or what a container without an offset cannot hold."""
        info = self._info
        if self._options.start:
            return info.tick_at(self._options.start)
        return info.start if self._muxer in ("avi", "gif") else 0

    # setting up

    def _start(self) -> VideoStream:
        """Open the output, add all streams and write its header: an encoder that refuses does it here."""
        self._container = av.open(f"file:{self._temp}", "w", format=self._muxer)
        stream = self._add_stream()
        tags = dict(self._options.tags)
        if self._muxer == "gif":
            self._palette = _Palette(self._info)
            if self._source.audio:
                self.notes.append("a GIF has no sound")
        elif self._source.kind == "video":
            self._copier = self._open_copier()
            self.notes += self._copier.notes
            stream.metadata.update(self._copier.video_metadata)
            tags = {**self._copier.container_tags(), **tags}
        self._container.metadata.update(tags)
        if self._muxer in ("mp4", "mov"):  # only one kind of tag list: with any key, or with a place for cover art
            free = self._copier is None or not self._copier.has_cover
            self._container.container_options["movflags"] = "faststart" + "+use_metadata_tags" * free
        with usual_priority():
            self._container.start_encoding()
        return stream

    def _open_copier(self) -> Copier:
        assert self._container is not None
        info, tick = self._source, self._source.time_base
        begin = self._shift * tick if self._shift or self._muxer == "avi" else None  # AVI: no sound before its 0
        stop = self._options.stop
        end = info.tick_at(stop) * tick if stop is not None else None
        return Copier(info.path, self._container, begin, end, audio=self._options.audio == "copy")

    def _add_stream(self) -> VideoStream:
        assert self._container is not None
        info, encoder = self._info, self._encoder
        rate = (info.rate or 1 / info.time_base).limit_denominator(60000)
        stream = self._container.add_stream(encoder.codec, rate=rate)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height = info.width + self._pad[1], info.height + self._pad[0]
        context.pix_fmt = "pal8" if encoder.codec == "gif" else self._pix_fmt
        context.time_base = info.time_base if info.time_base.denominator <= _FINEST else Fraction(1, _FINEST)
        if self._muxer in ("avi", "gif"):
            context.time_base = 1 / rate if self._muxer == "avi" else Fraction(1, 100)
        context.thread_count = self._options.threads
        context.flags |= Flags.frame_duration
        context.sample_aspect_ratio = info.sample_aspect
        context.color_primaries, context.color_trc = self._color.primaries, self._color.transfer
        context.colorspace, context.color_range = self._color.matrix, self._color.range
        if info.rotation or info.mirrored:
            stream.set_display_rotation(info.rotation, hflip=info.mirrored)
        fields = self._mark_fields(stream) if info.interlaced else []
        context.options = self._codec_options(stream, fields)
        self._recipe = {name: getattr(context, name) for name in _RECIPE} | {"bit_rate": 0, "options": context.options}
        return stream

    def _codec_options(self, stream: VideoStream, fields: list[str]) -> dict[str, str]:
        """The encoder's options: those of its line in ``ENCODERS``, and what each one calls threads, fields and HDR."""
        encoder, wanted = self._encoder, self._options
        options = dict(encoder.options)
        if encoder.quality:
            options[encoder.quality] = str(encoder.quality_default if wanted.quality is None else wanted.quality)
        if encoder.preset:
            preset = wanted.preset or encoder.preset_default
            options[encoder.preset] = encoder.presets.get(preset, preset)
        light = hdr.parameters(self._source, encoder.codec)
        if light is None:
            self.notes.append("this encoder does not carry HDR mastering metadata")
        private = [*fields, *(light or [])]
        alpha = layout(self._pix_fmt).alpha
        if encoder.codec == "libx264":
            options["x264-params"] = ":".join([*_same_each_time(), *private])
            if self._muxer == "avi":
                options["bf"] = "0"  # AVI knows no order of display beside that of decoding
        elif encoder.codec == "libx265":
            pools = [f"pools={wanted.threads}"] if wanted.threads else []
            options["x265-params"] = ":".join(["log-level=error", *pools, *private])
            if self._muxer in ("mp4", "mov"):
                stream.codec_context.codec_tag = "hvc1"  # players of Apple's want it
        elif encoder.codec == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only: it writes to stderr by itself
            options["svtav1-params"] = ":".join([f"lp={wanted.threads}", *private])
        elif encoder.codec == "prores_ks":
            options["profile"] = "hq" if self._pix_fmt.startswith("yuv422") else "4444"
            options["alpha_bits"] = "16" if alpha else "0"
        elif encoder.codec == "libvpx-vp9" and alpha:
            options["auto-alt-ref"] = "0"
            stream.metadata["alpha_mode"] = "1"
        return {key: value for key, value in options.items() if value}

    def _mark_fields(self, stream: VideoStream) -> list[str]:
        """Say which field comes first, in the container and to the encoder."""
        with open_input(self._source.path) as source:
            order = main_video(source, self._source.path).codec_context.field_order
        stream.codec_context.field_order = order if order >= _TOP_FIRST else _TOP_FIRST
        if self._encoder.codec == "libx264":
            stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            return ["tff=1" if stream.codec_context.field_order in _TOP_CODED_OR_SHOWN_FIRST else "bff=1"]
        if self._encoder.codec not in ("prores_ks", "ffv1"):
            self.notes.append("the fields stay interleaved, but this encoder does not mark them as fields")
        return []

    # frames

    def _write(self, frame: Frame) -> None:
        for picture in self._pictures(frame):
            self._encode(picture)

    def _pictures(self, frame: Frame) -> Iterator[VideoFrame]:
        """The frame as the encoder wants it, with its time."""
        if self._turn:
            frame = turn_frame(frame, self._source.rotation, self._source.mirrored)
        if any(self._pad):
            frame = _padded(frame, *self._pad)
        info = self._info
        if frame.pix_fmt == self._pix_fmt:
            picture = pack(frame, self._color)
        else:
            source, target = effective_tags(info, frame.pix_fmt), effective_tags(info, self._pix_fmt)
            if layout(frame.pix_fmt).rgb:
                target = self._color
            picture = convert(pack(frame, source), self._pix_fmt, source, target)
            picture.colorspace, picture.color_range = self._color.matrix, self._color.range
        picture.pts, picture.time_base = frame.pts - self._shift, info.time_base
        picture.duration = frame.duration
        if self._palette is None:
            yield picture
        else:
            yield from self._palette.apply(picture)

    def _encode(self, picture: VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            self._mux(packet)

    def _mux(self, packet: Packet[Any]) -> None:
        """The packet, and before it what else of the input is due."""
        assert self._container is not None
        if self._copier is not None and packet.dts is not None:
            self._copier.advance(float(packet.dts * packet.time_base))
        self._container.mux_one(packet)

    # segments

    def _part(self, path: Path) -> SegmentWriter:
        encoder = av.CodecContext.create(self._encoder.codec, "w")
        assert isinstance(encoder, VideoCodecContext)
        for name, value in self._recipe.items():
            setattr(encoder, name, value)
        return SegmentWriter(path, encoder, self._pictures)

    def _join(self, parts: list[Path]) -> None:
        context = self._stream.codec_context
        for packet in joined(parts, context.extradata or b""):
            packet.stream, packet.time_base = self._stream, self._recipe["time_base"]
            self._mux(packet)
        self._joined = True

    # the end

    def _finish(self) -> None:
        assert self._container is not None
        if not self._joined:
            self._encode(None)
        if self._copier is not None:
            self._copier.finish()
        self._container.close()
        if self._info.sample_aspect != 1 and self._muxer in _ASPECT_FROM_CODEC and self._encoder.codec in _NO_ASPECT:
            shape = self._info.sample_aspect * Fraction(self._info.width, self._info.height)
            ffmpeg.state_aspect(self._temp, self._muxer, shape)
        if self._muxer == "gif":  # FFmpeg writes no comments into a GIF
            meta = imagemeta.ImageMeta(text=self._options.tags)
            self._temp.write_bytes(imagemeta.embed(self._temp.read_bytes(), meta))

    def _release(self) -> None:
        if self._copier is not None:
            self._copier.close()
        with suppress(av.error.FFmpegError, OSError, ValueError):
            if self._container is not None:
                self._container.close()


def _same_each_time() -> list[str]:
    """What makes x264 encode equal pictures to equal bytes: with AVX-512 its ``mbtree_propagate_list`` takes eight
    macroblocks at a time, beyond the end of a row too, and the quantisers then depend on what lay in memory there.
    AVX2's takes as many as there are, and costs some two percent of time."""
    return ["asm=avx2"] if cv2.checkHardwareSupport(_AVX512) else []


def convert(picture: VideoFrame, pix_fmt: str, source: ColorTags, target: ColorTags) -> VideoFrame:
    """Another pixel format, by the matrices and ranges of ``source`` and ``target``; no change of primaries."""
    scaler = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # H.273 matrices -> libswscale's numbers
    spaces = {"src_colorspace": scaler.get(source.matrix), "dst_colorspace": scaler.get(target.matrix)}
    known = {name: space for name, space in spaces.items() if space is not None}
    return reformat(picture, pix_fmt, **known, src_color_range=source.range, dst_color_range=target.range)


def _padded(frame: Frame, rows: int, columns: int) -> Frame:
    """The frame with its last row and column repeated; chroma already covers them."""
    full = frame.planes[0].shape
    planes: list[Plane] = []
    for plane in frame.planes:
        whole: Any = np.pad(plane, ((0, rows), (0, columns)), mode="edge") if plane.shape == full else plane
        planes.append(whole)
    return replace(frame, planes=tuple(planes))


class _Palette:
    """The best 256 colours of each frame, transparency kept: what a GIF can hold of a picture."""

    def __init__(self, info: MediaInfo) -> None:
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=info.width, height=info.height, format=av.VideoFormat("rgba"), time_base=info.time_base
        )
        split = self._graph.add("split")
        generate = self._graph.add("palettegen", "stats_mode=single:reserve_transparent=1")
        use = self._graph.add("paletteuse", "new=1:dither=sierra2_4a")
        sink = self._graph.add("buffersink")
        source.link_to(split)
        split.link_to(generate, 0)
        split.link_to(use, 1)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        self._graph.configure()

    def apply(self, picture: VideoFrame) -> Iterator[VideoFrame]:
        packed = reformat(picture, "rgba")
        packed.pts, packed.time_base = picture.pts, picture.time_base
        self._graph.push(packed)
        with suppress(av.error.BlockingIOError):
            while True:
                result = self._graph.pull()
                assert isinstance(result, VideoFrame)
                result.duration = picture.duration
                yield result
