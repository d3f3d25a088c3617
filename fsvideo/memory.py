"""Pass 1 that can break off: what its networks answered, stored segment by segment, so that none is asked twice.

All else in pass 1 follows from the pictures and these answers, which come in a fixed order. A run that goes on decodes
the clip from its start, takes the answers that are there, and asks the networks from where they end.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.yunet import Candidate
from fsvideo.journal import Work
from fsvideo.types import Array, Face, FsvideoError, Image

_SHAPES: dict[str, tuple[int, ...]] = {"box": (4,), "points": (5, 2), "landmarks": (478, 2), "pose": (3,), "fitted": ()}
_ENDS = np.cumsum([int(np.prod(shape)) for shape in _SHAPES.values()])
_PREFIX = "seen-"


@dataclass(frozen=True)
class _Answer:
    """Numbers, a row for each thing asked about; ``scores`` belong to faces, embeddings have none."""

    rows: Array  # (N, D)
    scores: npt.NDArray[np.float64]  # (N,) or (0,)


class Memory:
    """The networks' answers so far, in ``work``."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._old: deque[_Answer] = deque()
        self._new: list[_Answer] = []
        self._stored = 0  # parts

    @property
    def knows(self) -> bool:
        """Whether there are answers left from before."""
        return bool(self._old) or (not self._new and self._work.info(self._next) is not None)

    @property
    def _next(self) -> str:
        """The name of the part after those that were stored or read."""
        return f"{_PREFIX}{self._stored:05}"

    def finder(self, finder: FaceFinder) -> FaceFinder:
        """The same finder, asked only for what is not known."""
        return _Finder(finder, self)

    def embed(self, crops: Sequence[Image], embed: Callable[[Sequence[Image]], Array]) -> Array:
        """``embed(crops)``, or what it was."""
        answer = self.ask(lambda: _Answer(embed(crops), np.zeros(0)))
        if answer.rows.shape[0] != len(crops):
            raise _strange()
        return answer.rows

    def faces(self, find: Callable[[], Sequence[Face]]) -> list[Face]:
        """``find()``, or what it was."""
        answer = self.ask(lambda: _packed(find()))
        if len(answer.scores) != len(answer.rows):
            raise _strange()
        return [_unpacked(row, score) for row, score in zip(answer.rows, answer.scores.tolist(), strict=True)]

    def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """The next answer."""
        if not self._old and not self._new:
            self._recall()
        if self._old:
            return self._old.popleft()
        self._new.append(question())
        return self._new[-1]

    def store(self) -> None:
        """Keep what was answered since the last call: the end of a segment. Raises WriteError."""
        if not self._new:
            return
        file = io.BytesIO()
        shapes = [(*answer.rows.shape, len(answer.scores)) for answer in self._new]
        rows = np.concatenate([answer.rows.ravel() for answer in self._new])
        scores = np.concatenate([answer.scores for answer in self._new])
        np.savez(file, shapes=np.array(shapes, np.int64), rows=rows, scores=scores)
        self._work.put(self._next, file.getvalue())
        self._stored += 1
        self._new = []

    def forget(self) -> None:
        """Pass 1 is done, its findings are kept: the answers may go."""
        self._work.drop(_PREFIX)

    def _recall(self) -> None:
        """Read the next stored part, if there is one."""
        name = self._next
        if self._work.info(name) is None:
            return
        self._stored += 1
        with np.load(io.BytesIO(self._work.path(name).read_bytes()), allow_pickle=False) as arrays:
            rows, scores, at, scored = arrays["rows"], arrays["scores"], 0, 0
            for count, width, with_score in arrays["shapes"].tolist():
                block = rows[at : at + count * width].reshape(count, width)
                self._old.append(_Answer(block, scores[scored : scored + with_score]))
                at, scored = at + count * width, scored + with_score


class _Finder(FaceFinder):
    """Asks another finder, where the memory does not know."""

    def __init__(self, finder: FaceFinder, memory: Memory) -> None:
        self._finder, self._memory = finder, memory
        self.detector = finder.detector

    def find(
        self,
        image: Image,
        min_score: float = 0.6,
        thorough: bool = False,
        side: int = 1280,
        known: Sequence[Face] = (),
        candidates: Sequence[Candidate] | None = None,
    ) -> list[Face]:
        return self._memory.faces(lambda: self._finder.find(image, min_score, thorough, side, known, candidates))

    def follow(self, image: Image, face: Face) -> Face | None:
        def one() -> list[Face]:
            found = self._finder.follow(image, face)
            return [] if found is None else [found]

        return next(iter(self._memory.faces(one)), None)

    def close(self) -> None:
        """The other one is not ours to close."""


def _packed(faces: Sequence[Face]) -> _Answer:
    rows = [np.concatenate([np.ravel(getattr(face, name)) for name in _SHAPES]) for face in faces]
    stacked = np.array(rows, np.float32).reshape(len(rows), int(_ENDS[-1]))
    return _Answer(stacked, np.array([face.score for face in faces], np.float64))


def _unpacked(row: Array, score: float) -> Face:
    values = np.split(row, _ENDS[:-1])
    box, points, landmarks, pose, fitted = (v.reshape(shape) for v, shape in zip(values, _SHAPES.values(), strict=True))
    return Face(box, points, landmarks, score, pose, fitted=bool(fitted))


def _strange() -> FsvideoError:
    return FsvideoError("the unfinished work does not belong to this input", "start afresh with --overwrite")
