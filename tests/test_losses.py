"""Every loss against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fsvideo.models.distances import away, expression, pose, stains, tint
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


def test_identity_asks_for_no_more_than_enough() -> None:
    z_y = torch.tensor([[2.0, 0], [0, 1], [1, 1]], requires_grad=True)
    z_source = torch.tensor([[1.0, 0], [0, -3], [0, 2]])
    loss = losses.identity(z_y, z_source, enough=0.8)
    assert loss.item() == pytest.approx((0 + 1.8 + 0.8 - math.sqrt(0.5)) / 3)
    loss.backward()
    assert not z_y.grad[0].any() and bool(z_y.grad[2].any())


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


def test_texture_is_the_logarithm_of_how_much_stronger_the_detail_is() -> None:
    torch.manual_seed(0)
    target = torch.rand(2, 3, 64, 64) - 0.5
    assert losses.texture(target, target).item() == 0
    assert losses.texture(2 * target, target).item() == pytest.approx(math.log(2), rel=0.05)
    assert losses.texture(target / 2, target).item() == 0
    assert losses.texture(target + 0.3, target).item() == pytest.approx(0, abs=1e-4)


def test_tint_sees_colour_in_squares_and_nothing_else() -> None:
    target = torch.zeros(2, 3, 64, 64)
    assert tint(target + 0.4, target).item() == pytest.approx(0, abs=1e-6)  # brighter
    red = target.clone()
    red[:, 0] = 0.5
    assert tint(red, target).item() == pytest.approx(0.5 * (0.168736 + 0.5) / 2, rel=1e-5)
    dots = target.clone()
    dots[:, 0, ::2, ::2], dots[:, 0, 1::2, ::2] = 0.5, -0.5  # gone within a square of 2 x 2
    assert tint(dots, target).item() == pytest.approx(0, abs=1e-6)


def test_steady_is_the_distance_over_squares_of_two_pixels() -> None:
    still = torch.zeros(2, 3, 8, 8)
    moved = still.clone()
    moved[0, :, :4] = 0.5
    assert losses.steady(moved, still) == pytest.approx(0.125)
    moved[:, :, ::2, 1::2] += 0.3  # single pixels that cancel within a square
    moved[:, :, ::2, ::2] -= 0.3
    assert losses.steady(moved, still) == pytest.approx(0.125)


def test_texture_looks_at_the_middle_of_the_crop() -> None:
    target = torch.rand(1, 3, 64, 64)
    middle, rim = target.clone(), target.clone()
    middle[..., 20:44, 20:44] *= 3
    rim[..., :12, :] *= 3
    assert losses.texture(middle, target).item() > 0.1
    assert losses.texture(rim, target).item() == 0


def test_stains_are_shades_that_nothing_near_them_in_the_target_has() -> None:
    plain = torch.zeros(1, 3, 256, 256)
    stripes = torch.tensor([0.2] * 4 + [0.0] * 4).repeat(32).expand(1, 3, 256, 256)
    # Each place is .1 off the mean of its pair, and a coarser look sees none.
    assert stains(stripes, plain).item() == pytest.approx(math.log(0.11 / 0.01) / 2, rel=1e-4)
    assert stains(stripes + 0.3, plain).item() == pytest.approx(math.log(0.11 / 0.01) / 2, rel=1e-4)
    assert stains(plain, stripes).item() == stains(stripes, stripes).item() == 0


def test_stains_may_move_as_wrinkles_do_but_not_far() -> None:
    plain = torch.zeros(1, 3, 256, 256)
    band = plain.clone()
    band[..., 112:144, :] = torch.tensor([0.2] * 4 + [0.0] * 4).repeat(32)
    alone = stains(band, plain).item()
    near, far = (stains(band, torch.roll(band, step, 2)).item() for step in (8, 64))
    assert near < 0.3 * alone
    assert far == pytest.approx(alone, rel=0.1)


def test_mesh_is_the_distance_of_points_the_fine_ones_four_times_over() -> None:
    target = torch.zeros(3, 4, 3)
    y = target.clone()
    y[0, 0] = torch.tensor([0.03, 0.04, 0.0])  # 0.05 away; a coarse point
    y[1, 3] = torch.tensor([0.0, 0.0, 0.2])  # a fine one
    y[2] += 9
    seen = torch.tensor([True, True, False])
    by_hand = (0.05 / 4 + (0.2 / 4 + 4 * 0.2 / 2)) / 3
    assert losses.mesh(y, target, seen, (2, 3)).item() == pytest.approx(by_hand)


def test_expression_is_the_distance_of_the_coefficients() -> None:
    y, target = torch.zeros(2, 52), torch.zeros(2, 52)
    y[0, 3], y[0, 9] = 0.3, 0.4
    y[1] = 1
    assert expression(y, target, torch.tensor([True, False])).item() == pytest.approx(0.5 / 2, abs=1e-3)


def test_pose_is_what_moves_the_mesh_as_a_whole() -> None:
    torch.manual_seed(0)
    target = torch.randn(1, 478, 3) * 0.2
    seen = torch.tensor([True])
    centre = target.mean(1, keepdim=True)
    angle = 0.03
    turn = torch.tensor([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
    turned = (target - centre) @ turn.T + centre
    assert pose(target, target, seen).item() == pytest.approx(0, abs=1e-3)
    assert pose(turned, target, seen).item() == pytest.approx(angle, abs=2e-3)
    moved = target + torch.tensor([0.03, 0.04, 0.5])  # how far away it is does not show
    assert pose(moved, target, seen).item() == pytest.approx(0.05, abs=1e-3)
    larger = 1.07 * (target - centre) + centre
    assert pose(larger, target, seen).item() == pytest.approx(0.07, abs=1e-3)
    shape = target + 0.03 * torch.randn(1, 478, 3)  # another face in the same pose
    assert pose(shape, target, seen).item() < 0.02
    assert pose(turned, target, torch.tensor([False])).item() == 0


def test_away_is_what_is_left_of_the_target() -> None:
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    source = torch.tensor([[0.0, 1.0], [0.6, 0.8], [1.0, 0.0], [-1.0, 0.0]])
    y = torch.tensor([[0.6, 0.8], [0.6, 0.8], [1.0, 0.0], [0.0, 1.0]])  # .6 above 0; as alike as the source; same; 0
    assert away(y, source, target).item() == pytest.approx(0.6 / 4)
