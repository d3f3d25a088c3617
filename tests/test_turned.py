"""Faces turned aside: it is the same face, from the side, where crops have it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, read_image

from fsvideo.faces.align import crop, crop_matrix
from fsvideo.faces.detect import FaceFinder
from fsvideo.models.landmarks import FaceMesh
from fsvideo.networks import load_encoder, load_mesh
from fsvideo.train.data import FaceData
from fsvideo.train.pairs import Pairs
from fsvideo.train.run import to_tensor
from fsvideo.train.settings import AEISettings
from fsvideo.train.turned import turned
from fsvideo.train.world import World
from fsvideo.types import Array, CropSpec, Image

SPEC = CropSpec(256)


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return load_mesh()


@pytest.fixture(scope="module")
def face(finder: FaceFinder) -> Image:
    rgb = read_image(EXAMPLES / "astronaut.png")
    return np.asarray(crop(rgb, finder.find(rgb)[0].points, SPEC).rgb.clip(0, 255), np.uint8)


def mesh_of(mesh: FaceMesh, picture: Image) -> Array:
    with torch.no_grad():
        points, presence = mesh.look(to_tensor(picture[None], torch.device("cpu")))
    assert float(presence) > 0
    return np.asarray(points[0].numpy(), np.float32)


def look_aside(points: Array) -> float:
    """How far the tip of the nose lies off the middle between the eyes' outer corners, in their distance."""
    right, left, nose = points[33, :2], points[263, :2], points[1, :2]
    return float((nose - (right + left) / 2) @ (left - right) / ((left - right) @ (left - right)))


def test_it_looks_further_aside_the_way_it_looked(mesh: FaceMesh, face: Image) -> None:
    points = mesh_of(mesh, face)
    a_little, further = (turned(face, points, yaw) for yaw in (0.25, 0.5))
    once = look_aside(mesh_of(mesh, a_little))
    assert abs(once) > 0.05
    assert look_aside(mesh_of(mesh, further)) / once > 1.5
    assert look_aside(mesh_of(mesh, turned(a_little, mesh_of(mesh, a_little), 0.25))) / once > 1.5
    mirrored = np.ascontiguousarray(a_little[:, ::-1])
    assert look_aside(mesh_of(mesh, turned(mirrored, mesh_of(mesh, mirrored), 0.25))) / once < -1.5


def test_it_is_cut_by_the_template_again(finder: FaceFinder, mesh: FaceMesh, face: Image) -> None:
    found = finder.find(turned(face, mesh_of(mesh, face), 0.5))
    assert len(found) == 1
    matrix = crop_matrix(found[0].points, SPEC)  # cutting it once more would leave it where it is
    assert float(np.hypot(*matrix[0, :2])) == pytest.approx(1, abs=0.05)
    middle = np.float32([128, 128])
    assert np.abs(matrix[:, :2] @ middle + matrix[:, 2] - middle).max() < 6


def test_it_is_the_same_person(mesh: FaceMesh, face: Image) -> None:
    encoder = load_encoder()
    pictures = np.stack([face, turned(face, mesh_of(mesh, face), 0.4)])
    with torch.no_grad():
        z = encoder(to_tensor(pictures, torch.device("cpu")))
    assert float(z[0] @ z[1]) > 0.6


def test_not_turned_it_hardly_changes(mesh: FaceMesh, face: Image) -> None:
    same = turned(face, mesh_of(mesh, face), 0.0)
    middle = slice(80, 176)
    apart = np.abs(same[middle, middle].astype(int) - face[middle, middle].astype(int))
    assert apart.mean() < 12


def test_their_share_of_the_targets_is_as_set_and_faceless_ones_stay(mesh: FaceMesh, face: Image) -> None:
    nothing = np.full_like(face, 90)
    n = 8
    data = FaceData(
        np.stack([face, nothing] * (n // 2)),
        np.zeros((n, 5, 2), np.float32),
        np.zeros((n, 3), np.float32),
        np.array(["f"] * n),
        np.eye(n, 128, dtype=np.float32),
        {},
        np.ones(n, np.float32),
    )
    settings = AEISettings(preset="tiny", identity=("id",), batch=16, footage=0.0, sharp=0.0)
    means = {"id": torch.zeros(128)}
    some, none, everything = (
        Pairs(data, means, replace(settings, turned=share), World(), mesh).draw(1).target for share in (0.5, 0.0, 1.0)
    )
    changed = (some - none).abs().amax((1, 2, 3)) > 0
    faceless = none.flatten(1).std(1) == 0
    assert 0 < int(changed.sum()) < int((~faceless).sum())
    assert not changed[faceless].any()
    assert torch.equal((everything - none).abs().amax((1, 2, 3)) > 0, ~faceless)
