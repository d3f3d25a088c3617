"""YuNet, the face detector: where in a picture faces may be."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fsvideo.faces.quiet import without_chatter
from fsvideo.types import Array, Image

_COARSE_SIDE = 320  # pixels of the picture's longer side; finds faces too large for the detector's anchors


@dataclass(frozen=True)
class Candidate:
    """What the detector says of one face, in pixels of the picture it was given."""

    box: Array  # (4,) left, top, right, bottom
    points: Array  # (5, 2)
    score: float


class Detector:
    """The network, loaded once. Not thread-safe: one a thread. ``model``: bytes of a YuNet ONNX file."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        with without_chatter():
            self._yunet = cv2.FaceDetectorYN.create(
                "onnx", np.frombuffer(model, np.uint8), np.empty(0, np.uint8), (_COARSE_SIDE, _COARSE_SIDE)
            )
        self._yunet.setTopK(200)

    def another(self) -> Detector:
        """The same for another thread."""
        return Detector(self._model)

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
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._yunet.setInputSize((bgr.shape[1], bgr.shape[0]))
        self._yunet.setScoreThreshold(min_score)
        _, rows = self._yunet.detect(bgr)
        found = []
        for row in rows if rows is not None else ():
            points = row[4:14].reshape(5, 2)
            if np.ptp(points, axis=0).min() > 1:
                found.append(Candidate(np.concatenate([row[:2], row[:2] + row[2:4]]), points, float(row[14])))
        return found


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
