"""Pictures changed a little at random, as a recogniser sees a made one."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def jitter(
    y: Tensor, generator: torch.Generator, processes: int = 1, rows: Callable[[Tensor], Tensor] = lambda whole: whole
) -> Tensor:
    """Turn, move, stretch and mirror each picture of a batch a little, change its light and sharpness, add grain.

    Stands between generator and recogniser, so that specks in exact places and colours do not pay, and a likeness holds
    in soft and noisy footage, too. Random numbers are drawn for the batch of all ``processes``, of which ``rows`` takes
    this one's.
    """
    n = len(y) * processes
    angle, scale = 0.1 * torch.randn(n, generator=generator), 1 + 0.05 * torch.randn(n, generator=generator)
    shift = 0.08 * torch.rand(n, 2, generator=generator) - 0.04
    mirror = 1 - 2 * torch.randint(0, 2, (n,), generator=generator)
    gain = 1 + 0.15 * torch.randn(n, 1, 1, 1, generator=generator) + 0.05 * torch.randn(n, 3, 1, 1, generator=generator)
    offset = 0.08 * torch.randn(n, 3, 1, 1, generator=generator)
    blur, soft = torch.rand(2, n, 1, 1, 1, generator=generator)
    soft = (2 * soft - 1).clamp(min=0)  # every other picture keeps its detail beyond the finest
    grain = 0.05 * torch.rand(n, 1, 1, 1, generator=generator) * torch.randn(n, 1, *y.shape[2:], generator=generator)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    lines = torch.stack([cos * mirror, -sin, shift[:, 0]], 1), torch.stack([sin * mirror, cos, shift[:, 1]], 1)
    affine = rows(torch.stack(lines, 1)).to(y.device)
    gain, offset, blur, soft, grain = (rows(v).to(y) for v in (gain, offset, blur, soft, grain))
    for pool, share in ((2, blur), (4, soft)):
        y = torch.lerp(y, F.interpolate(F.avg_pool2d(y, pool), scale_factor=float(pool), mode="bilinear"), share)
    return warped(y * gain + offset + grain, affine)


def warped(pictures: Tensor, affine: Tensor) -> Tensor:
    """Pictures (N, C, S, S) sampled where affine maps (N, 2, 3) of [-1, 1] say; in single precision, whatever is around
    it: half of it would be off by parts of a pixel, and double some and leave out others."""
    with torch.autocast(pictures.device.type, enabled=False):
        grid = F.affine_grid(affine.float(), list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)
