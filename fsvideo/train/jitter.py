"""Pictures changed a little at random: what a recogniser sees of a made one, and a target as the next frame has it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo.train.world import World


def jitter(y: Tensor, generator: torch.Generator, world: World) -> Tensor:
    """Turn, move, stretch and mirror each picture of a batch a little, change its light and sharpness, add grain.

    Stands between generator and recogniser, so that specks in exact places and colours do not pay, and a likeness holds
    in soft and noisy footage, too. Random numbers are drawn for the batch of all processes.
    """
    n = len(y) * world.size
    angle, scale = 0.1 * torch.randn(n, generator=generator), 1 + 0.05 * torch.randn(n, generator=generator)
    shift = 0.08 * torch.rand(n, 2, generator=generator) - 0.04
    mirror = 1 - 2 * torch.randint(0, 2, (n,), generator=generator)
    gain = 1 + 0.15 * torch.randn(n, 1, 1, 1, generator=generator) + 0.05 * torch.randn(n, 3, 1, 1, generator=generator)
    offset = 0.08 * torch.randn(n, 3, 1, 1, generator=generator)
    blur, soft = torch.rand(2, n, 1, 1, 1, generator=generator)
    soft = (2 * soft - 1).clamp(min=0)  # every other picture keeps its detail beyond the finest
    grain = 0.05 * torch.rand(n, 1, 1, 1, generator=generator) * torch.randn(n, 1, *y.shape[2:], generator=generator)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = torch.stack([cos * mirror, -sin, shift[:, 0]], 1), torch.stack([sin * mirror, cos, shift[:, 1]], 1)
    affine = world.rows(torch.stack(rows, 1)).to(y)
    gain, offset, blur, soft, grain = (world.rows(v).to(y) for v in (gain, offset, blur, soft, grain))
    for pool, share in ((2, blur), (4, soft)):
        y = torch.lerp(y, F.interpolate(F.avg_pool2d(y, pool), scale_factor=float(pool), mode="bilinear"), share)
    y = y * gain + offset + grain
    grid = F.affine_grid(affine, list(y.shape), align_corners=False)
    return F.grid_sample(y, grid, padding_mode="border", align_corners=False)


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
    grid = F.affine_grid(affine, list(target.shape), align_corners=False)
    moved = [F.grid_sample(x, grid, padding_mode="border", align_corners=False) * gain + grain for x in (target, y)]
    return moved[0], moved[1]
