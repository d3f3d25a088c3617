"""Features for the Fréchet distance: MobileNetV2 (Sandler et al. 2018) with ImageNet weights from a file of its own."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from fsvideo.types import Array, Image, WeightsError

SIDE = 224  # pixels
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Expansion, channels, blocks, stride of the first: the paper's table 2.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _unit(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class _Inverted(nn.Module):
    """Widen, filter each channel, narrow; with a skip where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers: list[nn.Module] = [_unit(inputs, wide, 1, 1)] if expansion != 1 else []
        layers += [_unit(wide, wide, 3, stride, wide), nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.skip else y


class MobileNetV2(nn.Module):
    """(N, 3, 224, 224) normalised pictures -> (N, 1280) features before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_unit(3, 32, 3, 2)]
        width = 32
        for expansion, channels, blocks, stride in _STAGES:
            for k in range(blocks):
                layers.append(_Inverted(width, channels, stride if k == 0 else 1, expansion))
                width = channels
        self.features = nn.Sequential(*layers, _unit(width, 1280, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.features(x)
        return y.mean((2, 3))


class Features:
    """Reads the state dict of an ImageNet MobileNetV2 (torchvision's names). Raises WeightsError for another file."""

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise WeightsError(f"{file}: no such file", "give the state dict of an ImageNet MobileNetV2")
        net = MobileNetV2()
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            net.load_state_dict({k: v for k, v in state.items() if k.startswith("features.")})
        except (RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
            raise WeightsError(f"{file}: not the weights of a MobileNetV2", "give its state dict (.pth)") from error
        self._net = net.eval().requires_grad_(False)

    def __call__(self, crops: Sequence[Image]) -> Array:
        """(S, S, 3) pictures -> (N, 1280)."""
        resized = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in crops]
        x = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
        mean, spread = (torch.tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _SPREAD))
        with torch.inference_mode():
            return np.asarray(self._net((x - mean) / spread).numpy())
