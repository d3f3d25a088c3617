"""AEI-Net and the HEAR-Net behind it as one network: what a swap is made of, and what is exported."""

from __future__ import annotations

from torch import Tensor, nn

from fsvideo.models.aei import AEINet
from fsvideo.models.hear import HEARNet
from fsvideo.models.identity import EncoderEnsemble


class Chain(nn.Module):
    """The target's attributes are read once, for the swap and for the heuristic error that HEAR-Net looks at.

    The target's own identity is asked for where there is a HEAR-Net, and else never.
    """

    def __init__(self, net: AEINet, encoder: EncoderEnsemble, refiner: HEARNet | None) -> None:
        super().__init__()
        self.net = net
        self.refiner = refiner
        self.encoder = None if refiner is None else encoder

    def forward(self, target: Tensor, z_id: Tensor) -> tuple[Tensor, ...]:
        """target (N, 3, S, S) in [-1, 1], z_id (N, D) unit length -> y_hat alike and, with a HEAR-Net, y."""
        y_hat, z_att = self.net(target, z_id)
        if self.refiner is None or self.encoder is None:
            return (y_hat,)
        delta_y = target - self.net.generate(z_att, self.encoder(target), target)
        return y_hat, self.refiner(y_hat, delta_y, target)
