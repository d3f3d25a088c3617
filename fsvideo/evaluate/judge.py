"""The recogniser that judges: another one than swappers are trained with. Run by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fsvideo import weights
from fsvideo.faces.align import similarity, warp
from fsvideo.types import Array, Image, WeightsError

SIDE = 112  # pixels of the chip
# The ArcFace template: where the five points of types.Face lie in a chip, pixels.
_POINTS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))


class Judge:
    """Embeds faces. ``model``: the shipped one, or an ONNX file of the ArcFace kind: BGR, (value - 127.5) / 128."""

    def __init__(self, model: str | Path = "judge") -> None:
        self.name = weights.find(model).stem
        content = np.frombuffer(weights.read_bytes(model), np.uint8)
        try:
            self._net = cv2.dnn.readNetFromONNX(content)
            shape = self._forward([np.zeros((SIDE, SIDE, 3), np.uint8)] * 2).shape
        except cv2.error as error:
            raise WeightsError(
                f"{model}: not a recogniser that OpenCV can run", "give an ONNX file that takes (N, 3, 112, 112)"
            ) from error
        if len(shape) != 2 or shape[0] != 2 or shape[1] < 16:
            raise WeightsError(f"{model}: gives {shape} for two faces", "give a recogniser with one embedding a face")

    def __call__(self, image: Image, points: Array) -> Array:
        """(D,) the embedding, of unit length, of the face with these five points (5, 2)."""
        return np.asarray(self.batch([self.chip(image, points)])[0], np.float32)

    def chip(self, image: Image, points: Array) -> Image:
        """(112, 112, 3) the face as the recogniser wants it cut."""
        return np.asarray(warp(image, similarity(points, _POINTS), SIDE, SIDE), np.uint8)

    def batch(self, chips: Sequence[Image]) -> Array:
        """(N, D) embeddings of unit length."""
        raw = self._forward(chips)
        return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9), np.float32)

    def _forward(self, chips: Sequence[Image]) -> Array:
        bgr = np.stack(chips)[..., ::-1].astype(np.float32)
        self._net.setInput(np.ascontiguousarray(((bgr - 127.5) / 128).transpose(0, 3, 1, 2)))
        return np.asarray(self._net.forward(), np.float32)
