"""Pictures as a viewer sees them: turned, mirrored and stretched for display; for looking at, not for writing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import av
import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.media import tone
from fsvideo.media.color import effective_tags
from fsvideo.media.formats import layout, pack, unpack
from fsvideo.types import Array, Box, ColorTags, Frame, Image, MediaInfo

Matrix = npt.NDArray[np.float64]
Samples = TypeVar("Samples", bound=npt.NDArray[Any])


def _stretch(info: MediaInfo) -> float:
    """How much wider a native pixel is shown, with the display's width rounded to whole pixels."""
    return (info.display_width if info.rotation % 180 == 0 else info.display_height) / info.width


def affine(scale_x: float, scale_y: float, left: float = 0.0, top: float = 0.0) -> Matrix:
    """(3, 3) matrix: cut at (left, top), then scale, in pixel-centre coordinates."""
    shift_x, shift_y = (0.5 - left) * scale_x - 0.5, (0.5 - top) * scale_y - 0.5
    return np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y], [0, 0, 1]], np.float64)


def turn_matrix(width: int, height: int, rotation: int, mirrored: bool) -> tuple[Matrix, tuple[int, int]]:
    """(3, 3) matrix that turns a picture ``rotation`` degrees counter-clockwise, then mirrors it; and its new size."""
    right, bottom = width - 1, height - 1
    turns = {0: ((1, 0, 0), (0, 1, 0)), 90: ((0, 1, 0), (-1, 0, right))} | {
        180: ((-1, 0, right), (0, -1, bottom)),
        270: ((0, -1, bottom), (1, 0, 0)),
    }
    size = (width, height) if rotation % 180 == 0 else (height, width)
    matrix = np.array([*turns[rotation], (0, 0, 1)], np.float64)
    if mirrored:
        matrix = np.array([[-1, 0, size[0] - 1], [0, 1, 0], [0, 0, 1]], np.float64) @ matrix
    return matrix, size


@dataclass(frozen=True)
class View:
    """A picture as a viewer sees it. ``rgb`` (h, w, 3); ``from_display`` (2, 3) maps display pixels to its pixels."""

    rgb: Image
    from_display: Array

    def to_display(self, points: Array) -> Array:
        """(N, 2) pixels of this picture -> display pixels."""
        back = cv2.invertAffineTransform(self.from_display)
        return np.asarray(points @ back[:, :2].T + back[:, 2], np.float32)


def upright(
    frame: Frame, info: MediaInfo, max_side: int | None = None, box: Box | None = None, *, threads: int = 1
) -> View:
    """The picture, or the part under ``box`` (display pixels), in uint8 RGB, turned and stretched as it is displayed.

    Scaled down, antialiased, so that its long side is at most ``max_side``. For looking at (detection, previews): the
    conversion is fast and exact to about one level; ``color.region_rgb`` is the exact one.
    """
    form = layout(frame.pix_fmt)
    area = Box(0, 0, info.width, info.height) if box is None else _native_box(info, box, form.shift_x, form.shift_y)
    picture = pack(_cut(frame, area), effective_tags(info, frame.pix_fmt))
    wide, high = area.width * _stretch(info), float(area.height)
    scale = min(1.0, max_side / max(wide, high)) if max_side else 1.0
    width, height = max(1, round(wide * scale)), max(1, round(high * scale))
    kernel = av.video.reformatter.Interpolation
    color = {4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}.get(int(picture.colorspace), 1)  # H.273 -> swscale's numbers
    seen = picture.reformat(
        width,
        height,
        "rgb24",
        src_colorspace=color,
        dst_colorspace=color,
        interpolation=kernel.AREA if scale < 1 else kernel.BILINEAR,
        src_color_range=picture.color_range,
        dst_color_range=2,
        threads=threads,
    )
    rgb = np.asarray(seen.to_ndarray(), np.uint8)
    if tone.is_hdr(info.color.transfer):
        rgb = np.asarray(cv2.LUT(rgb, tone.table(info.color.transfer)), np.uint8)
    turn, _ = turn_matrix(width, height, info.rotation, info.mirrored)
    cut = affine(width / area.width, height / area.height, area.left, area.top)
    to_display = np.vstack([info.to_display, (0, 0, 1)])
    matrix = turn @ cut @ np.linalg.inv(to_display)
    return View(turned(rgb, info.rotation, info.mirrored), matrix[:2].astype(np.float32))


def turned(plane: Samples, rotation: int, mirrored: bool) -> Samples:
    """An array turned by quarters counter-clockwise, then mirrored; contiguous."""
    codes = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
    result = cv2.rotate(plane, codes[rotation]) if rotation else plane
    return cast(Samples, cv2.flip(result, 1) if mirrored else result)


def _cut(frame: Frame, area: Box) -> Frame:
    """The planes under ``area``, whose left and top lie on whole chroma blocks."""
    full = frame.planes[0].shape
    form = layout(frame.pix_fmt)
    planes = []
    for plane in frame.planes:
        sx, sy = (0, 0) if plane.shape == full else (form.shift_x, form.shift_y)
        rows = slice(area.top >> sy, -(-area.bottom // (1 << sy)))
        planes.append(plane[rows, area.left >> sx : -(-area.right // (1 << sx))])
    return replace(frame, planes=tuple(planes))


def _native_box(info: MediaInfo, box: Box, shift_x: int, shift_y: int) -> Box:
    """The native pixels under a box of display pixels, grown to whole chroma blocks, inside the frame."""
    corners = np.array([[box.left, box.top], [box.right, box.bottom]], np.float64) - 0.5
    back = cv2.invertAffineTransform(info.to_display)
    low, high = np.sort(corners @ back[:, :2].T + back[:, 2] + 0.5, axis=0)
    nx, ny = 1 << shift_x, 1 << shift_y
    left, top = (int(max(0, low[axis] + 1e-3)) // step * step for axis, step in ((0, nx), (1, ny)))
    right, bottom = (int(-(-(high[axis] - 1e-3) // step) * step) for axis, step in ((0, nx), (1, ny)))
    area = Box(left, top, min(right, info.width), min(bottom, info.height))
    if area.width < 1 or area.height < 1:
        raise ValueError(f"{box} lies outside {info.path}")
    return area


def turn_frame(frame: Frame, rotation: int, mirrored: bool) -> Frame:
    """A frame whose planes are turned as ``turned`` does; formats subsampled in one direction only become 4:4:4."""
    form = layout(frame.pix_fmt)
    if rotation % 180 and form.shift_x != form.shift_y:
        wide = re.sub(r"4[1-4][0-4]p", "444p", frame.pix_fmt)
        frame = replace(frame, planes=unpack(pack(frame, ColorTags()), wide), pix_fmt=wide)
    return replace(frame, planes=tuple(turned(plane, rotation, mirrored) for plane in frame.planes))
