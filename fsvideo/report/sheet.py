"""A sheet of frames before and after: a look before the long work."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from fsvideo.media import imagemeta
from fsvideo.media.seal import Seal
from fsvideo.media.view import upright
from fsvideo.render import FrameTask, Job
from fsvideo.report.files import publish
from fsvideo.types import Frame, Image, MediaInfo, Ui

_SHEET_FRAMES = 6
_SHEET_WIDTH = 480  # pixels of one picture in the sheet
_STRIP = 36  # pixels of the strip below a column
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK, _LIGHT = (24, 24, 27), (228, 228, 231)


def spread(jobs: list[Job], frames: int, among: Sequence[int] | None = None) -> list[int]:
    """Up to six frame numbers spread over those with a swapped face, or over all where there is none.

    ``among``: the numbers to take them from; None: any.
    """
    faces = np.zeros(frames, bool)
    for job in jobs:
        faces[job.track.start : job.track.stop] |= job.opacity > 0
    any_of = np.arange(frames) if among is None else np.array(among, int)
    wanted = any_of[faces[any_of]] if faces[any_of].any() else any_of
    picks = np.linspace(0, len(wanted) - 1, min(_SHEET_FRAMES, len(wanted))).round().astype(int)
    return [int(wanted[i]) for i in np.unique(picks)]


def preview(frames: Generator[tuple[FrameTask, Frame]], info: MediaInfo, count: int, ui: Ui) -> Image:
    """A sheet: a row of frames as they are, below each the same frame swapped, and when it is shown."""
    ui.stage("preview", count)
    columns: list[Image] = []
    with closing(frames):
        for task, frame in frames:
            pair = [_small(upright(f, info).rgb) for f in (task.frame, frame)]
            if not columns:
                pair = [_named(picture, name) for picture, name in zip(pair, ("before", "after"), strict=True)]
            columns.append(np.vstack([*pair, _strip(_moment(frame, info))]))
            ui.advance()
    return np.hstack(columns)


def clock(seconds: float) -> str:
    """``0:07.25`` or ``1:02:03.50``."""
    cents = round(seconds * 100)
    hours, minutes = cents // 360000, cents // 6000 % 60
    rest = f"{cents // 100 % 60:02}.{cents % 100:02}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def write_preview(path: Path, sheet: Image, tags: dict[str, str], seal: Seal | None, source: Path) -> None:
    """A sheet as a PNG file, marked as what it is."""
    png = imagemeta.embed(bytes(cv2.imencode(".png", sheet[..., ::-1])[1]), imagemeta.ImageMeta(text=tags))
    publish(path, png, lambda part: None if seal is None else seal.apply(part, path.with_suffix(".png"), source))


def _small(rgb: Image) -> Image:
    height = round(rgb.shape[0] * _SHEET_WIDTH / rgb.shape[1])
    return np.asarray(cv2.resize(rgb, (_SHEET_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def _moment(frame: Frame, info: MediaInfo) -> str:
    """When a frame is shown, or which of a folder's images it is."""
    if info.kind == "video":
        return clock(float((frame.pts - info.start) * info.time_base))
    return f"image {frame.pts + 1}" if info.kind == "folder" else ""


def _strip(text: str) -> Image:
    strip = np.full((_STRIP, _SHEET_WIDTH, 3), _DARK, np.uint8)
    (width, _), _ = cv2.getTextSize(text, _FONT, 0.6, 1)
    return _written(strip, text, (_SHEET_WIDTH - width) // 2, 25)


def _named(picture: Image, name: str) -> Image:
    (width, _), _ = cv2.getTextSize(name, _FONT, 0.6, 1)
    picture = picture.copy()
    picture[: _STRIP - 4, : width + 20] = _DARK
    return _written(picture, name, 10, 22)


def _written(picture: Image, text: str, x: int, y: int) -> Image:
    return np.asarray(cv2.putText(picture, text, (x, y), _FONT, 0.6, _LIGHT, 1, cv2.LINE_AA))
