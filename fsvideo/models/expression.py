"""The frozen network that reads an expression off the face mesh, with gradients.

``Blendshapes`` is the last network inside MediaPipe's face_landmarker.task in plain PyTorch: an MLP-Mixer (Tolstikhin
et al., 2021) over 146 of the mesh's points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COEFFICIENTS = 52
# fmt: off
# The points of the mesh that it reads, as MediaPipe numbers them.
_READ = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153,
    154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251,
    263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318,
    321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)
# fmt: on
_TOKENS, _WIDTH, _BLOCKS = 96, 64, 4
_TOKEN_HIDDEN, _CHANNEL_HIDDEN = 384, 256


class _Mixer(nn.Module):
    """Tokens mixed with one another, then the channels of each, both beside a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(_WIDTH, eps=1e-6, bias=False)
        self.tokens1 = nn.Linear(_TOKENS + 1, _TOKEN_HIDDEN)
        self.tokens2 = nn.Linear(_TOKEN_HIDDEN, _TOKENS + 1)
        self.norm2 = nn.LayerNorm(_WIDTH, eps=1e-6, bias=False)
        self.channels1 = nn.Linear(_WIDTH, _CHANNEL_HIDDEN)
        self.channels2 = nn.Linear(_CHANNEL_HIDDEN, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens2(F.relu(self.tokens1(self.norm1(x).transpose(1, 2)))).transpose(1, 2)
        y: Tensor = x + self.channels2(F.relu(self.channels1(self.norm2(x))))
        return y


class Blendshapes(nn.Module):
    """From the points of the face mesh to 52 coefficients of expression: 0.5 M parameters. Frozen, but gradients flow.

    Position and size of the face do not count. Calculates in single precision whatever the autocast.
    """

    name = "mediapipe-blendshapes"

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Linear(len(_READ), _TOKENS)
        self.embed = nn.Linear(2, _WIDTH)
        self.extra = nn.Parameter(torch.zeros(1, 1, _WIDTH))  # the token that the answer is read from
        self.blocks = nn.Sequential(*(_Mixer() for _ in range(_BLOCKS)))
        self.head = nn.Linear(_WIDTH, COEFFICIENTS)
        self.eval().requires_grad_(False)

    def forward(self, points: Tensor) -> Tensor:
        """(N, 478, 2 or more) points, x and y in any one unit -> (N, 52) in 0..1, in MediaPipe's order."""
        with torch.autocast(points.device.type, enabled=False):
            x = points[:, _READ, :2].float()
            x = x - x.mean(1, keepdim=True)
            x = x / x.norm(dim=2, keepdim=True).mean(1, keepdim=True) * 0.5
            x = self.embed(self.reduce(x.transpose(1, 2)).transpose(1, 2))
            x = self.blocks(torch.cat([self.extra.expand(len(x), -1, -1), x], 1))
            return torch.sigmoid(self.head(x[:, 0]))
