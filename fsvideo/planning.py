"""What pass 2 has to do: the tracks to swap, and how much of each frame of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fsvideo.casting import Cast
from fsvideo.faces.passing import common, passes_before, shown_beside
from fsvideo.faces.smooth import fade, smooth
from fsvideo.options import Footage, SwapOptions
from fsvideo.render import Job
from fsvideo.types import MediaInfo, Track


def plan(footage: Footage, cast: Cast, info: MediaInfo, options: SwapOptions) -> list[Job]:
    """The tracks to swap, steadied with a view of the whole clip, and how opaque each of their frames is."""
    bounds = {0, *footage.cuts, len(footage.times)}
    chosen = cast.assign(footage, info)
    ids = {track.id for track, _ in chosen}
    bystanders = [_steady(track, footage, options) for track in footage.tracks if track.id not in ids]
    jobs = []
    for track, role in chosen:
        steady, times = _steady(track, footage, options), footage.times[track.start : track.stop]
        opacity = fade(steady, times, bounds, role.takes(steady, times, info))
        if role.face is not None and opacity.any():
            others = tuple(
                other
                for other in bystanders
                if any(passes_before(other, steady, k) or shown_beside(other, steady, k) for k in common(other, steady))
            )
            jobs.append(Job(steady, opacity, role.face, role.look, role.name, others))
    return jobs


def _steady(track: Track, footage: Footage, options: SwapOptions) -> Track:
    return smooth(track, footage.times[track.start : track.stop], options.smooth)


def counts(jobs: Sequence[Job], frames: int) -> tuple[int, int]:
    """Frames in which somebody is swapped, and faces swapped."""
    faces = np.zeros(frames, np.int64)
    for job in jobs:
        faces[job.track.start : job.track.stop] += job.opacity > 0
    return int((faces > 0).sum()), int(faces.sum())
