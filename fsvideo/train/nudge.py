"""A target changed a little at random, as the next frame has it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo.models.jitter import warped
from fsvideo.train.world import World


def nudge(target: Tensor, y: Tensor, generator: torch.Generator, world: World) -> tuple[Tensor, Tensor]:
    """A target as a neighbouring frame might have it, and the result ``y`` changed in the same way; (N, 3, S, S) each.

    Moved by up to two pixels of 256, turned and stretched by up to a fiftieth, a little lighter or darker, and with
    other grain, of up to three levels and some two pixels wide.
    """
    n, side = len(target) * world.size, target.shape[-1]
    turn, stretch = 0.02 * (2 * torch.rand(2, n, generator=generator) - 1)
    shift = (2 * torch.rand(n, 2, generator=generator) - 1) / 64
    cos, sin = (1 + stretch) * torch.cos(turn), (1 + stretch) * torch.sin(turn)
    rows = torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)
    strength = 0.025 * torch.rand(n, 1, 1, 1, generator=generator)
    grain = strength * torch.randn(n, 3, side // 2, side // 2, generator=generator)
    gain = 1 + 0.02 * (2 * torch.rand(n, 1, 1, 1, generator=generator) - 1)
    affine, grain, gain = (world.rows(v).to(target) for v in (torch.stack(rows, 1), grain, gain))
    grain = F.interpolate(grain, scale_factor=2.0, mode="bilinear")
    return warped(target, affine) * gain + grain, warped(y, affine) * gain + grain
