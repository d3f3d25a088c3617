"""The losses of FaceShifter, each a pure function of tensors that returns a scalar (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss of the discriminator, the mean over its scales: E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))]."""
    terms = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """Adversarial loss of the generator, the mean over the discriminator's scales: -E[D(fake)]."""
    return -torch.stack([f.mean() for f in fake]).mean()


def identity(z_y: Tensor, z_source: Tensor) -> Tensor:
    """1 - cos(z_id(y_hat), z_id(source)), mean over the batch; both (N, D)."""
    return (1 - F.cosine_similarity(z_y, z_source, dim=1)).mean()


def attributes(z_att_y: Sequence[Tensor], z_att_target: Sequence[Tensor]) -> Tensor:
    """1/2 sum over levels of the squared distance of attribute maps, each level's mean over its elements."""
    terms = [(a - b).square().mean() for a, b in zip(z_att_y, z_att_target, strict=True)]
    return 0.5 * torch.stack(terms).sum()


def reconstruction(y: Tensor, target: Tensor, same: Tensor) -> Tensor:
    """1/2 mean squared difference, only of the pairs whose source is the target (``same``: (N,) bool); 0 where none is.

    The mean runs over the whole batch, so a pair weighs the same however many its batch holds.
    """
    each = (y - target).square().mean((1, 2, 3))
    return 0.5 * (each * same).mean()


def change(y: Tensor, y_hat: Tensor, alpha: Tensor, same: Tensor) -> Tensor:
    """|y - y_hat|, the mean over the batch, where AEI-Net's result is the best that is known.

    That is outside the pasted occluder (``alpha``: (N, 1, S, S)) and not in pairs whose source is the target (``same``:
    (N,) bool): there the answer is known, and a mean absolute difference would outweigh half a mean square everywhere.
    """
    each = ((y - y_hat).abs() * (1 - alpha)).mean((1, 2, 3))
    return (each * ~same).mean()


def occlusion(y: Tensor, wanted: Tensor, alpha: Tensor) -> Tensor:
    """|y - wanted| under the pasted occluder, the mean over the batch; ``wanted``: y_hat with the occluder over it."""
    return ((y - wanted).abs() * alpha).mean()
