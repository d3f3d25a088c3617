"""Who a track shows: embeddings sampled now and then, and one number for all tracks of one person."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fsvideo.types import Array, Face, Image, Track

Embed = Callable[[Sequence[Image]], Array]
"""N aligned crops (S, S, 3) -> (N, D) embeddings, centred (the mean over many people subtracted), of unit length."""

RECOGNISED = 0.5  # cosine to a reference picture from which somebody is the one: of strangers' 3 in 1,000 reach it
SAME_PERSON = 0.38  # cosine of two tracks' embeddings; strangers are around 0, most of one person's tracks above 0.5
_SAME_PLACE, _SOON = 0.3, 2.0  # ... that is enough for a face seen again this soon (seconds) where it was
_FAR_AWAY = 0.5  # ... that is needed where it is far from where it was,
_NEAR, _FASTEST = 2.0, 8.0  # farther than this many face sizes, and so many more for each second
_KEEP = 8  # samples a track
_ASIDE = (30.0, 55.0)  # degrees of yaw between which a face goes from seen in full to seen from the side


@dataclass(frozen=True)
class Sample:
    """One look at who a face is."""

    embedding: Array  # (D,)
    quality: float  # 0..1: large, frontal and surely a face


def quality(face: Face) -> float:
    """How much the embedding of this face is to be trusted, 0..1."""
    side = np.sqrt(np.prod(face.box[2:] - face.box[:2]))
    return max(0.01, float(_clear(face.score, side, face.pose)))


def clearness(track: Track) -> Array:
    """(T,) how clearly each frame of a track shows who it is, 0..1; 0 where not seen."""
    sides = np.sqrt(np.prod(np.ptp(track.outline, axis=1), axis=1))
    return np.asarray(_clear(track.score, sides, track.pose), np.float32)


def _clear(score: Array | float, side: Array, pose: Array) -> Array:
    """Clear is: surely a face, large (``side``, pixels) and frontal (``pose``: yaw and pitch, degrees, first)."""
    yaw, pitch = pose[..., 0] / 30, pose[..., 1] / 30
    return np.asarray(score * np.minimum(1, side / 120) * np.exp(-(yaw**2) - pitch**2))


def best(samples: Sequence[Sample]) -> list[Sample]:
    """The best few of the samples."""
    return sorted(samples, key=lambda s: -s.quality)[:_KEEP]


def mean_embedding(samples: Sequence[Sample]) -> Array:
    """(D,) the mean of the samples, weighted by their quality, unit length."""
    return _unit(np.sum([s.quality * s.embedding for s in samples], axis=0))


def number_people(
    tracks: Sequence[Track], times: npt.NDArray[np.float64] | None = None, cuts: Sequence[int] = ()
) -> list[Track]:
    """The tracks with ``person`` filled in: 0 is who is seen most, by area and time.

    Tracks that share a frame are different people. Long tracks come first and found the people that the others join.
    Identity decides; with ``times`` (N,), the seconds of all frames, and the first frames of shots after ``cuts``,
    position confirms or speaks against it.
    """
    seen = np.array([presence(t) for t in tracks])
    members: list[list[int]] = []
    centres: list[Array] = []
    for i in np.argsort(-seen, kind="stable"):
        track = tracks[i]
        likeness = []  # more than is needed to be this person
        for group, centre in zip(members, centres, strict=True):
            theirs = [tracks[j] for j in group]
            needed = SAME_PERSON if times is None else _needed(track, theirs, times, cuts)
            alone = not any(overlap(track, other) for other in theirs)
            likeness.append(float(track.embedding @ _unit(centre)) - needed if alone else -1.0)
        person = int(np.argmax(likeness)) if likeness else -1
        if person >= 0 and likeness[person] > 0:
            members[person].append(i)
            centres[person] = centres[person] + track.embedding * _weight(track)
        else:
            members.append([i])
            centres.append(track.embedding * _weight(track))
    order = sorted(range(len(members)), key=lambda p: -seen[members[p]].sum())
    person_of = {i: number for number, p in enumerate(order) for i in members[p]}
    return [replace(track, person=person_of[i]) for i, track in enumerate(tracks)]


def _needed(track: Track, theirs: Sequence[Track], times: npt.NDArray[np.float64], cuts: Sequence[int]) -> float:
    """How alike a track must be to be one more of a person's.

    Less where it begins soon and near where one of theirs ended, more where they would have had to fly.
    """
    closest, needed = np.inf, SAME_PERSON
    for other in theirs:
        before, after = (track, other) if track.start < other.start else (other, track)
        unseen = float(times[after.start] - times[before.stop - 1])
        cut = bisect_left(cuts, before.stop)
        if unseen >= closest or (cut < len(cuts) and cuts[cut] <= after.start):
            continue
        closest = unseen
        size = float(np.sqrt(np.ptp(before.outline[-1], axis=0).prod()))
        moved = float(np.linalg.norm(after.points[0].mean(0) - before.points[-1].mean(0))) / max(size, 1.0)
        needed = _SAME_PLACE if unseen < _SOON and moved < 1 + unseen else SAME_PERSON
        needed = _FAR_AWAY if moved > _NEAR + _FASTEST * unseen else needed
    return needed


def presence(track: Track, rows: npt.NDArray[np.bool_] | None = None) -> float:
    """Sum over the frames, or those of ``rows`` (T,), of how much is seen of the face: its area, square pixels, times
    ``frontal``."""
    outline, yaw = (track.outline, track.pose[:, 0]) if rows is None else (track.outline[rows], track.pose[rows, 0])
    size = np.ptp(outline, axis=1)
    return float((size[:, 0] * size[:, 1] * frontal(yaw)).sum())


def frontal(yaw: npt.ArrayLike) -> Array:
    """How much a face turned by ``yaw`` degrees counts: 1, falling to a fifth in profile.

    Who passes by close to the camera is not whom a clip is about, and would not look well with another face.
    """
    aside = (np.abs(np.asarray(yaw, np.float32)) - _ASIDE[0]) / (_ASIDE[1] - _ASIDE[0])
    return np.asarray(1 - 0.8 * aside.clip(0, 1), np.float32)


def _weight(track: Track) -> np.float32:
    """Longer tracks were sampled more often; beyond some seconds it makes no difference."""
    return np.float32(min(len(track.points), 100))


def overlap(a: Track, b: Track) -> bool:
    """Whether both are there in some frame: then they show two people."""
    return a.start < b.stop and b.start < a.stop


def _unit(vector: Array) -> Array:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
