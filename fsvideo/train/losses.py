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


def identity(z_y: Tensor, z_source: Tensor, enough: float = 1.0) -> Tensor:
    """1 - cos(z_id(y_hat), z_id(source)), mean over the batch; both (N, D).

    With ``enough`` below 1 it is max(0, enough - cos). Two photos of one person reach a cosine of 0.6 to 0.7: by itself
    a generator gains patterns beyond that which please the recogniser, not a likeness.
    """
    return F.relu(enough - F.cosine_similarity(z_y, z_source, dim=1)).mean()


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


def texture(y: Tensor, target: Tensor) -> Tensor:
    """max(0, log(e_y / e_target)), e being a colour's mean absolute detail: the mean over two finenesses and the batch.

    Detail is what a blur takes away, in the middle three fifths of the crop, where the face is. False wrinkles in soft
    footage are not free then. What is missing of detail is for the discriminator to ask for: where this loss did, the
    generator filled up with a grid.
    """
    size = y.shape[-1]
    middle = slice(size // 20 * 4, size - size // 20 * 4)
    logs = []
    for picture in (y, target):
        x = picture[..., middle, middle]
        energies = []
        for _ in range(2):
            soft = F.avg_pool2d(x, 2)
            energies.append((x - F.interpolate(soft, scale_factor=2.0, mode="bilinear")).abs().mean((2, 3)))
            x = soft
        logs.append((torch.stack(energies) + 1e-3).log())
    return F.relu(logs[0] - logs[1]).mean()


def steady(y_moved: Tensor, moved_y: Tensor) -> Tensor:
    """Mean distance of the result for a nudged target from the nudged result, over squares of two pixels.

    Where it is large, faces shimmer. Single pixels do not count: moving a picture by parts of one blurs them.
    """
    return F.avg_pool2d(y_moved - moved_y, 2).abs().mean()


def mesh(points_y: Tensor, points_target: Tensor, seen: Tensor, fine: Sequence[int]) -> Tensor:
    """Mean distance of the face mesh's points, in units of the crop's side; (N, P, 3) each.

    The ``fine`` points, which show gaze and expression by small movements, count four times over besides. Pairs in
    whose target no face was ``seen`` ((N,) bool) do not count; the mean runs over the whole batch all the same.
    """
    far = (points_y - points_target).norm(dim=2)
    return ((far.mean(1) + 4 * far[:, fine].mean(1)) * seen).mean()
