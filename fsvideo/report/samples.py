"""Frames of a finished run to look at: cut out around the faces, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fsvideo.faces.align import transform
from fsvideo.media.seek import stretches
from fsvideo.media.view import upright
from fsvideo.types import Box, Frame, Image, MediaInfo

Row = dict[str, Any]  # of FrameLog

MOST = 24  # frames
_SIDE = 640  # pixels of a picture's longer side
_AROUND = 1.5  # sides of the square that is shown, in sides of the swapped region


@dataclass(frozen=True)
class Sample:
    """One frame before and after. ``why`` it is shown, where it is not one of those spread over the clip."""

    index: int
    seconds: float  # after the first frame of the output
    why: str
    before: Image
    after: Image


def choose(rows: Sequence[Row], most: int = MOST) -> dict[int, str]:
    """Row numbers of frames to show, and why: the extremes of what was measured, the others spread over the clip."""
    swapped = [n for n, row in enumerate(rows) if row["faces"]]
    picks: dict[int, str] = {}
    for why, measure in _EXTREMES.items():
        worst = max(swapped, key=lambda n: max(map(measure, rows[n]["faces"])), default=None)
        if worst is not None and worst not in picks and len(swapped) > most:
            picks[worst] = why
    for at in np.linspace(0, len(swapped) - 1, min(len(swapped), most - len(picks))).round().astype(int):
        picks.setdefault(swapped[at], "")
    return dict(sorted(picks.items()))


_EXTREMES = {
    "most flicker": lambda face: (face["flicker"] or 0) - (face["flicker_of_original"] or 0),
    "least like the source": lambda face: -face["similarity_to_source"],
    "most turned away": lambda face: max(abs(angle) for angle in face["pose_degrees"][:2]),
}


def take(before: MediaInfo, after: MediaInfo, rows: Sequence[Row], **how: Any) -> Iterator[Sample]:
    """The chosen frames of input and output, whose rows say when they are shown. ``how``: options of reading."""
    if not rows:
        return
    chosen = choose(rows)
    began = rows[0]["seconds"]
    seconds = [row["seconds"] - began for row in rows]
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(seconds))]  # in the middle between frames: containers round
    moments = [edges[n] for n in chosen]
    late = began - float(before.start * before.time_base)
    pairs = zip(stretches(before, [late + m for m in moments], **how), stretches(after, moments), strict=True)
    for (number, why), (old, new) in zip(chosen.items(), pairs, strict=True):
        if old and new:
            box = _square([face["region"] for face in rows[number]["faces"]], before)
            pictures = (_cut(old[0], before, box), _cut(new[0], after, box))
            yield Sample(rows[number]["index"], seconds[number], why, *pictures)


def _square(regions: Sequence[Sequence[int]], info: MediaInfo) -> Box:
    """Around all regions (native pixels), as near to a square as the picture allows; display pixels."""
    corners = np.array(regions, np.float32).reshape(-1, 2, 2) - 0.5
    shown = transform(info.to_display, corners).reshape(-1, 2) + 0.5
    low, high = shown.min(0), shown.max(0)
    side = _AROUND * float(np.max(high - low))
    whole = np.array([info.display_width, info.display_height])
    size = np.minimum(side, whole)
    left, top = np.clip((low + high - size) / 2, 0, whole - size)
    return Box(round(left), round(top), round(left + size[0]), round(top + size[1]))


def _cut(frame: Frame, info: MediaInfo, box: Box) -> Image:
    inside = Box(box.left, box.top, min(box.right, info.display_width), min(box.bottom, info.display_height))
    return upright(frame, info, _SIDE, inside).rgb
