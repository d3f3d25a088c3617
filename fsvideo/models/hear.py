"""HEAR-Net, the Heuristic Error Acknowledging Refinement Network (FaceShifter, section 3.2)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class HEARConfig:
    """``widths``: channels of the U-Net's maps at 1, 1/2, 1/4 ... of the crop's side."""

    widths: tuple[int, ...] = (16, 32, 64, 96, 128, 128)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> HEARConfig:
        """Raises ValueError for anything but the sizes of a HEAR-Net that fits in memory."""
        widths = tuple(map(int, json.loads(text)["widths"]))
        if not 2 <= len(widths) <= 8 or not all(1 <= w <= 2048 for w in widths):
            raise ValueError(f"not the sizes of a HEAR-Net: {text}")
        return HEARConfig(widths)


PRESETS = {"compact": HEARConfig(), "tiny": HEARConfig((8, 8, 8))}


class HEARNet(nn.Module):
    """A U-Net from AEI-Net's result and the heuristic error to the refined result: ``y = net(y_hat, delta_y)``.

    It says at each pixel how much of ``delta_y`` to add, and paints a correction. The share of ``delta_y`` is a
    departure from the paper: AEI-Net fails at an occluder in the same way whoever the source is, so what it lost is
    there to be added, and the net learns where to much sooner than how. Both start at zero: an untrained or unsure net
    leaves ``y_hat`` as it is. Works at any side that is a multiple of 2^(len(widths) - 1).
    """

    def __init__(self, config: HEARConfig) -> None:
        super().__init__()
        self.config = config
        w = config.widths
        self.first = nn.Conv2d(6, w[0], 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(w))
        self.down_norm = nn.ModuleList(_norm(b) for b in w[1:])
        self.up = nn.ModuleList(
            nn.Conv2d(below + skip, skip, 3, 1, 1) for below, skip in zip(w[:0:-1], w[-2::-1], strict=True)
        )
        self.up_norm = nn.ModuleList(_norm(b) for b in w[-2::-1])
        self.last = nn.Conv2d(w[0], 4, 3, 1, 1)  # a correction in RGB, and the share of delta_y
        for p in self.last.parameters():
            nn.init.zeros_(p)

    def forward(self, y_hat: Tensor, delta_y: Tensor) -> Tensor:
        """y_hat (N, 3, S, S) in [-1, 1], delta_y (N, 3, S, S) in [-2, 2] -> y (N, 3, S, S) in [-1, 1].

        In training mode y may leave [-1, 1]: no gradient would lead back from where it is cut off.
        """
        h = F.leaky_relu(self.first(torch.cat([y_hat, delta_y], 1)), 0.1)
        skips = []
        for conv, normalise in zip(self.down, self.down_norm, strict=True):
            skips.append(h)
            h = F.leaky_relu(normalise(conv(h)), 0.1)
        for conv, normalise in zip(self.up, self.up_norm, strict=True):
            h = F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)
            h = F.leaky_relu(normalise(conv(torch.cat([h, skips.pop()], 1))), 0.1)
        out = self.last(h)
        y: Tensor = y_hat + out[:, :3] + out[:, 3:] * delta_y
        return y if self.training else y.clamp(-1, 1)


def _norm(channels: int) -> nn.GroupNorm:
    """Keeps a sample's result independent of its batch."""
    return nn.GroupNorm(max(1, channels // 16), channels)
