"""How far a face is from another one in pose and expression, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor


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
