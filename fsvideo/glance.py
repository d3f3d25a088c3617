"""A look at some moments of a clip instead of at all of it, for a preview that does not wait for a long clip."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from fsvideo import casting
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.follow import Follower, rescaled
from fsvideo.flow import ahead
from fsvideo.media import read
from fsvideo.media.seek import stretches
from fsvideo.media.view import upright
from fsvideo.options import Footage, SwapOptions
from fsvideo.survey import expected, how_to_read
from fsvideo.swapper import Swapper
from fsvideo.types import Frame, MediaError, MediaInfo, Ui

MOMENTS = 12
_FRAMES = 5  # at a moment: a face is found in one and followed through the others
_SHORT = 2 * MOMENTS * _FRAMES  # frames of a clip that is looked at from its start on


@dataclass(frozen=True)
class Glance:
    """``footage`` numbers the frames that were looked at one behind the other; ``frames``: those that may be shown."""

    footage: Footage
    frames: list[Frame]
    moments: int  # 0: it was read from its start on


def glance(info: MediaInfo, finder: FaceFinder, swapper: Swapper, options: SwapOptions, ui: Ui) -> Glance:
    """Find the faces around some moments spread over a clip, or in all of a short one.

    Every stretch of frames counts as a shot. Raises MediaError where there is no frame.
    """
    count = expected(info, options)
    moments = _moments(info, options, count)
    follower = Follower(
        finder, lambda crops: swapper.embed(np.stack(crops)), casting.embedding_spec(swapper), options.detect_size
    )
    kept: list[Frame] = []
    factor = (1.0, 1.0)
    every = _FRAMES if moments else math.ceil((count or _SHORT) / MOMENTS)
    ui.stage("faces", len(moments) * _FRAMES or count)
    with closing(ahead(_frames(info, options, moments, ui), _FRAMES)) as frames:
        for index, frame in enumerate(frames):
            rgb = upright(frame, info, options.detect_size).rgb
            first = bool(moments) and index % _FRAMES == 0
            follower.update(rgb, float(frame.pts * info.time_base), cut=first and index > 0)
            factor = (info.display_width / rgb.shape[1], info.display_height / rgb.shape[0])
            if index % every == every // 2:
                kept.append(replace(frame, index=index))
            last = replace(frame, index=index)
            ui.advance()
    found = follower.finish()
    if not len(found.times):
        raise MediaError(f"{info.path}: there is no frame in the part that was asked for", "check --start and --end")
    kept = kept or [last]
    footage = Footage(found.times, [rescaled(track, factor) for track in found.tracks], found.cuts)
    return Glance(footage, kept, len(moments))


def _moments(info: MediaInfo, options: SwapOptions, count: int) -> list[float]:
    """In seconds after the first frame, spread over the part that was asked for; none for a short one."""
    if count <= _SHORT:
        return []
    begin = options.start or 0.0
    whole = info.duration if info.kind == "video" else float(info.frames * info.time_base)
    length = min(options.end or whole, whole) - begin
    return [begin + length * (n + 0.5) / MOMENTS for n in range(MOMENTS)]


def _frames(info: MediaInfo, options: SwapOptions, moments: list[float], ui: Ui) -> Iterator[Frame]:
    how = how_to_read(options, ui)
    if not moments:  # one by one: all of them at once would fill the memory
        yield from islice(read.frames(info, options.start, options.end, **how), 2 * _SHORT)
    for run in stretches(info, moments, _FRAMES, **how) if moments else ():
        if len(run) == _FRAMES:
            yield from run
