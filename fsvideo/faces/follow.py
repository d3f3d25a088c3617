"""The first pass: frames in, one by one; tracks out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.people import Embed
from fsvideo.faces.scout import LOOK_EVERY, Scout, Scouted, reduced
from fsvideo.faces.track import Tracker
from fsvideo.faces.yunet import same
from fsvideo.types import CropSpec, Face, Image, Track

# Bytes of pictures through which a newcomer is followed back: even a look in full may have missed them. Those since the
# last look are held however large they are.
_HELD = 64 << 20
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
    """A frame in which a newcomer may have been missed."""

    index: int
    time: float  # seconds
    image: Image
    faces: list[Face]


class Follower:
    """Give it every frame in display orientation, in order, then ask for the tracks.

    Faces are detected some times a second, after cuts and when one is lost; between, each is followed from where it
    should be, which takes a fraction of the time. A newcomer is followed back to the frame in which it appeared,
    as far as pictures are held.
    ``spec`` is the crop that ``embed`` expects; ``side``: see ``Scout``. Its own ``scout`` may be sent ahead.
    """

    def __init__(self, finder: FaceFinder, embed: Embed, spec: CropSpec | None = None, side: int = 1280) -> None:
        self._finder, self._side = finder, side
        self._tracker = Tracker(embed, spec)
        self.scout = Scout(finder.detector.for_clip(), side)
        self._past: list[_Past] = []  # the last frames, as many as are held
        self._seen = 0  # faces in the last frame
        self._thorough = -np.inf

    def update(self, image: Image, time: float, cut: bool = False) -> list[Face]:
        """``take`` what the scout sees in the next frame: see there, and ``Scout.look``."""
        return self.take(self.scout.look(image, time, cut), time)

    def take(self, scouted: Scouted, time: float) -> list[Face]:
        """Take the next frame and its time in seconds, later than the last one's. Returns the faces in it."""
        index, image, cut = len(self._tracker.times), scouted.image, scouted.cut
        if cut:
            self._past.clear()
            self._seen, self._thorough = 0, -np.inf
        faces: list[Face] = []
        glimpses: list[Face] = []  # seen by the detector alone
        for expected in [] if cut else self._tracker.predict(time):
            face = self._finder.follow(image, expected)
            if face is not None and not _among(face, faces if face.fitted else glimpses):
                (faces if face.fitted else glimpses).append(face)
        lost = len(faces + _others(glimpses, faces)) < self._seen
        due = scouted.due or lost
        if due:
            faces += self._detect(scouted, time, faces)
        faces += _others(glimpses, faces)
        self._seen = len(faces)
        begun = self._tracker.update(time, image, faces, cut)
        if due:
            for nth, j in enumerate(begun):
                self._follow_back(nth - len(begun), faces[j])
        while self._past and time - self._past[0].time > LOOK_EVERY and len(self._past) >= _HELD // image.nbytes:
            del self._past[0]
        self._past.append(_Past(index, time, image, faces))
        return faces

    def finish(self) -> Tracking:
        """The tracks of the whole clip."""
        return Tracking(self._tracker.finish(), np.asarray(self._tracker.times), self._tracker.cuts)

    def _detect(self, scouted: Scouted, time: float, known: list[Face]) -> list[Face]:
        fine = scouted.due and scouted.fine
        thorough = fine and not known and time - self._thorough >= _THOROUGH_EVERY
        if thorough:
            self._thorough = time
        return self._finder.find(
            scouted.image, thorough=thorough, side=reduced(self._side, fine), known=known, candidates=scouted.candidates
        )

    def _follow_back(self, track: int, face: Face) -> None:
        """Look for a newcomer in the last frames, backwards, until it is not there."""
        for past in reversed(self._past):
            earlier = self._finder.follow(past.image, face)
            if earlier is None or _among(earlier, past.faces):
                return
            if not self._tracker.extend_back(track, past.index, past.image, earlier):
                return
            face = earlier
            past.faces.append(face)


def _among(face: Face, faces: list[Face]) -> bool:
    return any(same(face.box, other.box) for other in faces)


def _others(faces: list[Face], known: list[Face]) -> list[Face]:
    return [face for face in faces if not _among(face, known)]


def rescaled(track: Track, factor: tuple[float, float]) -> Track:
    """A track found in reduced pictures in the coordinates of the full ones, ``factor`` (x, y) times as large."""
    by = np.asarray(factor, np.float32)
    places = {name: (getattr(track, name) + 0.5) * by - 0.5 for name in ("points", "outline", "features")}
    return replace(track, **places)
