"""A face laid over another, triangle by triangle on the landmark mesh: what can be done without a swapping network."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.types import Array, Image

FACE = 468  # the mesh's points but the irises, which move freely in their eyes
_LIGHT = 0.12  # of the crop's side: light and shade coarser than this are the target's
_THIN = 1e-3  # square pixels, twice the area below which a triangle shows nothing


def lay(source: Image, source_mesh: Array, target: Array, target_mesh: Array) -> Array:
    """The source's face in the target's shape and light; outside the face the target.

    ``source`` and ``target``: crops (S, S, 3) on the 0..255 scale; meshes (478, 2) in their pixels. float32, alike.
    """
    own = target_mesh[:FACE]
    places, inside = drawn(source_mesh[:FACE], own, triangles(own), len(target))
    moved = cv2.remap(source, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    missing = np.where(inside[..., None], target - moved.astype(np.float32), 0).astype(np.float32)
    share = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), _LIGHT * len(target))
    light = cv2.GaussianBlur(missing, (0, 0), _LIGHT * len(target)) / np.maximum(share, 1e-3)[..., None]
    return np.asarray(np.where(inside[..., None], moved + light, target).clip(0, 255), np.float32)


def triangles(points: Array) -> npt.NDArray[np.int64]:
    """(T, 3) indices of the Delaunay triangulation of (K, 2) points."""
    points = np.ascontiguousarray(points, np.float32)
    low, high = np.floor(points.min(0)).astype(int) - 1, np.ceil(points.max(0)).astype(int) + 2
    plane = cv2.Subdiv2D((int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])))
    plane.insert(points.tolist())
    index = {point.tobytes(): i for i, point in enumerate(points)}
    corners = np.ascontiguousarray(plane.getTriangleList(), np.float32).reshape(-1, 3, 2)
    found = [[index.get(corner.tobytes(), -1) for corner in triangle] for triangle in corners]
    return np.array([t for t in found if min(t) >= 0], np.int64).reshape(-1, 3)  # -1: the frame the plane begins with


def drawn(
    source: Array, target: Array, corners: npt.NDArray[np.int64], size: int
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Where in the source each target pixel comes from, (S, S, 2), and whether it lies on the mesh, (S, S).

    Points (K, 2) each; the triangles ``corners`` (T, 3) are drawn in their order, later ones over earlier ones.
    """
    here = np.concatenate([target[corners], np.ones((*corners.shape, 1))], 2).astype(np.float64)  # (T, 3, 3)
    broad = np.abs(np.linalg.det(here)) > _THIN
    corners, here = corners[broad], here[broad]
    maps = np.linalg.solve(here, source[corners].astype(np.float64))  # (x, y, 1) @ (3, 2) -> the source's pixel
    label = np.full((size, size), -1, np.float32)
    fixed = np.round(target[corners] * 16).astype(np.int32)
    for k, polygon in enumerate(fixed):
        cv2.fillConvexPoly(label, polygon, k, shift=4)
    inside = label >= 0
    y, x = np.nonzero(inside)
    places = np.zeros((size, size, 2), np.float32)
    grid = np.stack([x, y, np.ones_like(x)], 1).astype(np.float64)
    places[inside] = np.einsum("ni,nij->nj", grid, maps[label[inside].astype(np.int64)])
    return places, inside
