"""Masks are whole inside the face, gone a feather outside it and at the crop's edge, and smooth between."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fsvideo.faces.blend import delta, masked, region_of, shifted
from fsvideo.faces.mask import MASKS, closed, face_mask
from fsvideo.options import Look

SIZE, FEATHER = 128, 0.2
TURN = np.linspace(0, 2 * np.pi, 36, endpoint=False)


def oval(x: float, y: float, wide: float, high: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.stack([x + wide * np.cos(TURN), y + high * np.sin(TURN)], 1).astype(np.float32)


def distance(x: float, y: float, wide: float, high: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """1 on the oval's rim, less inside."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.hypot((columns - x) / wide, (rows - y) / high)


@pytest.mark.parametrize("name", sorted(MASKS))
def test_whole_inside_and_gone_a_feather_outside(name: str) -> None:
    face = (64.0, 66.0, 30.0, 38.0)
    mask = MASKS[name](oval(*face), SIZE, FEATHER)
    away = distance(*face)
    assert mask.shape == (SIZE, SIZE) and mask.dtype == np.float32
    assert mask[away < 0.95].min() > 0.97
    reach = FEATHER * 60  # pixels: in parts of the face's width
    assert mask[away > 1 + (reach + 3) / 30].max() == 0
    across = mask[66, 64:]
    assert (np.diff(across) <= 1e-6).all()  # falls and never rises
    assert np.abs(np.diff(across)).max() < 2.2 / reach  # without a step
    assert 0.3 < mask[66, 64 + 30 + round(reach / 2)] < 0.7


@pytest.mark.parametrize("name", sorted(MASKS))
def test_a_face_that_leaves_the_crop_fades_before_its_edge(name: str) -> None:
    mask = MASKS[name](oval(64, 100, 40, 50), SIZE, FEATHER)
    assert mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert mask[80, 64] == 1
    below = mask[100:, 64]
    assert (np.diff(below) <= 1e-6).all() and np.abs(np.diff(below)).max() < 0.2


def test_a_feather_of_nothing_is_still_no_step() -> None:
    mask = MASKS["outline"](oval(64, 64, 30, 30), SIZE, 0.0)
    assert ((mask > 0.05) & (mask < 0.95)).any()


@pytest.mark.parametrize(("scale", "turn"), [(0.4, 0.3), (0.7, -1.2), (1.5, 2.0)])
def test_what_lies_outside_the_masked_part_would_not_change(scale: float, turn: float) -> None:
    """The change worked out under the mask alone is the one worked out for the whole region."""
    rng = np.random.default_rng(0)
    size = 128
    mask = face_mask(oval(64, 70, 28, 36), np.zeros((56, 2), np.float32), size, Look())
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    native = np.column_stack([linear, 64 - linear @ (200, 150)]).astype(np.float32)
    box = region_of(native, size, 400, 300)
    assert box is not None
    matrix = shifted(native, box)
    region = rng.uniform(0, 255, (box.height, box.width, 3)).astype(np.float32)
    crop, swapped = (cv2.GaussianBlur(rng.uniform(0, 255, (size, size, 3)), (0, 0), 2).astype(np.float32),) * 2
    swapped = swapped + 20
    whole, _ = delta(region, crop, swapped, mask, matrix, 1.0)
    part = masked(mask, matrix, box)
    assert not (part.left | part.top) & 1 and box.left <= part.left < part.right <= box.right
    inner = part.within(box)
    alone, _ = delta(region[inner.slices], crop, swapped, mask, shifted(matrix, inner), 1.0)
    assert np.abs(whole[inner.slices] - alone).max() < 2.5  # grain is estimated from other pixels, all of them noise
    whole[inner.slices] = 0
    assert np.abs(whole).max() < 1e-3


EYES = ((46.0, 56.0), (82.0, 56.0))


def features(*heights: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(56, 2) with two eyes 16 pixels wide and as high, a mouth and brows."""
    turn = np.linspace(np.pi, -np.pi, 8, endpoint=False)
    eyes = [
        np.stack([x + 8 * np.cos(turn), y + high / 2 * np.sin(turn)], 1)
        for (x, y), high in zip(EYES, heights, strict=True)
    ]
    round_ = np.stack([np.cos(TURN[:20]), np.sin(TURN[:20])], 1)
    mouth, brows = 64 + round_ * 2, [np.array([x, 44]) + round_[:10] for x, _ in EYES]
    return np.concatenate([mouth, *eyes, *brows]).astype(np.float32)


@pytest.mark.parametrize("angle", [0.0, 40.0, 200.0])
def test_an_eye_is_as_closed_as_its_lids_are_where_there_are_pixels_enough(angle: float) -> None:
    def shut(height: float, scale: float) -> float:
        turn = cv2.getRotationMatrix2D((64.0, 64.0), angle, scale)
        return closed((features(height, height)[20:28] @ turn[:, :2].T + turn[:, 2]).astype(np.float32))

    assert shut(0, 2.5) == shut(0.5, 2.5) == 1 and shut(2, 2.5) == shut(7, 2.5) == 0
    assert 1 > shut(0.8, 2.5) > shut(1, 2.5) > 0
    assert shut(0, 1.4) == 0 and 0.2 < shut(0, 1.8) < 0.8
    assert closed(np.zeros((8, 2), np.float32)) == 0  # not known


def test_closed_eyes_are_the_targets_and_open_ones_the_sources() -> None:
    face = oval(64, 66, 36, 46)
    parts = features(1, 1)
    open_, blink, wink, half = (
        face_mask(face, parts, SIZE, Look(), shut) for shut in ((0, 0), (1, 1), (1, 0), (0.5, 0.5))
    )
    assert open_[34:98, 46:82].min() == 1
    for x, y in EYES:
        assert blink[int(y) - 2 : int(y) + 3, int(x) - 7 : int(x) + 8].max() < 0.02
    assert blink[90, 64] == 1 and blink[36, 64] == 1
    assert np.abs(np.diff(blink[56, 34:94])).max() < 0.25  # without a step
    assert np.array_equal(wink[:, :64], blink[:, :64]) and np.array_equal(wink[:, 64:], open_[:, 64:])
    assert half[56, 46] == pytest.approx(0.5, abs=0.01)
    keep = Look(keep=("eyes",))
    assert np.array_equal(face_mask(face, parts, SIZE, keep, (1, 1)), face_mask(face, parts, SIZE, keep))
