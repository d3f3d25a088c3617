"""Results that look like the source: what a swapper makes of it is looked at, and what is missing is asked for.

AEI-Net answers with a face that a recogniser places near the source, always a little off, and off by much the same in
every frame of one person: towards an average face, and towards who the target is. Asked for the source and as much
beyond, it comes nearer. The difference is measured on a few frames before a run begins, and on the same frames what is
asked for is tuned: see ``tuning``. No weight changes. Of glasses what is asked for says what the target does: see
``glasses``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeAlias

import numpy as np

from fsvideo.casting import line_of
from fsvideo.faces.align import warp
from fsvideo.faces.people import clearness
from fsvideo.faces.rims import line_across
from fsvideo.media.color import region_rgb
from fsvideo.options import SwapOptions
from fsvideo.render import FaceTask, Job, Painter, cut_faces, swap_faces
from fsvideo.swapper import Swapper
from fsvideo.tuning import Going, to_the_end
from fsvideo.types import Array, Frame, MediaInfo

FramesAt: TypeAlias = Callable[[Sequence[int]], Iterable[Frame]]
"""The frames with these numbers, which rise."""

_LOOKS = 5  # frames of a person that are looked at
_GAIN = 1.0  # of what is missing; a second round from there gains nothing more
_NEAR = 100  # frames behind a segment's first one, from which decoding begins, that halve what a frame is worth
_FAR = 300  # such frames beyond which none is taken while others are there


@dataclass(frozen=True)
class Seen:
    """A face that was looked at: who its swap shows, and who it shows itself (D,)."""

    face: FaceTask
    shown: Array
    own: Array


def worth_looking(
    jobs: Sequence[Job], cuts: Sequence[int] = (0,), among: Collection[int] | None = None
) -> dict[int, list[Job]]:
    """Frames in which it is clearly seen who somebody is, and the jobs to look at in each; a few a person and source.

    ``cuts``: frames from which decoding can begin. ``among``: the only frames there are.
    """
    chosen: defaultdict[int, list[Job]] = defaultdict(list)
    for group in by_person(jobs):
        seen = [
            (job.track.start + int(row), float(value), job)
            for job in group
            for row, value in enumerate(clearness(job.track))
            if value > 0 and job.opacity[row] == 1 and (among is None or job.track.start + row in among)
        ]
        frames = np.array([frame for frame, _, _ in seen], np.int64)
        late = frames - np.asarray(cuts)[np.searchsorted(cuts, frames, "right") - 1]
        worth = np.array([value for _, value, _ in seen]) * np.exp2(-late / _NEAR)
        order = np.argsort(frames, kind="stable")
        soon = order[late[order] <= _FAR]
        for part in np.array_split(soon if len(soon) else order, _LOOKS):
            if len(part):
                frame, _, job = seen[part[np.argmax(worth[part])]]
                chosen[frame].append(job)
    return dict(sorted(chosen.items()))


def corrected(
    jobs: Sequence[Job],
    frames_at: FramesAt,
    info: MediaInfo,
    swapper: Swapper,
    options: SwapOptions,
    cuts: Sequence[int] = (0,),
    among: Collection[int] | None = None,
) -> list[Job]:
    """The jobs with what is ``missing`` of their source in the frames ``worth_looking`` at."""
    seen: defaultdict[Hashable, list[Seen]] = defaultdict(list)
    for one in looked_at(jobs, frames_at, info, swapper, options, cuts, among):
        seen[_key(one.face.job)].append(one)
    found: dict[Hashable, Array] = {}
    for job in jobs:
        if (key := _key(job)) in seen and key not in found:
            found[key] = asked(job, seen[key], swapper, options.tune)
    return [replace(job, missing=found.get(_key(job))) for job in jobs]


def looked_at(
    jobs: Sequence[Job],
    frames_at: FramesAt,
    info: MediaInfo,
    swapper: Swapper,
    options: SwapOptions,
    cuts: Sequence[int] = (0,),
    among: Collection[int] | None = None,
) -> list[Seen]:
    """What becomes of the jobs in the frames ``worth_looking`` at.

    They are swapped as ``render`` does it, each by itself, and who they show is compared with who was wanted. What a
    source's glasses leave is not filled in: else the network were asked for more of them.
    """
    tried = [replace(job, identity=replace(job.identity, glasses=0.0)) for job in jobs]
    looks = worth_looking(tried, cuts, among)
    seen: list[Seen] = []
    cut = (cut_faces([frame], info, looks[frame.index], swapper.spec) for frame in frames_at(list(looks)))
    for task in swap_faces(chain.from_iterable(cut), swapper, options.batch_size):
        if not task.faces:
            continue
        result, size = Painter(info, options).paint(task), swapper.spec.size
        made = [warp(region_rgb(result, info, face.box), face.matrix, size, size) for face in task.faces]
        shown, own = np.split(swapper.embed(np.stack([*made, *(f.crop for f in task.faces)]).clip(0, 255)), 2)
        seen += [Seen(*one) for one in zip(task.faces, shown, own, strict=True)]
    return seen


def asked(job: Job, seen: Sequence[Seen], swapper: Swapper, steps: int, going: Going = to_the_end) -> Array:
    """(A, D) what to ask each layer for beyond the job's source; (D,) of all the same where nothing is tuned.

    ``going`` is asked before each of the ``steps`` whether to go on.
    """
    source = replace(job, missing=None).wanted.embedding
    missing = np.float32(_GAIN) * np.mean([source - s.shown * float(s.shown @ source) for s in seen], axis=0)
    worn, held = np.zeros_like(source), None
    if swapper.glasses is not None:
        portrait, own = job.identity.portrait, np.mean([s.own for s in seen], axis=0)
        lines = float(np.median([line_across(s.face.crop) for s in seen])), line_of(portrait) if portrait else 0.0
        worn = swapper.glasses.as_on(own, source + missing, lines)
        held = swapper.glasses.reader if worn.any() else None  # recognisers would have them back
    wish = source + missing + worn
    length = np.linalg.norm(wish)
    crops, masks = (np.stack([getattr(s.face, name) for s in seen]) for name in ("crop", "mask"))
    tuned = swapper.tuned(crops, masks, source + worn, wish / length, steps, going, held)
    return np.asarray(length * tuned - source, np.float32)


def always(frame: Frame) -> FramesAt:
    """``frames_at`` where there is one frame alone."""
    return lambda numbers: [frame] * len(numbers)


def by_person(jobs: Iterable[Job]) -> list[list[Job]]:
    """The jobs of each person and source, which are looked at, and tuned, together."""
    groups: defaultdict[Hashable, list[Job]] = defaultdict(list)
    for job in jobs:
        groups[_key(job)].append(job)
    return list(groups.values())


def _key(job: Job) -> Hashable:
    """The same for all tracks of a person who get the same face in the same way."""
    track = job.track
    return (track.person if track.person >= 0 else f"track {track.id}", id(job.identity.embedding), job.look)
