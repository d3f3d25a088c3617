"""Landmarks of followed faces: where and how turned they are, whatever runs the network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, read_image

from fsvideo.backends import ready
from fsvideo.backends.graph import Network, difference
from fsvideo.backends.runtimes import RUNTIMES
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.landmarks import _FLAT, _INDICES, _SHAPE, Fitter, pose_of
from fsvideo.models.landmarks import CHIP, CHIP_POINTS, POINTS, ChipMesh
from fsvideo.networks import load_fitter, load_mesh
from fsvideo.types import Array, Face, Image

UPRIGHT = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


@pytest.fixture(scope="module")
def fitter() -> Fitter:
    return load_fitter()


@pytest.fixture(scope="module")
def portrait(finder: FaceFinder) -> tuple[Image, Face]:
    image = read_image(EXAMPLES / "grace_hopper.jpg")
    return image, finder.find(image)[0]


def apart(a: Face, b: Face) -> float:
    """Mean distance of landmarks, in face widths."""
    return float(np.linalg.norm(a.landmarks - b.landmarks, axis=1).mean() / (b.box[2] - b.box[0]))


def test_landmarks_and_pose_are_those_of_mediapipe(fitter: Fitter, portrait: tuple[Image, Face]) -> None:
    image, face = portrait
    fitted = fitter.fit(image, face.points, 0.5)
    assert fitted is not None and fitted.score == 0.5 and fitted.fitted
    assert apart(fitted, face) < 0.015 and np.abs(fitted.pose - face.pose).max() < 4


def test_it_does_not_matter_where_exactly_the_face_was_expected(fitter: Fitter, portrait: tuple[Image, Face]) -> None:
    image, face = portrait
    first = fitter.fit(image, face.points, 1)
    assert first is not None
    width, middle = face.box[2] - face.box[0], face.points.mean(0)
    for moved in (
        face.points + 0.1 * width,
        face.points - np.float32([0.1 * width, 0]),
        1.1 * face.points - 0.1 * middle,
    ):
        again = fitter.fit(image, moved.astype(np.float32), 1)
        assert again is not None and apart(again, first) < 0.012


def test_pose_follows_the_picture(fitter: Fitter, portrait: tuple[Image, Face]) -> None:
    image, face = portrait
    plain = fitter.fit(image, face.points, 1)
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 20, 1)  # to the left, as seen
    turned = fitter.fit(cv2.warpAffine(image, matrix, (width, height)), face.points @ matrix[:, :2].T + matrix[:, 2], 1)
    right_to_left = [1, 0, 2, 4, 3]
    mirrored_points = (np.float32([width - 1, 0]) - face.points * (1, -1))[right_to_left]
    mirrored = fitter.fit(np.ascontiguousarray(image[:, ::-1]), mirrored_points.astype(np.float32), 1)
    assert plain is not None and turned is not None and mirrored is not None
    assert abs(abs(turned.pose[2] - plain.pose[2]) - 20) < 1 and np.abs(turned.pose[:2] - plain.pose[:2]).max() < 1
    assert np.abs(mirrored.pose - plain.pose * (-1, 1, -1)).max() < 2


@pytest.mark.parametrize("degrees", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 45), (-40, 15, -10)])
def test_pose_of_a_shape_that_was_turned(degrees: tuple[float, float, float]) -> None:
    """Yaw about the vertical, then pitch about the ears, then roll: R = R_y R_x R_z."""
    yaw, pitch, roll = degrees
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in np.radians(degrees))
    about_y, about_x = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]),
        np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]),
    )
    turn = about_y @ about_x @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    mesh = np.zeros((POINTS, 3), np.float32)
    mesh[_INDICES] = 100 + 7 * (_SHAPE @ turn.T) * (1, -1, -1)  # a picture's y goes down, and depth away
    assert np.allclose(pose_of(mesh, UPRIGHT), (yaw * _FLAT, pitch, roll), atol=1e-3)
    quarter = np.array([[0, -1, 0], [1, 0, 0]], np.float32)
    assert np.allclose(pose_of(mesh, quarter), (yaw * _FLAT, pitch, roll + 90), atol=1e-3)


def test_nobody_is_seen_where_nobody_is(fitter: Fitter, portrait: tuple[Image, Face]) -> None:
    image, face = portrait
    noise = np.random.default_rng(0).integers(0, 255, image.shape, np.uint8)
    for picture in (noise, np.zeros_like(image), np.full_like(image, 200)):
        assert fitter.fit(picture, face.points, 1) is None


@pytest.mark.skipif(any(ready.missing(name) for name in RUNTIMES), reason="pip install 'fsvideo[cpu]' brings them")
@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_finds_the_same_points(name: str) -> None:
    net = ChipMesh(load_mesh()).eval()
    network = Network(net, net.inputs, net.outputs, net.probe, "", {})
    assert difference(network, ready.ready(network, name, print, exact=True)) < 1e-3


def test_without_a_runtime_pytorch_fits(
    fitter: Fitter, portrait: tuple[Image, Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, face = portrait
    monkeypatch.setattr("fsvideo.networks.pick", lambda wanted, device: "torch")
    plain, other = load_fitter().fit(image, face.points, 1), fitter.fit(image, face.points, 1)
    assert plain is not None and other is not None
    assert np.abs(plain.landmarks - other.landmarks).max() < 0.01 and np.abs(plain.pose - other.pose).max() < 0.01


def test_the_chip_is_the_one_it_was_trained_on() -> None:
    """Points of the chip and points of the crop, which training reads, are one."""
    mesh, dice = load_mesh(), torch.Generator().manual_seed(0)
    crop = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16, generator=dice), size=(256, 256), mode="bicubic")
    with torch.inference_mode():
        chips = mesh.chips(crop.clamp(0, 1) * 2 - 1) / 2 + 0.5
        (by_crop, _), (by_chip, _) = mesh.look(crop.clamp(0, 1) * 2 - 1), mesh.read(chips)
    assert torch.allclose(by_crop * mesh.scale + mesh.origin, by_chip, atol=1e-3)
    template: Array = np.array(CHIP_POINTS)
    assert template.shape == (5, 2) and 0 < template.min() < template.max() < CHIP
