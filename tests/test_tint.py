"""Stains of colour in a swapped face: what goes, and what stays."""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest

from fsvideo.faces.tone import Plain, match_tint

SKIN = np.float32([190, 140, 115])
EVERYWHERE = np.ones((32, 32), np.float32)


def plain(**parts: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Plain:
    """A face that has only these parts."""
    return Plain(**{one.name: parts.get(one.name, np.zeros_like(EVERYWHERE)) for one in fields(Plain)})


def face(side: int = 128) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Skin that is lit from one side, with fine grain."""
    light = np.linspace(0.7, 1.1, side, dtype=np.float32)[None, :, None]
    grain = np.random.default_rng(0).normal(0, 3, (side, side, 1)).astype(np.float32)
    return np.ascontiguousarray(SKIN * light + grain)


def luma(rgb: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(rgb @ np.float32([0.299, 0.587, 0.114]), np.float32)


def stained() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A green spot that is as light as the skin around it."""
    spot = np.zeros((128, 128, 1), np.float32)
    cv2.circle(spot, (60, 60), 16, 1.0, -1)
    return np.asarray(face() + cv2.GaussianBlur(spot, (0, 0), 3)[..., None] * np.float32([-12, 8, -10]), np.float32)


def test_what_was_not_changed_stays_to_the_last_bit() -> None:
    dark = face() * 0.02
    for picture in (face(), dark):
        assert np.array_equal(match_tint(picture, picture), picture)


def test_a_stain_goes_and_light_and_grain_stay() -> None:
    mended = match_tint(stained(), face())
    inside = (slice(52, 68), slice(52, 68))
    before = np.abs((stained() - face())[inside].mean((0, 1)))
    after = np.abs((mended - face())[inside].mean((0, 1)))
    assert before.max() > 8 and after.max() < 0.15 * before.max() + 0.6
    np.testing.assert_allclose(luma(mended), luma(stained()), atol=0.02)


@pytest.mark.parametrize("shade", [0.3, 0.6])
def test_a_dark_brow_stays_as_dark_and_gets_no_glow(shade: float) -> None:
    brow = face()
    brow[40:52, 30:90] *= np.float32(shade)
    mended = match_tint(brow, face())
    np.testing.assert_allclose(luma(mended), luma(brow), atol=0.02)
    middle = mended[44:48, 50:70].mean((0, 1))
    wanted = SKIN / SKIN.sum()
    np.testing.assert_allclose(middle / middle.sum(), wanted, atol=0.05)


def test_small_stains_go_on_skin_alone() -> None:
    spot = cv2.GaussianBlur(cv2.circle(np.zeros((128, 128), np.float32), (60, 60), 5, 1.0, -1), (0, 0), 1)
    spotted = np.asarray(face() + spot[..., None] * np.float32([20, -4, -20]), np.float32)
    left = {}
    for name, parts in (("skin", plain(bare=EVERYWHERE)), ("lips", plain())):
        mended = match_tint(spotted, face(), parts)
        left[name] = float(np.abs(mended - face())[57:64, 57:64].mean())
    assert left["skin"] < 0.5 * left["lips"]


@pytest.mark.parametrize("light", [0.5, 1.3])
def test_colour_of_skin_goes_with_the_root_of_its_brightness(light: float) -> None:
    """A grey cheek half as light gets the root of that share of the colour, a brow the share itself; one that is
    lighter gains as skin, but lips do not."""
    flat = np.broadcast_to(SKIN, (128, 128, 3)).astype(np.float32)
    other = np.full_like(flat, light * float(luma(SKIN)))
    left = {}
    for name, parts in (("skin", plain(bare=EVERYWHERE)), ("lips", plain())):
        mended = match_tint(other, flat, parts)
        np.testing.assert_allclose(luma(mended), luma(other), atol=0.02)
        left[name] = float(np.ptp(mended[64, 64]) / np.ptp(SKIN))
    share = (light * float(luma(SKIN)) + 8) / (float(luma(SKIN)) + 8)  # of the brightness, eight levels being none
    assert left["lips"] == pytest.approx(min(share, 1), abs=0.01)
    assert left["skin"] == pytest.approx(np.sqrt(share), abs=0.01)


def test_a_result_darker_than_black_is_no_trouble() -> None:
    """Networks overshoot."""
    for made, target in ((face() - 300, face()), (face(), face() - 300)):
        assert np.isfinite(match_tint(made, target, plain(bare=EVERYWHERE, beard=EVERYWHERE))).all()


@pytest.mark.parametrize("hair", ["brows", "beard", "lids"])
def test_skin_where_the_target_has_grey_hair_is_not_grey(hair: str) -> None:
    where = np.zeros((128, 128), np.float32)
    where[40:52, 30:90] = 1
    target = np.asarray(face() + where[..., None] * (np.float32([60, 60, 62]) - face()), np.float32)
    here = np.zeros((32, 32), np.float32)
    here[9:14, 6:24] = 1
    off = []
    for parts in (plain(bare=EVERYWHERE), plain(bare=EVERYWHERE, **{hair: here})):
        mended = match_tint(face(), target, parts)[43:49, 40:80].mean((0, 1))
        off.append(float(np.abs(mended / mended.sum() - SKIN / SKIN.sum()).max()))
    assert off[1] < 0.01 < 0.05 < off[0]


def test_grey_hair_that_stays_stays_grey() -> None:
    """A result that is as dark as the target's beard has one."""
    target = np.broadcast_to(SKIN, (128, 128, 3)).astype(np.float32)
    target[80:] = [60, 60, 62]
    beard = np.zeros((32, 32), np.float32)
    beard[20:] = 1
    mended = match_tint(target, target, plain(bare=EVERYWHERE, beard=beard))
    np.testing.assert_allclose(mended, target, atol=0.5)


def test_where_no_skin_is_near_the_hue_is_the_targets_own() -> None:
    mended = match_tint(face() * 1.5, face(), plain(bare=EVERYWHERE, beard=EVERYWHERE))
    flat = mended[40:80, 40:80].mean((0, 1))
    np.testing.assert_allclose(flat / flat.sum(), SKIN / SKIN.sum(), atol=0.02)


@pytest.mark.parametrize(("shade", "stays"), [(1.0, False), (0.65, True)])
def test_a_narrower_lip_leaves_skin_above_it_and_a_lip_stays_red(shade: float, stays: bool) -> None:
    """Where the target has a lip as dark as half of its skin, the result is as light as skin, or a lighter lip."""
    rows = np.s_[40:52, 30:90]
    target, made = face(), face()
    target[rows] = np.float32([120, 50, 50])
    made[rows] = np.float32([150, 150, 150]) * np.float32(shade)
    lip, skin = np.zeros((32, 32), np.float32), EVERYWHERE.copy()
    lip[10:13, 7:23], skin[9:14, 6:24] = 1, 0
    mended = match_tint(made, target, plain(bare=skin, lip=lip))[44:48, 50:70].mean((0, 1))
    off = float(np.abs(mended / mended.sum() - SKIN / SKIN.sum()).max())
    assert off > 0.04 if stays else off < 0.01


def test_a_shade_beside_an_eye_has_the_hue_of_skin_whatever_the_lids_have() -> None:
    """The target's lids are blue; where the result is as light it stays so, where it has a shade that is skin's."""
    rows = np.s_[40:52, 30:90]
    lids = np.zeros((32, 32), np.float32)
    lids[9:14, 6:24] = 1
    target = face()
    target[rows] = np.float32([150, 160, 190])
    hues = {}
    for light in (0.55, 1.0):
        made = target.copy()
        made[rows] = np.float32([160, 160, 160]) * np.float32(light)
        mended = match_tint(made, target, plain(bare=1 - lids, lids=lids))[44:48, 50:70].mean((0, 1))
        np.testing.assert_allclose(luma(mended), luma(made[45, 60]), atol=0.5)
        hues[light] = mended[0] - mended[2]
    assert hues[1.0] < -20 and hues[0.55] > 20


def test_where_the_target_is_burnt_out_a_shade_has_the_hue_of_skin_and_light_stays_pale() -> None:
    skin = plain(bare=EVERYWHERE)
    target = np.ascontiguousarray(np.broadcast_to(SKIN, (128, 128, 3)))
    target[40:88, 40:88] = (245, 238, 234)
    made = target.copy()
    made[40:88, 40:88] = (170, 168, 166)  # a nose that is in the shade there, grey
    burnt, wanted = match_tint(made, target, skin)[60:68, 60:68].mean((0, 1)), SKIN
    saturation = (burnt[0] - burnt[2]) / luma(burnt), (wanted[0] - wanted[2]) / luma(wanted)
    assert 0.6 * saturation[1] < saturation[0] < 1.1 * saturation[1]
    np.testing.assert_allclose(luma(burnt), luma(np.float32([170, 168, 166])), atol=0.1)
    light = match_tint(target, target, skin)[60:68, 60:68].mean((0, 1))
    np.testing.assert_allclose(light, (245, 238, 234), atol=0.5)
