"""A face that stands still does not shimmer, and one that moves leaves no ghost."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from fsvideo.faces.calm import Shown, calm
from fsvideo.types import Array

SIDE = 128
MASK = np.ones((SIDE, SIDE), np.float32)


def skin(seed: int) -> Array:
    """Soft blotches of skin that a face moves by, (SIDE, SIDE, 3)."""
    noise = np.random.default_rng(seed).normal(size=(SIDE, SIDE, 1)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 5)
    return np.asarray(120 + 40 * soft[..., None] / soft.std() * np.float32([1, 0.8, 0.7]), np.float32)


def grain(seed: int, strength: float) -> Array:
    return np.random.default_rng(seed).normal(0, strength, (SIDE, SIDE, 3)).astype(np.float32)


def run(targets: list[Array], results: list[Array], seconds: float = 0.5, step: float = 0.04) -> list[Array]:
    shown: list[Array] = []
    past: Shown | None = None
    for k, (target, result) in enumerate(zip(targets, results, strict=True)):
        out, past = calm(result, target, MASK, k * step, seconds, past)
        shown.append(out)
    return shown


def change(frames: list[Array]) -> float:
    return float(np.mean([np.abs(a - b).mean() for a, b in itertools.pairwise(frames)]))


def test_where_nothing_moves_shimmer_goes() -> None:
    targets, results = ([skin(s) + grain(9 * s + k, 2) for k in range(8)] for s in (1, 2))
    results = [r + 4 * skin(50 + k) / 40 for k, r in enumerate(results)]
    assert change(run(targets, results)) < 0.45 * change(results)
    np.testing.assert_allclose(run(targets, results)[7], np.mean(results, axis=0), atol=12)


@pytest.mark.parametrize("shift", [1, 2])
def test_what_moves_with_the_face_stays_on_it_and_stays_sharp(shift: int) -> None:
    targets, results = ([np.roll(skin(s), k * shift, 1) for k in range(8)] for s in (1, 2))
    shown = run(targets, results)
    inner = np.s_[16:-16, 16:-16]
    assert np.abs(shown[7] - results[7])[inner].mean() < 1.0 < np.abs(results[6] - results[7])[inner].mean()


def test_where_the_target_changes_or_the_result_does_nothing_is_held() -> None:
    still, made = skin(1), skin(2)
    opened = made.copy()
    cv2.circle(opened, (64, 90), 14, (30.0, 10.0, 10.0), -1)  # a mouth that opens
    spoken = still.copy()
    cv2.circle(spoken, (64, 90), 14, (30.0, 10.0, 10.0), -1)
    middle = np.s_[80:100, 54:74]
    for last in (still, spoken):
        shown = run([still, still, last], [made, made, opened])
        assert np.abs(shown[2] - opened)[middle].mean() < 0.5


def test_first_frames_late_ones_and_no_smoothing_are_left_as_they_are() -> None:
    target, results = skin(1), [skin(2), skin(2) + 3]
    for seconds, step in ((0.0, 0.04), (0.5, 1.0)):
        assert np.array_equal(run([target, target], results, seconds, step)[1], results[1])
    assert np.array_equal(run([target], results[:1])[0], results[0])
    held = run([target, target], results)[1]
    assert 0.5 < float((results[1] - held).mean()) < 2.5


def test_what_was_not_swapped_keeps_its_grain_to_the_last_bit() -> None:
    frames = [skin(1) + grain(k, 3) for k in range(4)]
    assert all(np.array_equal(a, b) for a, b in zip(run(frames, frames), frames, strict=True))
