"""The networks behind identity encoders: chips in, embeddings and maps of features out. Frozen, with gradients.

``DlibFace`` is the ResNet behind dlib's ``dlib_face_recognition_resnet_model_v1`` in plain PyTorch; its affine layers
are folded into the convolutions before them. The others serve training alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHIP = 150  # the side of the picture the network was trained on, pixels
EMBEDDING = 128
_PIXEL_MEAN = (122.782, 117.001, 104.298)  # RGB, 0..255
# (channels, halves the picture) of each residual block.
_BLOCKS = (
    *[(32, False)] * 3,
    *[(64, True)] + [(64, False)] * 3,
    *[(128, True)] + [(128, False)] * 2,
    *[(256, True)] + [(256, False)] * 2,
    (256, True),
)


_FACERES_MEAN = (91.4953, 103.8827, 131.0912)  # BGR, 0..255
_FACERES_STEPS = (  # (channels, stride) of each depthwise-pointwise pair
    *[(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)],
    *[(512, 1)] * 5,
    *[(1024, 2), (1024, 1)],
)


class _Residual(nn.Module):
    """Two 3x3 convolutions beside a skip without weights: zero-padded in channels, averaged where the block halves."""

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.down = down
        # dlib pads only where the stride is 1.
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(F.relu(self.conv1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            # Averaging keeps a last row and column that the convolution, without padding, does not reach.
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return F.relu(x + y)


class Recogniser(nn.Module, ABC):
    """Chips in, embeddings out. ``embedding``: their length; ``maps``: the channels of the maps ``look`` gives."""

    embedding: int
    maps: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x)[0]

    @abstractmethod
    def look(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Chips (N, 3, chip, chip) RGB in [-1, 1] -> raw embeddings, and maps of features on the way, finest first."""


class DlibFace(Recogniser):
    """dlib's face recognition ResNet: 5.6 M parameters, 0.27 GMAC a face."""

    embedding = EMBEDDING
    maps = (32, 64, 128)
    pixel_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(_PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        widths = (32, *(channels for channels, _ in _BLOCKS))
        blocks = (_Residual(widths[i], channels, down) for i, (channels, down) in enumerate(_BLOCKS))
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(256, EMBEDDING, bias=False)

    def look(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, 150, 150) -> (N, 128), and maps of 35, 17 and 8 pixels."""
        x = (127.5 * (x + 1) - self.pixel_mean) / 256
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2)
        maps: list[Tensor] = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k + 1 < len(_BLOCKS) and _BLOCKS[k + 1][1] and len(maps) < len(self.maps):
                maps.append(x)  # before the picture is halved
        z: Tensor = self.fc(x.mean(dim=(2, 3)))
        return z, maps


class FaceRes(Recogniser):
    """MobileNet (v1) trained on VGGFace2: 3.2 M parameters, 0.29 GMAC a face of 160 pixels."""

    embedding = 1024
    maps = (128, 256, 512)
    pixel_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(_FACERES_MEAN).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, 32, 3, 2)
        widths = (32, *(channels for channels, _ in _FACERES_STEPS))
        self.depthwise = nn.ModuleList(
            nn.Conv2d(c, c, 3, stride, groups=c) for c, (_, stride) in zip(widths, _FACERES_STEPS, strict=False)
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))

    def look(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, 160, 160) -> (N, 1024), and maps of 40, 20 and 10 pixels."""
        x = 127.5 * (x + 1).flip(1) - self.pixel_mean  # it was trained on BGR
        x = F.relu6(self.stem(_same_padding(x, 2)))
        maps: list[Tensor] = []
        for depthwise, pointwise, (_, stride) in zip(self.depthwise, self.pointwise, _FACERES_STEPS, strict=True):
            if stride == 2 and x.shape[1] >= self.maps[0]:
                maps.append(x)  # before the picture is halved
            x = F.relu6(depthwise(_same_padding(x, stride)))
            x = F.relu6(pointwise(x))
        return x.mean(dim=(2, 3)), maps


_MOBILE_STEPS = (  # (channels, inner channels, stride) of each inverted residual
    (64, 128, 2),
    *[(64, 128, 1)] * 4,
    (128, 256, 2),
    *[(128, 256, 1)] * 6,
    (128, 512, 2),
    *[(128, 256, 1)] * 2,
)


class _InvertedResidual(nn.Module):
    """Wide inside, narrow outside (Sandler et al., MobileNetV2), with PReLU; a skip where the size stays."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.skip = stride, stride == 1 and inputs == outputs
        self.expand, self.act1 = nn.Conv2d(inputs, inner, 1), nn.PReLU(inner)
        self.depthwise, self.act2 = nn.Conv2d(inner, inner, 3, stride, groups=inner), nn.PReLU(inner)
        self.project = nn.Conv2d(inner, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.expand(x))
        y = self.project(self.act2(self.depthwise(_same_padding(y, self.stride))))
        return x + y if self.skip else y


class MobileFaceNet(Recogniser):
    """MobileFaceNet (Chen et al., 2018), ArcFace's loss: 1.3 M parameters, 0.22 GMAC a face of 112 pixels."""

    embedding = 192
    maps = (64, 128, 128)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 64, 3, 2), nn.PReLU(64)
        self.depthwise, self.act_depthwise = nn.Conv2d(64, 64, 3, groups=64), nn.PReLU(64)
        self.pointwise = nn.Conv2d(64, 64, 1)
        widths = (64, *(channels for channels, _, _ in _MOBILE_STEPS))
        self.blocks = nn.ModuleList(
            _InvertedResidual(a, inner, b, stride) for a, (b, inner, stride) in zip(widths, _MOBILE_STEPS, strict=False)
        )
        self.widen, self.act_widen = nn.Conv2d(128, 512, 1), nn.PReLU(512)
        self.whole = nn.Conv2d(512, 512, 7, groups=512)
        self.mix = nn.Conv2d(512, 512, 1)
        self.fc = nn.Conv2d(512, 192, 1)

    def look(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, 112, 112) -> (N, 192) of unit length, and maps of 28, 14 and 7 pixels."""
        x = x * (127.5 / 128)
        x = self.act(self.stem(_same_padding(x, 2)))
        x = self.pointwise(self.act_depthwise(self.depthwise(_same_padding(x, 1))))
        maps: list[Tensor] = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k + 1 == len(self.blocks) or (_MOBILE_STEPS[k + 1][2] == 2):
                maps.append(x)
        z: Tensor = self.fc(self.mix(self.whole(self.act_widen(self.widen(x)))))
        return F.normalize(z.flatten(1)), maps


def _same_padding(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's padding for a 3x3 kernel: where an odd number of pixels is missing, one more below and right."""
    size = x.shape[-1]
    missing = max(0, (-(-size // stride) - 1) * stride + 3 - size)
    before, after = missing // 2, missing - missing // 2
    return F.pad(x, (before, after, before, after))
