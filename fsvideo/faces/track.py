"""Link the faces of each frame to tracks: one track a person between two cuts."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import FEATURE_POINTS, OUTLINE, crop, similarity, transform
from fsvideo.faces.detect import carried
from fsvideo.faces.people import Embed, Sample, best, mean_embedding, number_people, quality
from fsvideo.types import Array, CropSpec, Face, Image, Track

MAX_GAP = 0.5  # seconds a face may be missing before its track ends
_SAMPLE_EVERY = 0.5  # seconds between two looks at who a track is
_DOUBT_AFTER = 0.15  # seconds unseen after which a face must be recognised to go on with its track
_REACH = 0.5  # how far from its prediction a face may be, in face sizes ...
_REACH_GROWTH = 1.5  # ... and how much more for each second it was not seen
_RESIZE = 0.5  # natural logarithm of the most a face's size may change
_CARRIED = 1.0  # seconds that a track goes on with faces on which no mesh could be fitted, ...
_KNOWN = 0.3  # ... each this similar to the track, or, where that has not turned up yet and hardly moved, ...
_ALIKE, _MOMENT = 0.5, 0.1  # ... so similar to its face no longer than this ago, seconds
_BUDGE = 0.35  # face sizes that such a face may be off its prediction, as _REACH
_STRANGER, _TRUSTED = 0.2, 0.55  # a crop of this quality that is less similar than this shows somebody else
_FLICKER = 3  # a track seen in fewer frames is no person, unless its shot is as short ...
_DOUBTFUL = 0.8  # ... and one of a lower mean score only if it lasts half a second
_MOSTLY = 0.5  # share of a track's faces on which a mesh was fitted; with less only if that lasts half a second
_MESH = (*OUTLINE, *FEATURE_POINTS)  # what is kept of a face's mesh
_ROW = 10 + 2 * len(_MESH) + 3 + 1 + 1  # points, outline and features, pose, whether fitted, score


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
        near = np.isfinite(cost)
        glimpses = {j for j, face in enumerate(faces) if not face.fitted}
        samples = self._identify(
            image, faces, self._to_identify(cost, time) | {j for j in glimpses if near[:, j].any()}
        )
        for i, track in enumerate(self._live):
            for j, sample in samples.items():
                known = j not in glimpses or not near[i, j] or self._still(track, sample, time)
                cost[i, j] += track.unlikeness(sample) if known else np.inf
        matched = assign(cost)
        for i, j in matched:
            self._live[i].append(index, time, faces[j])
            if j in samples and j not in glimpses:
                self._live[i].sample(time, samples[j])
            else:
                self._live[i].presume(time, faces[j], crop(image, faces[j].points, self._spec).rgb)
        begun = sorted(set(range(len(faces))) - {j for _, j in matched} - glimpses)
        samples |= self._identify(image, faces, set(begun) - set(samples))
        lost = [self._live[i] for i in sorted(set(range(len(self._live))) - {i for i, _ in matched})]
        strangers = {j: [t for i, t in enumerate(self._live) if t in lost and near[i, j]] for j in begun}
        for j in begun:
            track = _Live(index, time, faces[j])
            track.sample(time, samples[j])
            for before in strangers[j]:
                self._hand_over(before, track)
            self._live.append(track)
        return begun

    def extend_back(self, begun: int, index: int, image: Image, face: Face) -> bool:
        """Give a track an earlier frame: ``begun`` counts from the end of the tracks that the last update began.

        Returns whether it took it: a face without a mesh of its own must look like the track's.
        """
        track = self._live[begun]
        if not face.fitted and not self._still(track, self._identify(image, [face], [0])[0], track.seen):
            return False
        track.prepend(index, face)
        return True

    def finish(self) -> list[Track]:
        """All tracks in order of their start, flickers left out, gaps filled in, people numbered."""
        self._end(list(self._live))
        times = np.asarray(self.times)
        kept = [t for t in self._done if self._is_person(t, times)]
        kept.sort(key=lambda t: t.indices[0])
        return number_people([t.finished(number, times) for number, t in enumerate(kept)], times, self.cuts)

    def _hand_over(self, before: _Live, track: _Live) -> None:
        """Somebody else stands where ``before`` was: give them the frames since its last look that show them."""
        if not before.presumed or before.indices[-1] != track.indices[0] - 1:
            return
        seen = self._embed([picture for _, _, picture in before.presumed])
        theirs = seen @ track.who > seen @ before.who
        count = len(theirs) if theirs.all() else int(np.argmin(theirs[::-1]))
        if count:
            track.take_end(before, count)

    def _still(self, track: _Live, sample: Sample, time: float) -> bool:
        """Whether a face without a mesh of its own, whose embedding is weak, is the track's, or just like its last."""
        if float(track.who @ sample.embedding) > _KNOWN:
            return True
        last = self._embed([track.presumed[-1][2]])[0] if track.presumed else track.last
        return time - track.seen <= _MOMENT and float(last @ sample.embedding) > _ALIKE

    def _end(self, tracks: list[_Live]) -> None:
        self._done += tracks
        self._live = [t for t in self._live if t not in tracks]

    def _is_person(self, track: _Live, times: npt.NDArray[np.float64]) -> bool:
        bounds = [0, *self.cuts, len(self.times)]
        shot = bisect_right(bounds, track.indices[0])
        if bounds[shot] - bounds[shot - 1] <= _FLICKER:
            return True
        lasting = times[track.indices[-1]] - times[track.indices[0]] >= MAX_GAP
        own = np.asarray(track.indices)[track.rows_fitted()]
        shown = len(own) > _MOSTLY * len(track.indices) or times[own[-1]] - times[own[0]] >= MAX_GAP
        return len(track.indices) >= _FLICKER and shown and (lasting or track.mean_score() >= _DOUBTFUL)

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
        self.who = self.last = np.zeros(0, np.float32)  # the mean of the best samples, and the last one
        self.fitted = time
        self.sampled, self.sampled_face = time, face
        self.presumed: list[tuple[float, Face, Image]] = []  # since the last look: time, face, crop

    def append(self, index: int, time: float, face: Face) -> None:
        moved = (face.points.mean(0) - self.face.points.mean(0)) / np.float32(max(time - self.seen, 1e-3))
        self.velocity = moved if len(self.indices) == 1 else 0.4 * self.velocity + 0.6 * moved
        self.indices.append(index)
        self.rows.frombytes(_pack(face).tobytes())
        self.seen, self.face = time, face
        self.fitted = time if face.fitted else self.fitted

    def prepend(self, index: int, face: Face) -> None:
        self.indices.insert(0, index)
        self.rows = array("f", _pack(face).tobytes()) + self.rows

    def sample(self, time: float, sample: Sample) -> None:
        self.samples = best([*self.samples, sample])
        self.who, self.last = mean_embedding(self.samples), sample.embedding
        self.sampled, self.sampled_face = time, self.face
        self.presumed = []

    def presume(self, time: float, face: Face, picture: Image) -> None:
        """The face appended last was not looked at: it is where the track's should be."""
        self.presumed.append((time, face, picture))

    def take_end(self, other: _Live, count: int) -> None:
        """Take the last frames of another track, which come right before this one's."""
        self.indices = other.indices[-count:] + self.indices
        self.rows = other.rows[-count * _ROW :] + self.rows
        del other.indices[-count:], other.rows[-count * _ROW :], other.presumed[-count:]
        last = (other.sampled, other.sampled_face) if not other.presumed else other.presumed[-1][:2]
        other.seen, other.face = last

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
        reach = _REACH if face.fitted else _BUDGE
        far = apart > reach + _REACH_GROWTH * unseen or abs(np.log(mine / other)) > _RESIZE + unseen
        overdue = not face.fitted and time - self.fitted > _CARRIED
        return np.inf if far or overdue else apart

    def unlikeness(self, sample: Sample) -> float:
        """0 for the same face, about 1 for a stranger, infinite for one that is surely none of this track's."""
        likeness = float(self.who @ sample.embedding)
        sure = min(sample.quality, self.samples[0].quality) > _TRUSTED
        return np.inf if sure and likeness < _STRANGER else 1 - likeness

    def mean_score(self) -> float:
        return float(np.frombuffer(self.rows, np.float32)[_ROW - 1 :: _ROW].mean())

    def rows_fitted(self) -> npt.NDArray[np.bool_]:
        return np.frombuffer(self.rows, np.float32)[_ROW - 2 :: _ROW] > 0

    def finished(self, number: int, times: npt.NDArray[np.float64]) -> Track:
        """The track with the frames between filled in, linearly in time; their score is 0."""
        indices = np.asarray(self.indices)
        seen = _shaped(np.frombuffer(self.rows, np.float32).reshape(-1, _ROW), times[indices])
        frames = np.arange(indices[0], indices[-1] + 1)
        rows = np.stack([np.interp(times[frames], times[indices], column) for column in seen.T], 1).astype(np.float32)
        rows[:, -1] = 0
        rows[indices - indices[0], -1] = seen[:, -1]
        mesh = rows[:, 10:-5].reshape(-1, len(_MESH), 2)
        return Track(
            id=number,
            start=int(indices[0]),
            points=rows[:, :10].reshape(-1, 5, 2).copy(),
            outline=mesh[:, : len(OUTLINE)].copy(),
            pose=rows[:, -5:-2].copy(),
            score=rows[:, -1].copy(),
            embedding=self.who,
            features=mesh[:, len(OUTLINE) :].copy(),
        )


def _pack(face: Face) -> Array:
    mesh = face.landmarks[list(_MESH)]
    return np.concatenate([face.points.ravel(), mesh.ravel(), face.pose, [face.fitted, face.score]]).astype(np.float32)


def _shaped(rows: Array, times: npt.NDArray[np.float64]) -> Array:
    """The rows of a track; those without a mesh of their own get the shape between the meshes before and after."""
    own = rows[:, -2] > 0
    if own.all() or not own.any():
        return rows
    shaped = rows.copy()
    between = np.stack([np.interp(times[~own], times[own], column) for column in rows[own, :-2].T], 1)
    for row, shape in zip(np.flatnonzero(~own), between.astype(np.float32), strict=True):
        matrix = similarity(shape[:10].reshape(5, 2), rows[row, :10].reshape(5, 2))
        shaped[row, :-5] = transform(matrix, shape[:-3].reshape(-1, 2)).ravel()
        shaped[row, -5:-2] = shape[-3:]
    return shaped


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
