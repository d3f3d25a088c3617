"""A result as users see it: with the target's hue in every part, laid into the target's face.

What looks at a result in training looks at it so. Colours that are mended anyway, and what lies outside the mask, then
please no recogniser, and what could be learned about them is spent on what is seen.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo.faces.align import OUTLINE
from fsvideo.faces.blend import DARK, FROM_CC, STAIN, TINT_SHRINK, TINT_SIGMA, TO_YCC
from fsvideo.faces.mask import outline
from fsvideo.options import Look


def laid(y: Tensor, target: Tensor, points: Tensor, seen: Tensor) -> Tensor:
    """The results (N, 3, S, S), tinted, in the faces of their targets, as a swap with the default options shows them.

    ``points`` (N, P, 3): the targets' face meshes, in units of the crop's side; where no face was ``seen`` ((N,) bool)
    all of the result is shown.
    """
    size, feather = y.shape[-1], Look().feather
    outlines = (points[:, list(OUTLINE), :2] * size - 0.5).cpu().numpy()
    masks = np.stack([outline(one, size, feather) for one in outlines])[:, None]
    mask = torch.where(seen[:, None, None, None], torch.from_numpy(masks).to(y), 1.0)
    return torch.lerp(target, tinted(y, target), mask)


def tinted(y: Tensor, target: Tensor) -> Tensor:
    """``fsvideo.faces.blend.match_tint`` for batches (N, 3, S, S) in [-1, 1], with a gradient."""
    (luma, chroma), (luma_t, chroma_t) = _parts(y), _parts(target)
    wanted = chroma_t * ((luma + DARK) / (luma_t + DARK)).clamp(max=1)
    change = torch.einsum("ck,nkhw->nchw", y.new_tensor(FROM_CC), (wanted - chroma).clamp(-STAIN, STAIN))
    return y + F.interpolate(change, size=y.shape[2:], mode="bilinear") / 127.5


def _parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """Blurred luma (N, 1, s, s) and colour differences (N, 2, s, s) in levels."""
    small = F.avg_pool2d(x.float(), TINT_SHRINK) * 127.5 + 127.5
    ycc = torch.einsum("ck,nkhw->nchw", x.new_tensor(TO_YCC), small)
    sigma = small.shape[-1] * TINT_SIGMA
    reach = int(4 * sigma + 0.5)
    row = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / sigma).square())
    kernel = (row / row.sum()).expand(3, 1, 1, -1)
    padded = F.pad(ycc, (reach, reach, reach, reach), mode="reflect")
    soft = F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)
    return soft[:, :1], soft[:, 1:]
