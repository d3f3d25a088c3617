"""Pixel formats: what a format's planes look like, and frames of PyAV to and from ours without losing a bit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from fsvideo.types import ColorTags, Frame

Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Layout:
    """A planar pixel format. ``shift_x``, ``shift_y``: log2 of the chroma subsampling; ``depth``: bits a sample."""

    name: str
    rgb: bool
    gray: bool
    alpha: bool
    depth: int
    shift_x: int
    shift_y: int

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.depth <= 8 else np.uint16

    @property
    def peak(self) -> int:
        """The largest sample."""
        return (1 << self.depth) - 1


@lru_cache(maxsize=256)
def layout(pix_fmt: str) -> Layout:
    """What ``pix_fmt`` is made of; packed formats are described as if they were planar."""
    form = av.VideoFormat(pix_fmt, 64, 64)
    parts = form.components
    color = form.is_rgb or form.has_palette or len(parts) >= 3
    width, height = (parts[1].width, parts[1].height) if color and len(parts) >= 3 else (64, 64)
    return Layout(
        name=pix_fmt,
        rgb=form.is_rgb or form.has_palette,
        gray=not color,
        alpha=form.has_palette or any(part.is_alpha for part in parts),
        depth=8 if form.has_palette else max(part.bits for part in parts),
        shift_x=(64 // width).bit_length() - 1,
        shift_y=(64 // height).bit_length() - 1,
    )


@lru_cache(maxsize=256)
def planar(pix_fmt: str) -> str:
    """The format of whole, little-endian, 8 to 16-bit planes that holds every sample of ``pix_fmt``.

    Itself for planar formats; yuv420p for nv12, gbrp for rgb24, gbrap for a palette, gbrp16le for rgb48be, ...
    """
    known = {"monob": "gray", "monow": "gray", "ya8": "gbrap", "ya16be": "gbrap16le", "ya16le": "gbrap16le"}
    if pix_fmt in known:
        return known[pix_fmt]
    if pix_fmt.startswith("yuvj"):  # the same samples; the range is told by the colour tags
        return pix_fmt.replace("yuvj", "yuv")
    form = av.VideoFormat(pix_fmt)
    if not form.components or form.is_bayer or "f16" in pix_fmt or "f32" in pix_fmt or pix_fmt.startswith("xyz"):
        return "gbrp16le"
    if form.is_planar and len({part.plane for part in form.components}) == len(form.components):
        return pix_fmt.replace("be", "le") if form.is_big_endian else pix_fmt
    if len(form.components) == 1 and not form.has_palette:
        return pix_fmt.replace("be", "le")  # gray
    lay = layout(pix_fmt)
    depth = next(bits for bits in (8, 10, 12, 16) if bits >= lay.depth)
    tail = "" if depth == 8 else f"{depth}le"
    if lay.rgb:
        return ("gbrap" if lay.alpha else "gbrp") + tail
    sampling = {(1, 1): "420", (1, 0): "422", (0, 0): "444", (2, 0): "411"}[lay.shift_x, lay.shift_y]
    return f"yuv{'a' if lay.alpha else ''}{sampling}p{tail}"


def reformat(source: VideoFrame, pix_fmt: str, **options: Any) -> VideoFrame:
    """libswscale's conversion, with exact rounding; ``options`` as in ``VideoFrame.reformat``."""
    exact = av.video.reformatter.Interpolation
    flags = exact.BICUBIC | exact.ACCURATE_RND | exact.FULL_CHR_H_INT
    return source.reformat(format=pix_fmt, interpolation=flags, threads=1, **options)


def unpack(picture: VideoFrame, pix_fmt: str) -> tuple[Plane, ...]:
    """The planes of a decoded picture in ``pix_fmt``: read-only views of the decoder's memory if it has that format."""
    if picture.format.name.replace("yuvj", "yuv") != pix_fmt:
        picture = reformat(picture, pix_fmt)
    return tuple(_view(plane, layout(pix_fmt).dtype) for plane in picture.planes)


def side_data(picture: VideoFrame, codec: str = "") -> dict[str, bytes]:
    """Side data by its FFmpeg name; empty where there is a kind that PyAV has no name for (it then lists none), and of
    PNG, whose profiles have names: PyAV frees those twice."""
    if codec in ("png", "apng"):
        return {}
    entries: Any = picture.side_data
    try:
        return {entry.type.name: bytes(entry) for entry in entries}
    except ValueError:
        return {}


def _view(plane: Any, dtype: type[np.uint8] | type[np.uint16], writable: bool = False) -> Plane:
    """One plane without the padding of its lines; a negative line size means that the picture is stored upside down."""
    rows = np.frombuffer(plane, dtype).reshape(plane.height, abs(plane.line_size) // np.dtype(dtype).itemsize)
    view: Any = (rows if plane.line_size > 0 else rows[::-1])[:, : plane.width]
    view.flags.writeable = writable
    samples: Plane = view
    return samples


def pack(frame: Frame, color: ColorTags) -> VideoFrame:
    """A picture for PyAV with ``frame``'s samples (copied), stating the colours of ``color``; no time yet."""
    height, width = frame.planes[0].shape
    picture = VideoFrame(width, height, frame.pix_fmt)
    for target, samples in zip(picture.planes, frame.planes, strict=True):
        _view(target, layout(frame.pix_fmt).dtype, writable=True)[:] = samples
    picture.colorspace, picture.color_range = color.matrix, color.range
    picture.color_primaries, picture.color_trc = color.primaries, color.transfer
    return picture


def nearest(pix_fmt: str, choices: list[str]) -> str:
    """Of ``choices`` the one that keeps most of ``pix_fmt``: colour and alpha first, then bits, model, chroma samples.

    RGB counts as 4:2:0 where the encoder has no RGB: what plays everywhere.
    """
    have = layout(pix_fmt)
    sampled = (1, 1) if have.rgb or have.gray else (have.shift_x, have.shift_y)

    def loss(name: str) -> tuple[int, ...]:
        this = layout(name)
        chroma = (this.shift_x, this.shift_y)
        return (
            int(this.gray and not have.gray),
            int(have.alpha and not this.alpha),
            max(0, have.depth - this.depth),
            int(this.rgb != have.rgb),
            sum(max(0, got - want) for got, want in zip(chroma, sampled, strict=True)),
            sum(max(0, want - got) for got, want in zip(chroma, sampled, strict=True)),
            int(this.alpha and not have.alpha),
            max(0, this.depth - have.depth),
            int(not have.gray and this.gray),
            int(planar(name) != name),
        )

    return pix_fmt if pix_fmt in choices else min((name for name in choices if "f16" not in name), key=loss)
