"""The writers of single images and of folders of images."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
from av.codec.context import Flags

from fsvideo.disk import move, sync
from fsvideo.media import imagemeta
from fsvideo.media.color import effective_tags
from fsvideo.media.container import convert
from fsvideo.media.formats import layout, nearest, pack
from fsvideo.media.read import folder_images
from fsvideo.media.writer import STILLS, PartsWriter, WriteOptions, Writer
from fsvideo.types import ColorTags, Frame, MediaError, MediaInfo

_CODECS = {".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg", ".webp": "libwebp"}
_JFIF = ColorTags(matrix=5, range=2)  # JPEG files are full-range BT.601
_WEBP = ColorTags(matrix=5, range=1)
_QUALITY = 98


class ImageWriter(Writer):
    """One frame, one image file, with the input's EXIF and colour profile."""

    def __init__(self, output: Path, info: MediaInfo, options: WriteOptions) -> None:
        super().__init__(output, options)
        self._info, self._options, self._written = info, options, 0

    def _write(self, frame: Frame) -> None:
        if self._written:
            raise MediaError(f"{self.output}: holds one image, not several")
        blob = _encode(frame, self._info, self.output.suffix.lower(), self._options, self._info.path)
        self._temp.write_bytes(blob)
        self._written += 1

    def _finish(self) -> None:
        if not self._written:
            raise MediaError(f"{self.output}: no image was made")


class FolderWriter(PartsWriter):
    """A folder of images named as the input's; formats that carry no metadata become PNG.

    Replacing a folder replaces the images of the same names and leaves everything else in it alone.
    """

    def __init__(self, output: Path, info: MediaInfo, options: WriteOptions) -> None:
        self._info, self._options = info, options
        self._sources = folder_images(info.path)
        names = Counter(self._name(source) for source in self._sources)
        if twin := next((name for name, count in names.items() if count > 1), None):
            raise MediaError(f"{info.path}: two of the images would be {twin} in the output", "rename one of them")
        super().__init__(output, options, folder=True)
        if any(path.suffix.lower() not in STILLS for path in self._sources):
            self.notes.append("BMP and TIFF images are written as PNG")

    def _write(self, frame: Frame) -> None:
        self._store(frame, self._temp)

    def _store(self, frame: Frame, folder: Path) -> None:
        source = self._sources[frame.pts]
        place = folder / self._name(source)
        place.write_bytes(_encode(frame, self._info, place.suffix.lower(), self._options, source))

    @staticmethod
    def _name(source: Path) -> str:
        return source.name if source.suffix.lower() in STILLS else f"{source.stem}.png"

    def _part(self, path: Path) -> _FolderPart:
        path.mkdir()
        return _FolderPart(path, self._store)

    def _join(self, parts: list[Path]) -> None:
        for part in parts:
            for image in part.iterdir():
                try:
                    os.link(image, self._temp / image.name)
                except OSError:  # a file system without hard links
                    shutil.copyfile(image, self._temp / image.name)

    def _finish(self) -> None:
        if not any(self._temp.iterdir()):
            raise MediaError(f"{self.output}: no image was made")

    def _publish(self) -> None:
        for image in self._temp.iterdir():
            sync(image)
        super()._publish()

    def _move(self) -> None:
        move(self._temp, self.output)


@dataclass(frozen=True)
class _FolderPart:
    """Images of one stretch in a folder of their own."""

    path: Path
    store: Callable[[Frame, Path], None]

    def write(self, frame: Frame) -> None:
        self.store(frame, self.path)

    def close(self) -> None: ...

    def abort(self) -> None: ...


def _encode(frame: Frame, info: MediaInfo, suffix: str, options: WriteOptions, source: Path) -> bytes:
    """An image file: PNG lossless, WebP lossless for RGB, JPEG with the input's own chroma sampling or 4:4:4."""
    codec = _CODECS[suffix]
    form = layout(frame.pix_fmt)
    offered = [one.name for one in av.Codec(codec, "w").video_formats or [] if not one.name.startswith("yuvj")]
    if codec == "mjpeg" and form.rgb:
        offered = ["yuv444p"]
    pix_fmt = nearest(frame.pix_fmt, offered)
    own = effective_tags(info, frame.pix_fmt)
    stored = replace({"mjpeg": _JFIF, "libwebp": _WEBP}.get(codec, own), primaries=own.primaries, transfer=own.transfer)
    if layout(pix_fmt).rgb:
        stored = replace(stored, matrix=0, range=2)
    picture = pack(frame, own)
    same = (own.matrix in (5, 6)) == (stored.matrix in (5, 6)) and own.range == stored.range
    if frame.pix_fmt != pix_fmt or not (same or layout(pix_fmt).gray):
        picture = convert(picture, pix_fmt, own, stored)
    picture.colorspace, picture.color_range = stored.matrix, stored.range
    picture.pts = 0

    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = info.width, info.height, pix_fmt
    context.time_base = info.time_base
    context.flags |= Flags.bitexact  # no comment of the encoder's own
    context.colorspace, context.color_range = stored.matrix, stored.range
    context.color_primaries, context.color_trc = stored.primaries, stored.transfer
    context.sample_aspect_ratio = info.sample_aspect
    quality = _QUALITY if options.quality is None else options.quality
    if codec == "mjpeg":
        context.qmin = context.qmax = min(31, max(1, round((100 - quality) / 3)))
    elif codec == "libwebp":
        context.options = {"lossless": "1"} if layout(pix_fmt).rgb else {"quality": str(quality)}
    blob = b"".join(bytes(packet) for one in (picture, None) for packet in context.encode(one))
    meta = imagemeta.extract(source)
    meta = replace(meta, exif=imagemeta.without_thumbnail(meta.exif), text={**meta.text, **options.tags})
    return imagemeta.embed(blob, meta)
