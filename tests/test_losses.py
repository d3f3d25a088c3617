"""Every loss against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fsvideo.train import losses


def pictures(*values: float) -> Tensor:
    """One even 3-channel 2x2 picture a value."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()


def test_hinge_of_the_discriminator() -> None:
    real = [torch.tensor([[2.0, 0.5]]), torch.tensor([[-1.0]])]
    fake = [torch.tensor([[-2.0, 0.5]]), torch.tensor([[0.0]])]
    # scale 1: mean(0, 0.5) + mean(0, 1.5); scale 2: 2 + 1; the mean of both
    assert losses.hinge_discriminator(real, fake).item() == pytest.approx(((0.25 + 0.75) + 3.0) / 2)


def test_hinge_of_the_generator_pulls_every_score_up() -> None:
    scores = [torch.tensor([[1.0, 3.0]], requires_grad=True), torch.tensor([[-4.0]], requires_grad=True)]
    loss = losses.hinge_generator(scores)
    assert loss.item() == pytest.approx(-(2.0 - 4.0) / 2)
    loss.backward()
    assert all(s.grad is not None and bool((s.grad < 0).all()) for s in scores)


def test_discriminator_losses_refuse_other_scales() -> None:
    with pytest.raises(ValueError, match="zip"):
        losses.hinge_discriminator([torch.zeros(1)], [torch.zeros(1), torch.zeros(1)])


def test_identity_is_one_minus_the_cosine() -> None:
    z_y = torch.tensor([[3.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    z_source = torch.tensor([[1.0, 0.0], [0.0, -1.0], [1.0, 0.0]])
    assert losses.identity(z_y, z_source).item() == pytest.approx((0 + 2 + 1 - math.sqrt(0.5)) / 3)


def test_attributes_weigh_levels_alike_whatever_their_size() -> None:
    small, large = torch.zeros(1, 2, 2, 2), torch.zeros(1, 4, 8, 8)
    assert losses.attributes([small + 2, large - 1], [small, large]).item() == pytest.approx(0.5 * (4 + 1))


def test_reconstruction_counts_same_pairs_only() -> None:
    y, target = pictures(0.5, 1.0, -1.0), pictures(0.0, 0.0, 0.0)
    assert losses.reconstruction(y, target, torch.tensor([True, False, True])).item() == pytest.approx(
        0.5 * (0.25 + 1) / 3
    )
    assert losses.reconstruction(y, target, torch.tensor([False, False, False])).item() == 0


def test_change_counts_what_no_occluder_covers_and_no_same_pair() -> None:
    y, y_hat = pictures(0.5, 0.5, 1.0), pictures(0.0, 0.0, 0.0)
    alpha = torch.zeros(3, 1, 2, 2)
    different = torch.tensor([False, False, False])
    assert losses.change(y, y_hat, alpha, different).item() == pytest.approx(2 / 3)
    alpha[1, 0, 0] = 1  # half of the second picture
    alpha[2] = 0.25
    assert losses.change(y, y_hat, alpha, different).item() == pytest.approx((0.5 + 0.25 + 0.75) / 3)
    assert losses.change(y, y_hat, alpha, torch.tensor([True, False, False])).item() == pytest.approx((0.25 + 0.75) / 3)


def test_occlusion_counts_what_the_occluder_covers() -> None:
    y, wanted = pictures(0.0, 0.0), pictures(1.0, -0.5)
    alpha = torch.zeros(2, 1, 2, 2)
    assert losses.occlusion(y, wanted, alpha).item() == 0
    alpha[0, 0, 0, 0] = 1  # a quarter of the first picture
    alpha[1] = 0.5
    assert losses.occlusion(y, wanted, alpha).item() == pytest.approx((0.25 + 0.25) / 2)


def test_change_and_occlusion_share_out_every_pixel() -> None:
    """Where the occluder covers a pixel by half, both pull by half: together they are one L1 distance."""
    y, alpha = torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4)
    there = torch.rand(2, 3, 4, 4)
    total = losses.change(y, there, alpha, torch.tensor([False, False])) + losses.occlusion(y, there, alpha)
    assert total.item() == pytest.approx((y - there).abs().mean().item())
