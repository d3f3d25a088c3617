"""Eyes may be blue, grey or brown, and as green or red as the target is; a green stain goes, and red eyes do."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fsvideo.faces.irises import match_irises
from fsvideo.faces.tone import TO_YCC
from fsvideo.types import Array

SIDE = 256
EYES = ((88, 99), (168, 99))
SKIN, GRASS = (200, 150, 125), (50, 105, 60)


def face(iris: tuple[int, int, int], skin: tuple[int, int, int] = SKIN) -> Array:
    """(SIDE, SIDE, 3) skin with two irises."""
    picture = np.full((SIDE, SIDE, 3), skin, np.float32)
    for eye in EYES:
        cv2.circle(picture, eye, 7, iris, -1, cv2.LINE_AA)
    return picture


def hue(picture: Array) -> Array:
    """(2, 3) luma, Cb and Cr in the middle of the irises."""
    return np.stack([TO_YCC @ picture[y, x] for x, y in EYES])


def test_grass_green_becomes_a_grey_that_is_as_light() -> None:
    made = face(GRASS)
    before, after = hue(made), hue(match_irises(made, face((70, 60, 50))))
    assert (before[:, 2] < -20).all()
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=0.01)
    assert (np.abs(after[:, 1:]) < 3).all()
    assert (after[:, 2] < 0).all()  # a little of it stays


@pytest.mark.parametrize("iris", [(75, 110, 150), (105, 110, 118), (110, 70, 40), (60, 50, 45), (120, 112, 95)])
def test_colours_of_irises_are_left_alone(iris: tuple[int, int, int]) -> None:
    made = face(iris)
    assert match_irises(made, face((70, 60, 50))) is made


def test_nothing_but_the_eyes_is_looked_at() -> None:
    made = face((70, 60, 50))
    made[200:220, 100:140] = GRASS
    assert match_irises(made, face((70, 60, 50))) is made


def test_in_green_light_eyes_may_be_green() -> None:
    light = (70, 150, 80)
    made = face((50, 105, 60), light)
    assert match_irises(made, face((55, 105, 60), light)) is made


def test_red_eyes_become_dark_ones_that_are_as_light() -> None:
    skin, dark = (150, 110, 100), (40, 28, 26)
    made = face((95, 35, 40), skin)
    before, after = hue(made), hue(match_irises(made, face(dark, skin)))
    assert (before[:, 2] > 25).all()
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=0.01)
    assert ((after[:, 2] > 2) & (after[:, 2] < 12)).all()


@pytest.mark.parametrize("iris", [(60, 25, 24), (110, 60, 62), (45, 40, 60)])
def test_what_is_red_in_the_target_itself_stays(iris: tuple[int, int, int]) -> None:
    """Make-up, and the corners of eyes: as they were, and in the shade."""
    own = face(iris)
    assert match_irises(own, own) is own
    shade = own * 0.7
    assert match_irises(shade, own) is shade
