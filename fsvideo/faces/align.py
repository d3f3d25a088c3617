"""Aligned crops: the similarity that carries a face's five points onto the template, and antialiased warps.

Training and swapping cut faces with this very code.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.types import Array, Crop, CropSpec, Image

# The mediapipe mesh indices that make the five points: eyes as the middle of their corners (the iris follows the gaze,
# the corners do not), nose tip, mouth corners; "right" is the person's right, at the image's left.
_RIGHT_EYE, _LEFT_EYE, _NOSE, _MOUTH = (33, 133), (362, 263), 4, (61, 291)

# The mesh's face oval, in order around the face, from the top of the forehead.
# fmt: off
OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288,
    397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
    172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)

# The mesh's outlines of what stays the target's on request, each in order around it.
FEATURES: dict[str, tuple[tuple[int, ...], ...]] = {
    "mouth": ((61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),),
    "eyes": ((33, 161, 159, 157, 133, 154, 145, 163), (263, 388, 386, 384, 362, 381, 374, 390)),
    "brows": ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)),
}
# fmt: on
_BLUR = 0.45  # standard deviation of the blur before sampling, in pixels of the smaller grid
_FINER = 0.62  # pixels of the smaller grid that one of the reduced picture takes at most
FEATURE_POINTS = tuple(index for parts in FEATURES.values() for part in parts for index in part)


def features_of(points: Array) -> dict[str, list[Array]]:
    """(..., 56, 2) points of FEATURE_POINTS -> the outlines of each feature, (..., K, 2) views."""
    found: dict[str, list[Array]] = {}
    at = 0
    for name, parts in FEATURES.items():
        found[name] = []
        for part in parts:
            found[name].append(points[..., at : at + len(part), :])
            at += len(part)
    return found


def five_points(landmarks: Array) -> Array:
    """(478, 2) mesh -> (5, 2) right eye, left eye, nose tip, right and left mouth corner."""
    eyes = [landmarks[list(pair)].mean(0) for pair in (_RIGHT_EYE, _LEFT_EYE)]
    return np.stack([*eyes, landmarks[_NOSE], landmarks[_MOUTH[0]], landmarks[_MOUTH[1]]]).astype(np.float32)


def similarity(src: npt.ArrayLike, dst: npt.ArrayLike) -> Array:
    """Least-squares similarity (scale, rotation, shift; Umeyama 1991) that maps points ``src`` to ``dst``, as 2 x 3.

    Raises ValueError where the points of ``src`` coincide.
    """
    s, d = np.asarray(src, np.float64), np.asarray(dst, np.float64)
    s_mean, d_mean = s.mean(0), d.mean(0)
    s0, d0 = s - s_mean, d - d_mean
    power = float((s0**2).sum())
    if power < 1e-9:
        raise ValueError("the points of a face coincide")
    a = float((s0 * d0).sum()) / power
    b = float((s0[:, 0] * d0[:, 1] - s0[:, 1] * d0[:, 0]).sum()) / power
    linear = np.array([[a, -b], [b, a]])
    return np.hstack([linear, (d_mean - linear @ s_mean)[:, None]]).astype(np.float32)


def invert(matrix: Array) -> Array:
    """The inverse of a 2 x 3 affine map."""
    return cv2.invertAffineTransform(matrix.astype(np.float64)).astype(np.float32)


def compose(outer: Array, inner: Array) -> Array:
    """The 2 x 3 map that applies ``inner`` first, then ``outer``."""
    full = np.vstack([inner, [0, 0, 1]]).astype(np.float64)
    return (outer.astype(np.float64) @ full).astype(np.float32)


def transform(matrix: Array, points: npt.ArrayLike) -> Array:
    """Apply a 2 x 3 map to points (..., 2)."""
    return (np.asarray(points, np.float32) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def scale_of(matrix: Array) -> float:
    """Length of one source pixel after the map."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2].astype(np.float64)))))


def warp(image: npt.NDArray, matrix: Array, width: int, height: int, border: int = cv2.BORDER_REPLICATE) -> npt.NDArray:  # type: ignore[type-arg]
    """Antialiased affine warp: out(matrix @ x) = image(x). uint8 or float32, H x W or H x W x C.

    OpenCV's warp takes single samples, so faces larger than the crop would shimmer. Here only the part that is needed
    is taken, reduced by a whole number while it stays finer than the smaller grid, blurred with the Gaussian that
    leaves what that grid can hold, and then sampled.
    """
    matrix = matrix.astype(np.float64)
    scale = scale_of(matrix)
    flags = cv2.INTER_CUBIC if image.dtype == np.float32 or scale > 1 else cv2.INTER_LINEAR
    if scale < 0.8:
        variance = _BLUR**2 * (1 / scale**2 - 1)
        times = max(1, int(_FINER / scale))
        corners = transform(
            invert(matrix), [(-0.5, -0.5), (width - 0.5, -0.5), (-0.5, height - 0.5), (width - 0.5, height - 0.5)]
        )
        pad = int(np.ceil(3 * np.sqrt(variance))) + 2 * times
        h, w = image.shape[:2]
        left, top = np.clip(np.floor(corners.min(0)).astype(int) - pad, 0, (w - 1, h - 1))
        left, top = left - left % times, top - top % times  # the same squares wherever the part begins
        right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + pad + 1, (left + 1, top + 1), (w, h))
        image = image[top:bottom, left:right]
        if times > 1:
            image = _reduced(image, times)
            variance = (variance - (times**2 - 1) / 12) / times**2  # a mean of so many pixels has blurred, too
        image = cv2.GaussianBlur(image, (0, 0), np.sqrt(variance), borderType=cv2.BORDER_REPLICATE)
        back = [[times, 0, left + (times - 1) / 2], [0, times, top + (times - 1) / 2]]
        matrix = compose(matrix, np.array(back)).astype(np.float64)
    return cv2.warpAffine(np.ascontiguousarray(image), matrix, (width, height), flags=flags, borderMode=border)


def with_fourth(picture: Array, plane: Array) -> Array:
    """(h, w, 3) and (h, w) as one (h, w, 4): OpenCV moves four channels twice as fast as three."""
    both = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(plane, both, 3)
    return np.asarray(both, np.float32)


def _reduced(image: npt.NDArray, times: int) -> npt.NDArray:  # type: ignore[type-arg]
    """Means of squares of ``times`` pixels a side; the last ones are filled up with the picture's edge."""
    height, width = image.shape[:2]
    below, beside = -height % times, -width % times
    if below or beside:
        image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    size = (image.shape[1] // times, image.shape[0] // times)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def crop_matrix(points: Array, spec: CropSpec) -> Array:
    """The 2 x 3 similarity from the picture's pixels to the crop's, for a face's five points (5, 2)."""
    return similarity(points, spec.points)


def crop(image: Image, points: Array, spec: CropSpec) -> Crop:
    """Cut the aligned crop of the face with these five points; what lies outside the picture repeats its edge."""
    matrix = crop_matrix(points, spec)
    return Crop(warp(image, matrix, spec.size, spec.size), matrix)
