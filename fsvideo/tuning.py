"""What a network is asked for, tuned to one source and one person: a few steps of gradient descent on z_id alone.

AEI-Net answers most sources a little off, with a little of the source's own pose and expression, and paints shades
where the target has plain skin; which way that is depends on both faces. So what is asked for, of each AAD layer by
itself, is moved until recognisers see more of the source in what is shown, the face mesh more of the target's pose and
expression, and the skin is plain. The weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo.faces.shown import maps_of, shown
from fsvideo.models.aei import AEINet
from fsvideo.models.distances import away, expression, pose, stains, tint
from fsvideo.models.expression import Blendshapes
from fsvideo.models.identity import EncoderEnsemble
from fsvideo.models.jitter import jitter
from fsvideo.models.landmarks import FaceMesh

_RATE = 0.014  # of Adam; z_id is of unit length
_DECAY = (0.8, 0.95)  # of its averages of the gradient and of its square
_VIEWS = 2  # of each result, jittered: without that recognisers are pleased by what nobody sees
_AWAY = 0.6  # of what is left of the target, beside the cosine to the source, of each recogniser
_EXPRESSION, _POSE = 0.4, 0.7  # of distances
_STAY = 2.0  # of the mean change of the picture: what gains nothing stays
_HUE = 20.0  # of the distance of hues from the target's, before they are matched: else false ones pay
_STAINS = 3.0  # of shades that the target has nowhere near


Going: TypeAlias = Callable[[], bool]


def to_the_end() -> bool:
    """Go on."""
    return True


@dataclass(frozen=True)
class Readers:
    """What looks at results: who they show, how the face is turned, what it expresses."""

    encoder: EncoderEnsemble
    mesh: FaceMesh
    blendshapes: Blendshapes


def tuned(
    net: AEINet,
    readers: Readers,
    target: Tensor,
    mask: Tensor,
    goal: Tensor,
    asked: Tensor,
    steps: int,
    going: Going = to_the_end,
    held: Tensor | None = None,
) -> Tensor:
    """(A, D) what to ask each AAD layer for in place of ``asked`` (D,), of unit length: for results like ``goal`` (D,).

    ``target`` (N, 3, S, S) in [-1, 1]: crops of one person; ``mask`` (N, 1, S, S), 0..1: where the new face is shown.
    The same each time. ``going`` is asked before each step whether to go on. Nothing moves along ``held`` (D,).
    """
    # With channels last, PyTorch 2.13 gets the gradient of instance_norm wrong for a single picture.
    target = target.contiguous()
    with torch.no_grad():
        z_att = net.attributes(target)
        first = net.generate(z_att, asked.expand(len(target), -1), target)
        points, presence = readers.mesh.look(target)
        shapes, seen = readers.blendshapes(points), presence > 0
        maps = maps_of(points, seen, target.shape[-1])
        owns = [part(target) for part in readers.encoder.parts]
    goals = goal.split(readers.encoder.lengths)
    dice = torch.Generator().manual_seed(0)
    change = asked.new_zeros(net.layers, len(asked), requires_grad=True)
    mean, square = torch.zeros_like(change), torch.zeros_like(change)
    turns = cycle(slice(row, row + 1) for row in range(len(target)))  # several at once take memory and gain nothing
    for step, at in enumerate(islice(turns, steps), 1):
        if not going():
            break
        z_id = F.normalize(asked + change, dim=1)[None]
        made = net.generate([level[at] for level in z_att], z_id, target[at])
        y = shown(made, target[at], mask[at], maps.at(at))
        views = jitter(y.repeat(_VIEWS, 1, 1, 1), dice)
        loss = _STAY * F.l1_loss(made, first[at]) + _HUE * tint(torch.lerp(target[at], made, mask[at]), target[at])
        loss = loss + _STAINS * stains(y, target[at])
        if sum(divmod(step - 1, len(target))) % 2 == 0:  # every other look at a crop: it takes a quarter of a step
            points_y = readers.mesh(y)
            loss = loss + 2 * _POSE * pose(points_y, points[at], seen[at])
            loss = loss + 2 * _EXPRESSION * expression(readers.blendshapes(points_y), shapes[at], seen[at])
        for part, wanted, own in zip(readers.encoder.parts, goals, owns, strict=True):
            z_y = part(views)
            loss = loss + 1 - F.cosine_similarity(z_y, wanted[None]).mean()
            loss = loss + _AWAY * away(z_y, wanted[None], own[at])
        # Adam by hand: torch.optim imports PyTorch's compiler, which takes longer than four of these steps.
        (gradient,) = torch.autograd.grad(loss, change)
        with torch.no_grad():
            mean.lerp_(gradient, 1 - _DECAY[0])
            square.lerp_(gradient.square(), 1 - _DECAY[1])
            along = (mean / (1 - _DECAY[0] ** step)) / ((square / (1 - _DECAY[1] ** step)).sqrt() + 1e-8)
            change -= _RATE * along
            if held is not None:
                change -= (change @ held)[:, None] * held / held.square().sum()
    return F.normalize(asked + change.detach(), dim=1)
