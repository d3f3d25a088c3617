"""What a target shows between its lips, teeth above all, is its own in the result."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fsvideo.faces.teeth import match_teeth
from fsvideo.types import Array

SIDE, MIDDLE, AXES = 256, (128, 178), (40, 22)
SKIN, LIP, TEETH = (190, 140, 115), (170, 80, 80), (225, 215, 200)
TURNS = np.radians(np.arange(180, 540, 18))  # from the corner at the left over the upper lip, and back
MOUTH = np.stack([MIDDLE[0] + AXES[0] * np.cos(TURNS), MIDDLE[1] + AXES[1] * np.sin(TURNS)], 1).astype(np.float32)


def face(teeth: tuple[int, int, int] | None = TEETH, lip: tuple[int, int, int] = LIP, light: float = 1.0) -> Array:
    """(SIDE, SIDE, 3) skin and a mouth; None: it is closed."""
    picture = np.full((SIDE, SIDE, 3), SKIN, np.float32)
    cv2.ellipse(picture, MIDDLE, AXES, 0, 0, 360, lip, -1, cv2.LINE_AA)
    if teeth is not None:
        cv2.ellipse(picture, MIDDLE, (28, 11), 0, 0, 360, teeth, -1, cv2.LINE_AA)
    return picture * np.float32(light)


@pytest.mark.parametrize("light", [1.0, 0.3])
def test_dull_teeth_become_the_targets(light: float) -> None:
    made, target = face((150, 140, 130), (150, 90, 90), light), face(light=light)
    mended = match_teeth(made, target, MOUTH)
    inside = np.s_[172:185, 110:146]
    assert np.abs(made[inside] - target[inside]).mean() > 60 * light
    np.testing.assert_allclose(mended[inside], target[inside], atol=2)
    lips = np.s_[162:165, 110:146]
    np.testing.assert_allclose(mended[lips], made[lips], atol=1)
    assert np.array_equal(mended[:150], made[:150]) and np.array_equal(mended[206:], made[206:])


def test_the_dark_of_an_open_mouth_is_the_targets_too() -> None:
    target = face((35, 25, 22))
    mended = match_teeth(face(), target, MOUTH)
    np.testing.assert_allclose(mended[172:185, 110:146], target[172:185, 110:146], atol=3)


def test_a_closed_mouth_is_left_alone() -> None:
    made = face()
    assert match_teeth(made, face(None), MOUTH) is made


def test_black_and_white_tells_nothing_of_lips() -> None:
    made, grey = face((150, 140, 130)), np.repeat(face().mean(2, keepdims=True), 3, 2)
    assert match_teeth(made, grey, MOUTH) is made


@pytest.mark.parametrize("shift", [(-150, 0), (110, 60), (-400, 0), (0, 300)])
def test_a_mouth_beyond_the_crops_edge_is_no_trouble(shift: tuple[int, int]) -> None:
    made = face((150, 140, 130))
    mended = match_teeth(made, face(), MOUTH + np.float32(shift))
    assert mended.shape == made.shape and np.isfinite(mended).all()
