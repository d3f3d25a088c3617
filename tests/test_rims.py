"""Dark rims of glasses stay the target's; nothing else is taken for them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_fixtures import EXAMPLES, read_image

from fsvideo.faces.align import crop, crop_matrix, transform
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.draw import Canvas
from fsvideo.faces.rims import line_across, match_rims, without_rims
from fsvideo.faces.tone import Plain, plain_parts
from fsvideo.stream import _track
from fsvideo.types import Array, CropSpec

SPEC = CropSpec(256)


@pytest.fixture(scope="module")
def face(finder: FaceFinder) -> tuple[Array, Plain]:
    return cut(finder, "astronaut.png")


def cut(finder: FaceFinder, name: str) -> tuple[Array, Plain]:
    """A face as the network is given it, and its plain parts."""
    rgb = read_image(EXAMPLES / name)
    found = finder.find(rgb)[0]
    track = _track(0, 0, found)
    to_crop = crop_matrix(found.points, SPEC)
    outline, features = transform(to_crop, track.outline[0]), transform(to_crop, track.features[0])
    return crop(rgb, found.points, SPEC).rgb.clip(0, 255).astype(np.float32), plain_parts(outline, features, 256)


def rims(level: float, face: Array) -> tuple[Array, Array]:
    """The face (S, S, 3) with round rims of this brightness, and where they are (S, S)."""
    canvas = Canvas(len(face))
    mask = canvas.blank()
    turn = np.linspace(0, 2 * np.pi, 60)
    for x in (0.345, 0.655):
        canvas.stroke(mask, np.stack([x + 0.12 * np.cos(turn), 0.41 + 0.1 * np.sin(turn)], 1), 0.016)
    canvas.stroke(mask, [(0.46, 0.39), (0.54, 0.39)], 0.016)
    cover = mask[..., None] / np.float32(255)
    return np.asarray(face * (1 - cover) + np.float32(level) * cover, np.float32), mask > 127


def test_lost_rims_come_back_and_skin_stays(face: tuple[Array, Plain]) -> None:
    made, plain = face
    target, where = rims(20, made)
    mended = match_rims(made, target, plain)
    before, after = (np.abs(picture - target)[where].mean() for picture in (made, mended))
    assert after < 0.4 * before  # on brows and lashes they are left to the network
    far = np.abs(mended - made).max(2) > 0
    assert far.sum() < 3 * where.sum() and not far[150:].any()


def test_rims_that_the_result_has_are_left_as_they_are(face: tuple[Array, Plain]) -> None:
    made, plain = face
    target, _ = rims(20, made)
    np.testing.assert_array_equal(match_rims(target, target, plain), target)


def test_nothing_comes_of_a_face_without_dark_rims(face: tuple[Array, Plain]) -> None:
    """Not of bare skin, nor of a result that is darker or brighter, nor of pale rims; not even a copy."""
    own, plain = face
    for made in (0.6 * own, own + 30, np.ascontiguousarray(own[:, ::-1])):
        assert match_rims(made, own, plain) is made
    pale, _ = rims(235, own)
    assert match_rims(own, pale, plain) is own
    assert max(line_across(own), line_across(pale)) < 0.05 < 0.18 < line_across(rims(20, own)[0])


def test_real_rims_are_told(finder: FaceFinder) -> None:
    own, plain = cut(finder, "grace_hopper.jpg")
    blank = np.full_like(own, own.mean())
    mended = match_rims(blank, own, plain)
    assert line_across(own) > 0.18
    assert mended is not blank  # hers are thin, and lit: they count in part
    changed = np.abs(mended - blank).max(2) > 1
    assert changed.any() and changed[84:125].sum() > 0.5 * changed.sum()


@pytest.mark.parametrize(("level", "left"), [(20.0, 0.45), (235.0, 0.75)])
def test_what_is_left_of_the_sources_rims_is_filled_in(face: tuple[Array, Plain], level: float, left: float) -> None:
    """Faint lines, dark or pale, go as far as the source is known to wear glasses; the rest of the face stays."""
    target, plain = face
    lined, where = rims(level, target)
    made = np.asarray(target + 0.4 * (lined - target), np.float32)
    mended = without_rims(made, target, plain, 1.0)
    skin = where & (cv2.resize(plain.skin, (256, 256)) > 0.9)
    before, after = (np.abs(picture - target)[skin].mean() for picture in (made, mended))
    assert after < left * before
    np.testing.assert_array_equal(mended[150:], made[150:])
    half = without_rims(made, target, plain, 0.5)
    assert after < np.abs(half - target)[skin].mean() < before
    assert without_rims(made, target, plain, 0.0) is made


def test_lines_that_the_target_has_stay(face: tuple[Array, Plain]) -> None:
    lined, _ = rims(20, face[0])
    np.testing.assert_allclose(without_rims(lined, lined, face[1], 1.0), lined, rtol=1e-6)
