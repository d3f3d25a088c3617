"""The first pass: frames in, one by one; tracks out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fsvideo.faces.cuts import CutDetector
from fsvideo.faces.detect import FaceFinder, iou
from fsvideo.faces.people import Embed
from fsvideo.faces.track import Tracker
from fsvideo.types import CropSpec, Face, Image, Track

DETECT_EVERY = 5  # frames
_FAST_SIDE = 960  # pixels of the longer side for most detections ...
_FINE_EVERY = 4  # ... and once in this many at the finder's own, finer, size
_THOROUGH_EVERY = 1.0  # seconds between two thorough looks while nobody is seen


@dataclass(frozen=True)
class Tracking:
    """What the first pass found: small values only."""

    tracks: list[Track]  # in order of their start
    times: npt.NDArray[np.float64]  # (N,) seconds, of every frame
    cuts: list[int]  # frames that start a new shot; the first frame is not among them

    @property
    def bounds(self) -> list[int]:
        """The frames at which shots begin, and the number of frames: shot n spans bounds[n] to bounds[n + 1]."""
        return [0, *self.cuts, len(self.times)]


@dataclass(frozen=True)
class _Past:
    """A frame in which nobody new was looked for."""

    index: int
    image: Image
    faces: list[Face]


class Follower:
    """Give it every frame in display orientation, in order, then ask for the tracks.

    Faces are detected in every few frames, after cuts and when one is lost; between, each is followed from where it
    should be, which takes a fraction of the time. A newcomer is followed back to the frame in which it appeared.
    ``spec`` is the crop that ``embed`` expects.
    """

    def __init__(self, finder: FaceFinder, embed: Embed, spec: CropSpec | None = None) -> None:
        self._finder = finder
        self._tracker = Tracker(embed, spec)
        self._cutter = CutDetector()
        self._past: list[_Past] = []  # since the last detection
        self._detections = 0  # in this shot
        self._seen = 0  # faces in the last frame
        self._thorough = -np.inf

    def update(self, image: Image, time: float) -> list[Face]:
        """Take the next frame, RGB, and its time in seconds, later than the last one's. Returns the faces in it.

        The picture is kept for up to four frames: do not write to it afterwards.
        """
        index = len(self._tracker.times)
        cut = self._cutter.update(image)
        if cut:
            self._past.clear()
            self._detections, self._seen, self._thorough = 0, 0, -np.inf
        faces: list[Face] = []
        for expected in [] if cut else self._tracker.predict(time):
            face = self._finder.follow(image, expected)
            if face is not None and not _among(face, faces):
                faces.append(face)
        due = self._detections == 0 or len(self._past) >= DETECT_EVERY - 1 or len(faces) < self._seen
        if due:
            faces += self._detect(image, time, faces)
        self._seen = len(faces)
        begun = self._tracker.update(time, image, faces, cut)
        if due:
            for nth, j in enumerate(begun):
                self._follow_back(nth - len(begun), faces[j])
            self._past.clear()
        else:
            self._past.append(_Past(index, image, faces))
        return faces

    def finish(self) -> Tracking:
        """The tracks of the whole clip."""
        return Tracking(self._tracker.finish(), np.asarray(self._tracker.times), self._tracker.cuts)

    def _detect(self, image: Image, time: float, known: list[Face]) -> list[Face]:
        fine = self._detections % _FINE_EVERY == 0
        thorough = fine and not known and time - self._thorough >= _THOROUGH_EVERY
        if thorough:
            self._thorough = time
        self._detections += 1
        if fine:
            return self._finder.find(image, thorough=thorough, known=known)
        return self._finder.find(image, side=_FAST_SIDE, known=known)

    def _follow_back(self, track: int, face: Face) -> None:
        """Look for a newcomer in the frames since the last detection, backwards, until it is not there."""
        for past in reversed(self._past):
            earlier = self._finder.follow(past.image, face)
            if earlier is None or _among(earlier, past.faces):
                return
            face = earlier
            past.faces.append(face)
            self._tracker.extend_back(track, past.index, face)


def _among(face: Face, faces: list[Face]) -> bool:
    return any(iou(face.box, other.box) > 0.4 for other in faces)


def rescaled(track: Track, factor: tuple[float, float]) -> Track:
    """A track found in reduced pictures in the coordinates of the full ones, ``factor`` (x, y) times as large."""
    by = np.asarray(factor, np.float32)
    return replace(track, points=(track.points + 0.5) * by - 0.5, outline=(track.outline + 0.5) * by - 0.5)
