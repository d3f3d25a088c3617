"""Light and shade on plain skin: stains go, what makes a face stays."""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest

from fsvideo.faces.tone import Plain, as_left, match_light, match_tint, plain_parts
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


def within(where: Array, pixels: int = 4) -> Array:
    """(SIDE, SIDE) bool: ``where`` (SIDE / 4, SIDE / 4) less its edge."""
    return np.asarray(cv2.erode(full(where.astype(np.float32)), np.ones((2 * pixels + 1,) * 2)) > 0)


def face() -> Array:
    """Skin lit from one side."""
    light = np.linspace(0.7, 1.1, SIDE, dtype=np.float32)[None, :, None]
    return np.ascontiguousarray(np.ones((SIDE, SIDE, 1), np.float32) * light * np.float32([190, 140, 115]))


def spot(x: int, y: int) -> Array:
    """(SIDE, SIDE, 1) 1 in a soft patch, 0 around it."""
    patch = cv2.circle(np.zeros((SIDE, SIDE), np.float32), (x, y), 16, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(patch, (0, 0), 6)[..., None], np.float32)


@pytest.mark.parametrize("angle", [0.0, 30.0, -100.0])
def test_light_is_laid_over_the_forehead(angle: float) -> None:
    weight = full(plain_parts(*head(angle), SIDE).forehead)
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


@pytest.mark.parametrize("angle", [0.0, 30.0, -100.0])
def test_skin_is_all_but_lips_eyes_and_brows(angle: float) -> None:
    weight = full(plain_parts(*head(angle), SIDE).bare)
    turn = cv2.getRotationMatrix2D((128.0, 128.0), angle, 1.0)
    for wanted, places in (
        (0, [(98, 110), (158, 110), (98, 92), (158, 92), (128, 180)]),
        (1, [(128, 50), (128, 140), (75, 150), (180, 150), (128, 212)]),
    ):
        for x, y in places:
            column, row = turn @ np.array([x, y, 1])
            assert abs(float(weight[round(row), round(column)]) - wanted) < 0.05


def test_a_stain_on_the_forehead_goes_and_one_that_is_the_footage_s_comes() -> None:
    plain = plain_parts(*head(), SIDE)
    stained = face() * (1 - 0.4 * spot(110, 55))
    inside = np.s_[48:62, 103:117]
    mended = match_light(stained, face(), plain)
    before, after = (float(np.abs(one - face())[inside].mean()) for one in (stained, mended))
    assert before > 30 and after < 0.4 * before
    shaded = match_light(face(), stained, plain)
    assert float(np.abs(shaded - stained)[inside].mean()) < 0.4 * before


@pytest.mark.parametrize("by", [2.2, 0.45])
def test_a_stain_beside_an_eye_is_held_back_and_a_shade_stays(by: float) -> None:
    """Light or dark, by the nose or on a cheek; where a beard may grow it stays as it was painted."""
    plain = plain_parts(*head(), SIDE)
    for x, y, held in ((112, 128, True), (165, 140, True), (128, 212, False)):
        inside = np.s_[y - 4 : y + 4, x - 4 : x + 4]
        for strength in (0.25 * np.log(by), np.log(by)):
            painted = (face() * np.exp(strength * spot(x, y))).astype(np.float32)
            left = float(np.log(match_light(painted, face(), plain)[inside] / face()[inside]).mean())
            was = float(np.log(painted[inside] / face()[inside]).mean())
            if held and abs(was) > 0.6:
                assert 0.25 < abs(left) < 0.5, "as a shade may be"
            else:
                assert left == pytest.approx(was, abs=0.05)


def test_hair_painted_on_a_temple_leaves_no_trace_and_light_stays() -> None:
    """Its low frequencies could be mended by light alone; its edges and its hue could not."""
    plain = plain_parts(*head(), SIDE)
    temple = cv2.circle(np.zeros((SIDE, SIDE), np.float32), (95, 62), 9, 1.0, -1)[..., None]
    fair, hair = face() * 1.1, np.float32([40, 25, 20])
    painted = np.asarray(fair + temple * (hair - fair), np.float32)
    mended = match_light(painted, face(), plain)
    inside = np.s_[54:70, 87:103]
    before, left = np.abs(painted - fair)[inside], np.abs(mended - fair)[inside]
    assert left.mean() < 0.06 * before.mean() and left.max() < 0.15 * before.max() and before.mean() > 80
    features = full(cv2.max(plain.forehead + plain.around, plain.temples)) == 0
    np.testing.assert_allclose(mended[features], match_light(fair, face(), plain)[features], rtol=0.03)


@pytest.mark.parametrize("angle", [0.0, 30.0, -100.0])
def test_the_shade_of_glasses_beside_an_eye_goes(angle: float) -> None:
    outline, features = head(angle)
    turn = cv2.getRotationMatrix2D((128.0, 128.0), angle, 1.0)
    for x, y in ((70, 112), (186, 112), (72, 126), (184, 126)):
        column, row = (round(float(v)) for v in turn @ np.array([x, y, 1]))
        shaded = np.asarray(face() * (1 - 0.6 * spot(column, row)), np.float32)
        mended = match_light(shaded, face(), plain_parts(outline, features, SIDE))
        middle = np.s_[row - 3 : row + 4, column - 3 : column + 4]
        assert np.abs(mended - face())[middle].mean() < 0.1 * np.abs(shaded - face())[middle].mean()


@pytest.mark.parametrize(("x", "y"), [(70, 112), (186, 112), (66, 140), (190, 140)])
def test_faint_shades_beside_the_eyes_go_where_glasses_are_worn_and_lights_stay(x: int, y: int) -> None:
    plain = plain_parts(*head(), SIDE)
    middle = np.s_[y - 3 : y + 4, x - 3 : x + 4]
    shaded, lit = (np.asarray(face() * (1 + change * spot(x, y)), np.float32) for change in (-0.25, 0.25))
    left = [np.abs(match_light(shaded, face(), plain, worn) - face())[middle].mean() for worn in (0, 0.5, 1)]
    before = np.abs(shaded - face())[middle].mean()
    assert left[0] > 0.8 * before and 0.4 * before < left[1] < 0.8 * before and left[2] < 0.5 * before
    assert np.array_equal(match_light(lit, face(), plain, 1)[middle], match_light(lit, face(), plain)[middle])
    brow, nose = np.s_[88:96, 94:102], np.s_[140:160, 118:138]
    for part in (brow, nose):
        np.testing.assert_allclose(match_light(shaded, face(), plain, 1)[part], face()[part], rtol=0.02)


@pytest.mark.parametrize(("x", "y"), [(76, 182), (180, 182), (68, 168)])
def test_a_rim_of_light_along_the_jaw_goes_and_a_shade_stays(x: int, y: int) -> None:
    plain = plain_parts(*head(), SIDE)
    middle = np.s_[y - 2 : y + 3, x - 2 : x + 3]
    for change in (0.08, 0.4, -0.3):
        painted = np.asarray(face() * (1 + change * spot(x, y)), np.float32)
        was, left = (
            float(np.log(one / face())[middle].mean()) for one in (painted, match_light(painted, face(), plain))
        )
        if change > 0.1:
            assert was > 0.25 and 0.08 < left < 0.65 * was
        else:
            assert left == pytest.approx(was, abs=0.02)


@pytest.mark.parametrize(("x", "y"), [(98, 92), (128, 150), (128, 195), (78, 188)])
def test_brows_noses_and_beards_stay(x: int, y: int) -> None:
    own = face() * (1 - 0.4 * spot(x, y))
    mended = match_light(own, face(), plain_parts(*head(), SIDE))
    middle = np.s_[y - 3 : y + 4, x - 3 : x + 4]
    assert np.abs(mended - own)[middle].mean() < 0.15 * np.abs(own - face())[middle].mean()


def test_how_light_skin_is_stays_and_so_does_everything_that_is_not_plain() -> None:
    plain = plain_parts(*head(), SIDE)
    inside = within(plain.around == 0)
    fair = face() * 1.2
    np.testing.assert_allclose(match_light(fair, face(), plain)[inside], fair[inside], rtol=0.01)
    nowhere = Plain(*[np.zeros_like(plain.bare)] * len(fields(Plain)))
    assert np.array_equal(match_light(face(), face() * 0.5, nowhere), face())
    assert np.array_equal(match_light(face(), face(), plain), face())
    away = full(cv2.max(plain.forehead + plain.around, plain.temples)) == 0
    other = match_light(face(), face() * (1 - 0.5 * spot(110, 55)), plain)
    np.testing.assert_allclose(other[away], face()[away], rtol=0.12)


@pytest.mark.parametrize("angle", [0.0, 60.0])
def test_hair_around_the_face_gets_no_haze(angle: float) -> None:
    """A network that knows no hair paints skin there, under the mask's soft edge."""
    plain = plain_parts(*head(angle), SIDE)
    outside = full(plain.around) == 1
    strands = np.random.default_rng(0).normal(0, 4, (SIDE, SIDE, 1)).astype(np.float32)
    hair = np.where(outside[..., None], np.float32([45, 32, 25]) + strands, face()).astype(np.float32)
    mended = match_tint(match_light(face(), hair, plain), hair, plain)
    deep = within(plain.around == 1, 16)
    assert np.abs(face() - hair)[deep].mean() > 50
    assert np.abs(mended - hair)[deep].mean() < 6
    assert np.abs(mended - face())[within(plain.around == 0, 16)].mean() < 1.5


def test_a_forehead_is_the_targets_own_as_light_as_the_rest_has_become() -> None:
    """Strands that were painted on it go; grain, furrows and hair that hangs over it are the target's."""
    plain = plain_parts(*head(), SIDE)
    dice = np.random.default_rng(0)
    own, other = (face() * (1 + dice.normal(0, 0.01, (SIDE, SIDE, 1)).astype(np.float32)) for _ in range(2))
    strand = np.zeros((SIDE, SIDE), np.float32)
    for x in range(100, 160, 12):
        cv2.line(strand, (x, 45), (x + 4, 72), 1.0, 2)
    strand = cv2.GaussianBlur(strand, (0, 0), 1)[..., None]
    inner, away = within(plain.forehead > 0.9), within(plain.forehead + plain.cheeks == 0)
    assert inner.sum() > 2000
    painted, hung = other * (1 - 0.25 * strand), own * (1 - 0.25 * strand)
    for made, target in ((painted, own), (other, hung)):
        for fair in (1.0, 1.1):
            lit = match_light(np.asarray(made * fair, np.float32), target, plain)
            np.testing.assert_allclose(lit[inner], target[inner] * fair, rtol=0.02)
            assert np.abs(lit - made * fair)[away & (full(plain.skin) > 0.5)].mean() < 0.5
    assert np.abs(painted - own)[inner].mean() > 2


def test_a_streak_on_a_cheek_goes_unless_the_footage_has_such() -> None:
    plain = plain_parts(*head(), SIDE)
    streak = np.zeros((SIDE, SIDE), np.float32)
    cv2.line(streak, (74, 140), (79, 172), 1.0, 13)
    streak = cv2.GaussianBlur(streak, (0, 0), 3)[..., None]
    painted = np.asarray(face() * (1 - 0.3 * streak), np.float32)
    where = (streak[..., 0] > 0.6) & (full(plain.cheeks) > 0.9)
    assert where.sum() > 100
    before = np.abs(painted - face())[where].mean()
    left = np.abs(match_light(painted, face(), plain) - face())[where].mean()
    kept = np.abs(match_light(painted, painted, plain) - painted)[where].mean()
    assert before > 20 and left < 0.6 * before and kept < 0.01 * before


def test_skin_where_a_brow_was_is_no_lighter_than_around_it() -> None:
    """A thinner brow is painted where the target has a dark one: between them light lines would shine."""
    plain = plain_parts(*head(), SIDE)
    brow = cv2.ellipse(np.zeros((SIDE, SIDE), np.float32), (98, 92), (20, 7), 0, 0, 360, 1.0, -1)[..., None]
    dark = np.asarray(face() * (1 - 0.7 * brow), np.float32)
    middle = np.s_[88:96, 90:106]
    for by, most in ((1.5, 1.2), (1.0, 1.01), (0.6, 0.65)):
        painted = np.asarray(face() * (1 + (by - 1) * spot(98, 92)), np.float32)
        left = float((match_light(painted, dark, plain) / face())[middle].mean())
        was = float((painted / face())[middle].mean())
        assert 0.9 * min(was, most) < left < most
    assert was < 0.7, "a new brow stays as dark as it is"


def test_a_light_beside_a_brow_that_is_the_footages_own_stays() -> None:
    plain = plain_parts(*head(), SIDE)
    lit = np.asarray(face() * (1 + 0.4 * spot(98, 82)), np.float32)
    middle = np.s_[80:88, 94:102]
    assert full(plain.ridges)[middle].min() > 0.5
    np.testing.assert_allclose(match_light(lit, lit, plain)[middle], lit[middle], rtol=0.02)


@pytest.mark.parametrize("x", [98, 158])
def test_what_a_rim_leaves_between_brow_and_eye_is_a_faint_shade(x: int) -> None:
    plain = plain_parts(*head(), SIDE)
    shaded = np.asarray(face() * (1 - 0.5 * spot(x, 98)), np.float32)
    middle = np.s_[96:101, x - 3 : x + 4]
    left = [float((match_light(shaded, face(), plain, worn) / face())[middle].mean()) for worn in (0, 1)]
    assert left[0] < 0.55 and left[1] > 0.7
    np.testing.assert_allclose(match_light(face(), face(), plain, 1)[middle], face()[middle], rtol=0.01)


@pytest.mark.parametrize(("paint", "least"), [(0.35, 0.0), (0.75, 0.95)])
def test_made_up_lips_stay_dark_and_others_become_what_they_become(paint: float, least: float) -> None:
    """The target's are 0.35 times as light as skin, as lipstick makes them, or 0.75 times, as they are without any."""
    plain = plain_parts(*head(), SIDE)
    mouth = cv2.ellipse(np.zeros((SIDE, SIDE), np.float32), (128, 180), (26, 10), 0, 0, 360, 1.0, -1)[..., None]
    target, pale, middle = (np.asarray(face() * (1 + (by - 1) * mouth), np.float32) for by in (paint, 0.9, 0.0))
    where = middle[..., 0] == 0
    lit = match_light(pale, target, plain)
    became, was = float((lit / pale)[where].mean()), float((target / pale)[where].mean())
    assert least <= became < max(1.3 * was, 1.01)
    assert np.abs(match_light(target, pale, plain) - target)[where].mean() < 1.5, "darker ones may be"


def test_what_the_network_left_as_it_was_is_not_matched() -> None:
    target = face()
    made = np.asarray(target * 0.8, np.float32)
    made[100:180, 90:170] = target[100:180, 90:170] + 0.5  # a hand that was given back
    matched = np.asarray(made + 9, np.float32)
    result = as_left(matched, made, target)
    assert np.abs(result - target)[112:168, 102:158].max() < 0.1
    outside = np.ones((SIDE, SIDE), bool)
    outside[84:196, 74:186] = False
    assert np.array_equal(result[outside], matched[outside])
    other = np.asarray(target * 0.8, np.float32)
    assert as_left(matched, other, target) is matched
    assert np.array_equal(as_left(matched, target, target), target)
