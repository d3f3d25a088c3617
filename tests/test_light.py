"""Light and shade on plain skin: stains go, what makes a face stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fsvideo.faces.tone import forehead, match_light
from fsvideo.types import Array

SIDE = 256


def ellipse(x: float, y: float, wide: float, high: float, count: int) -> Array:
    turn = np.arange(count) * (2 * np.pi / count)
    return np.stack([x + wide * np.cos(turn), y + high * np.sin(turn)], 1).astype(np.float32)


def head(angle: float = 0.0) -> tuple[Array, Array]:
    """The outline and the features of a face from the front, turned about its middle by so many degrees."""
    outline = ellipse(128, 128, 70, 95, 36)
    features = np.concatenate(
        [
            ellipse(128, 180, 26, 10, 20),
            ellipse(98, 110, 14, 6, 8),
            ellipse(158, 110, 14, 6, 8),
            ellipse(98, 92, 18, 4, 10),
            ellipse(158, 92, 18, 4, 10),
        ]
    )
    turn = cv2.getRotationMatrix2D((128.0, 128.0), angle, 1.0)
    first, second = (np.asarray(part @ turn[:, :2].T + turn[:, 2], np.float32) for part in (outline, features))
    return first, second


def full(weight: Array) -> Array:
    return np.asarray(cv2.resize(weight, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST), np.float32)


def face() -> Array:
    """Skin lit from one side."""
    light = np.linspace(0.7, 1.1, SIDE, dtype=np.float32)[None, :, None]
    return np.ascontiguousarray(np.ones((SIDE, SIDE, 1), np.float32) * light * np.float32([190, 140, 115]))


def spot(x: int, y: int) -> Array:
    """(SIDE, SIDE, 1) 1 in a soft patch, 0 around it."""
    patch = cv2.circle(np.zeros((SIDE, SIDE), np.float32), (x, y), 16, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(patch, (0, 0), 6)[..., None], np.float32)


@pytest.mark.parametrize("angle", [0.0, 30.0, -100.0])
def test_skin_is_the_forehead(angle: float) -> None:
    weight = full(forehead(*head(angle), SIDE))
    turn = cv2.getRotationMatrix2D((128.0, 128.0), angle, 1.0)

    def at(x: float, y: float) -> float:
        column, row = turn @ np.array([x, y, 1])
        return float(weight[round(row), round(column)])

    assert min(at(128, 50), at(95, 60), at(160, 60), at(128, 70)) > 0.9
    features = [
        (98, 110),
        (158, 110),
        (98, 92),
        (158, 92),
        (128, 145),
        (128, 180),
        (128, 205),
        (80, 185),
        (80, 138),
        (176, 138),
    ]
    assert max(at(x, y) for x, y in features) < 0.05
    assert max(at(128, 20), at(30, 128), at(228, 60)) == 0


def test_a_stain_on_the_forehead_goes_and_one_that_is_the_footage_s_comes() -> None:
    weight = forehead(*head(), SIDE)
    stained = face() * (1 - 0.4 * spot(110, 55))
    inside = np.s_[48:62, 103:117]
    mended = match_light(stained, face(), weight)
    before, after = (float(np.abs(one - face())[inside].mean()) for one in (stained, mended))
    assert before > 30 and after < 0.4 * before
    shaded = match_light(face(), stained, weight)
    assert float(np.abs(shaded - stained)[inside].mean()) < 0.4 * before


@pytest.mark.parametrize(("x", "y"), [(98, 92), (128, 150), (128, 195), (78, 188)])
def test_brows_noses_and_beards_stay(x: int, y: int) -> None:
    own = face() * (1 - 0.4 * spot(x, y))
    mended = match_light(own, face(), forehead(*head(), SIDE))
    middle = np.s_[y - 3 : y + 4, x - 3 : x + 4]
    assert np.abs(mended - own)[middle].mean() < 0.15 * np.abs(own - face())[middle].mean()


def test_how_light_skin_is_stays_and_so_does_everything_where_there_is_none() -> None:
    weight = forehead(*head(), SIDE)
    fair = face() * 1.2
    np.testing.assert_allclose(match_light(fair, face(), weight), fair, rtol=0.01)
    assert np.array_equal(match_light(face(), face() * 0.5, np.zeros_like(weight)), face())
    assert np.array_equal(match_light(face(), face(), weight), face())
    away = full(weight) == 0
    other = match_light(face(), face() * (1 - 0.5 * spot(110, 55)), weight)
    np.testing.assert_allclose(other[away], face()[away], rtol=0.12)
