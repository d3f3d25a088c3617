"""Reading video, stills and folders of stills: what they are, and their frames with exact times and samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fsvideo.media import imagemeta
from fsvideo.media.color import effective_tags
from fsvideo.media.formats import layout, planar, side_data, unpack
from fsvideo.media.opening import (
    LIMITS,
    NO_LIMITS,
    Limits,
    check,
    decoder_of,
    is_still,
    main_video,
    open_input,
    pictures_of,
    reason,
    time_of,
    unreadable,
)
from fsvideo.media.view import affine, turn_matrix, upright
from fsvideo.types import ColorTags, Frame, MediaError, MediaInfo

__all__ = ["LIMITS", "NO_LIMITS", "Limits", "folder_images", "frames", "in_natural_order", "probe", "upright"]

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_LOOK_AHEAD = 240  # packets read to judge whether the rate varies
_CUT_OFF = 1.0  # seconds a stream may end before its header says, before we call it cut off


def probe(path: Path, limits: Limits = LIMITS, keep_going: bool = False) -> MediaInfo:
    """What an input is: a video, a still image, or a folder of images. Decodes one frame (of a folder: one an image).

    Raises ``MediaError`` for whatever cannot be read or claims more than ``limits`` allow, in one line; with
    ``keep_going`` images of a folder may be damaged, as long as one is not.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _probe_folder(path, limits, keep_going)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})", "check its name, and who may read it") from error
    with open_input(path, limits.still) as container:
        stream = main_video(container, path)
        check(path, container, stream, limits)
        try:
            return _describe(path, container, stream, limits)
        except av.error.FFmpegError as error:
            raise unreadable(path, error, limits.still) from error


def _describe(path: Path, container: InputContainer, stream: VideoStream, limits: Limits) -> MediaInfo:
    still = is_still(container)
    first: VideoFrame | None = None
    decoder = decoder_of(stream, limits.still if still else limits.moving)
    times: list[int] = []
    for packet in container.demux(stream):
        time = time_of(container, packet)
        if time is not None and not packet.is_discard:
            times.append(time)
        if first is None:
            first = next(iter(pictures_of(decoder, packet)), None)
        elif len(times) >= _LOOK_AHEAD or still:
            break
    if first is None:
        raise MediaError(f"{path}: no picture in it can be decoded")
    pix_fmt = planar(first.format.name)
    sample_aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1)
    if still:
        if imagemeta.pages(path) > 1:
            raise MediaError(
                f"{path}: holds several pages", "save each as an image of its own; a folder of them will do"
            )
        rotation, mirrored = imagemeta.orientation(imagemeta.extract(path).exif)
    else:
        rotation, mirrored = _turn(first, decoder.name)
    tick = stream.time_base or Fraction(1, 25)
    rate = None if still else stream.average_rate or stream.guessed_rate
    seconds = float(stream.duration * tick) if stream.duration else (container.duration or 0) / av.time_base
    info = MediaInfo(
        path=path,
        kind="image" if still else "video",
        width=first.width,
        height=first.height,
        pix_fmt=pix_fmt,
        codec=stream.codec_context.codec.canonical_name,
        rate=rate,
        time_base=Fraction(1, 25) if still else tick,
        start=0 if still else time_of(container, first) or 0,
        duration=0.0 if still else seconds,
        frames=1 if still else round(seconds * rate) if rate and seconds else stream.frames,
        bit_depth=layout(pix_fmt).depth,
        color=_color(first),
        sample_aspect=sample_aspect if sample_aspect > 0 else Fraction(1),
        rotation=rotation,
        mirrored=mirrored,
        variable_rate=_varies(times),
        interlaced=first.interlaced_frame,
        audio=tuple(_describe_audio(one) for one in container.streams.audio),
        subtitles=tuple(f"{_codec(one)} {one.language or ''}".strip() for one in container.streams.subtitles),
    )
    return _with_display(info)


def described(path: Path, first: VideoFrame, codec: str, rate: Fraction | None, tick: Fraction | None) -> MediaInfo:
    """What a stream is of which only the first picture is known: a live one."""
    pix_fmt = planar(first.format.name)
    rotation, mirrored = _turn(first, codec)
    info = MediaInfo(
        path=path,
        kind="video",
        width=first.width,
        height=first.height,
        pix_fmt=pix_fmt,
        codec="live",
        rate=rate,
        time_base=tick or Fraction(1, 25),
        start=first.pts or 0,
        bit_depth=layout(pix_fmt).depth,
        color=_color(first),
        rotation=rotation,
        mirrored=mirrored,
    )
    return _with_display(info)


def _with_display(info: MediaInfo) -> MediaInfo:
    wide = max(1, round(info.width * info.sample_aspect))
    stretch = affine(wide / info.width, 1.0)
    turn, (width, height) = turn_matrix(wide, info.height, info.rotation, info.mirrored)
    return replace(info, to_display=(turn @ stretch)[:2].astype(np.float32), display_width=width, display_height=height)


def _turn(picture: VideoFrame, codec: str) -> tuple[int, bool]:
    """Rotation (to the nearest quarter) and mirroring that a display matrix asks for."""
    matrix = side_data(picture, codec).get("DISPLAYMATRIX")
    if matrix is None:
        return round(picture.rotation / 90) * 90 % 360, False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5] / 65536
    mirrored = bool(a * d - b * c < 0)
    if mirrored:
        a, c = -a, -c
    return round(np.degrees(np.arctan2(-b, a)) / 90) * 90 % 360, mirrored


def _color(picture: VideoFrame) -> ColorTags:
    full = picture.format.name.startswith("yuvj")
    return ColorTags(
        int(picture.color_primaries),
        int(picture.color_trc),
        int(picture.colorspace),
        2 if full else int(picture.color_range),
    )


def _varies(times: list[int]) -> bool:
    """Whether the gaps between frames differ by more than rounding to ticks explains."""
    gaps = np.diff(np.sort(times)[: -16 if len(times) > 32 else None])  # the last may wait for reordered ones
    return bool(len(gaps) > 1 and gaps.max() - gaps.min() > max(1.0, 0.05 * float(np.median(gaps))))


def _codec(stream: av.stream.Stream) -> str:
    return stream.codec_context.name if stream.codec_context is not None else "unknown"


def _describe_audio(stream: av.AudioStream) -> str:
    context: Any = stream.codec_context  # None for a codec that is not known here
    if context is None:
        return "unknown"
    return f"{context.name} {context.sample_rate / 1000:g} kHz {context.layout.name}"


def folder_images(folder: Path) -> list[Path]:
    """The images of a folder in natural order; hidden files are left out."""
    found = [one for one in folder.iterdir() if one.suffix.lower() in IMAGES and not one.name.startswith(".")]
    return in_natural_order(one for one in found if one.is_file())


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    """By name: img2 before img10."""

    def key(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name.lower())]

    return sorted(paths, key=key)


def _probe_folder(folder: Path, limits: Limits, keep_going: bool) -> MediaInfo:
    paths = folder_images(folder)
    if not paths:
        raise MediaError(f"{folder}: no images in this folder", f"it may hold {', '.join(sorted(IMAGES))}")
    infos = []
    for path in paths:
        try:
            infos.append(probe(path, replace(limits, still=limits.moving)))
        except MediaError:
            if not keep_going or (path == paths[-1] and not infos):
                raise
    first = infos[0]
    for info in infos:
        if info.kind != "image":
            raise MediaError(
                f"{folder}: {info.path.name} is an animation", "swap it by itself, and take it out of here"
            )
    for info in infos[1:]:
        if (info.display_width, info.display_height) != (first.display_width, first.display_height):
            sizes = " and ".join(f"{one.path.name} {one.display_width} x {one.display_height}" for one in (first, info))
            raise MediaError(f"{folder}: the images differ in size ({sizes})", "one size a folder, please")
        if (info.rotation, info.mirrored) != (first.rotation, first.mirrored):
            raise MediaError(f"{folder}: {info.path.name} is turned (EXIF) unlike {first.path.name}")
    if any((info.pix_fmt, info.color) != (first.pix_fmt, first.color) for info in infos):  # mixed: the common ground
        tail = "16le" if any(info.bit_depth > 8 for info in infos) else ""
        pix_fmt = ("gbrap" if any(layout(info.pix_fmt).alpha for info in infos) else "gbrp") + tail
        first = replace(first, pix_fmt=pix_fmt, bit_depth=layout(pix_fmt).depth, color=ColorTags(matrix=0, range=2))
    return replace(first, path=folder, kind="folder", frames=len(paths), codec="images")


def frames(
    info: MediaInfo,
    start: float | None = None,
    stop: float | None = None,
    *,
    threads: int = 0,
    on_damage: Callable[[MediaError], None] | None = None,
) -> Iterator[Frame]:
    """Decode in order of display. ``start`` (inclusive), ``stop`` (exclusive): seconds after the first frame.

    ``Frame.pts`` is the stream's own; ``Frame.index`` counts from 0 at the first frame yielded. Damage raises
    ``MediaError`` with the file and the time; with ``on_damage`` it is reported there instead, damaged packets are
    skipped, concealed frames are yielded, and decoding goes on. ``threads``: the decoder's, 0 for its choice.
    """
    first = info.tick_at(start or 0.0)
    last = None if stop is None else info.tick_at(stop)
    if info.kind == "video":
        source = _decode(info, first if start else None, last is None, threads, on_damage)
    else:
        source = _stills(info, first, on_damage)
    index = 0
    for frame in source:
        if last is not None and frame.pts >= last:
            return
        if start is None or frame.pts >= first:
            frame.index = index
            index += 1
            yield frame


def _stills(info: MediaInfo, first: int, on_damage: Callable[[MediaError], None] | None) -> Iterator[Frame]:
    paths = folder_images(info.path) if info.kind == "folder" else [info.path]
    for pts, path in enumerate(paths):
        if pts < first:
            continue
        try:
            with open_input(path, max(LIMITS.still, info.width * info.height)) as container:
                stream = main_video(container, path)
                decoder = decoder_of(stream, max(LIMITS.still, info.width * info.height))
                decoded = (one for packet in container.demux(stream) for one in pictures_of(decoder, packet))
                picture = next(decoded, None)
                if picture is None or (picture.width, picture.height) != (info.width, info.height):
                    raise MediaError(f"{path}: holds no picture of {info.width} x {info.height}")
                if layout(info.pix_fmt).rgb and not layout(planar(picture.format.name)).rgb:
                    color = effective_tags(replace(info, color=_color(picture)), planar(picture.format.name))
                    picture.colorspace, picture.color_range = color.matrix, color.range
                yield Frame(0, pts, unpack(picture, info.pix_fmt), info.pix_fmt, key=True, duration=1)
        except (av.error.FFmpegError, MediaError) as error:
            failure = error if isinstance(error, MediaError) else MediaError(f"{path}: damaged ({reason(error)})")
            if on_damage is None:
                raise failure from error
            on_damage(failure)


def _decode(
    info: MediaInfo,
    seek_to: int | None,
    to_the_end: bool,
    threads: int,
    on_damage: Callable[[MediaError], None] | None,
) -> Iterator[Frame]:
    """All frames from the key frame before ``seek_to`` (ticks) on; times are made to rise where a file's do not."""
    at = info.start  # ticks, of the end of the last frame

    def damaged(what: str) -> None:
        failure = MediaError(
            f"{info.path}: damaged at {float((at - info.start) * info.time_base):.2f} s ({what})",
            "repair or re-download it, or go on without the damaged frames with --keep-going",
        )
        if on_damage is None:
            raise failure
        on_damage(failure)

    with open_input(info.path) as container:
        stream = main_video(container, info.path)
        decoder = decoder_of(stream, max(LIMITS.moving, info.width * info.height))
        decoder.thread_type = ThreadType.AUTO
        decoder.thread_count = threads
        if seek_to is not None:
            try:
                container.seek(seek_to, stream=stream)
            except (av.error.FFmpegError, OverflowError):  # a bare stream has no index; nothing lies that far on
                yield from _decode(info, None, to_the_end, threads, on_damage)
                return
        previous: int | None = None
        for item in _pictures(container, stream, decoder):
            if isinstance(item, str):
                damaged(item)
                continue
            if item.is_corrupt and previous is not None:
                damaged("a frame could not be decoded whole")
            time = time_of(container, item)
            pts = time if time is not None else at
            if previous is None and seek_to is not None and pts > seek_to:  # sought too far: read from the start
                yield from _decode(info, None, to_the_end, threads, on_damage)
                return
            previous = pts = pts if previous is None else max(pts, previous + 1)
            at = pts + (item.duration or 1)
            if (item.width, item.height) != (info.width, info.height):  # the size changed on the way: as players do
                item = item.reformat(width=info.width, height=info.height)
            planes = unpack(item, info.pix_fmt)
            yield Frame(0, pts, planes, info.pix_fmt, key=bool(item.key_frame), duration=item.duration or 0)
        missing = _declared_end(stream) - float(at * info.time_base)
        if to_the_end and missing > _CUT_OFF:
            damaged(f"the file is cut off, {missing:.1f} s are missing")


def _pictures(container: InputContainer, stream: VideoStream, decoder: VideoCodecContext) -> Iterator[VideoFrame | str]:
    """Decoded pictures; a string for every packet that could not be read or decoded."""
    for _ in range(1000):  # a demuxer that stumbled is asked again, but not forever
        try:
            for packet in container.demux(stream):
                try:
                    pictures = pictures_of(decoder, packet)
                except av.error.FFmpegError as error:
                    yield reason(error)
                    continue
                yield from pictures
            return
        except av.error.FFmpegError as error:
            yield reason(error)


def _declared_end(stream: VideoStream) -> float:
    """Seconds at which the header says that the stream ends; 0 if it does not say."""
    if stream.duration and stream.time_base:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    clock = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska's statistics
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else 0.0
