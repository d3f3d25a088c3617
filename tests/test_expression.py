"""The expression network in PyTorch: MediaPipe's own coefficients from MediaPipe's own points, and gradients."""

from __future__ import annotations

import mediapipe as mp
import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, load_finder, read_image
from mediapipe.tasks.python import vision

from fsvideo import weights
from fsvideo.faces.align import crop
from fsvideo.models.expression import COEFFICIENTS
from fsvideo.networks import load_blendshapes, load_mesh
from fsvideo.types import Array, CropSpec, Image


@pytest.fixture(scope="module", params=["grace_hopper.jpg", "astronaut.png"])
def face(request: pytest.FixtureRequest) -> Image:
    image = read_image(EXAMPLES / request.param)
    with load_finder() as finder:
        found = finder.find(image)[0]
    return crop(image, found.points, CropSpec(256)).rgb


def by_mediapipe(rgb: Image) -> tuple[Array, Array]:
    """(478, 2) points in pixels, and (52,) coefficients."""
    options = vision.FaceLandmarkerOptions(
        base_options=mp.tasks.BaseOptions(model_asset_buffer=weights.read_bytes("landmarker")),
        output_face_blendshapes=True,
    )
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        result = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(rgb)))
    points = np.array([(p.x * rgb.shape[1], p.y * rgb.shape[0]) for p in result.face_landmarks[0]], np.float32)
    return points, np.array([c.score for c in result.face_blendshapes[0]], np.float32)


def test_equals_mediapipe_on_its_points(face: Image) -> None:
    points, expected = by_mediapipe(face)
    found = load_blendshapes()(torch.from_numpy(points)[None])
    assert found.shape == (1, COEFFICIENTS)
    assert expected.max() > 0.3  # there is something to be equal to
    assert np.abs(found[0].numpy() - expected).max() < 2e-3
    moved = load_blendshapes()(torch.from_numpy(points * 0.01 + 7)[None])
    assert torch.allclose(moved, found, atol=1e-3)


def test_the_mesh_in_pytorch_shows_it_nearly_the_same(face: Image) -> None:
    _, expected = by_mediapipe(face)
    picture = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 127.5 - 1
    found = load_blendshapes()(load_mesh()(picture))
    assert np.linalg.norm(found[0].numpy() - expected) < 0.25


def test_gradients_reach_the_points_alone() -> None:
    net = load_blendshapes()
    points = torch.rand(2, 478, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        made = net(points)
    assert made.dtype == torch.float32
    made.sum().backward()
    assert points.grad is not None and torch.isfinite(points.grad).all() and points.grad[..., :2].abs().max() > 0
    assert not points.grad[..., 2].any()
    assert not any(p.requires_grad for p in net.parameters())
