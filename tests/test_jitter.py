"""Pictures changed at random: target and result in the same way, and the recognisers' views."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from fsvideo.models.jitter import jitter
from fsvideo.train.nudge import nudge
from fsvideo.train.world import World


def smooth(count: int = 4, side: int = 64) -> torch.Tensor:
    torch.manual_seed(0)
    return F.interpolate(torch.rand(count, 3, 5, 5) * 1.6 - 0.8, size=(side, side), mode="bilinear")


def test_target_and_result_are_nudged_alike() -> None:
    target, y = smooth(), smooth().flip(0)
    moved, y_moved = nudge(target, y, torch.Generator().manual_seed(1), World())
    again, _ = nudge(target, target, torch.Generator().manual_seed(1), World())
    assert torch.equal(moved, again)
    # what was added to the one was added to the other: the difference is moved, and has no grain
    apart, _ = nudge(target - y, y, torch.Generator().manual_seed(1), World())
    grain = apart - (moved - y_moved)
    assert 0.002 < float(grain.std()) < 0.025
    torch.testing.assert_close(F.avg_pool2d(grain, 32).mean(), torch.zeros(()), atol=2e-3, rtol=0)


def test_a_nudge_is_small() -> None:
    ramp = torch.linspace(-1, 1, 64).expand(64, 3, 64, 64)
    middle = slice(24, 40)
    moved, _ = nudge(ramp, ramp, torch.Generator().manual_seed(2), World())
    change = (moved - ramp)[:, :, middle, middle].mean((1, 2, 3))
    assert float(change.abs().mean()) > 0.002 and float(change.abs().max()) < 0.025  # half a pixel of 64 is 0.016


def test_every_view_of_a_recogniser_is_another_one() -> None:
    same = smooth(1).expand(4, -1, -1, -1)
    seen = jitter(same, torch.Generator().manual_seed(3))
    assert seen.shape == same.shape and bool(seen.isfinite().all())
    assert min(float((seen[a] - seen[b]).abs().mean()) for a in range(4) for b in range(a)) > 0.01
    assert torch.equal(seen, jitter(same, torch.Generator().manual_seed(3)))


def test_half_precision_around_it_changes_nothing() -> None:
    """Places in half precision would be off by parts of a pixel."""
    y = smooth(side=256)

    def views() -> list[torch.Tensor]:
        return [jitter(y, torch.Generator().manual_seed(4)), *nudge(y, y, torch.Generator().manual_seed(5), World())]

    with torch.autocast("cpu", torch.bfloat16):
        seen = views()
    for half, single in zip(seen, views(), strict=True):
        assert torch.equal(half, single)
