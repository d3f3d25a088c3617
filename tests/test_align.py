from __future__ import annotations

import cv2
import numpy as np
import pytest

from fsvideo.faces.align import (
    OUTLINE,
    compose,
    crop,
    crop_matrix,
    five_points,
    invert,
    scale_of,
    similarity,
    transform,
    warp,
)
from fsvideo.types import Array, CropSpec


def rotation(degrees: float, scale: float, x: float, y: float) -> Array:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, x], [s, c, y]], np.float32)


def blurred_noise(size: int, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 1, (size, size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.asarray(255 * (smooth - smooth.min()) / np.ptp(smooth), np.float32)


@pytest.mark.parametrize("degrees", [-170, -30, 0, 90, 135])
def test_similarity_is_exact_where_one_exists(degrees: float) -> None:
    truth = rotation(degrees, 0.37, 812.5, -40.25)
    points = np.array([(100, 200), (180, 190), (140, 260), (110, 300), (170, 295)], np.float32)
    assert np.allclose(similarity(points, transform(truth, points)), truth, atol=1e-3)


def test_similarity_is_the_least_squares_one() -> None:
    rng = np.random.default_rng(1)
    src, dst = rng.uniform(0, 100, (5, 2)), rng.uniform(0, 100, (5, 2))
    best = similarity(src, dst)
    error = ((transform(best, src) - dst) ** 2).sum()
    for degrees, scale, x, y in rng.normal(0, (0.5, 0.005, 0.5, 0.5), (50, 4)):
        nearby = compose(rotation(degrees, 1 + scale, x, y), best)
        assert ((transform(nearby, src) - dst) ** 2).sum() >= error - 1e-2


def test_similarity_never_mirrors() -> None:
    points = np.array([(0, 0), (10, 0), (5, 5), (1, 9), (9, 9)], np.float32)
    assert np.linalg.det(similarity(points, points * (-1, 1))[:, :2]) > 0


def test_coinciding_points_are_refused() -> None:
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.ones((5, 2)), CropSpec().points)


def test_compose_and_invert() -> None:
    a, b = rotation(33, 2.5, 10, 20), rotation(-100, 0.3, -7, 400)
    points = np.random.default_rng(2).uniform(-500, 500, (20, 2)).astype(np.float32)
    assert np.allclose(transform(compose(a, b), points), transform(a, transform(b, points)), atol=1e-2)
    assert np.allclose(compose(invert(a), a), np.eye(2, 3), atol=1e-4)
    assert scale_of(a) == pytest.approx(2.5) and scale_of(compose(a, b)) == pytest.approx(0.75)


@pytest.mark.parametrize(("scale", "limit"), [(1.0, 1.5), (0.9, 1.5), (2.0, 1.0)])
def test_warp_there_and_back(scale: float, limit: float) -> None:
    image = blurred_noise(200, 3)
    there = compose(rotation(25, scale, 0, 0), np.array([[1, 0, -99.5], [0, 1, -99.5]], np.float32))
    size = int(scale * 240)
    there[:, 2] += (size - 1) / 2
    back = warp(warp(image, there, size, size), invert(there), 200, 200)
    inner = np.s_[60:140, 60:140]
    assert np.abs(back[inner] - image[inner]).mean() < limit


def test_warp_moves_pixel_centres() -> None:
    image = np.zeros((64, 64), np.float32)
    image[20:23, 30:33] = 1
    moved = warp(image, np.array([[1, 0, 5], [0, 1, -7]], np.float32), 64, 64)
    assert np.array_equal(moved[13:16, 35:38], np.ones((3, 3), np.float32)) and moved.sum() == pytest.approx(9)


@pytest.mark.parametrize("scale", [0.5, 0.3, 0.1])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_pattern_too_fine_for_the_crop_becomes_even(scale: float, dtype: type) -> None:
    y, x = np.mgrid[:600, :600]
    stripes = (255 * ((x // 2 + y // 2) % 2)).astype(dtype)
    matrix = rotation(7, scale, 0, 0)
    size = int(600 * scale * 0.8)
    ours = warp(stripes, matrix, size, size)[size // 4 : -size // 4, size // 4 : -size // 4]
    single = cv2.warpAffine(stripes, matrix, (size, size))[size // 4 : -size // 4, size // 4 : -size // 4]
    # the part that survives at half size is that of the pattern's frequency which the half grid can still hold
    assert ours.std() < (40 if scale == 0.5 else 4)
    assert ours.std() < 0.6 * single.std()
    assert ours.mean() == pytest.approx(127.5, abs=3)


def test_warp_far_outside_repeats_the_edge() -> None:
    image = np.full((50, 50, 3), 90, np.uint8)
    out = warp(image, np.array([[0.2, 0, -500], [0, 0.2, 300]], np.float32), 32, 32)
    assert out.shape == (32, 32, 3) and (out == 90).all()


def test_crop_puts_the_points_on_the_template() -> None:
    spec = CropSpec(128)
    points = transform(rotation(40, 1.7, 320, 200), spec.points)
    image = np.zeros((720, 1280, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(x), round(y)), 4, (255, 255, 255), -1)
    made = crop(image, points, spec)
    assert made.rgb.shape == (128, 128, 3) and made.rgb.dtype == np.uint8
    assert np.allclose(transform(made.matrix, points), spec.points, atol=0.01)
    assert np.allclose(made.matrix, crop_matrix(points, spec))
    for x, y in spec.points:
        assert made.rgb[round(y), round(x)].min() > 180


def test_outline_and_five_points_use_the_mesh_once() -> None:
    mesh = np.random.default_rng(3).uniform(0, 100, (478, 2)).astype(np.float32)
    assert len(OUTLINE) == len(set(OUTLINE)) == 36 and max(OUTLINE) < 468
    points = five_points(mesh)
    assert points.shape == (5, 2) and points.dtype == np.float32
    assert np.allclose(points[0], (mesh[33] + mesh[133]) / 2) and np.allclose(points[2], mesh[4])
