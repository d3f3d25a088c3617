"""Measures of a swap, each a pure function of pictures, landmarks or features.

Pictures are RGB on the 0..255 scale, (H, W, 3); ``inside`` (H, W) says which pixels count.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.faces.align import OUTLINE
from fsvideo.faces.flicker import Picture, Where, luma
from fsvideo.types import Array, Face

# Mesh indices of an eye: outer and inner corner, upper and lower lid, middle of the iris.
_EYES = ((33, 133, 159, 145, 468), (263, 362, 386, 374, 473))
_CLOSED = 0.12  # a lid's opening in eye widths, below which nobody can say where an eye looks


def rank1(queries: Array, gallery: Array) -> float:
    """Share of queries (N, D) whose nearest, by cosine, in the gallery (N, D) is that of their own row; unit length."""
    return float((np.argmax(queries @ gallery.T, axis=1) == np.arange(len(queries))).mean())


def pose_error(a: Face, b: Face) -> float:
    """Euclidean distance of (yaw, pitch, roll), degrees, as the literature on face swapping gives it."""
    turn = (a.pose - b.pose + 180) % 360 - 180
    return float(np.linalg.norm(turn))


def expression_error(a: Face, b: Face) -> float:
    """Euclidean distance of the 52 blendshapes, each 0..1."""
    if a.blendshapes is None or b.blendshapes is None:
        raise ValueError("the faces were found without blendshapes")
    return float(np.linalg.norm(a.blendshapes - b.blendshapes))


def gaze_error(a: Face, b: Face) -> float | None:
    """How far the irises of ``a`` lie from where those of ``b`` do, in eye widths; None where ``b``'s eyes are closed.

    An iris's place is measured from the middle between the eye's corners, along them and across.
    """
    if min(_openness(b.landmarks, eye) for eye in _EYES) < _CLOSED:
        return None
    return float(np.mean([np.linalg.norm(_gaze(a.landmarks, eye) - _gaze(b.landmarks, eye)) for eye in _EYES]))


def _gaze(landmarks: Array, eye: tuple[int, ...]) -> Array:
    outer, inner, _, _, iris = (landmarks[i] for i in eye)
    along = inner - outer
    across = np.array([-along[1], along[0]])
    offset = iris - (outer + inner) / 2
    return np.array([offset @ along, offset @ across], np.float32) / np.float32(along @ along)


def _openness(landmarks: Array, eye: tuple[int, ...]) -> float:
    outer, inner, upper, lower, _ = (landmarks[i] for i in eye)
    return float(np.linalg.norm(upper - lower) / max(1e-6, float(np.linalg.norm(outer - inner))))


def face_area(outline: Array, height: int, width: int) -> Where:
    """(H, W) pixels inside a face's outline (K, 2)."""
    area = np.zeros((height, width), np.uint8)
    cv2.fillPoly(area, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
    return area > 0


def outline_of(face: Face) -> Array:
    """(36, 2) the outline of a face, as tracks keep it."""
    return face.landmarks[list(OUTLINE)]


def psnr(a: Picture, b: Picture, inside: Where) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures."""
    error = float(((a[inside].astype(np.float64) - b[inside]) ** 2).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim(a: Picture, b: Picture, inside: Where) -> float:
    """Structural similarity of the luma (Wang 2004: Gaussian window of spread 1.5, K = 0.01, 0.03), averaged."""
    x, y = (luma(p).astype(np.float64) for p in (a, b))
    mean_x, mean_y, xx, yy, xy = (cv2.GaussianBlur(v, (11, 11), 1.5) for v in (x, y, x * x, y * y, x * y))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    cross = (2 * mean_x * mean_y + c1) * (2 * (xy - mean_x * mean_y) + c2)
    power = (mean_x**2 + mean_y**2 + c1) * (xx - mean_x**2 + yy - mean_y**2 + c2)
    return float((cross / power)[inside].mean())


def detail(picture: Picture, inside: Where) -> float:
    """Energy of fine detail: the mean square of the luma's Laplacian, the outline's own edge left out."""
    core = cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0
    if not core.any():
        return float("nan")
    return float((cv2.Laplacian(luma(picture), cv2.CV_32F)[core].astype(np.float64) ** 2).mean())


def jitter(points: Array) -> float:
    """How much points (T, K, 2) tremble: root mean square of their second difference in time, in their own unit."""
    return float(np.sqrt((np.diff(points.astype(np.float64), 2, axis=0) ** 2).sum(-1).mean()))


def frechet(a: Array, b: Array) -> float:
    """Fréchet distance of the Gaussians through two sets of features (N, D) and (M, D).

    The trace of the root of the covariances' product is the sum of the singular values of the centred sets' product,
    which is exact also where there are fewer samples than dimensions.
    """
    mean_a, mean_b = a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64)
    x, y = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    cross = float(np.linalg.svd(x @ y.T, compute_uv=False).sum())
    return float(((mean_a - mean_b) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * cross)
