"""Photos as footage would have them. Most training data are photos; what is swapped is video, and often poor."""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.types import Array, Image

_SMEARED = 0.04  # of the side: the longest way of a motion while the shutter is open
_SMALLEST = 0.25  # of the side: how small a face may be in its frame
_DIM, _CAST = (0.45, 1.15), 0.1  # light, and the standard deviation of its colour's logarithm
_GRAIN = 8.0  # levels, standard deviation at most
_QUALITY = (25, 85)  # of JPEG, which stands for any codec


def as_footage(rgb: Image, rng: np.random.Generator) -> Image:
    """A crop (S, S, 3) as poor footage shows it: in other light, smeared or small, grainy, compressed; each at random.

    What it shows stays where it is.
    """
    size = len(rgb)
    light = np.exp(rng.normal(0, _CAST, 3) + rng.uniform(*np.log(_DIM)))
    picture = np.asarray(rgb * light, np.float32)
    how = rng.random()
    if how < 0.4:
        picture = np.asarray(
            cv2.filter2D(picture, -1, _smear(rng.uniform(0.3, 1) * _SMEARED * size, rng.uniform(0, np.pi))), np.float32
        )
    side = size if how < 0.3 else max(1, round(size * np.exp(rng.uniform(np.log(_SMALLEST), 0))))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    small = small + rng.normal(0, rng.uniform(0, _GRAIN), small.shape)
    levels = np.asarray(small.clip(0, 255), np.uint8)
    if rng.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*_QUALITY))]
        levels = np.asarray(cv2.imdecode(cv2.imencode(".jpg", levels, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.resize(levels, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def _smear(length: float, angle: float) -> Array:
    """A kernel that smears a picture along a line of so many pixels."""
    reach = int(np.ceil(length / 2)) + 1
    half = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    begin, end = (np.round((reach + way) * 16).astype(int).tolist() for way in (-half, half))  # in 16ths of a pixel
    kernel = cv2.line(np.zeros((2 * reach + 1,) * 2, np.uint8), begin, end, 255, 1, cv2.LINE_AA, 4)
    return np.asarray(kernel / np.float32(kernel.sum()), np.float32)
