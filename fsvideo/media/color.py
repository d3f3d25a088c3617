"""RGB on demand for a region of a frame, and RGB differences added back to the native samples.

Only the region is ever converted. A difference is added through the linear YUV image of it, so a sample whose
difference is zero keeps every bit, and a frame that is not touched is the decoder's own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.media import tone
from fsvideo.media.formats import Layout, Plane, layout
from fsvideo.types import Array, Box, ColorTags, Frame, MediaError, MediaInfo

# Kr, Kb of the H.273 matrix code points
_LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)} | {
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),  # constant luminance, approximated by the non-constant one as players do
}


def matrix_code(info: MediaInfo) -> int:
    """The H.273 matrix to convert with: the stream's; where it states none, what players assume for its size."""
    if info.color.matrix in _LUMA:
        return info.color.matrix
    if info.color.matrix not in (0, 2, 3):
        raise MediaError(
            f"{info.path}: colour matrix {info.color.matrix} is not supported",
            "convert the file to BT.709 with ffmpeg first",
        )
    return 1 if info.kind == "video" and info.height >= 720 else 6


def full_range(info: MediaInfo, pix_fmt: str) -> bool:
    """Whether samples span the whole scale (0..255 at 8 bits) rather than the video one (16..235)."""
    return layout(pix_fmt).rgb or info.color.range == 2 or (info.color.range == 0 and info.kind != "video")


def region_rgb(frame: Frame, info: MediaInfo, box: Box) -> Array:
    """RGB of a region in native pixels: (h, w, 3) float32 on the 0..255 scale whatever the depth, not clipped.

    ``box`` lies inside the frame. Chroma is upsampled bilinearly from where the format sites it. PQ and HLG are shown
    as an SDR camera would have seen them.
    """
    signal, color = _signal(frame, info, box), info.color
    return tone.to_sdr(signal, color.transfer, color.primaries) if tone.is_hdr(color.transfer) else signal


def _signal(frame: Frame, info: MediaInfo, box: Box) -> Array:
    """RGB of a region as the stream codes it."""
    form = layout(frame.pix_fmt)
    if form.rgb:
        green, blue, red = (_floats(plane[box.slices]) for plane in frame.planes[:3])
        return _array(cv2.merge([red, green, blue]) * np.float32(255 / form.peak))
    luma = _floats(frame.planes[0][box.slices])
    scale, offset = _scale(form, full_range(info, frame.pix_fmt))
    if form.gray:
        gray = (luma - offset[0]) * scale[0]
        return _array(cv2.merge([gray, gray, gray]))
    yuv = cv2.merge([luma, *_upsampled(frame.planes[1], frame.planes[2], form, box, _centred(info))])
    return _array(cv2.transform(yuv, _yuv_to_rgb(form, matrix_code(info), scale, offset)))


def add_rgb(frame: Frame, info: MediaInfo, box: Box, delta: Array) -> Frame:
    """A new frame that differs from ``frame`` by ``delta`` inside ``box``; everything else stays bit-exact.

    ``delta``: (h, w, 3) float32, signed RGB on the scale of ``region_rgb``. Y gets the luma of ``delta``, U and V its
    downsampled colour differences, rounded; no sample is carried beyond its legal range (one outside may stay there).
    Samples under a zero delta, other rows of the planes and alpha are unchanged.
    """
    form = layout(frame.pix_fmt)
    if delta.shape[:2] != (box.height, box.width):
        raise ValueError(f"delta {delta.shape} does not fit {box}")
    if tone.is_hdr(info.color.transfer):
        curve, shown = (info.color.transfer, info.color.primaries), region_rgb(frame, info, box)
        delta = tone.from_sdr(shown + delta, *curve) - tone.from_sdr(shown, *curve)
    planes = [plane.copy() for plane in frame.planes[:3]] + list(frame.planes[3:])
    if form.rgb:
        step = delta * np.float32(form.peak / 255)
        for plane, channel in zip(planes, (1, 2, 0), strict=False):
            _add(plane[box.slices], step[..., channel], 0, form.peak)
    else:
        full = full_range(info, frame.pix_fmt)
        unit = 1 << (form.depth - 8)
        low, high, high_chroma = (0, form.peak, form.peak) if full else (16 * unit, 235 * unit, 240 * unit)
        step = cv2.transform(np.ascontiguousarray(delta, np.float32), _rgb_to_yuv(form, matrix_code(info), full))
        luma, *chroma = cv2.split(step)
        _add(planes[0][box.slices], luma, low, high)
        if not form.gray:
            blocks, small = _downsampled(cv2.merge(chroma), form, box, _centred(info))
            for plane, channel in zip(planes[1:3], (0, 1), strict=True):
                view = plane[blocks.slices]
                _add(view, small[: view.shape[0], : view.shape[1], channel], low, high_chroma)
    for plane in planes:
        plane.flags.writeable = False
    return Frame(frame.index, frame.pts, tuple(planes), frame.pix_fmt, frame.key, frame.duration)


def _array(values: npt.NDArray[Any]) -> Array:
    return np.asarray(values, np.float32)


def _floats(plane: Plane) -> Array:
    return plane.astype(np.float32)


def _add(view: Plane, step: Array, low: int, high: int) -> None:
    """In place: ``view`` plus the rounded step, kept within [low, high] or where the sample already was."""
    if view.dtype == np.uint8 and min(view.shape) > 1:  # OpenCV takes a single sample, or a few, for a scalar
        # most footage: 16 bits are enough, and sums are held at 0 and 255 by themselves
        new = cv2.add(np.ascontiguousarray(view), np.rint(step.clip(-511, 511)).astype(np.int16), dtype=cv2.CV_8U)
        np.copyto(view, cv2.min(cv2.max(new, cv2.min(view, low)), cv2.max(view, high)))
        return
    old = view.astype(np.int32)
    new = old + np.rint(step).astype(np.int32)
    np.copyto(view, np.clip(new, np.minimum(old, low), np.maximum(old, high)), casting="unsafe")


def _centred(info: MediaInfo) -> bool:
    """JPEG sites chroma in the middle of its block; video at the block's left edge, vertically in the middle."""
    return info.kind != "video" or info.codec == "mjpeg"


def _upsampled(u: Plane, v: Plane, form: Layout, box: Box, centred: bool) -> tuple[Array, Array]:
    """(h, w) each: chroma under ``box``; a margin of one sample is read so that a region equals the whole picture's."""
    nx, ny = 1 << form.shift_x, 1 << form.shift_y
    if nx == ny == 1:
        return _floats(u[box.slices]), _floats(v[box.slices])
    left, top = max(0, box.left // nx - 1), max(0, box.top // ny - 1)
    part = np.s_[top : (box.bottom - 1) // ny + 2, left : (box.right - 1) // nx + 2]
    shift_x = (box.left + 0.5) / nx - 0.5 if centred else box.left / nx
    shift_y = (box.top + 0.5) / ny - 0.5
    sample_at = np.array([[1 / nx, 0, shift_x - left], [0, 1 / ny, shift_y - top]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (box.width, box.height)
    blue, red = (
        cv2.warpAffine(_floats(plane[part]), sample_at, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for plane in (u, v)
    )
    return _array(blue), _array(red)


def _downsampled(step: Array, form: Layout, box: Box, centred: bool) -> tuple[Box, Array]:
    """The chroma blocks that ``box`` touches, and (h, w, 2) the step on them: about the upsampling's transpose."""
    nx, ny = 1 << form.shift_x, 1 << form.shift_y
    blocks = Box(box.left // nx, box.top // ny, -(-box.right // nx), -(-box.bottom // ny))
    if nx == ny == 1:
        return blocks, step
    above, below = box.top - blocks.top * ny, blocks.bottom * ny - box.bottom
    before, after = box.left - blocks.left * nx, blocks.right * nx - box.right
    if above or below or before or after:
        step = np.pad(step, ((above, below), (before, after), (0, 0)))
    if centred:
        across, anchor = np.full(nx, 1 / nx), 0
    else:
        across, anchor = (nx - np.abs(np.arange(1 - nx, nx))) / nx**2, nx - 1
    rows = _array(step.reshape(-1, ny, *step.shape[1:]).mean(1, dtype=np.float32) if ny > 1 else step)
    one = np.ones(1)
    smooth = cv2.sepFilter2D(rows, -1, across, one, anchor=(anchor, 0), borderType=cv2.BORDER_REPLICATE)
    return blocks, smooth[:, ::nx]


def _scale(form: Layout, full: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """Factors to the 0..255 scale of luma and chroma, and the samples that mean zero."""
    unit = 1 << (form.depth - 8)
    if full:
        return (255 / form.peak, 255 / form.peak), (0.0, 128.0 * unit)
    return (255 / (219 * unit), 255 / (224 * unit)), (16.0 * unit, 128.0 * unit)


@lru_cache(maxsize=64)
def _yuv_to_rgb(form: Layout, code: int, scale: tuple[float, float], offset: tuple[float, float]) -> Array:
    """(3, 4) native Y, U, V samples to RGB on the 0..255 scale."""
    kr, kb = _LUMA[code]
    kg = 1 - kr - kb
    plain = np.array(
        [[1, 0, 2 * (1 - kr)], [1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg], [1, 2 * (1 - kb), 0]]
    )
    scaled = plain * np.array([scale[0], scale[1], scale[1]])
    return np.hstack([scaled, -scaled @ np.array([[offset[0]], [offset[1]], [offset[1]]])]).astype(np.float32)


@lru_cache(maxsize=64)
def _rgb_to_yuv(form: Layout, code: int, full: bool) -> Array:
    """(3, 3) an RGB difference on the 0..255 scale to one of native Y, U, V samples."""
    kr, kb = _LUMA[code]
    luma = np.array([kr, 1 - kr - kb, kb])
    rows = [luma, (np.array([0, 0, 1]) - luma) / (2 * (1 - kb)), (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))]
    (luma_scale, chroma_scale), _ = _scale(form, full)
    return np.stack([rows[0] / luma_scale, rows[1] / chroma_scale, rows[2] / chroma_scale]).astype(np.float32)


def effective_tags(info: MediaInfo, pix_fmt: str) -> ColorTags:
    """The colour tags with matrix and range filled in where the stream leaves them open: for conversions."""
    matrix = 0 if layout(pix_fmt).rgb else matrix_code(info)
    return ColorTags(info.color.primaries, info.color.transfer, matrix, 2 if full_range(info, pix_fmt) else 1)
