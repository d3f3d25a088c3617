"""Swap pictures one by one as they come: single ones, and streams of which only the past is known."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from fsvideo.casting import embedding_spec, identify
from fsvideo.faces.align import FEATURE_POINTS, OUTLINE, crop
from fsvideo.faces.causal import CausalFollower, Present
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.people import RECOGNISED
from fsvideo.faces.smooth import fade
from fsvideo.likeness import always, corrected
from fsvideo.live_likeness import LiveLikeness
from fsvideo.options import SwapOptions
from fsvideo.render import Job, Painter, cut_faces, swap_faces
from fsvideo.swapper import Swapper
from fsvideo.types import Array, ColorTags, Face, FaceError, Frame, Image, MediaInfo, Track

_NOBODY = np.zeros(0, np.float32)


class Stage:
    """Everything that a swap needs, loaded: whose face, the finder, the networks, the look.

    Of ``options`` it takes ``source``, ``faces``, ``reference``, ``look``, ``smooth`` and ``batch_size``.
    Raises FaceError where a source or the reference cannot serve.
    """

    def __init__(self, options: SwapOptions, finder: FaceFinder, swapper: Swapper) -> None:
        self.options, self.finder, self.swapper = options, finder, swapper
        self.wanted: Array | None = None
        if options.faces == "reference":
            if options.reference is None:
                raise FaceError("--faces reference needs a picture of the person", "add --reference IMAGE")
            self.wanted = identify(finder, swapper, [options.reference]).embedding
        self.identity = identify(finder, swapper, options.source)

    def embed(self, crops: Sequence[Image]) -> Array:
        """(N, D) embeddings of crops."""
        return self.swapper.embed(np.stack(crops))

    def single(self, frame: Frame, info: MediaInfo, rgb: Image) -> tuple[Frame, int]:
        """A picture by itself and how many faces were swapped in it. ``rgb``: what it shows, in display pixels."""
        faces = self.finder.find(rgb, thorough=True)
        most = 1 if self.wanted is None and self.options.faces == "largest" else len(faces)
        spec = embedding_spec(self.swapper)
        who = list(self.embed([crop(rgb, face.points, spec).rgb for face in faces])) if faces else []
        shown: list[tuple[Track, float]] = []
        others: list[Track] = []
        for number, (face, one) in enumerate(zip(faces, who, strict=True)):
            track = _track(number, frame.index, face, who=one)
            if len(shown) < most and (self.wanted is None or float(one @ self.wanted) > RECOGNISED):
                shown.append((track, float(fade(track, [0.0])[0])))
            else:
                others.append(track)
        return self.paint(
            frame, info, self.corrected(frame, info, self.jobs(shown, others)), Painter(info, self.options)
        )

    def jobs(self, shown: Sequence[tuple[Track, float]], others: Sequence[Track]) -> list[Job]:
        """What is to be done for these faces, each as opaque as is said. ``others`` stay."""
        return [
            Job(track, np.array([opacity], np.float32), self.identity, self.options.look, others=tuple(others))
            for track, opacity in shown
        ]

    def corrected(self, frame: Frame, info: MediaInfo, jobs: Sequence[Job]) -> list[Job]:
        """The same jobs, asking for what is missing of the source in this frame, where it is clearly seen."""
        return corrected(jobs, always(frame), info, self.swapper, self.options, cuts=[frame.index])

    def paint(self, frame: Frame, info: MediaInfo, jobs: Sequence[Job], painter: Painter) -> tuple[Frame, int]:
        """The frame with its faces swapped, and how many were."""
        tasks = cut_faces([frame], info, list(jobs), self.swapper.spec)
        (task,) = swap_faces(tasks, self.swapper, self.options.batch_size)
        return painter.paint(task), len(task.faces)


class Stream:
    """A stage with a memory: give it every frame of one stream in order, and ``close`` it.

    ``tune``: steps of tuning what is asked for, beside the stream, once somebody was looked at a few times; 0: none.
    """

    def __init__(self, stage: Stage, tune: int = 0) -> None:
        self._stage = stage
        spec = embedding_spec(stage.swapper)
        self._follower = CausalFollower(stage.finder, stage.options.smooth, stage.embed, spec)
        self._painter: Painter | None = None
        self._likeness = LiveLikeness(stage.swapper, stage.options, tune)

    def update(self, frame: Frame, info: MediaInfo, rgb: Image) -> tuple[Frame, int]:
        """The next frame, swapped, and how many faces in it. ``rgb``: what it shows, in display pixels or reduced.

        ``info`` is the same for all frames; ``frame.pts`` rises.
        """
        self._painter = self._painter or Painter(info, self._stage.options)
        present = self._follower.update(rgb, float(frame.pts * info.time_base))
        chosen = {one.id for one in self._chosen(present)}
        factor = np.array([info.display_width / rgb.shape[1], info.display_height / rgb.shape[0]], np.float32)
        shown, others = [], []
        for one in present:
            moved = one.points.mean(0) - one.face.points.mean(0)  # since it was last found
            own = one.face.landmarks[list(FEATURE_POINTS)] + moved
            points, outline, features = ((part + 0.5) * factor - 0.5 for part in (one.points, one.outline, own))
            track = _track(one.id, frame.index, one.face, points, outline, features, one.embedding)
            if one.id in chosen:
                shown.append((track, one.opacity))
            else:
                others.append(track)
        for key in [key for key in self._painter.past if key[0] not in chosen]:
            del self._painter.past[key]
        jobs = self._likeness.corrected(self._stage.jobs(shown, others), frame, info)
        return self._stage.paint(frame, info, jobs, self._painter)

    @property
    def tuning(self) -> bool:
        """Whether what is asked for is being tuned at this moment."""
        return self._likeness.tuning

    def close(self) -> None:
        """Whatever goes on beside the stream ends."""
        self._likeness.close()

    def _chosen(self, present: list[Present]) -> list[Present]:
        wanted = self._stage.wanted
        if wanted is not None:
            return [p for p in present if p.embedding is not None and float(p.embedding @ wanted) > RECOGNISED]
        if self._stage.options.faces == "largest":
            return sorted(present, key=lambda p: -p.presence)[:1]
        return present


def _track(
    number: int,
    index: int,
    face: Face,
    points: Array | None = None,
    outline: Array | None = None,
    features: Array | None = None,
    who: Array | None = None,
) -> Track:
    """A face in one frame as a track of one row; what is not given is the face's own."""
    points = face.points if points is None else points
    outline = face.landmarks[list(OUTLINE)] if outline is None else outline
    features = face.landmarks[list(FEATURE_POINTS)] if features is None else features
    score, who = np.array([face.score], np.float32), _NOBODY if who is None else who
    return Track(number, index, points[None], outline[None], face.pose[None], score, who, features=features[None])


TICK = Fraction(1, 1_000_000)


def of_rgb(rgb: Image) -> MediaInfo:
    """What a bare RGB picture (H, W, 3) is, as an input."""
    height, width = rgb.shape[:2]
    return MediaInfo(
        path=Path("picture"),
        kind="image",
        width=width,
        height=height,
        pix_fmt="gbrp",
        codec="rawvideo",
        rate=None,
        time_base=TICK,
        color=ColorTags(matrix=0, range=2),
        display_width=width,
        display_height=height,
    )


def frame_of(rgb: Image, index: int = 0, seconds: float = 0.0) -> Frame:
    """A bare RGB picture as a frame of ``of_rgb``'s kind."""
    red, green, blue = (np.ascontiguousarray(rgb[..., channel]) for channel in range(3))
    return Frame(index, round(seconds / TICK), (green, blue, red), "gbrp")


def rgb_of(frame: Frame) -> Image:
    """The picture (H, W, 3) of a ``frame_of`` frame."""
    green, blue, red = frame.planes
    return np.stack([red, green, blue], axis=2).astype(np.uint8, copy=False)
