"""YuNet, the face detector: where in a picture faces may be."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from fsvideo.faces.quiet import without_chatter
from fsvideo.types import Array, Image

Forward: TypeAlias = Callable[[Array], Sequence[Array]]
"""(1, 3, H, W) BGR on the 0..255 scale, sides multiples of 32 -> the network's OUTPUTS, (1, places, ...) each."""

_STRIDES = (8, 16, 32)  # pixels between two places at which a face may be said to be
OUTPUTS = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES)
_OVERLAP, _MOST = 0.3, 200  # intersection over union from which two finds are one; finds that are looked at
_SHAPES = 8  # for which a runner is kept: a clip's frames come in two or three
_COARSE_SIDE = 320  # pixels of the picture's longer side; finds faces too large for the detector's anchors


@dataclass(frozen=True)
class Candidate:
    """What the detector says of one face, in pixels of the picture it was given."""

    box: Array  # (4,) left, top, right, bottom
    points: Array  # (5, 2)
    score: float


class Detector:
    """The network, ready to be asked. Not thread-safe: one a thread.

    ``for_clip``: what makes one that says the same, and is faster for many pictures of few sizes.
    """

    def __init__(self, forward: Forward, for_clip: Callable[[], Forward]) -> None:
        self._forward, self._for_clip = forward, for_clip

    def for_clip(self) -> Detector:
        """The same for another thread and the frames of a clip."""
        return Detector(self._for_clip(), self._for_clip)

    def candidates(self, image: Image, min_score: float = 0.6, side: int = 1280) -> list[Candidate]:
        """YuNet at two scales: a fine one for small faces, a coarse one for faces that fill the picture.

        ``side``: the picture's longer side is reduced to this many pixels for the fine scale; smaller is faster and
        misses more faces that end up below 20 pixels.
        """
        fine = _shrunk(image, side)
        found = self.detect(fine, min_score)
        if max(fine.shape[:2]) > _COARSE_SIDE:
            coarse = _shrunk(fine, _COARSE_SIDE)
            found += [_scaled(c, coarse, fine) for c in self.detect(coarse, min_score)]
        return _suppress([_scaled(c, fine, image) for c in found])

    def turned(self, image: Image, min_score: float, side: int) -> list[Candidate]:
        """``candidates`` of the picture turned by a quarter, a half and three quarters."""
        height, width = image.shape[:2]
        found = []
        for quarter in (1, 2, 3):
            turned = np.ascontiguousarray(np.rot90(image, quarter))
            found += [_turn_back(c, quarter, width, height) for c in self.candidates(turned, min_score, side)]
        return _suppress(found)

    def detect(self, image: Image, min_score: float) -> list[Candidate]:
        """What it sees in an RGB picture as large as it is."""
        below, beside = (-side % _STRIDES[-1] for side in image.shape[:2])
        padded = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT) if below or beside else image
        made = self._forward(cv2.dnn.blobFromImage(padded, swapRB=True))
        by_stride = [
            _read(made[n :: len(_STRIDES)], padded.shape[1], stride, min_score) for n, stride in enumerate(_STRIDES)
        ]
        scores, boxes, points = (np.concatenate(each) for each in zip(*by_stride, strict=True))
        if not len(scores):
            return []
        corners = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
        best = cv2.dnn.NMSBoxes(corners.tolist(), scores.tolist(), min_score, _OVERLAP, top_k=_MOST)
        found = [Candidate(boxes[at], points[at], float(scores[at])) for at in np.ravel(best)]
        return [one for one in found if np.ptp(one.points, axis=0).min() > 1]


def by_opencv(model: bytes) -> Forward:
    """A YuNet ONNX file, run by OpenCV."""
    with without_chatter():
        net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))

    def forward(blob: Array) -> Sequence[Array]:
        net.setInput(blob)
        return [np.asarray(one, np.float32) for one in net.forward(OUTPUTS)]

    return forward


def by_shape(start: Callable[[tuple[int, ...]], Forward]) -> Forward:
    """One that ``start`` gives for each shape, which takes a moment; the last few are kept."""
    started = functools.lru_cache(_SHAPES)(start)
    return lambda blob: started(blob.shape)(blob)


def _read(made: Sequence[Array], width: int, stride: int, min_score: float) -> tuple[Array, Array, Array]:
    """(K,) scores, (K, 4) boxes and (K, 5, 2) points at those places of one stride that reach the score, in pixels of
    a picture so wide.

    ``made``: how sure it is of a face, and of a thing, then box and points as seen from each place.
    """
    face, thing, box, points = (one[0] for one in made)
    scores = np.sqrt((face.clip(0, 1) * thing.clip(0, 1))[:, 0])
    sure = np.flatnonzero(scores >= min_score)
    row, column = np.divmod(sure, width // stride)
    place = np.column_stack([column, row]).astype(np.float32)
    middle, half = (box[sure, :2] + place) * stride, np.exp(box[sure, 2:]) * (stride / 2)
    boxes = np.concatenate([middle - half, middle + half], 1)
    return scores[sure], boxes, (points[sure].reshape(-1, 5, 2) + place[:, None]) * stride


def _shrunk(image: Image, side: int) -> Image:
    """The picture with its longer side at most ``side`` pixels."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _scaled(candidate: Candidate, small: Image, large: Image) -> Candidate:
    """A find in ``small`` in the coordinates of ``large``, the same picture in another size."""
    factor = np.array([large.shape[1] / small.shape[1], large.shape[0] / small.shape[0]], np.float32)
    box = (candidate.box.reshape(2, 2) * factor).reshape(4)
    return Candidate(box, (candidate.points + 0.5) * factor - 0.5, candidate.score)


def _turn_back(candidate: Candidate, quarter: int, width: int, height: int) -> Candidate:
    """A find in ``np.rot90(image, quarter)`` in the coordinates of ``image``."""

    def back(xy: Array) -> Array:
        x, y = xy[:, 0], xy[:, 1]
        if quarter == 1:
            x, y = width - 1 - y, x
        elif quarter == 2:
            x, y = width - 1 - x, height - 1 - y
        else:
            x, y = y, height - 1 - x
        return np.stack([x, y], 1)

    corners = back(candidate.box.reshape(2, 2))
    return Candidate(np.concatenate([corners.min(0), corners.max(0)]), back(candidate.points), candidate.score)


def iou(a: Array, b: Array) -> float:
    """Intersection over union of two boxes (4,)."""
    size = np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]))
    inter = float(size.prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - inter
    return inter / union if union > 0 else 0.0


def same(a: Array, b: Array) -> bool:
    """Whether two boxes (4,) mean one face: they overlap, or one lies in the other."""
    inner = float(np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).prod())
    smaller = min(float((a[2:] - a[:2]).prod()), float((b[2:] - b[:2]).prod()))
    return iou(a, b) > 0.4 or inner > 0.8 * smaller


def _suppress(candidates: list[Candidate]) -> list[Candidate]:
    """Greedy non-maximum suppression across scales."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        if not any(same(candidate.box, k.box) for k in kept):
            kept.append(candidate)
    return kept
