"""Landmarks of a face that is followed: its mesh, fitted where it must be about, and its pose.

mediapipe's landmarker looks for the face anew in every picture, and cuts its network's input by what its own detector
says, which trembles. The same network on a chip that is cut by the landmarks of the frame before takes less than half
the time, and is steadier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import five_points, invert, similarity, transform
from fsvideo.faces.patch import patch
from fsvideo.types import Array, Face, Image

Mesh: TypeAlias = Callable[[Image], tuple[Array, float]]
"""A chip (S, S, 3) uint8 -> (478, 3) points in its pixels, 0..S, z away from the camera; a logit of there being one."""

_FLAT = 1.08  # times as large as it looks without perspective is a turn by mediapipe's account
_PRESENT = 0.0  # logit of the mesh from which there is a face; in profile it does not reach that
# Where the weighted points of MediaPipe's canonical face lie, by which it tells a pose (Apache 2.0, The MediaPipe
# Authors): number, weight, x to the person's left, y up, z to the front in centimetres.
# fmt: off
_CANONICAL = np.array([
    (4, 0.0709, 0.000, -0.463, 7.587),
    (6, 0.0321, 0.000, 2.473, 5.789),
    (10, 0.0084, 0.000, 8.262, 4.482),
    (33, 0.0587, -4.446, 2.664, 3.173),
    (54, 0.0077, -6.279, 6.615, 1.426),
    (67, 0.0091, -3.524, 8.006, 3.729),
    (117, 0.0098, -5.259, 0.946, 2.974),
    (119, 0.0146, -3.301, 0.862, 3.873),
    (121, 0.0186, -1.821, 1.468, 4.224),
    (127, 0.0052, -7.743, 2.365, -2.005),
    (129, 0.1206, -1.786, -0.978, 4.850),
    (132, 0.0056, -7.271, -2.891, -2.252),
    (133, 0.0533, -1.856, 2.585, 3.758),
    (136, 0.0669, -5.085, -7.179, 0.715),
    (143, 0.0148, -6.408, 2.236, 1.561),
    (147, 0.0143, -6.235, -1.944, 1.664),
    (198, 0.0255, -1.247, 0.230, 5.681),
    (205, 0.0473, -3.833, -1.537, 4.138),
    (263, 0.0587, 4.446, 2.664, 3.173),
    (284, 0.0077, 6.279, 6.615, 1.426),
    (297, 0.0091, 3.524, 8.006, 3.729),
    (346, 0.0098, 5.259, 0.946, 2.974),
    (348, 0.0146, 3.301, 0.862, 3.873),
    (350, 0.0186, 1.821, 1.468, 4.224),
    (356, 0.0052, 7.743, 2.365, -2.005),
    (358, 0.1206, 1.786, -0.978, 4.850),
    (361, 0.0056, 7.271, -2.891, -2.252),
    (362, 0.0533, 1.856, 2.585, 3.758),
    (365, 0.0669, 5.085, -7.179, 0.715),
    (372, 0.0148, 6.408, 2.236, 1.561),
    (376, 0.0143, 6.235, -1.944, 1.664),
    (420, 0.0255, 1.247, 0.230, 5.681),
    (425, 0.0473, 3.833, -1.537, 4.138),
])
# fmt: on
_INDICES, _WEIGHTS, _SHAPE = _CANONICAL[:, 0].astype(int), _CANONICAL[:, 1:2], _CANONICAL[:, 2:]


class Fitter:
    """Fits the mesh on faces whose place is known. ``template`` (5, 2): where the five points lie in its chip."""

    def __init__(self, mesh: Mesh, template: Array, size: int) -> None:
        self._mesh, self._template, self._size = mesh, template, size

    def fit(self, image: Image, points: Array, score: float) -> Face | None:
        """The face of the RGB picture whose five points (5, 2) are about there; None where the mesh sees none."""
        matrix = similarity(points, self._template)
        chip = patch(image, matrix, self._size)
        found, presence = self._mesh(chip)
        if presence < _PRESENT:
            return None
        landmarks = transform(invert(matrix), found[:, :2] - 0.5)
        box = np.concatenate([landmarks.min(0), landmarks.max(0)])
        return Face(box, five_points(landmarks), landmarks, score, pose_of(found, matrix))


def pose_of(mesh: Array, matrix: Array) -> Array:
    """Yaw, pitch, roll in degrees of a mesh (478, 3) in the pixels of a chip that this 2 x 3 similarity has cut.

    The rotation that brings the canonical face nearest to it (Kabsch), seen without perspective.
    """
    here = mesh[_INDICES].astype(np.float64) * (1, -1, -1)
    weights = _WEIGHTS / _WEIGHTS.sum()
    there, here = (each - (weights * each).sum(0) for each in (_SHAPE, here))
    u, _, v = np.linalg.svd((weights * here).T @ there)
    rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v
    return angles(rotation, matrix) * np.array([_FLAT, 1, 1], np.float32)


def angles(rotation: npt.NDArray[np.float64], matrix: Array) -> Array:
    """Yaw, pitch, roll in degrees of a rotation (3, 3), x to the right, y up, seen through a chip's own rotation."""
    yaw = np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2]))
    pitch = np.degrees(np.arcsin(np.clip(-rotation[1, 2], -1, 1)))
    roll = np.degrees(np.arctan2(rotation[1, 0], rotation[1, 1])) + np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
    return np.array([yaw, pitch, roll], np.float32)
