"""Link the faces of each frame to tracks: one track a person between two cuts."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import OUTLINE, crop
from fsvideo.faces.detect import carried
from fsvideo.faces.people import Embed, Sample, best, mean_embedding, number_people, quality
from fsvideo.types import Array, CropSpec, Face, Image, Track

MAX_GAP = 0.5  # seconds a face may be missing before its track ends
_SAMPLE_EVERY = 0.5  # seconds between two looks at who a track is
_DOUBT_AFTER = 0.15  # seconds unseen after which a face must be recognised to go on with its track
_REACH = 0.5  # how far from its prediction a face may be, in face sizes ...
_REACH_GROWTH = 1.5  # ... and how much more for each second it was not seen
_RESIZE = 0.5  # natural logarithm of the most a face's size may change
_STRANGER, _TRUSTED = 0.2, 0.55  # a crop of this quality that is less similar than this shows somebody else
_FLICKER = 3  # a track seen in fewer frames is no person, unless its shot is as short ...
_DOUBTFUL = 0.8  # ... and one of a lower mean score only if it lasts half a second
_ROW = 10 + 2 * len(OUTLINE) + 3 + 1  # points, outline, pose, score


class Tracker:
    """Links by where a face should be and, where that is not clear, by who it is.

    Give it every frame in order. ``spec`` is the crop that ``embed`` expects.
    """

    def __init__(self, embed: Embed, spec: CropSpec | None = None) -> None:
        self._embed, self._spec = embed, spec or CropSpec()
        self._live: list[_Live] = []
        self._done: list[_Live] = []
        self.times: list[float] = []  # seconds, of every frame so far
        self.cuts: list[int] = []  # frames that started a new shot

    def predict(self, time: float) -> list[Face]:
        """The face of each live track where it should be at this time."""
        return [t.predicted(time) for t in self._live if time - t.seen <= MAX_GAP]

    def update(self, time: float, image: Image, faces: Sequence[Face], cut: bool = False) -> list[int]:
        """Take the faces found in the next frame, seconds ``time``; ``cut``: the frame starts a new shot.

        Returns which of the faces begin a track, in the order of these tracks.
        """
        index = len(self.times)
        self.times.append(time)
        if cut:
            self.cuts.append(index)
        self._end([t for t in self._live if cut or time - t.seen > MAX_GAP])
        cost = np.full((len(self._live), len(faces)), np.inf)
        for i, track in enumerate(self._live):
            for j, face in enumerate(faces):
                cost[i, j] = track.distance(face, time)
        samples = self._identify(image, faces, self._to_identify(cost, time))
        for i, track in enumerate(self._live):
            for j, sample in samples.items():
                cost[i, j] += track.unlikeness(sample)
        matched = assign(cost)
        for i, j in matched:
            self._live[i].append(index, time, faces[j])
            if j in samples:
                self._live[i].sample(time, samples[j])
        begun = sorted(set(range(len(faces))) - {j for _, j in matched})
        samples |= self._identify(image, faces, set(begun) - set(samples))
        for j in begun:
            track = _Live(index, time, faces[j])
            track.sample(time, samples[j])
            self._live.append(track)
        return begun

    def extend_back(self, begun: int, index: int, face: Face) -> None:
        """Give a track an earlier frame: ``begun`` counts from the end of the tracks that the last update began."""
        self._live[begun].prepend(index, face)

    def finish(self) -> list[Track]:
        """All tracks in order of their start, flickers left out, gaps filled in, people numbered."""
        self._end(list(self._live))
        times = np.asarray(self.times)
        kept = [t for t in self._done if self._is_person(t, times)]
        kept.sort(key=lambda t: t.indices[0])
        return number_people([t.finished(number, times) for number, t in enumerate(kept)])

    def _end(self, tracks: list[_Live]) -> None:
        self._done += tracks
        self._live = [t for t in self._live if t not in tracks]

    def _is_person(self, track: _Live, times: npt.NDArray[np.float64]) -> bool:
        bounds = [0, *self.cuts, len(self.times)]
        shot = bisect_right(bounds, track.indices[0])
        if bounds[shot] - bounds[shot - 1] <= _FLICKER:
            return True
        lasting = times[track.indices[-1]] - times[track.indices[0]] >= MAX_GAP
        return len(track.indices) >= _FLICKER and (lasting or track.mean_score() >= _DOUBTFUL)

    def _to_identify(self, cost: npt.NDArray[np.float64], time: float) -> set[int]:
        """Faces that more than one track could claim, or none, or one that was not identified for a while."""
        near = np.isfinite(cost)
        wanted = set()
        for j in range(cost.shape[1]):
            claims = np.flatnonzero(near[:, j])
            clear = len(claims) == 1 and near[claims[0]].sum() == 1
            if not clear or self._live[claims[0]].due(time):
                wanted.add(j)
        return wanted

    def _identify(self, image: Image, faces: Sequence[Face], which: Iterable[int]) -> dict[int, Sample]:
        order = sorted(which)
        if not order:
            return {}
        embeddings = self._embed([crop(image, faces[j].points, self._spec).rgb for j in order])
        return {j: Sample(e, quality(faces[j])) for j, e in zip(order, embeddings, strict=True)}


class _Live:
    """A track that is being built: one packed row for every frame in which the face was seen."""

    def __init__(self, index: int, time: float, face: Face) -> None:
        self.indices = array("q", [index])
        self.rows = array("f", _pack(face).tobytes())
        self.seen, self.face = time, face
        self.velocity = np.zeros(2, np.float32)  # pixels a second
        self.samples: list[Sample] = []
        self.who = np.zeros(0, np.float32)
        self.sampled = time

    def append(self, index: int, time: float, face: Face) -> None:
        moved = (face.points.mean(0) - self.face.points.mean(0)) / np.float32(max(time - self.seen, 1e-3))
        self.velocity = moved if len(self.indices) == 1 else 0.4 * self.velocity + 0.6 * moved
        self.indices.append(index)
        self.rows.frombytes(_pack(face).tobytes())
        self.seen, self.face = time, face

    def prepend(self, index: int, face: Face) -> None:
        self.indices.insert(0, index)
        self.rows = array("f", _pack(face).tobytes()) + self.rows

    def sample(self, time: float, sample: Sample) -> None:
        self.samples = best([*self.samples, sample])
        self.who = mean_embedding(self.samples)
        self.sampled = time

    def due(self, time: float) -> bool:
        """Whether it is time to look again who this is."""
        return time - self.sampled >= _SAMPLE_EVERY or time - self.seen >= _DOUBT_AFTER

    def predicted(self, time: float) -> Face:
        """The last face, moved: the last velocity goes on for a fifth of a second."""
        x, y = self.velocity * np.float32(min(time - self.seen, 0.2))
        return carried(self.face, np.array([[1, 0, x], [0, 1, y]], np.float32), self.face.score)

    def distance(self, face: Face, time: float) -> float:
        """Between the face and the prediction, in face sizes; infinite where this cannot be the track's face."""
        mine, other = _size(self.face), _size(face)
        apart = float(np.linalg.norm(face.points - self.predicted(time).points, axis=1).mean() / np.sqrt(mine * other))
        unseen = time - self.seen
        far = apart > _REACH + _REACH_GROWTH * unseen or abs(np.log(mine / other)) > _RESIZE + unseen
        return np.inf if far else apart

    def unlikeness(self, sample: Sample) -> float:
        """0 for the same face, about 1 for a stranger, infinite for one that is surely none of this track's."""
        likeness = float(self.who @ sample.embedding)
        sure = min(sample.quality, self.samples[0].quality) > _TRUSTED
        return np.inf if sure and likeness < _STRANGER else 1 - likeness

    def mean_score(self) -> float:
        return float(np.frombuffer(self.rows, np.float32)[_ROW - 1 :: _ROW].mean())

    def finished(self, number: int, times: npt.NDArray[np.float64]) -> Track:
        """The track with the frames between filled in, linearly in time; their score is 0."""
        indices = np.asarray(self.indices)
        seen = np.frombuffer(self.rows, np.float32).reshape(-1, _ROW)
        frames = np.arange(indices[0], indices[-1] + 1)
        rows = np.stack([np.interp(times[frames], times[indices], column) for column in seen.T], 1).astype(np.float32)
        rows[:, -1] = 0
        rows[indices - indices[0], -1] = seen[:, -1]
        return Track(
            id=number,
            start=int(indices[0]),
            points=rows[:, :10].reshape(-1, 5, 2).copy(),
            outline=rows[:, 10:-4].reshape(-1, len(OUTLINE), 2).copy(),
            pose=rows[:, -4:-1].copy(),
            score=rows[:, -1].copy(),
            embedding=self.who,
        )


def _pack(face: Face) -> Array:
    outline = face.landmarks[list(OUTLINE)]
    return np.concatenate([face.points.ravel(), outline.ravel(), face.pose, [face.score]]).astype(np.float32)


def _size(face: Face) -> float:
    return float(np.sqrt(np.prod(face.box[2:] - face.box[:2])))


def assign(cost: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (row, column) of least total cost, each row and column at most once, infinite costs never.

    As many pairs as can be made. The Hungarian method with shortest augmenting paths.
    """
    rows, columns = cost.shape
    if rows > columns:
        return sorted((i, j) for j, i in assign(cost.T))
    finite = cost[np.isfinite(cost)]
    never = 1.0 + 2 * float(np.abs(finite).sum())
    padded = np.where(np.isfinite(cost), cost, never)
    u, v = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.full(columns + 1, -1)  # the row that holds each column; the last column is where a search begins
    for row in range(rows):
        owner[columns] = row
        column, slack = columns, np.full(columns, np.inf)
        came_from, visited = np.full(columns, columns), np.zeros(columns + 1, bool)
        while owner[column] >= 0:
            visited[column] = True
            i = owner[column]
            free = ~visited[:columns]
            reduced = padded[i] - u[i] - v[:columns]
            shorter = free & (reduced < slack)
            slack[shorter], came_from[shorter] = reduced[shorter], column
            nearest = int(np.argmin(np.where(free, slack, np.inf)))
            step = slack[nearest]
            u[owner[visited]] += step
            v[visited] -= step
            slack[free] -= step
            column = nearest
        while column != columns:
            owner[column] = owner[came_from[column]]
            column = came_from[column]
        owner[columns] = -1
    return sorted((int(owner[j]), j) for j in range(columns) if owner[j] >= 0 and np.isfinite(cost[owner[j], j]))
