"""HEAR-Net: starts as the identity, sees both inputs, works at every size, refuses sizes that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsvideo.models.hear import PRESETS, HEARConfig, HEARNet


def given(size: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """y_hat, delta_y, target"""
    generator = torch.Generator().manual_seed(1)
    y_hat, again, target = torch.rand(3, count, 3, size, size, generator=generator) * 2 - 1
    return y_hat, target - again, target


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("size", [64, 128, 256])
def test_an_untrained_net_changes_nothing(preset: str, size: int) -> None:
    y_hat, delta_y, target = given(size, 1)
    with torch.no_grad():
        assert torch.equal(HEARNet(PRESETS[preset]).eval()(y_hat, delta_y, target), y_hat)


def test_every_parameter_learns_once_the_last_layer_has_moved() -> None:
    net = HEARNet(PRESETS["tiny"])
    torch.nn.init.normal_(net.last.weight, std=0.05)
    y_hat, delta_y, target = given(32)
    net(y_hat * 0.5, delta_y, target).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in net.parameters())


def test_the_result_stays_in_range_and_follows_both_inputs() -> None:
    net = HEARNet(PRESETS["tiny"]).eval()
    torch.nn.init.normal_(net.last.weight, std=2)
    y_hat, delta_y, target = given(32)
    with torch.no_grad():
        y = net(y_hat, delta_y, target)
        assert y.shape == y_hat.shape
        assert float(y.abs().max()) == 1  # a wild net is cut off, not wrapped
        assert not torch.equal(net(y_hat, delta_y * 0, target), y)
        assert torch.allclose(net(y_hat[1:], delta_y[1:], target[1:]), y[1:], atol=1e-3)


def test_a_wild_net_finds_back_in_training() -> None:
    """Where the result is cut off there would be no gradient: training does without."""
    net = HEARNet(PRESETS["tiny"])
    net.last.get_parameter("bias").data[:3] = 5
    y_hat, delta_y, target = given(32)
    loss = (net(y_hat, delta_y, target) - y_hat).abs().mean()
    loss.backward()
    assert loss.item() > 4
    assert bool((net.last.get_parameter("bias").grad[:3] > 0.3).all())
    assert float(net.eval()(y_hat, delta_y, target).detach().min()) == 1


def test_a_large_crop_is_looked_at_in_a_smaller_size_and_keeps_its_detail() -> None:
    torch.manual_seed(3)
    net = HEARNet(HEARConfig((8, 8, 8), 64)).eval()
    torch.nn.init.normal_(net.last.weight, std=0.05)
    y_hat, delta_y, target = given(256, 1)
    seen = []
    net.first.register_forward_hook(lambda module, given, out: seen.append(given[0].shape))
    with torch.no_grad():
        y = net(y_hat, delta_y, target)
        assert seen == [(1, 9, 64, 64)] and y.shape == y_hat.shape
        net.last.weight.zero_()
        net.last.get_parameter("bias")[3] = 1  # all of the target
        assert torch.allclose(net(y_hat, delta_y, target), target, atol=1e-6)


def test_the_share_of_the_target_is_one_a_pixel() -> None:
    net = HEARNet(PRESETS["tiny"]).eval()
    net.last.get_parameter("bias").data[3] = 0.5
    y_hat, delta_y, target = given(32)
    y_hat, delta_y = y_hat * 0.1, delta_y * 0.1
    with torch.no_grad():
        assert torch.allclose(net(y_hat, delta_y, target), (y_hat + target) / 2, atol=1e-6)


def test_it_can_learn_to_show_the_target_where_the_error_says_so() -> None:
    """A few steps on one batch: half of the picture is to be the target's."""
    torch.manual_seed(0)
    net = HEARNet(PRESETS["tiny"])
    y_hat, delta_y, target = given(32)
    delta_y[..., :16] = 0
    wanted = torch.cat([y_hat[..., :16], target[..., 16:]], 3)
    opt = torch.optim.Adam(net.parameters(), 1e-2)
    first = last = np.inf
    for step in range(60):
        loss = (net(y_hat, delta_y, target) - wanted).square().mean()
        first, last = (loss.item() if step == 0 else first), loss.item()
        opt.zero_grad()
        loss.backward()
        opt.step()
    assert last < 0.1 * first


def test_cost() -> None:
    millions = {name: sum(p.numel() for p in HEARNet(c).parameters()) / 1e6 for name, c in PRESETS.items()}
    assert 0.5 < millions["compact"] < 3
    assert millions["tiny"] < 0.01


def test_sizes_survive_a_round_trip() -> None:
    for config in PRESETS.values():
        assert HEARConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "text",
    [
        '{"widths": [8], "side": 128}',
        '{"widths": [8, 0], "side": 128}',
        '{"widths": [8, 99999], "side": 128}',
        '{"widths": [4, 4, 4, 4, 4, 4, 4, 4, 4], "side": 128}',
        '{"widths": [8, 8], "side": 100}',
    ],
)
def test_sizes_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the sizes"):
        HEARConfig.from_json(text)
