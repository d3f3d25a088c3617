"""What every training step ends in: losses summed, gradients averaged, parameters moved."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fsvideo.processor import has_bfloat16
from fsvideo.train.run import Diverged
from fsvideo.train.world import World


def descend(
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float],
    optimiser: torch.optim.Optimizer,
    world: World,
    step: int,
) -> dict[str, float]:
    """One step down the weighted sum of the named scalars; returns them and ``total``, means over the processes.

    Raises Diverged, with the parameters as they were, where the sum is not finite.
    """
    total = torch.stack([weights[k] * v for k, v in terms.items()]).sum()
    told = torch.stack([total, *terms.values()]).detach()
    world.average([told])
    if not torch.isfinite(told).all():
        raise Diverged(f"the loss is no longer finite at step {step}", "start again with a lower lr")
    optimiser.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    world.average(p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None)
    optimiser.step()
    return dict(zip(("total", *terms), told.tolist(), strict=True))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """``precision``: float32, bfloat16, or auto, which is bfloat16 where the hardware multiplies matrices of it."""
    half = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=half)
