"""The frozen face mesh: 478 points of a face, with gradients, so that training can hold a result to its target.

``FaceMesh`` is the landmark network inside MediaPipe's face_landmarker.task in plain PyTorch. The groups below number
its points as MediaPipe does; left and right are the person's own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvideo.models.chips import Chips, chip_transform
from fsvideo.types import CropSpec

POINTS = 478

# fmt: off
# Around each eye: from the outer corner along the lower lid to the inner corner, back along the upper lid.
RIGHT_EYELIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYELIDS = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
# The middle, then four points of the rim.
RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)
# Around the mouth: from the right corner along the lower lip to the left corner, back along the upper lip.
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
# The lower edge, then the upper one, each from the outer end to the inner one.
RIGHT_BROW = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)
LEFT_BROW = (276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
# fmt: on
EYELIDS, IRISES = RIGHT_EYELIDS + LEFT_EYELIDS, RIGHT_IRIS + LEFT_IRIS
LIPS, BROWS = OUTER_LIPS + INNER_LIPS, RIGHT_BROW + LEFT_BROW
REST = tuple(sorted(set(range(POINTS)) - {*EYELIDS, *IRISES, *LIPS, *BROWS}))  # nose, cheeks, forehead, chin, outline

CHIP = 256  # the side of the picture the network was trained on, pixels
# The window of the default crop that it sees, in units of the crop's side: middle and side. It reaches a little beyond
# the crop, where the edge is repeated. Of those tried its points lie nearest to those MediaPipe finds for itself.
_MIDDLE, _SIDE = (0.5, 0.51), 1.07
CHIP_POINTS = tuple(  # where the five points lie in what it sees, pixels
    (CHIP * ((x - _MIDDLE[0]) / _SIDE + 0.5) - 0.5, CHIP * ((y - _MIDDLE[1]) / _SIDE + 0.5) - 0.5)
    for x, y in CropSpec().template
)
# Channels at 128, 64, 32, ... 2 pixels, and the blocks there that keep the size.
_WIDTHS = (16, 32, 64, 128, 128, 128, 128)
_BLOCKS = 4


class _Block(nn.Module):
    """A bottleneck of half the channels beside a skip without weights, which is zero-padded in channels.

    ``down`` halves the picture: the bottleneck by its first convolution, the skip by its largest values.
    """

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.down, self.more, half = down, outputs - inputs, outputs // 2
        step = 2 if down else 1
        self.squeeze = nn.Conv2d(inputs, half, step, step)
        self.inner = nn.PReLU(half)
        self.depthwise = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.expand = nn.Conv2d(half, outputs, 1)
        self.outer = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(self.depthwise(self.inner(self.squeeze(x))))
        x = F.max_pool2d(x, 2) if self.down else x
        z: Tensor = self.outer(y + F.pad(x, (0, 0, 0, 0, 0, self.more)))
        return z


class FaceMesh(nn.Module):
    """From aligned crops to the points of the mesh: 1.2 M parameters. Frozen, but gradients flow to the crops.

    ``template`` is that of the CropSpec the crops were cut with. Calculates in single precision whatever the autocast:
    half precision would round the points to a quarter of a pixel.
    """

    name = "mediapipe-face-mesh"
    origin: Tensor

    def __init__(self, template: tuple[tuple[float, float], ...] = CropSpec().template) -> None:
        super().__init__()
        self.chips = Chips(template, CHIP, CHIP_POINTS)
        self.scale, x, y = chip_transform(template, 1, CHIP_POINTS)
        # The chip spans 0..256 in the network's eyes, -0.5..255.5 in ours; the crop 0..1 and -0.5..0.5.
        origin = torch.tensor((x + 0.5 - 0.5 * self.scale, y + 0.5 - 0.5 * self.scale, 0.0))
        self.register_buffer("origin", origin, persistent=False)
        self.stem = nn.Conv2d(3, _WIDTHS[0], 3, 2)
        self.act = nn.PReLU(_WIDTHS[0])
        blocks, before = [], _WIDTHS[0]
        for k, width in enumerate(_WIDTHS):
            blocks += [_Block(before, width, down=True)] if k > 0 else []
            blocks += [_Block(width, width, down=False) for _ in range(_BLOCKS)]
            before = width
        self.blocks = nn.Sequential(*blocks)
        self.points = nn.Conv2d(before, 3 * POINTS, 2)
        self.presence = nn.Conv2d(before, 1, 2)
        self.eval().requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) RGB crops in [-1, 1], any S -> (N, 478, 3) points in units of the crop's side.

        x to the right and y down from the crop's upper left corner, as in CropSpec's template: the pixel is
        ``S * xy - 0.5``. z, in the same unit, grows away from the camera; 0 is about the middle of the head.
        """
        return self.look(crops)[0]

    def look(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The points, and (N,) how sure the network is that there is a face: a logit, above 0 where it sees one."""
        with torch.autocast(crops.device.type, enabled=False):
            points, presence = self.read(self.chips(crops.float()) / 2 + 0.5)
            return (points - self.origin) / self.scale, presence

    def read(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 256, 256) RGB chips in [0, 1] -> (N, 478, 3) points in the chip's pixels, 0..256; (N,) presence."""
        x = self.act(self.stem(F.pad(chips, (0, 1, 0, 1))))
        x = self.blocks(x)
        return self.points(x).view(-1, POINTS, 3), self.presence(x).view(-1)


class ChipMesh(nn.Module):
    """The mesh of chips that were cut from a picture themselves: for following faces, and for export.

    ``inputs`` and ``outputs``: what it takes and gives, in order.
    """

    inputs, outputs = ("chips",), ("points", "presence")

    def __init__(self, mesh: FaceMesh) -> None:
        super().__init__()
        self.mesh = mesh

    def forward(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 256, 256, 3) RGB chips, uint8 -> (N, 478, 3) points in the chip's pixels, 0..256; (N,) presence."""
        return self.mesh.read(chips.permute(0, 3, 1, 2).float() / 255)

    @staticmethod
    def probe(batch: int) -> tuple[Tensor, ...]:
        """Random chips, the same each time: something to try it with."""
        return (torch.randint(256, (batch, CHIP, CHIP, 3), generator=torch.Generator().manual_seed(batch)).byte(),)
