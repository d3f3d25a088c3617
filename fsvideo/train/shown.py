"""A result as users see it: with the target's light and hue in every part, laid into the target's face.

What looks at a result in training looks at it so. Colours that are mended anyway, and what lies outside the mask, then
please no recogniser, and what could be learned about them is spent on what is seen.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo.faces.align import FEATURE_POINTS, OUTLINE
from fsvideo.faces.mask import outline
from fsvideo.faces.tone import (
    FROM_CC,
    LEAST,
    LIGHT_SIGMA,
    LUMA,
    MOST,
    SHRINK,
    SKIN_SIGMA,
    STAIN,
    TINT_SIGMA,
    TO_YCC,
    plain_parts,
)
from fsvideo.options import Look


def laid(y: Tensor, target: Tensor, points: Tensor, seen: Tensor) -> Tensor:
    """The results (N, 3, S, S), lit and tinted, in the faces of their targets, as a swap by default shows them.

    ``points`` (N, P, 3): the targets' face meshes, in units of the crop's side; where no face was ``seen`` ((N,) bool)
    all of the result is shown, tinted.
    """
    size, feather = y.shape[-1], Look().feather
    pixels = (points[..., :2] * size - 0.5).cpu().numpy()
    outlines, features = pixels[:, list(OUTLINE)], pixels[:, list(FEATURE_POINTS)]
    masks = np.stack([outline(one, size, feather) for one in outlines])[:, None]
    parts = [plain_parts(one, inner, size) for one, inner in zip(outlines, features, strict=True)]
    with_face = seen[:, None, None, None]
    around, bare, forehead = (
        torch.where(with_face, torch.from_numpy(np.stack(each)[:, None]).to(y), 0.0)
        for each in zip(*((p.around, p.bare, p.forehead) for p in parts), strict=True)
    )
    mask = torch.where(with_face, torch.from_numpy(masks).to(y), 1.0)
    return torch.lerp(target, tinted(lit(y, target, forehead, around), target, bare), mask)


def lit(y: Tensor, target: Tensor, forehead: Tensor, around: Tensor) -> Tensor:
    """``fsvideo.faces.tone.match_light`` for batches; ``forehead`` and ``around`` (N, 1, S / 4, S / 4)."""
    luma = y.new_tensor(LUMA)
    logs = []
    for x in (y, target):
        small = torch.einsum("ck,nkhw->nchw", luma, F.avg_pool2d(x.float(), SHRINK) * 127.5 + 127.5)
        logs.append((_blurred(small, small.shape[-1] * LIGHT_SIGMA).clamp(min=0) + LEAST).log())
    ratio, total = logs[1] - logs[0], forehead.sum((1, 2, 3), keepdim=True)
    mean = (ratio * forehead).sum((1, 2, 3), keepdim=True) / total.clamp(min=1)
    factor = ((ratio - mean) * forehead + ratio * around).clamp(-MOST, MOST).exp()
    return (y + 1) * F.interpolate(factor, size=y.shape[2:], mode="bilinear") - 1


def tinted(y: Tensor, target: Tensor, bare: Tensor | None = None) -> Tensor:
    """``fsvideo.faces.tone.match_tint`` for batches (N, 3, S, S) in [-1, 1]; ``bare`` (N, 1, S / 4, S / 4)."""
    coloured = _tinted(y, target, TINT_SIGMA, None)
    return coloured if bare is None else _tinted(coloured, target, SKIN_SIGMA, bare)


def _tinted(y: Tensor, target: Tensor, sigma: float, where: Tensor | None) -> Tensor:
    (luma, chroma), (luma_t, chroma_t) = _parts(y, sigma), _parts(target, sigma)
    wanted = chroma_t * ((luma + LEAST) / (luma_t + LEAST)).clamp(max=1)
    change = torch.einsum("ck,nkhw->nchw", y.new_tensor(FROM_CC), (wanted - chroma).clamp(-STAIN, STAIN))
    change = change if where is None else change * where
    return y + F.interpolate(change, size=y.shape[2:], mode="bilinear") / 127.5


def _parts(x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Blurred luma (N, 1, s, s) and colour differences (N, 2, s, s) in levels."""
    small = F.avg_pool2d(x.float(), SHRINK) * 127.5 + 127.5
    ycc = torch.einsum("ck,nkhw->nchw", x.new_tensor(TO_YCC), small)
    soft = _blurred(ycc, small.shape[-1] * sigma)
    return soft[:, :1], soft[:, 1:]


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """Each channel of (N, C, s, s) blurred as cv2.GaussianBlur does it."""
    reach, channels = int(4 * sigma + 0.5), x.shape[1]
    row = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / sigma).square())
    kernel = (row / row.sum()).expand(channels, 1, 1, -1)
    padded = F.pad(x, (reach, reach, reach, reach), mode="reflect")
    soft = F.conv2d(F.conv2d(padded, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)
    return soft
