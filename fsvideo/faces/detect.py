"""Find faces in a picture: YuNet for where, the mediapipe mesh for what they look like.

YuNet sees small, dark and turned faces that the mesh's own detector misses. Every find is looked at again on a small
upright patch, which real faces survive and most false ones do not, and the mesh is fitted on an upright crop around it,
so it never works on a face that is small in its picture.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import five_points, invert, scale_of, similarity, transform
from fsvideo.faces.landmarks import Fitter, angles
from fsvideo.faces.patch import lifted, patch
from fsvideo.faces.quiet import without_chatter, without_plots
from fsvideo.faces.yunet import Candidate, Detector, same
from fsvideo.types import Array, Face, Image

_MESH_SIDE = 256  # pixels of the crop that the mesh is fitted on
_LOOK_SIDE = 112  # pixels of the upright patch on which a find is confirmed
# Where the five points lie in either patch, in units of its side; the face then takes 0.46 of the side.
_PATCH = np.array([(0.40, 0.42), (0.60, 0.42), (0.50, 0.53), (0.415, 0.63), (0.585, 0.63)], np.float32)
_FACE = 0.46
# The mesh has a detector of its own, which misses some faces at one size and prefers a neighbour at another.
_ZOOMS = (0.7, 1.6)
_SURE = 0.7  # score of the detector from which a face is there, whatever the mesh says
_LOOSE = 0.12  # mean error of a mesh, in face sizes, from which the detector is believed instead
_STIFF = 0.035  # change of the detector's points, in face sizes, up to which a carried mesh is as good as fitted
_STRAY = 0.5  # face sizes from where it should be within which a face is looked for once more
_AROUND_SIDE, _AROUND_FACE = 256, 64  # pixels of the upright patch of this second look, and of the face in it
_NEAR = 0.15  # face sizes up to which the mesh is fitted where the face was expected, not where the detector sees it


class FaceFinder:
    """Detector and landmarker, loaded once. Not thread-safe: one finder a thread. Also a context manager.

    ``landmarker``: bytes of mediapipe's face_landmarker.task; ``fitter`` loads what fits landmarks to faces that are
    followed, when the first one is.
    """

    def __init__(
        self, detector: Detector, landmarker: bytes, fitter: Callable[[], Fitter], blendshapes: bool = False
    ) -> None:
        self._load_fitter = fitter
        self.detector = detector
        with without_chatter():
            with without_plots():
                import mediapipe as mp  # takes a while: only when faces are wanted
                from mediapipe.tasks.python import vision

            self._mp_image, self._srgb = mp.Image, mp.ImageFormat.SRGB
            self._mesh = vision.FaceLandmarker.create_from_options(
                vision.FaceLandmarkerOptions(
                    base_options=mp.tasks.BaseOptions(model_asset_buffer=landmarker),
                    min_face_detection_confidence=0.3,
                    min_face_presence_confidence=0.3,
                    output_face_blendshapes=blendshapes,
                    output_facial_transformation_matrixes=True,
                )
            )
            # The first picture starts the graph's threads, which have more to say.
            self._mesh.detect(self._mp_image(image_format=self._srgb, data=np.zeros((64, 64, 3), np.uint8)))
        self._release = weakref.finalize(self, _close, self._mesh)

    def __enter__(self) -> FaceFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the landmarker."""
        self._release()

    @cached_property
    def _fitter(self) -> Fitter:
        return self._load_fitter()

    def find(
        self,
        image: Image,
        min_score: float = 0.6,
        thorough: bool = False,
        side: int = 1280,
        known: Sequence[Face] = (),
        candidates: Sequence[Candidate] | None = None,
    ) -> list[Face]:
        """Faces of an RGB picture, largest first. ``thorough`` also looks in the dark and at turned pictures.

        ``side``: see ``Detector.candidates``; ``candidates``: what that said of this picture, where it was asked
        before. ``known``: faces of this picture found before, which are neither looked at again nor returned. A find
        that the mesh does not confirm is dropped.
        """
        if candidates is None:
            candidates = self.detector.candidates(image, min_score, side)
        faces = self._fit_all(image, candidates, known)
        if thorough and not faces and not known:
            faces = self._fit_all(image, self.detector.candidates(lifted(image), min_score, side), known)
        if thorough and not faces and not known:
            faces = self._fit_all(image, self.detector.turned(image, min_score, side), known)
        return sorted(faces, key=lambda f: -float(np.prod(f.box[2:] - f.box[:2])))

    def locate(self, image: Image, points: Array, min_score: float = 0.5) -> Candidate | None:
        """The face nearest to where these five points (5, 2) say one is, however it is turned; None if there is none.

        Looks no further than about one face's width; takes a millisecond.
        """
        matrix = similarity(points, _PATCH * _LOOK_SIDE)
        return self._nearest(image, points, matrix, _LOOK_SIDE, min_score)

    def fit(self, image: Image, points: Array, score: float = 1.0) -> Face | None:
        """Fit the mesh on the face with these five points (5, 2); None where it finds none there, or a neighbour."""
        for zoom in _ZOOMS:
            template = ((_PATCH - 0.5) * zoom + 0.5) * _MESH_SIDE
            matrix = similarity(points, template)
            upright = patch(image, matrix, _MESH_SIDE)
            result = self._mesh.detect(self._mp_image(image_format=self._srgb, data=upright))
            if not result.face_landmarks:
                continue
            mesh = np.array([(p.x, p.y) for p in result.face_landmarks[0]], np.float32) * _MESH_SIDE - 0.5
            error = np.abs(five_points(mesh) - transform(matrix, points)).mean()
            if error > 0.25 * _FACE * zoom * _MESH_SIDE:
                continue
            landmarks = transform(invert(matrix), mesh)
            shapes = result.face_blendshapes
            return Face(
                box=np.concatenate([landmarks.min(0), landmarks.max(0)]),
                points=five_points(landmarks),
                landmarks=landmarks,
                score=score,
                pose=angles(_rotation(np.asarray(result.facial_transformation_matrixes[0])), matrix),
                blendshapes=np.array([c.score for c in shapes[0]], np.float32) if shapes else None,
            )
        return None

    def follow(self, image: Image, face: Face) -> Face | None:
        """The face that looked like this and should be about here in this picture: ``locate``, then ``fit_near``.

        A face that turns or tilts away is hard to see upright, so it is also looked for as it is in the picture. Where
        the detector sees it and the mesh does not, the mesh it had is carried along; it is ``fitted`` as long as the
        face keeps its shape.
        """
        found = self.locate(image, face.points)
        if found is None or found.score < _SURE or _strays(found, face.points):
            again = self._around(image, face.points)
            if again is not None and (found is None or _strays(found, face.points) or again.score > found.score):
                found = again
        if found is None:
            return None
        size = _size(found.points)
        fitted = self.fit_near(image, face.points, found)
        off = fitted is not None and _apart(fitted.points, found.points) > _LOOSE * size
        if found.score < _SURE or (fitted is not None and not off):
            return fitted
        matrix = similarity(face.points, found.points)
        stiff = _apart(transform(matrix, face.points), found.points) <= _STIFF * size
        return replace(carried(face, matrix, found.score), fitted=bool(face.fitted and stiff))

    def fit_near(self, image: Image, expected: Array, found: Candidate) -> Face | None:
        """Fit the mesh on the face that was ``found``; None where it finds none there.

        Where its five points were ``expected`` (5, 2) is steadier than where the detector sees them, if that is near.
        """
        size = _size(found.points)
        fitted = None
        if _apart(expected, found.points) < _NEAR * size:
            fitted = self._fitter.fit(image, expected, found.score)
        if fitted is None or _apart(fitted.points, found.points) > _LOOSE * size:
            fitted = self._fitter.fit(image, found.points, found.score)
        return fitted

    def _around(self, image: Image, points: Array) -> Candidate | None:
        """The face nearest to these points, not far from them, in a picture that is neither turned nor reduced."""
        size = _size(points)
        scale = _AROUND_FACE / size
        left, top = _AROUND_SIDE / 2 - scale * points.mean(0)
        matrix = np.array([[scale, 0, left], [0, scale, top]], np.float32)
        found = self._nearest(image, points, matrix, _AROUND_SIDE, 0.5)
        return None if found is None or _strays(found, points) else found

    def _nearest(self, image: Image, points: Array, matrix: Array, side: int, min_score: float) -> Candidate | None:
        """What the detector sees nearest to these points in the patch of ``side`` pixels that the matrix cuts."""
        expected = transform(matrix, points)
        found = self.detector.detect(patch(image, matrix, side), min_score)
        if not found:
            return None
        nearest = min(found, key=lambda c: float(np.abs(c.points - expected).mean()))
        back = invert(matrix)
        left, top, right, bottom = nearest.box
        corners = transform(back, [(left, top), (right, top), (right, bottom), (left, bottom)])
        box = np.concatenate([corners.min(0), corners.max(0)])
        return Candidate(box, transform(back, nearest.points), nearest.score)

    def _fit_all(self, image: Image, candidates: Iterable[Candidate], known: Sequence[Face]) -> list[Face]:
        faces: list[Face] = []
        for candidate in candidates:
            if any(same(candidate.box, f.box) for f in known):
                continue
            confirmed = self._confirm(image, candidate)
            face = self.fit(image, confirmed.points, confirmed.score) if confirmed else None
            if face is not None and not any(same(face.box, f.box) for f in (*known, *faces)):
                faces.append(face)
        return faces

    def _confirm(self, image: Image, candidate: Candidate) -> Candidate | None:
        """Look again, upright and upside down: the detector also finds heads that hang, but takes mouths for eyes."""
        again = self.locate(image, candidate.points)
        hanging = self.locate(image, 2 * candidate.points.mean(0) - candidate.points)
        if hanging is not None and (again is None or hanging.score > again.score):
            return hanging
        return candidate if again is not None else None


def _close(mesh: Any) -> None:
    """Close mediapipe's landmarker, also while the interpreter exits.

    By then the worker thread that must do it has ended; the process's end frees the memory, and forgetting the handle
    keeps the landmarker's own destructor from failing aloud.
    """
    try:
        mesh.close()
    except RuntimeError:
        mesh._handle = None


def _rotation(facial: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of mediapipe's 4 x 4 facial matrix, which also scales."""
    return np.asarray(facial[:3, :3] / np.cbrt(np.linalg.det(facial[:3, :3])), np.float64)


def _apart(a: Array, b: Array) -> float:
    """Mean difference of a coordinate, pixels."""
    return float(np.abs(a - b).mean())


def _strays(found: Candidate, points: Array) -> bool:
    """Whether a find is so far from these points that it may be another face."""
    return bool(np.linalg.norm(found.points.mean(0) - points.mean(0)) > _STRAY * _size(points))


def _size(points: Array) -> float:
    """Pixels across the face with these five points."""
    return _FACE / scale_of(similarity(points, _PATCH))


def carried(face: Face, matrix: Array, score: float) -> Face:
    """The face moved by a 2 x 3 similarity; its pose and expression stay."""
    landmarks = transform(matrix, face.landmarks)
    box = np.concatenate([landmarks.min(0), landmarks.max(0)])
    return replace(face, box=box, points=transform(matrix, face.points), landmarks=landmarks, score=score)
