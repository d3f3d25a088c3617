"""HEAR-Net, the Heuristic Error Acknowledging Refinement Network (FaceShifter, section 3.2)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvideo.models.enlarge import enlarged, in_quarters


@dataclass(frozen=True)
class HEARConfig:
    """``widths``: channels of the U-Net's maps at 1, 1/2, 1/4 ... of the side at which it looks, at most ``side``."""

    widths: tuple[int, ...] = (16, 32, 64, 96, 128, 128)
    side: int = 128

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> HEARConfig:
        """Raises ValueError for anything but the sizes of a HEAR-Net that fits in memory."""
        try:
            raw = json.loads(text)
            widths, side = tuple(map(int, raw["widths"])), int(raw["side"])
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError("not the sizes of a HEAR-Net") from error
        if not 2 <= len(widths) <= 8 or not all(1 <= w <= 2048 for w in widths) or side not in (64, 128, 256, 512):
            raise ValueError(f"not the sizes of a HEAR-Net: {text}")
        return HEARConfig(widths, side)


PRESETS = {"compact": HEARConfig(), "tiny": HEARConfig((8, 8, 8), 64)}


class HEARNet(nn.Module):
    """A U-Net from AEI-Net's result and the heuristic error to the refined result: ``y = net(y_hat, delta_y, target)``.

    It says at each pixel how much of the target to show, and paints a correction. Both are departures from the paper,
    which paints alone. ``delta_y`` tells where AEI-Net fails; but what it makes of an occluder depends on whose face
    it paints there, so that all of ``delta_y`` added at the right places still leaves three quarters of the error. The
    target itself has what is missing. Both start at zero: an untrained or unsure net leaves ``y_hat`` as it is.
    A crop larger than ``side`` is looked at in that size: where an occluder lies can be seen there, and its detail
    comes with the target, which stays as large as it is.
    """

    def __init__(self, config: HEARConfig) -> None:
        super().__init__()
        self.config = config
        w = config.widths
        self.first = nn.Conv2d(9, w[0], 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(w))
        self.down_norm = nn.ModuleList(_norm(b) for b in w[1:])
        self.up = nn.ModuleList(
            nn.Conv2d(below + skip, skip, 3, 1, 1) for below, skip in zip(w[:0:-1], w[-2::-1], strict=True)
        )
        self.up_norm = nn.ModuleList(_norm(b) for b in w[-2::-1])
        self.last = nn.Conv2d(w[0], 4, 3, 1, 1)  # a correction in RGB, and the share of the target
        for p in self.last.parameters():
            nn.init.zeros_(p)

    def forward(self, y_hat: Tensor, delta_y: Tensor, target: Tensor) -> Tensor:
        """y_hat, target (N, 3, S, S) in [-1, 1], delta_y (N, 3, S, S) in [-2, 2] -> y (N, 3, S, S) in [-1, 1].

        In training y may leave [-1, 1], and the share [0, 1]: no gradient would lead back from where it is cut off.
        """
        times = max(1, target.shape[-1] // self.config.side)
        seen = [F.avg_pool2d(x, times) if times > 1 else x for x in (y_hat, delta_y, target)]
        h = F.leaky_relu(self.first(torch.cat(seen, 1)), 0.1)
        skips = []
        for conv, normalise in zip(self.down, self.down_norm, strict=True):
            skips.append(h)
            h = F.leaky_relu(normalise(conv(h)), 0.1)
        for conv, normalise in zip(self.up, self.up_norm, strict=True):
            h = F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)
            h = F.leaky_relu(normalise(conv(torch.cat([h, skips.pop()], 1))), 0.1)
        out = self.last(h).to(target.dtype)  # under autocast it came in half precision
        if times == 2:
            out = F.pixel_shuffle(in_quarters(out), 2)
        out = enlarged(out, target.shape[-1]).flatten(2)  # as AEINet.generate has it
        share = out[:, 3:] if self.training else out[:, 3:].clamp(0, 1)
        y = torch.lerp(y_hat.flatten(2), target.flatten(2), share.expand(-1, 3, -1)) + out[:, :3]
        y = y.unflatten(2, target.shape[2:])
        return y if self.training else y.clamp(-1, 1)


def _norm(channels: int) -> nn.GroupNorm:
    """Keeps a sample's result independent of its batch."""
    return nn.GroupNorm(max(1, channels // 16), channels)
