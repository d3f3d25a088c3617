"""AEI-Net and the HEAR-Net behind it as one network: what a swap is made of, and what is exported."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvideo.models.aei import AEINet
from fsvideo.models.hear import HEARNet


class Chain(nn.Module):
    """The target's attributes are read once, for the swap and for the heuristic error that HEAR-Net looks at.

    ``inputs`` and ``outputs``: what it takes and gives, in order. Who the target is matters to HEAR-Net alone.
    ``layered``: z_id is told for each AAD layer by itself.
    """

    def __init__(self, net: AEINet, refiner: HEARNet | None, layered: bool = False) -> None:
        super().__init__()
        self.net = net
        self.refiner = refiner
        self.z_id = (net.layers, net.config.z_id) if layered else (net.config.z_id,)
        self.inputs = ("target", "z_id") if refiner is None else ("target", "z_id", "z_target")
        self.outputs = ("y_hat",) if refiner is None else ("y_hat", "y")

    def forward(self, target: Tensor, z_id: Tensor, z_target: Tensor | None = None) -> tuple[Tensor, ...]:
        """target (N, 3, S, S) in [-1, 1], z_id (N, D) or (N, A, D) unit length -> y_hat alike and, with a HEAR-Net, y.

        ``z_target`` (N, D): the target's own identity.
        """
        y_hat, z_att = self.net(target, z_id)
        if self.refiner is None or z_target is None:
            return (y_hat,)
        delta_y = target - self.net.generate(z_att, z_target, target)
        return y_hat, self.refiner(y_hat, delta_y, target)

    def probe(self, batch: int) -> tuple[Tensor, ...]:
        """Soft random pictures and identities, the same each time: something to try it with."""
        config, dice = self.net.config, torch.Generator().manual_seed(batch)
        coarse = torch.rand(batch, 3, 8, 8, generator=dice) * 2 - 1
        picture = F.interpolate(coarse, size=(config.size, config.size), mode="bilinear", align_corners=False)
        sizes = (self.z_id, (config.z_id,))[: len(self.inputs) - 1]
        return picture, *(F.normalize(torch.randn(batch, *size, generator=dice), dim=-1) for size in sizes)
