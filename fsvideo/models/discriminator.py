"""Multi-scale PatchGAN discriminator (Wang et al., pix2pixHD), as FaceShifter uses it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Strided 4x4 convolutions, spectrally normalised, down to a map of one score a patch."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for k in range(depth):
            out = min(width * 2**k, 8 * width)
            layers += [spectral_norm(nn.Conv2d(channels, out, 4, 2, 1)), nn.LeakyReLU(0.2)]
            channels = out
        layers.append(spectral_norm(nn.Conv2d(channels, 1, 3, 1, 1)))
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


class MultiScaleDiscriminator(nn.Module):
    """The same kind of patch discriminator at full, half and quarter size."""

    def __init__(self, width: int = 32, depth: int = 3, scales: int = 3) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(width, depth) for _ in range(scales))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, S, S) in [-1, 1] -> one map of scores (N, 1, s, s) a scale, higher means more real."""
        scores = []
        for k, net in enumerate(self.scales):
            scores.append(net(x if k == 0 else F.avg_pool2d(x, 2**k)))
        return scores
