"""What tells real crops from made ones: by their pixels, and by what the recognisers' own layers see in them."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_EYES = ((0.24, 0.52), (0.14, 0.86))  # rows and columns of eyes and brows, in parts of the default crop's side


class PatchDiscriminator(nn.Module):
    """Strided 4x4 convolutions down to a map of one score a patch, spectrally normalised, with group norm between.

    Spectral normalisation alone lets the signal fade to some hundredths on its way, and no score can then tell a face
    from a good forgery. The last convolution is free of it for the same reason.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [spectral_norm(nn.Conv2d(3, width, 4, 2, 1)), nn.LeakyReLU(0.2)]
        for k in range(1, depth):
            layers += _step(min(width * 2 ** (k - 1), 8 * width), min(width * 2**k, 8 * width), 4, 2)
        layers.append(nn.Conv2d(min(width * 2 ** (depth - 1), 8 * width), 1, 3, 1, 1))
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


class MultiScaleDiscriminator(nn.Module):
    """Multi-scale PatchGAN (Wang et al., pix2pixHD), as FaceShifter uses it: full, half and quarter size; and one for
    eyes and brows (Wang et al., GFP-GAN), which people look at first and a generator paints worst.

    ``widths``: of each, from full size on. At full size, which costs most, it looks at the middle three quarters: what
    lies around the face is the target's own.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 32, 32), depth: int = 3, eyes: int = 32) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(width, depth) for width in widths)
        self.eyes = PatchDiscriminator(eyes, depth)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, S, S) in [-1, 1] -> one map of scores (N, 1, h, w) a scale and the eyes', higher means more real."""
        rim = x.shape[-1] // 8
        sizes = [x[..., rim:-rim, rim:-rim], *(F.avg_pool2d(x, 2**k) for k in range(1, len(self.scales)))]
        scores = [net(seen) for net, seen in zip(self.scales, sizes, strict=True)]
        rows, columns = (slice(*(round(x.shape[-1] * end) for end in ends)) for ends in _EYES)
        return [*scores, self.eyes(x[..., rows, columns])]


class FeatureDiscriminator(nn.Module):
    """Small heads on the feature maps of frozen networks (Sauer et al., Projected GANs, 2021).

    Such a network knows faces from the first step on, where patches of pixels must be learned; and a pattern that only
    pleases a recogniser shows in its own layers. ``channels``: of each map. Maps are normalised whole, so that only
    what is where counts.
    """

    def __init__(self, channels: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(*_step(c, width, 1), *_step(width, width, 3), nn.Conv2d(width, 1, 3, 1, 1)) for c in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (N, channels[k], s, s) -> one map of scores (N, 1, s, s) for each, higher means more real."""
        return [head(F.layer_norm(x, x.shape[1:])) for head, x in zip(self.heads, maps, strict=True)]


def _step(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2)
    return [spectral_norm(conv), nn.GroupNorm(8, outputs), nn.LeakyReLU(0.2)]
