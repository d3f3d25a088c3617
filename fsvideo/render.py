"""Pass 2, frame by frame: cut the faces, swap them in batches, put them back."""

from __future__ import annotations

import base64
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from fsvideo.faces.align import compose, crop_matrix, features_of, transform, warp
from fsvideo.faces.blend import delta, masked, region_of, shifted
from fsvideo.faces.calm import Shown, calm
from fsvideo.faces.hues import match_hues
from fsvideo.faces.irises import match_irises
from fsvideo.faces.mask import beside, closed, face_mask, scaled
from fsvideo.faces.passing import passes_before, shown_beside
from fsvideo.faces.rims import match_rims, without_rims
from fsvideo.faces.sharpness import Detail, match_sharpness, with_pores
from fsvideo.faces.teeth import match_teeth
from fsvideo.faces.tone import Cast, Plain, as_left, match_color, match_light, match_tint, plain_parts
from fsvideo.media.color import add_rgb, region_rgb
from fsvideo.meter import OFF, Meter
from fsvideo.options import Look, SwapOptions
from fsvideo.swapper import Swapper, beyond, toward
from fsvideo.types import Array, Box, CropSpec, Frame, Identity, MediaInfo, Track

_MOST_HELD = 1 << 30  # bytes of frames on their way through pass 2
_PAINTED = 2  # frames that wait for their faces to be put back, and again for the encoder, at most

Key: TypeAlias = tuple[int, str]
"""A track and the name of whose face it gets."""


@dataclass(frozen=True)
class Job:
    """A track that is to be swapped: smoothed, with an opacity for each of its frames. ``name``: of the person.

    ``others``: tracks of people who stay as they are, and come near this one.
    """

    track: Track
    opacity: Array  # (T,) 0..1
    identity: Identity  # the source's
    look: Look
    name: str = ""
    others: tuple[Track, ...] = ()
    missing: Array | None = None  # (D,) or (A, D) of the source in what the swapper makes: see ``likeness``

    @property
    def key(self) -> Key:
        """What its past is kept under: a track may show one person's face now and another's later."""
        return self.track.id, self.name

    @cached_property
    def wanted(self) -> Identity:
        """The identity that the swapper is asked for."""
        asked = toward(self.identity, self.track.embedding, self.look.strength)
        return asked if self.missing is None else beyond(asked, self.missing)


@dataclass(frozen=True)
class FaceTask:
    """One face of one frame, cut out. ``matrix`` maps the region's pixels to the crop's."""

    job: Job
    box: Box
    region: Array  # (h, w, 3) 0..255 scale
    crop: Array  # (S, S, 3)
    mask: Array  # (S, S)
    plain: Plain  # where it has no features
    mouth: Array  # (20, 2) the outline of its lips in the crop
    matrix: Array
    opacity: float


@dataclass
class FrameTask:
    """A frame on its way through pass 2. ``past``: the painter's, once its faces match."""

    frame: Frame
    faces: list[FaceTask]
    swapped: list[Array] = field(default_factory=list)
    past: Mapping[Key, Past] = field(default_factory=dict)


def cut_faces(
    frames: Iterable[Frame], info: MediaInfo, jobs: list[Job], spec: CropSpec, meter: Meter = OFF
) -> Iterator[FrameTask]:
    """Each frame with the crops of its faces; frames without a face pass as they are."""
    for frame in frames:
        here = [job for job in jobs if job.track.start <= frame.index < job.track.stop]
        with meter.stage("crop"):
            tasks = [_cut(frame, info, job, spec, meter) for job in here]
        yield FrameTask(frame, [t for t in tasks if t is not None])


def _cut(frame: Frame, info: MediaInfo, job: Job, spec: CropSpec, meter: Meter) -> FaceTask | None:
    row = frame.index - job.track.start
    opacity = float(job.opacity[row])
    if opacity <= 0:
        return None
    to_crop = crop_matrix(job.track.points[row], spec)
    native = compose(to_crop, info.to_display)
    box = region_of(native, spec.size, info.width, info.height)
    if box is None:
        return None
    region = region_rgb(frame, info, box)
    matrix = shifted(native, box)
    crop = np.asarray(warp(region, matrix, spec.size, spec.size), np.float32)
    outline = transform(to_crop, job.track.outline[row])
    features = transform(to_crop, job.track.features[row])
    with meter.stage("mask"):
        shut = [closed(eye) for eye in features_of(job.track.features[row])["eyes"]]
        mask = face_mask(outline, features, spec.size, job.look, shut)
        for other in job.others:
            if (before := passes_before(other, job.track, frame.index)) or shown_beside(other, job.track, frame.index):
                theirs = transform(to_crop, other.outline[frame.index - other.start])
                mask = mask * beside(theirs, spec.size, with_head=before)
        if not mask.any():  # they hide all of it
            return None
        plain = plain_parts(scaled(outline, job.look.scale), features, spec.size)
    mouth = features_of(features)["mouth"][0]
    return FaceTask(job, box, region, np.clip(crop, 0, 255), mask, plain, mouth, matrix, opacity)


def swap_faces(
    tasks: Iterable[FrameTask], swapper: Swapper, batch: int, cuts: Collection[int] = (), meter: Meter = OFF
) -> Iterator[FrameTask]:
    """Run the swapper on ``batch`` faces at a time; frames come out in order.

    No batch reaches over one of ``cuts``, the first frames of segments: a network's last bits depend on the batch, and
    a run that begins there shall have the same.
    """
    waiting: list[FrameTask] = []
    for task in tasks:
        if task.frame.index in cuts:
            yield from _swapped(waiting, swapper, batch, meter)
            waiting = []
        waiting.append(task)
        if sum(len(t.faces) for t in waiting) >= batch or len(waiting) >= 2 * batch:
            yield from _swapped(waiting, swapper, batch, meter)
            waiting = []
    yield from _swapped(waiting, swapper, batch, meter)


def _swapped(tasks: list[FrameTask], swapper: Swapper, batch: int, meter: Meter) -> list[FrameTask]:
    faces = [face for task in tasks for face in task.faces]
    results: list[Array] = []
    for at in range(0, len(faces), batch):
        part = faces[at : at + batch]
        with meter.stage("network"):
            own = [f.job.track.embedding for f in part]
            known = np.stack(own) if all(z.size for z in own) else None
            results += list(swapper.swap(np.stack([f.crop for f in part]), [f.job.wanted for f in part], known))
    rest = iter(results)
    for task in tasks:
        task.swapped = [next(rest) for _ in task.faces]
    return tasks


@dataclass(frozen=True)
class Past:
    """What is known of a track from its frames so far: the averages that keep it steady."""

    cast: Cast | None = None
    detail: Detail | None = None
    shown: Shown | None = None


def past_as_record(past: Mapping[Key, Past], jobs: list[Job], stop: int) -> dict[str, Any]:
    """What a painter that begins at frame ``stop`` needs of another's past, for JSON: floats come back exactly."""
    going_on = {job.key for job in jobs if job.track.stop > stop}
    return {
        f"{track} {name}": {
            "cast": None if one.cast is None else [one.cast.gain.tolist(), one.cast.offset.tolist(), one.cast.time],
            "detail": None if one.detail is None else [_as_text(one.detail.gains), one.detail.time],
        }
        for (track, name), one in past.items()
        if (track, name) in going_on
    }


def past_from_record(record: Mapping[str, Any]) -> dict[Key, Past]:
    """The past that ``past_as_record`` stored."""
    past = {}
    for key, one in record.items():
        track, _, name = key.partition(" ")
        cast, detail = one["cast"], one["detail"]
        past[int(track), name] = Past(
            None if cast is None else Cast(np.array(cast[0]), np.array(cast[1]), cast[2]),
            None if detail is None else Detail(_from_text(detail[0]), detail[1]),
        )
    return past


def _as_text(values: Array) -> str:
    """float32 bits and a shape: a tenth of what their digits would take."""
    return f"{values.shape} {base64.b64encode(values.astype('<f4').tobytes()).decode()}"


def _from_text(text: str) -> Array:
    shape, _, digits = text.rpartition(" ")
    sizes = [int(n) for n in shape.strip("()").split(",")]
    return np.frombuffer(base64.b64decode(digits), "<f4").reshape(sizes).astype(np.float32)


def painted(
    frames: Iterable[Frame],
    info: MediaInfo,
    jobs: list[Job],
    swapper: Swapper,
    options: SwapOptions,
    cuts: Collection[int] = (),
    painter: Painter | None = None,
    meter: Meter = OFF,
) -> Generator[tuple[FrameTask, Frame]]:
    """Pass 2: every one of ``frames`` in order, as it was taken and as it is swapped.

    From one of ``cuts`` on, what comes out depends on the frames before it by the ``painter``'s past alone. Matching
    must wait for the frame before, and everything for matching: so it has a thread of its own.
    """
    painter = painter or Painter(info, options)
    batch = _batch(info, options.batch_size)
    depth = max(1, batch // _most_at_once(jobs))
    cut = meter.ahead(cut_faces(frames, info, jobs, swapper.spec, meter), depth)
    swapped = meter.ahead(swap_faces(cut, swapper, batch, cuts, meter), depth)
    matched = meter.ahead(_matched(swapped, painter, cuts, meter), min(depth, _PAINTED))
    pasted = meter.ahead(_pasted(matched, painter, meter), min(depth, _PAINTED))
    with closing(cut), closing(swapped), closing(matched), closing(pasted):
        yield from pasted


def _matched(tasks: Iterable[FrameTask], painter: Painter, cuts: Collection[int], meter: Meter) -> Generator[FrameTask]:
    for task in tasks:
        if task.frame.index in cuts:
            painter.begin()
        with meter.stage("blend"):
            painter.match(task)
        yield task


def _pasted(tasks: Iterable[FrameTask], painter: Painter, meter: Meter) -> Generator[tuple[FrameTask, Frame]]:
    for task in tasks:
        with meter.stage("blend"):
            frame = painter.paste(task)
        yield task, frame


def _batch(info: MediaInfo, wanted: int) -> int:
    """Faces a network call, fewer for giant frames: about five batches of frames are on their way at once."""
    frame = 3 * info.width * info.height * (2 if info.bit_depth > 8 else 1)
    return max(1, min(wanted, _MOST_HELD // (5 * frame)))


def _most_at_once(jobs: Sequence[Job]) -> int:
    """Faces in the frame that has most of them: as many crops lie in each frame on its way. 1 where there are none."""
    begins = {job.track.start for job in jobs}
    return max((sum(job.track.start <= at < job.track.stop for job in jobs) for at in begins), default=1)


class Painter:
    """Puts swapped faces back into their frames, in order; keeps each track's colour and sharpness steady.

    ``past``: of each track and face when the last frame was painted; a painter that begins with the past of another
    goes on as that one would have.
    """

    def __init__(self, info: MediaInfo, options: SwapOptions, past: Mapping[Key, Past] | None = None) -> None:
        self.info, self.options = info, options
        self.past = dict(past or {})

    def begin(self) -> None:
        """A segment begins: what was shown before is no longer known to a run that goes on from here."""
        self.past = {key: replace(one, shown=None) for key, one in self.past.items()}

    def paint(self, task: FrameTask) -> Frame:
        """The frame with its faces swapped; the very same frame where it has none."""
        self.match(task)
        return self.paste(task)

    def match(self, task: FrameTask) -> None:
        """Give the frame's new faces the light, colour and sharpness of theirs. Frames must come in order."""
        seconds = float(task.frame.pts * self.info.time_base)
        task.swapped = [self._matched(face, made, seconds) for face, made in zip(task.faces, task.swapped, strict=True)]
        task.past = dict(self.past)

    def _matched(self, face: FaceTask, made: Array, seconds: float) -> Array:
        look, past = face.job.look, self.past.get(face.job.key, Past())
        where = face.crop, face.mask, seconds, self.options.smooth
        made, shown = calm(made, *where, past.shown)
        past = replace(past, shown=shown)
        swapped = without_rims(made, face.crop, face.plain, face.job.identity.glasses)
        if look.color == "match":
            swapped, cast = match_color(swapped, *where, past.cast)
            swapped = match_light(swapped, face.crop, face.plain, face.job.identity.glasses)
            swapped = match_tint(swapped, face.crop, face.plain)
            swapped = match_irises(swapped, face.crop)
            swapped = match_hues(swapped, face.crop)
            past = replace(past, cast=cast)
        if look.sharpness == "match":
            swapped, detail = match_sharpness(with_pores(swapped, face.crop, face.plain), *where, past.detail)
            past = replace(past, detail=detail)
        swapped = match_rims(as_left(swapped, made, face.crop), face.crop, face.plain)
        if look.color == "match":
            swapped = match_teeth(swapped, face.crop, face.mouth)
        self.past[face.job.key] = past
        return swapped

    def paste(self, task: FrameTask) -> Frame:
        """The frame with its faces, once they match, put back; the very same frame where it has none.

        Where faces overlap, the larger one, which is taken to be in front, covers the others.
        """
        frame = task.frame
        covered: list[tuple[Box, Array]] = []
        faces = zip(task.faces, task.swapped, strict=True)
        for face, swapped in sorted(faces, key=lambda pair: -pair[0].box.width * pair[0].box.height):
            box = masked(face.mask, face.matrix, face.box)
            part = box.within(face.box)
            matrix = shifted(face.matrix, part)
            change, seen = delta(face.region[part.slices], face.crop, swapped, face.mask, matrix, face.opacity)
            for other, over in covered:
                if (both := box.common(other)) is not None:
                    change[both.within(box).slices] *= 1 - over[both.within(other).slices][..., None]
            covered.append((box, seen))
            frame = add_rgb(frame, self.info, box, change)
        return frame
