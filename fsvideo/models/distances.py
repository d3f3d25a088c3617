"""How far a picture of a face is from another one: in who it shows, pose, expression, hue, shades. With gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_UNSEEN = 0.01  # variation that nobody sees, of a picture in [-1, 1]


def away(z_y: Tensor, z_source: Tensor, z_target: Tensor) -> Tensor:
    """How much more like the target the result is than the source: max(0, cos(y, target) - cos(source, target)).

    (N, D) each, the mean over the batch; strangers whose cosine is below 0 count as 0. Nothing where source is target.
    """
    allowed = F.cosine_similarity(z_source, z_target, dim=1).clamp(min=0)
    return F.relu(F.cosine_similarity(z_y, z_target, dim=1) - allowed).mean()


def expression(shapes_y: Tensor, shapes_target: Tensor, seen: Tensor) -> Tensor:
    """Euclidean distance of the coefficients of expression, (N, 52) each; ``seen`` (N,) bool: who has any."""
    return ((shapes_y - shapes_target).square().sum(1).add(1e-6).sqrt() * seen).mean()


def pose(points_y: Tensor, points_target: Tensor, seen: Tensor) -> Tensor:
    """How far the face mesh as a whole was turned (radians), moved (sides of the crop) and enlarged (share), added up.

    (N, P, 3) points each; ``seen`` (N,) bool: who has a mesh. To the first order: the one turn, shift and stretch of
    the target's points that comes nearest to the result's. Whatever else differs may: that is shape, the source's.
    """
    centred = points_target - points_target.mean(1, keepdim=True)
    moved = points_y - points_target
    shift = moved.mean(1)
    moved = moved - shift[:, None]
    square = centred.square().sum((1, 2))
    stretch = (moved * centred).sum((1, 2)) / square
    inertia = square[:, None, None] * torch.eye(3, device=square.device) - centred.transpose(1, 2) @ centred
    turn = torch.linalg.solve(inertia, torch.linalg.cross(centred, moved).sum(1))
    # The shift in depth has no meaning in one picture.
    parts = [turn.square().sum(1), shift[:, :2].square().sum(1), stretch.square()]
    return (torch.stack([p.add(1e-8).sqrt() for p in parts]).sum(0) * seen).mean()


def tint(y: Tensor, target: Tensor) -> Tensor:
    """Mean distance of the colour differences (BT.601's Cb, Cr) of squares, 32 x 32 of them.

    Who somebody is lies in light and dark; a recogniser is also pleased by grey lids and blue temples, and people see
    those at once.
    """
    to_chroma = y.new_tensor([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    squares = F.avg_pool2d(y - target, max(1, y.shape[-1] // 32))
    return torch.einsum("ck,nkhw->nchw", to_chroma, squares).abs().mean()


def stains(y: Tensor, target: Tensor) -> Tensor:
    """max(0, log(e_y / e)): e_y is how much light and dark vary at a place, e the most that they do there or beside it
    in the target; the mean over two coarsenesses, the places of the crop's middle and the batch.

    Shades as large as a nostril are meant, of which a likeness can be painted on plain skin. Wrinkles may move by a
    place.
    """
    size = y.shape[-1]
    middle = slice(size // 8, -(size // 8))
    logs = []
    for picture in (y, target):
        x = F.avg_pool2d(picture.mean(1, keepdim=True)[..., middle, middle], max(1, size // 64))
        energies = []
        for _ in range(2):
            soft = F.avg_pool2d(x, 2)
            detail = (x - F.interpolate(soft, scale_factor=2.0, mode="bilinear")).abs()
            energies.append(F.avg_pool2d(detail, 2))
            x = soft
        logs.append([(e + _UNSEEN).log() for e in energies])
    most = [F.max_pool2d(e, 3, 1, 1) for e in logs[1]]
    return torch.stack([F.relu(e - m).mean() for e, m in zip(logs[0], most, strict=True)]).mean()
