"""Who a track shows: embeddings sampled now and then, and one number for all tracks of one person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fsvideo.types import Array, Face, Image, Track

Embed = Callable[[Sequence[Image]], Array]
"""N aligned crops (S, S, 3) -> (N, D) embeddings, centred (the mean over many people subtracted), of unit length."""

SAME_PERSON = 0.38  # cosine of two tracks' embeddings; strangers are around 0, most of one person's tracks above 0.5
_KEEP = 8  # samples a track


@dataclass(frozen=True)
class Sample:
    """One look at who a face is."""

    embedding: Array  # (D,)
    quality: float  # 0..1: large, frontal and surely a face


def quality(face: Face) -> float:
    """How much the embedding of this face is to be trusted, 0..1."""
    yaw, pitch = face.pose[:2] / (35, 30)
    side = float(np.sqrt(np.prod(face.box[2:] - face.box[:2])))
    return max(0.01, face.score * min(1.0, side / 80) * float(np.exp(-(yaw**2) - pitch**2)))


def best(samples: Sequence[Sample]) -> list[Sample]:
    """The best few of the samples."""
    return sorted(samples, key=lambda s: -s.quality)[:_KEEP]


def mean_embedding(samples: Sequence[Sample]) -> Array:
    """(D,) the mean of the samples, weighted by their quality, unit length."""
    return _unit(np.sum([s.quality * s.embedding for s in samples], axis=0))


def number_people(tracks: Sequence[Track]) -> list[Track]:
    """The tracks with ``person`` filled in: 0 is who is seen most, by area and time.

    Tracks that share a frame are different people. Long tracks come first and found the people that the others join.
    """
    presence = np.array([_presence(t) for t in tracks])
    members: list[list[int]] = []
    centres: list[Array] = []
    for i in np.argsort(-presence, kind="stable"):
        track = tracks[i]
        likeness = [
            -1.0 if any(_overlap(track, tracks[j]) for j in group) else float(track.embedding @ _unit(centre))
            for group, centre in zip(members, centres, strict=True)
        ]
        person = int(np.argmax(likeness)) if likeness else -1
        if person >= 0 and likeness[person] > SAME_PERSON:
            members[person].append(i)
            centres[person] = centres[person] + track.embedding * _weight(track)
        else:
            members.append([i])
            centres.append(track.embedding * _weight(track))
    order = sorted(range(len(members)), key=lambda p: -presence[members[p]].sum())
    person_of = {i: number for number, p in enumerate(order) for i in members[p]}
    return [replace(track, person=person_of[i]) for i, track in enumerate(tracks)]


def _presence(track: Track) -> float:
    """Sum over the frames of the face's area, square pixels."""
    size = np.ptp(track.outline, axis=1)
    return float((size[:, 0] * size[:, 1]).sum())


def _weight(track: Track) -> np.float32:
    """Longer tracks were sampled more often; beyond some seconds it makes no difference."""
    return np.float32(min(len(track.points), 100))


def _overlap(a: Track, b: Track) -> bool:
    return a.start < b.stop and b.start < a.stop


def _unit(vector: Array) -> Array:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
