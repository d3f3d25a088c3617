"""No specks of colour in a face, and no colour at all in a film that has none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fsvideo.faces.hues import match_hues
from fsvideo.faces.tone import TO_YCC
from fsvideo.types import Array

SIDE = 128
SKIN = (200, 150, 125)


def skin() -> Array:
    """(SIDE, SIDE, 3) lit from one side, with lips and a brow."""
    picture = np.full((SIDE, SIDE, 3), SKIN, np.float32) * np.linspace(0.6, 1.1, SIDE, dtype=np.float32)[:, None]
    cv2.ellipse(picture, (64, 90), (24, 8), 0, 0, 360, (180, 80, 90), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (40, 40), (16, 3), 0, 0, 360, (60, 40, 30), -1, cv2.LINE_AA)
    return np.asarray(picture, np.float32)


def specks(seed: int = 0) -> tuple[Array, Array]:
    """Where pixels of many colours lie (SIDE, SIDE) bool, and what they add, which is no light."""
    dice = np.random.default_rng(seed)
    where = np.zeros((SIDE, SIDE), bool)
    where[50:62, 70:90] = dice.random((12, 20)) < 0.3
    change = np.zeros((SIDE, SIDE, 3), np.float32)
    hues = dice.choice([-40.0, 40.0], (int(where.sum()), 2))
    change[where] = hues @ np.array([[0, -0.344136, 1.772], [1.402, -0.714136, 0]])
    return where, change


def ycc(picture: Array) -> Array:
    return np.asarray(cv2.transform(picture, TO_YCC), np.float32)


def test_specks_go_and_light_stays() -> None:
    where, change = specks()
    painted = np.asarray(skin() + change, np.float32)
    mended = match_hues(painted, skin())
    off = np.abs(ycc(mended) - ycc(skin()))[where]
    assert np.abs(ycc(painted) - ycc(skin()))[where][:, 1:].mean() > 30
    assert off[:, 1:].mean() < 6 and off[:, 0].max() < 0.1
    assert np.array_equal(mended[~where & (np.arange(SIDE) < 60)], painted[~where & (np.arange(SIDE) < 60)])


def test_specks_that_are_the_footages_own_stay() -> None:
    _, change = specks()
    noisy = np.asarray(skin() + change, np.float32)
    assert match_hues(noisy, noisy) is noisy
    other = np.asarray(skin() + specks(1)[1], np.float32)
    inner = np.s_[52:60, 72:88]
    assert np.abs(match_hues(other, noisy) - other)[inner].mean() < 0.05 * np.abs(other - skin())[inner].mean()


def test_edges_of_lips_and_brows_stay_where_the_target_has_none() -> None:
    bare = np.full((SIDE, SIDE, 3), SKIN, np.float32) * np.linspace(0.6, 1.1, SIDE, dtype=np.float32)[:, None]
    bare[110:, :40] = (60, 90, 160)  # a collar, and the film has colour
    bare = np.asarray(bare, np.float32)
    changed = np.abs(match_hues(skin(), bare) - skin())
    assert np.mean(changed.max(2) > 12) < 0.001  # the very corners
    assert changed.mean() < 0.1


@pytest.mark.parametrize("tint", [(0, 0), (-8, 6)])
@pytest.mark.parametrize("rise", [0.0, 0.03])
def test_black_and_white_or_sepia_footage_gets_no_colour(tint: tuple[int, int], rise: float) -> None:
    luma = ycc(skin())[..., 0]
    hue = np.float32(tint) + np.float32([-rise, rise]) * luma[..., None]
    from_ycc = np.linalg.inv(TO_YCC.astype(np.float64)).astype(np.float32)
    film = np.asarray(cv2.transform(np.dstack([luma, hue]), from_ycc), np.float32)
    brighter = np.asarray(skin() * 1.1, np.float32)
    made = ycc(match_hues(brighter, film))
    wanted = np.float32(tint) + np.float32([-rise, rise]) * made[..., :1]
    np.testing.assert_allclose(made[..., 1:], np.broadcast_to(wanted, made[..., 1:].shape), atol=0.3)
    np.testing.assert_allclose(made[..., 0], ycc(brighter)[..., 0], atol=0.1)
    np.testing.assert_allclose(match_hues(film, film), film, atol=1e-3)


def test_colours_of_a_coloured_film_stay() -> None:
    made = np.asarray(skin() * np.float32([0.9, 1, 1.1]), np.float32)
    assert np.abs(match_hues(made, skin()) - made).max() < 1
