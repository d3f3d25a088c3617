"""Pass 2, frame by frame: cut the faces, swap them in batches, put them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from fsvideo.faces.align import compose, crop_matrix, transform, warp
from fsvideo.faces.blend import ColorMatch, delta, region_of, shifted
from fsvideo.faces.mask import MASKS
from fsvideo.media.color import add_rgb, region_rgb
from fsvideo.swapper import Swapper
from fsvideo.types import Array, Box, CropSpec, Frame, Identity, MediaInfo, SwapOptions, Track


@dataclass(frozen=True)
class Job:
    """A track that is to be swapped: smoothed, with an opacity for each of its frames."""

    track: Track
    opacity: Array  # (T,) 0..1
    identity: Identity


@dataclass(frozen=True)
class FaceTask:
    """One face of one frame, cut out. ``matrix`` maps the region's pixels to the crop's."""

    job: Job
    box: Box
    region: Array  # (h, w, 3) 0..255 scale
    crop: Array  # (S, S, 3)
    mask: Array  # (S, S)
    matrix: Array
    opacity: float


@dataclass
class FrameTask:
    """A frame on its way through pass 2."""

    frame: Frame
    faces: list[FaceTask]
    swapped: list[Array] = field(default_factory=list)


def cut_faces(
    frames: Iterable[Frame], info: MediaInfo, jobs: list[Job], options: SwapOptions, spec: CropSpec
) -> Iterator[FrameTask]:
    """Each frame with the crops of its faces; frames without a face pass as they are."""
    for frame in frames:
        tasks = [
            _cut(frame, info, job, options, spec) for job in jobs if job.track.start <= frame.index < job.track.stop
        ]
        yield FrameTask(frame, [t for t in tasks if t is not None])


def _cut(frame: Frame, info: MediaInfo, job: Job, options: SwapOptions, spec: CropSpec) -> FaceTask | None:
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
    mask = MASKS[options.mask](outline, spec.size, options.feather)
    return FaceTask(job, box, region, np.clip(crop, 0, 255), mask, matrix, opacity)


def swap_faces(tasks: Iterable[FrameTask], swapper: Swapper, batch: int) -> Iterator[FrameTask]:
    """Run the swapper on ``batch`` faces at a time; frames come out in order."""
    waiting: list[FrameTask] = []
    for task in tasks:
        waiting.append(task)
        if sum(len(t.faces) for t in waiting) >= batch or len(waiting) >= 2 * batch:
            yield from _swapped(waiting, swapper, batch)
            waiting = []
    yield from _swapped(waiting, swapper, batch)


def _swapped(tasks: list[FrameTask], swapper: Swapper, batch: int) -> list[FrameTask]:
    faces = [face for task in tasks for face in task.faces]
    results: list[Array] = []
    for at in range(0, len(faces), batch):
        part = faces[at : at + batch]
        results += list(swapper.swap(np.stack([f.crop for f in part]), [f.job.identity for f in part]))
    rest = iter(results)
    for task in tasks:
        task.swapped = [next(rest) for _ in task.faces]
    return tasks


class Painter:
    """Puts swapped faces back into their frames, in order; keeps each track's colour steady."""

    def __init__(self, info: MediaInfo, options: SwapOptions) -> None:
        self.info, self.options = info, options
        self._match: dict[int, ColorMatch] = {}

    def paint(self, task: FrameTask) -> Frame:
        """The frame with its faces swapped; the very same frame where it has none."""
        frame = task.frame
        seconds = float(frame.pts * self.info.time_base)
        for face, swapped in zip(task.faces, task.swapped, strict=True):
            if self.options.color == "match":
                match = self._match.setdefault(face.job.track.id, ColorMatch(self.options.smooth))
                swapped = match(swapped, face.crop, face.mask, seconds)
            change = delta(face.region, face.crop, swapped, face.mask, face.matrix, face.opacity)
            frame = add_rgb(frame, self.info, face.box, change)
        return frame
