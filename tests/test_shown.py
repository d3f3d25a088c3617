"""Results as the losses look at them: coloured and laid in the face as a swap does it, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from fsvideo.faces import sharpness
from fsvideo.faces.align import FEATURE_POINTS, FEATURES, OUTLINE
from fsvideo.faces.irises import match_irises
from fsvideo.faces.mask import outline
from fsvideo.faces.shown import Maps, laid, lit, natural_eyes, tinted, with_pores
from fsvideo.faces.tone import Plain, match_light, match_tint, plain_parts
from fsvideo.models.landmarks import POINTS
from fsvideo.options import Look
from fsvideo.types import Array


def picture(seed: int, side: int) -> Array:
    """(side, side, 3) soft colours over most of the range."""
    noise = np.random.default_rng(seed).normal(size=(side, side, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), side / 20)
    return np.asarray(20 + 200 * (soft - soft.min()) / np.ptp(soft), np.float32)


def tensor(*pictures: Array) -> Tensor:
    return torch.from_numpy(np.stack(pictures) / 127.5 - 1).permute(0, 3, 1, 2)


def levels(x: Tensor) -> Array:
    return (x.detach().permute(0, 2, 3, 1).numpy() + 1) * np.float32(127.5)


def oval(width: float) -> Tensor:
    """(POINTS, 3) a mesh in the middle of the crop, in units of its side: an ellipse, in it eyes, brows and mouth."""
    points = torch.zeros(POINTS, 3)
    points[list(OUTLINE), :2] = 0.5 + _ellipse(len(OUTLINE), width, 0.35)
    middles = {"eyes": [(-0.09, -0.08), (0.09, -0.08)], "brows": [(-0.09, -0.14), (0.09, -0.14)], "mouth": [(0, 0.15)]}
    for name, parts in FEATURES.items():
        for part, middle in zip(parts, middles[name], strict=True):
            points[list(part), :2] = 0.5 + torch.tensor(middle) + _ellipse(len(part), 0.05, 0.02)
    return points


def _ellipse(count: int, wide: float, high: float) -> Tensor:
    turn = torch.arange(count) * (2 * torch.pi / count)
    return torch.stack([wide * torch.cos(turn), high * torch.sin(turn)], 1)


def pixels(points: Tensor, which: Sequence[int], side: int) -> Array:
    return np.asarray(points[list(which), :2].numpy() * side - 0.5, np.float32)


def maps_of(plain: Plain) -> Maps:
    return Maps(*(torch.from_numpy(getattr(plain, name))[None, None] for name in Maps._fields))


@pytest.mark.parametrize(("swap", "training"), [(match_tint, tinted), (match_irises, natural_eyes)])
@pytest.mark.parametrize("side", [64, 256])
def test_colours_are_those_of_a_swap(
    side: int, swap: Callable[[Array, Array], Array], training: Callable[[Tensor, Tensor], Tensor]
) -> None:
    made, target = picture(0, side), picture(1, side)
    wanted = swap(made, target)
    assert np.abs(wanted - made).max() > 5
    np.testing.assert_allclose(levels(training(tensor(made), tensor(target)))[0], wanted, atol=2e-3)


@pytest.mark.parametrize("side", [64, 256])
def test_colours_of_plain_parts_are_those_of_a_swap(side: int) -> None:
    made, target, points = picture(0, side), picture(1, side), oval(0.25)
    wanted = match_tint(made, target)
    assert np.abs(wanted - made).mean() > 5
    plain = plain_parts(pixels(points, OUTLINE, side), pixels(points, FEATURE_POINTS, side), side)
    finer = match_tint(made, target, plain)
    assert np.abs(finer - wanted).mean() > 0.05
    found = tinted(tensor(made), tensor(target), maps_of(plain))
    np.testing.assert_allclose(levels(found)[0], finer, atol=2e-3)


@pytest.mark.parametrize("side", [64, 256])
def test_light_is_that_of_a_swap(side: int) -> None:
    made, target, points = picture(0, side), picture(1, side), oval(0.25)
    plain = plain_parts(pixels(points, OUTLINE, side), pixels(points, FEATURE_POINTS, side), side)
    wanted = match_light(made, target, plain)
    assert np.abs(wanted - made).mean() > 0.5
    found = lit(tensor(made), tensor(target), maps_of(plain))
    np.testing.assert_allclose(levels(found)[0], wanted, atol=6e-3)


@pytest.mark.parametrize("side", [64, 256])
def test_pores_are_those_of_a_swap(side: int) -> None:
    target, points = picture(0, side), oval(0.25)
    grain = np.random.default_rng(1).normal(0, 4, (side, side, 1)).astype(np.float32)
    made = np.asarray(0.9 * target + grain, np.float32)
    plain = plain_parts(pixels(points, OUTLINE, side), pixels(points, FEATURE_POINTS, side), side)
    wanted = sharpness.with_pores(made, target, plain)
    assert np.abs(wanted - made).mean() > 0.2
    found = with_pores(tensor(made), tensor(target), maps_of(plain))
    np.testing.assert_allclose(levels(found)[0], wanted, atol=2e-2)


def test_the_result_lies_in_the_mask_of_a_swap_and_the_target_around_it() -> None:
    side, points = 128, torch.stack([oval(0.25), oval(0.3), oval(0.3)])
    made, target = tensor(*(picture(k, side) for k in range(3))), tensor(*(picture(k, side) for k in range(3, 6)))
    seen = torch.tensor([True, True, False])
    shown = laid(made, target, points, seen)
    for k in range(2):
        polygon, features = (pixels(points[k], which, side) for which in (OUTLINE, FEATURE_POINTS))
        mask, plain = outline(polygon, side, Look().feather), plain_parts(polygon, features, side)
        maps = maps_of(plain)
        coloured = with_pores(natural_eyes(tinted(lit(made, target, maps), target, maps), target), target, maps)
        assert mask.max() == 1 and mask.min() == 0
        assert torch.equal(shown[k][:, mask == 0], target[k][:, mask == 0])
        torch.testing.assert_close(shown[k][:, mask == 1], coloured[k][:, mask == 1])
    torch.testing.assert_close(shown[2], natural_eyes(tinted(made, target), target)[2])


def test_half_precision_around_it_changes_nothing() -> None:
    side, points, seen = 64, oval(0.25)[None], torch.tensor([True])
    made, target = tensor(picture(0, side)), tensor(picture(1, side))
    with torch.autocast("cpu", torch.bfloat16):
        shown, coloured = laid(made, target, points, seen), tinted(made, target)
    assert torch.equal(shown, laid(made, target, points, seen))
    assert torch.equal(coloured, tinted(made, target))


def test_gradients_reach_the_result_where_it_is_seen_alone() -> None:
    side = 64
    made = tensor(picture(0, side)).requires_grad_()
    shown = laid(made, tensor(picture(1, side)), oval(0.25)[None], torch.tensor([True]))
    (slope,) = torch.autograd.grad(shown.square().sum(), made)
    assert torch.isfinite(slope).all() and float(slope[..., 32, 32].abs().max()) > 0
    assert float(slope[..., 0].abs().max()) < 0.05 * float(slope.abs().max())
