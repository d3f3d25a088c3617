"""The face mesh in PyTorch: agreement with MediaPipe, its numbering, every size of crop, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, load_finder, read_image
from mediapipe.tasks.python.vision import FaceLandmarksConnections as Connections
from torch import Tensor
from torch.nn import functional as F

from fsvideo.faces.align import crop, five_points, transform
from fsvideo.models import landmarks
from fsvideo.models.landmarks import FaceMesh
from fsvideo.networks import load_mesh
from fsvideo.types import Array, CropSpec, Image

SPEC = CropSpec(256)


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return load_mesh()


@pytest.fixture(scope="module")
def hopper() -> tuple[Image, Array]:
    """The example's aligned crop, and where MediaPipe finds the 478 points in it, pixels."""
    image = read_image(EXAMPLES / "grace_hopper.jpg")
    with load_finder() as finder:
        face = finder.find(image)[0]
    cut = crop(image, face.points, SPEC)
    return cut.rgb, transform(cut.matrix, face.landmarks)


def batch(*crops: Image) -> Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def pixels(points: Tensor, size: int = 256) -> Array:
    return np.asarray(points[..., :2].detach().numpy() * size - 0.5, np.float32)


def test_agrees_with_mediapipe(mesh: FaceMesh, hopper: tuple[Image, Array]) -> None:
    rgb, expected = hopper
    points = mesh(batch(rgb))
    assert points.shape == (1, 478, 3)
    found = pixels(points)[0]
    distance = np.linalg.norm(found - expected, axis=1)
    assert np.median(distance) < 2
    for group in (landmarks.EYELIDS, landmarks.IRISES, landmarks.LIPS):
        assert np.median(distance[list(group)]) < 2
    assert np.abs(five_points(found) - SPEC.points).max() < 5
    nose, ear = points[0, 4, 2], points[0, 234, 2]
    assert nose < -0.05 and ear > nose + 0.15  # z grows away from the camera, and is no smaller than it should be


def test_a_mirrored_face_has_mirrored_points(mesh: FaceMesh, hopper: tuple[Image, Array]) -> None:
    rgb = hopper[0]
    plain, mirrored = pixels(mesh(batch(rgb, np.ascontiguousarray(rgb[:, ::-1]))))
    for right, left in ((landmarks.RIGHT_EYELIDS, landmarks.LEFT_EYELIDS), (landmarks.RIGHT_BROW, landmarks.LEFT_BROW)):
        there = mirrored[list(left)] * (-1, 1) + (255, 0)
        assert np.linalg.norm(there - plain[list(right)], axis=1).mean() < 2
        assert plain[list(right), 0].max() < 128 < plain[list(left), 0].min()  # the person's right is at our left
    # What is left out above cancels over the whole mesh: half a pixel too far right would show twice.
    assert abs(plain[:, 0].mean() + mirrored[:, 0].mean() - 255) < 0.8


def test_a_moved_face_has_moved_points(mesh: FaceMesh, hopper: tuple[Image, Array]) -> None:
    x = batch(hopper[0])
    moved = F.pad(x, (3, 0, 5, 0), mode="replicate")[..., :256, :256]
    by = pixels(mesh(moved))[0] - pixels(mesh(x))[0]
    assert np.abs(by.mean(0) - (3, 5)).max() < 0.7
    assert np.abs(by - (3, 5)).mean() < 1


@pytest.mark.parametrize("size", [112, 128, 192, 400])
def test_any_crop_size_gives_the_same_points(mesh: FaceMesh, hopper: tuple[Image, Array], size: int) -> None:
    x = batch(hopper[0])
    resized = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)
    apart = (mesh(resized) - mesh(x))[0].norm(dim=1)
    assert apart.median() < 0.004  # a pixel of 256


def test_another_template_gives_the_same_points_of_the_face(hopper: tuple[Image, Array]) -> None:
    rgb, wide = hopper[0], CropSpec(256, tuple((0.1 + 0.8 * x, 0.1 + 0.8 * y) for x, y in SPEC.template))
    again = crop(rgb, SPEC.points, wide)
    other = FaceMesh(wide.template)
    other.load_state_dict(load_mesh().state_dict())
    expected = transform(again.matrix, pixels(load_mesh()(batch(rgb)))[0])
    assert np.median(np.linalg.norm(pixels(other(batch(again.rgb)))[0] - expected, axis=1)) < 0.7


def test_gradients_reach_the_crop_and_open_the_mouth(mesh: FaceMesh, hopper: tuple[Image, Array]) -> None:
    assert not mesh.training and not any(p.requires_grad for p in mesh.parameters())
    x = batch(hopper[0])

    def gap(crops: Tensor) -> Tensor:
        y = mesh(crops)[0, :, 1]
        return y[14] - y[13]  # the inner edges of the lower and the upper lip

    crops = x.clone().requires_grad_()
    before = gap(crops)
    (gradient,) = torch.autograd.grad(before, crops)
    assert bool(gradient.isfinite().all())
    with torch.no_grad():
        after = gap(x + 2 * gradient / gradient.norm())
    assert after > before + 0.002


def test_is_as_exact_under_autocast(mesh: FaceMesh, hopper: tuple[Image, Array]) -> None:
    x = batch(hopper[0])
    plain = mesh(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(mesh(x), plain)


def test_tells_a_face_from_none(mesh: FaceMesh, hopper: tuple[Image, Array]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    _, presence = mesh.look(batch(hopper[0], noise))
    assert presence[0] > 3 and presence[1] < 0


def test_the_groups_are_mediapipes() -> None:
    for group, name in (
        (landmarks.RIGHT_EYELIDS, "RIGHT_EYE"),
        (landmarks.LEFT_EYELIDS, "LEFT_EYE"),
        (landmarks.RIGHT_BROW, "RIGHT_EYEBROW"),
        (landmarks.LEFT_BROW, "LEFT_EYEBROW"),
        (landmarks.RIGHT_IRIS[1:], "RIGHT_IRIS"),
        (landmarks.LEFT_IRIS[1:], "LEFT_IRIS"),
        (landmarks.LIPS, "LIPS"),
    ):
        theirs = {i for c in getattr(Connections, f"FACE_LANDMARKS_{name}") for i in (c.start, c.end)}
        assert len(group) == len(set(group)) and set(group) == theirs, name
    named = (*landmarks.EYELIDS, *landmarks.IRISES, *landmarks.LIPS, *landmarks.BROWS)
    assert sorted((*named, *landmarks.REST)) == list(range(478))


def test_groups_run_around_eyes_and_mouth(mesh: FaceMesh, hopper: tuple[Image, Array]) -> None:
    found = pixels(mesh(batch(hopper[0])))[0]
    for group in (landmarks.RIGHT_EYELIDS, landmarks.LEFT_EYELIDS, landmarks.OUTER_LIPS, landmarks.INNER_LIPS):
        lower, upper = found[list(group[1 : len(group) // 2])], found[list(group[len(group) // 2 + 1 :])]
        assert (
            lower[:, 1] > upper[::-1, 1] - 1
        ).all()  # each lower point faces the upper one above it; the mouth is shut
        assert np.abs(lower[:, 0] - upper[::-1, 0]).max() < 6
