"""Maps enlarged bilinearly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_TAPS = ((0.25, 0.75, 0.0), (0.0, 0.75, 0.25))  # of three neighbours, for either half of the middle one


def enlarged(h: Tensor, size: int) -> Tensor:
    """A square map enlarged to this side, if it is smaller."""
    return h if h.shape[-1] == size else F.interpolate(h, size=(size, size), mode="bilinear", align_corners=False)


def in_quarters(h: Tensor) -> Tensor:
    """(N, C, S, S) -> (N, 4 C, S, S), of which ``F.pixel_shuffle(., 2)`` makes ``enlarged(h, 2 * S)``.

    For a few channels: a convolution is sooner done with them than what enlarges them one by one.
    """
    taps = torch.tensor(_TAPS, dtype=h.dtype, device=h.device)
    channels = torch.eye(h.shape[1], dtype=h.dtype, device=h.device)
    weight = torch.einsum("oc,yi,xj->oyxcij", channels, taps, taps).flatten(0, 2)
    return F.conv2d(F.pad(h, (1, 1, 1, 1), mode="replicate"), weight)
