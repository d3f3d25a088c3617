"""Each measure of a swap against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fsvideo.evaluate import measures
from fsvideo.evaluate.clips import overall
from fsvideo.evaluate.figures import Column, Section
from fsvideo.evaluate.frechet import Features, MobileNetV2
from fsvideo.evaluate.report import grid, number
from fsvideo.faces.flicker import flicker, flow_back, mean_difference
from fsvideo.types import Array, Face, Image, WeightsError


def face(pose: tuple[float, float, float] = (0, 0, 0), shapes: Array | None = None, mesh: Array | None = None) -> Face:
    landmarks = np.zeros((478, 2), np.float32) if mesh is None else mesh
    blendshapes = np.zeros(52, np.float32) if shapes is None else shapes
    empty = np.zeros(4, np.float32)
    return Face(empty, landmarks[:5], landmarks, 1.0, np.array(pose, np.float32), blendshapes=blendshapes)


def eyes(shift: float = 0.0, opening: float = 0.3, turn: float = 0.0, scale: float = 1.0) -> Array:
    """A mesh with eyes 10 wide, the irises ``shift`` eye widths towards the nose, turned and scaled as a whole."""
    mesh = np.zeros((478, 2), np.float32)
    for (outer, inner, upper, lower, iris), x, inward in zip(
        ((33, 133, 159, 145, 468), (263, 362, 386, 374, 473)), (20, 60), (1, -1), strict=True
    ):
        mesh[outer], mesh[inner] = (x - 5 * inward, 50), (x + 5 * inward, 50)
        mesh[upper], mesh[lower] = (x, 50 - 5 * opening), (x, 50 + 5 * opening)
        mesh[iris] = (x + 10 * shift * inward, 50)
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return (mesh @ np.array([[c, s], [-s, c]]) + 7).astype(np.float32)


EVERYWHERE = np.ones((40, 40), bool)


def noise(seed: int = 0, size: int = 40) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)


def even(level: int) -> Image:
    return np.full((40, 40, 3), level, np.uint8)


def test_rank1_counts_who_is_nearest_to_themselves() -> None:
    gallery = np.eye(3, dtype=np.float32)
    assert measures.rank1(gallery, gallery) == 1
    assert measures.rank1(gallery[[0, 2, 2]], gallery) == pytest.approx(2 / 3)


def test_pose_error_is_the_distance_of_angles_the_short_way_round() -> None:
    assert measures.pose_error(face((3, 4, 0)), face()) == pytest.approx(5)
    assert measures.pose_error(face((0, 0, 179)), face((0, 0, -179))) == pytest.approx(2)


def test_expression_error_is_the_distance_of_blendshapes() -> None:
    shapes = np.zeros(52, np.float32)
    shapes[[3, 40]] = 0.3, 0.4
    assert measures.expression_error(face(shapes=shapes), face()) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="blendshapes"):
        measures.expression_error(replace(face(), blendshapes=None), face())


def test_gaze_is_measured_in_the_eye() -> None:
    straight = face(mesh=eyes())
    assert measures.gaze_error(face(mesh=eyes(0.1)), straight) == pytest.approx(0.1, abs=1e-5)
    # The head may turn and come nearer: an iris in the same place of its eye looks the same way.
    assert measures.gaze_error(face(mesh=eyes(0.1, turn=0.4, scale=2)), face(mesh=eyes(0.1))) < 1e-5
    assert measures.gaze_error(straight, face(mesh=eyes(opening=0.05))) is None


def test_psnr_and_difference_count_what_is_inside() -> None:
    assert measures.psnr(even(100), even(110), EVERYWHERE) == pytest.approx(10 * np.log10(255**2 / 100))
    assert measures.psnr(even(100), even(100), EVERYWHERE) == float("inf")
    changed, left = even(100), EVERYWHERE.copy()
    changed[:, 20:], left[:, 20:] = 180, False
    assert measures.psnr(even(100), changed, left) == float("inf")
    assert mean_difference(even(100), changed, EVERYWHERE) == pytest.approx(40)


def test_ssim_of_even_pictures_and_of_noise() -> None:
    assert measures.ssim(noise(), noise(), EVERYWHERE) == pytest.approx(1)
    c1 = (0.01 * 255) ** 2
    by_hand = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert measures.ssim(even(100), even(150), EVERYWHERE) == pytest.approx(by_hand, abs=1e-4)
    assert abs(measures.ssim(noise(0), noise(1), EVERYWHERE)) < 0.2


def test_detail_grows_with_contrast_and_falls_with_blur() -> None:
    soft = np.asarray(60 + noise() // 4, np.uint8)
    double = (60 + 2 * (soft.astype(np.float32) - 60)).astype(np.float32)
    assert measures.detail(double, EVERYWHERE) == pytest.approx(4 * measures.detail(soft, EVERYWHERE), rel=1e-3)
    assert measures.detail(cv2.GaussianBlur(soft, (0, 0), 2), EVERYWHERE) < 0.05 * measures.detail(soft, EVERYWHERE)
    assert np.isnan(measures.detail(soft, np.zeros((40, 40), bool)))


def test_face_area_is_the_polygon() -> None:
    square = np.array([(10, 10), (19, 10), (19, 29), (10, 29)], np.float32)
    area = measures.face_area(square, 40, 50)
    assert area.shape == (40, 50) and area.sum() == 200 and area[10:30, 10:20].all()


def test_motion_is_no_flicker() -> None:
    coarse = cv2.resize(noise(3, 24), (160, 160), interpolation=cv2.INTER_CUBIC)
    before, now = np.ascontiguousarray(coarse[10:138, 12:140]), np.ascontiguousarray(coarse[10:138, 10:138])
    inside = np.zeros((128, 128), bool)
    inside[20:-20, 20:-20] = True
    places = flow_back(now, before)
    assert np.median(np.abs((places - np.dstack(np.meshgrid(np.arange(128), np.arange(128))))[inside] - (-2, 0))) < 0.2
    moving, still = flicker(now, before, places, inside), mean_difference(now, before, inside)
    assert moving < 0.15 * still
    brighter = (now.astype(np.float32) + 5).astype(np.float32)
    assert flicker(brighter, before, places, inside) == pytest.approx(5, abs=moving)


def test_jitter_is_the_second_difference() -> None:
    time = np.arange(10, dtype=np.float32)[:, None, None]
    steady = time * np.array([[3.0, -1.0]], np.float32)
    assert measures.jitter(steady) == pytest.approx(0, abs=1e-6)
    assert measures.jitter(steady + (-1) ** time * np.array([[1.0, 0.0]])) == pytest.approx(4)


def test_frechet_distance_of_gaussians() -> None:
    a = np.random.default_rng(0).normal(size=(50, 200)).astype(np.float32)  # fewer samples than dimensions
    assert measures.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert measures.frechet(a, a + 2) == pytest.approx(4 * 200, rel=1e-5)
    line = a[:, :1]
    assert measures.frechet(line, 3 * line) == pytest.approx(
        4 * float(line.var(ddof=1)) + 4 * float(line.mean()) ** 2, rel=1e-4
    )
    b = np.random.default_rng(1).normal(size=(60, 3))
    c = np.random.default_rng(2).normal(size=(70, 3)) @ np.diag([1, 2, 3])
    cov_b, cov_c = np.cov(b.T), np.cov(c.T)
    root = np.sqrt(np.linalg.eigvals(cov_b @ cov_c).real).sum()
    by_hand = ((b.mean(0) - c.mean(0)) ** 2).sum() + np.trace(cov_b + cov_c) - 2 * root
    assert measures.frechet(b, c) == pytest.approx(by_hand)


def test_features_are_a_mobilenets(tmp_path: Path) -> None:
    net = MobileNetV2()
    assert sum(p.numel() for p in net.parameters()) == 2_223_872
    # Names of the first, an inner and the last layer as the common checkpoints have them.
    assert {"features.0.0.weight", "features.2.conv.1.1.running_var", "features.18.1.bias"} <= net.state_dict().keys()
    file = tmp_path / "net.pth"
    torch.save({**net.state_dict(), "classifier.1.weight": torch.zeros(1000, 1280)}, file)
    features = Features(file)([noise(), noise(1), noise()])
    assert features.shape == (3, 1280) and np.allclose(features[0], features[2]) and np.ptp(features) > 0
    torch.save({"something": torch.zeros(3)}, file)
    (tmp_path / "text.pth").write_text("no weights")
    for wrong in (file, tmp_path / "text.pth", tmp_path / "missing.pth"):
        with pytest.raises(WeightsError):
            Features(wrong)


def test_figures_leave_out_what_could_not_be_measured() -> None:
    column = Column("x")
    for value in (1.0, None, float("nan"), 3.0):
        column.collect("error", value)
    column.add("error", "dB")
    column.add("never measured", "dB")
    assert column["error"] == 2 and column.figures[0].samples == 2 and len(column.figures) == 1
    with pytest.raises(KeyError):
        column["never measured"]
    other = Column("x")
    other.put("error", 4, "dB", 10)
    other.put("change", 1, "levels, largest", 10)
    third = Column("x")
    third.put("change", 7, "levels, largest", 5)
    both = overall([Section("a", [column]), Section("b", [other]), Section("c", [third])]).columns[0]
    assert both["error"] == 3 and both["change"] == 7
    apart = overall([Section("a", [column, replace(other, name="y")]), Section("b", [third, replace(third, name="y")])])
    assert [f.name for f in apart.columns[0].figures] == ["error", "change"] and apart.columns[1]["error"] == 4
    header, rows = grid(Section("a", [both, Column("y")]))
    assert header == ["", "x", "y", "samples"]
    assert rows == [["error, dB", "3.00", "", "12"], ["change, levels, largest", "7.00", "", "15"]]
    assert [number(v) for v in (0.0, 0.01234, 1.234, 12.34, 123.4)] == ["0", "0.0123", "1.23", "12.3", "123"]
