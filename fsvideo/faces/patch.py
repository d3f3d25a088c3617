"""Parts of a picture as the networks that look for faces get them: cut out, and lifted where it is dark."""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.align import warp
from fsvideo.types import Array, Image

_DARK = 50  # mean level of a patch below which it is lifted


def patch(image: Image, matrix: Array, side: int) -> Image:
    """(side, side, 3) what the 2 x 3 matrix cuts out of the picture, black beyond its edge; a dark one lifted."""
    cut = warp(image, matrix, side, side, border=cv2.BORDER_CONSTANT)
    return lifted(cut) if cut.mean() < _DARK else cut


def lifted(image: Image) -> Image:
    """The picture with its shadows opened: a power curve of exponent 0.4."""
    curve = (255 * (np.arange(256) / 255) ** 0.4).astype(np.uint8)
    return np.asarray(cv2.LUT(image, curve), np.uint8)
