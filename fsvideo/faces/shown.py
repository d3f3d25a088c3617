"""A result as users see it: with the target's light and hue in every part, laid into the target's face.

What looks at a result in training and tuning looks at it so. Colours that are mended anyway, and what lies outside the
mask, then please no recogniser, and what could be learned about them is spent on what is seen. What a network leaves as
it was is matched here all the same: a swap gives the target back there, and no loss could say that another face is
wanted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo.faces.align import FEATURE_POINTS, OUTLINE
from fsvideo.faces.irises import AROUND, EYES, GREEN, RED
from fsvideo.faces.mask import outline
from fsvideo.faces.sharpness import FINEST, OTHER, PORE, PORES
from fsvideo.faces.tone import (
    APART,
    AS_SKIN,
    BARED,
    BURNT,
    DARKER,
    DIMMER,
    FAINTEST,
    FROM_CC,
    GLARE,
    GLOSS,
    LEAST,
    LIGHT_SIGMA,
    LIGHTEST,
    LUMA,
    MOST,
    PALE,
    RICH,
    SHADE,
    SHADED,
    SHINE,
    SHRINK,
    SKIN_AROUND,
    SKIN_SIGMA,
    STAIN,
    STREAK,
    STRONGEST,
    TINT_SIGMA,
    TO_YCC,
    UNSEEN,
    plain_parts,
)
from fsvideo.options import Look
from fsvideo.types import Array


def laid(y: Tensor, target: Tensor, points: Tensor, seen: Tensor) -> Tensor:
    """The results (N, 3, S, S), lit and tinted, in the faces of their targets, as a swap by default shows them.

    ``points`` (N, P, 3): the targets' face meshes, in units of the crop's side; where no face was ``seen`` ((N,) bool)
    all of the result is shown, tinted.
    """
    size, feather = y.shape[-1], Look().feather
    masks = np.stack([outline(one, size, feather) for one in _pixels(points, size)[:, list(OUTLINE)]])[:, None]
    mask = torch.where(seen[:, None, None, None], torch.from_numpy(masks).to(y.device), 1.0)
    return shown(y, target, mask, maps_of(points, seen, size))


def shown(y: Tensor, target: Tensor, mask: Tensor, maps: Maps) -> Tensor:
    """The same with ``mask`` (N, 1, S, S), 0..1, and ``maps_of`` the targets."""
    with torch.autocast(y.device.type, enabled=False):  # half precision would count single levels
        y, target = y.float(), target.float()
        y = with_pores(natural_eyes(tinted(lit(y, target, maps), target, maps), target), target, maps)
        return torch.lerp(target, y, mask)


def maps_of(points: Tensor, seen: Tensor, size: int) -> Maps:
    """Where the faces of crops have no features; see ``laid``."""
    pixels = _pixels(points, size)
    parts = [plain_parts(one[list(OUTLINE)], one[list(FEATURE_POINTS)], size) for one in pixels]
    each = (np.stack([getattr(p, name) for p in parts])[:, None] for name in Maps._fields)
    with_face = seen[:, None, None, None]
    return Maps(*(torch.where(with_face, torch.from_numpy(one).to(points.device), 0.0) for one in each))


def _pixels(points: Tensor, size: int) -> Array:
    pixels: Array = (points[..., :2] * size - 0.5).cpu().numpy()
    return pixels


class Maps(NamedTuple):
    """``fsvideo.faces.tone.Plain`` for batches: (N, 1, S / 4, S / 4) each."""

    around: Tensor
    bare: Tensor
    forehead: Tensor
    temples: Tensor
    sides: Tensor
    cheeks: Tensor
    ridges: Tensor
    brows: Tensor
    upper: Tensor
    beard: Tensor
    jaw: Tensor
    lids: Tensor
    lips: Tensor
    lip: Tensor

    def at(self, rows: slice) -> Maps:
        """Those of some of the batch."""
        return Maps(*(each[rows] for each in self))

    @property
    def skin(self) -> Tensor:
        return (self.bare - self.around).clamp(min=0)

    @property
    def flank(self) -> Tensor:
        return torch.maximum(self.sides, self.cheeks)


def lit(y: Tensor, target: Tensor, maps: Maps) -> Tensor:
    """``fsvideo.faces.tone.match_light`` for batches."""
    around, forehead = maps.around, maps.forehead
    weights = y.new_tensor(LUMA)
    lumas = [
        torch.einsum("ck,nkhw->nchw", weights, F.avg_pool2d(x.float(), SHRINK) * 127.5 + 127.5).clamp(min=0)
        for x in (y, target)
    ]
    side = lumas[0].shape[-1]
    soft, soft_t = ((_blurred(luma, side * LIGHT_SIGMA) + LEAST).log() for luma in lumas)
    ratio = soft_t - soft
    level = _level(ratio, forehead + maps.upper)
    off = ratio - level
    stained = off - off.clamp(-float(STRONGEST), float(STRONGEST))
    rim = off.clamp(-float(STRONGEST), -float(GLARE)) + float(GLARE)
    fine, fine_t = ((luma + LEAST).log() for luma in lumas)
    light, dark = _streaks(fine, fine_t)
    lightest = torch.maximum(soft_t, _around(soft_t, maps.skin * (1 - maps.brows)))
    shine = (soft + level - lightest - float(SHINE)).clamp(min=0)
    mended = off * forehead + ratio * around + stained * maps.upper + rim * maps.jaw
    mended = mended + (dark - light) * maps.cheeks - shine * maps.ridges
    mended = mended + (off + float(GLOSS)).clamp(max=0) * maps.lips
    shown = (y + 1) * _enlarged(mended.clamp(-MOST, MOST).exp(), y)
    inside = level * (1 - around)
    with torch.no_grad():  # not to be learned: how to be found useless
        useless = _useless(fine_t - fine - inside, (forehead + around).clamp(max=1), maps.temples)
    own = (target + 1) * _enlarged((-inside).exp(), y)
    return torch.lerp(shown, own, _enlarged(torch.maximum(useless, forehead), y)) - 1


def _level(ratio: Tensor, skin: Tensor) -> Tensor:
    total = skin.sum((1, 2, 3), keepdim=True)
    level = torch.zeros_like(total)
    for reach in (torch.inf, APART[0], APART[0] / 2):
        off = (ratio - level).clamp(-reach, reach) * skin
        level = level + off.sum((1, 2, 3), keepdim=True) / total.clamp(min=1)
    return level


def _useless(apart: Tensor, plain: Tensor, temples: Tensor) -> Tensor:
    side = apart.shape[-1]
    reach = round(side / 32)
    stained = torch.maximum(_ramp(apart.abs() * plain, *APART), _ramp(apart * temples, *SHADED))
    wrong = F.max_pool2d(stained, 2 * reach + 1, 1, reach)
    return _blurred(wrong, side * LIGHT_SIGMA) * torch.maximum(plain, temples)


def _streaks(fine: Tensor, fine_t: Tensor) -> tuple[Tensor, Tensor]:
    wide = round(fine.shape[-1] * STREAK) | 1

    def most(x: Tensor) -> Tensor:
        return F.max_pool2d(x, wide, 1, wide // 2)

    def lighter(x: Tensor) -> Tensor:
        return x - most(-most(-x))

    light, dark = (lighter(x) - most(lighter(x_t)) - FAINTEST for x, x_t in ((fine, fine_t), (-fine, -fine_t)))
    return light.clamp(min=0), dark.clamp(min=0)


def tinted(y: Tensor, target: Tensor, maps: Maps | None = None) -> Tensor:
    """``fsvideo.faces.tone.match_tint`` for batches (N, 3, S, S) in [-1, 1]."""
    with torch.autocast(y.device.type, enabled=False):
        return _tinted(y.float(), target.float(), maps)


def _tinted(y: Tensor, target: Tensor, maps: Maps | None) -> Tensor:
    ours, theirs = _ycc(y), _ycc(target)
    if maps is None:
        change = _retinted(ours, theirs, TINT_SIGMA, None)
    else:
        lip = _narrower(ours, theirs, maps)
        theirs = _bared(ours, theirs, maps, lip)
        change = _retinted(ours, theirs, TINT_SIGMA, maps)
        ours = torch.cat([ours[:, :1], ours[:, 1:] + change], 1)
        closely = torch.maximum(torch.maximum(maps.bare, maps.brows), lip)
        change = change + _retinted(ours, theirs, SKIN_SIGMA, maps) * closely
    rgb = torch.einsum("ck,nkhw->nchw", y.new_tensor(FROM_CC), change)
    return y + _enlarged(rgb, y) / 127.5


def natural_eyes(y: Tensor, target: Tensor) -> Tensor:
    """``fsvideo.faces.irises.match_irises`` for batches (N, 3, S, S) in [-1, 1]."""
    size, weights = y.shape[-1], y.new_tensor(TO_YCC)
    rows, columns = (slice(*(round(size * one) for one in ends)) for ends in EYES)
    ours, theirs = (
        torch.einsum("ck,nkhw->nchw", weights, x[..., rows, columns].float() * 127.5 + 127.5) for x in (y, target)
    )
    reach = round(size * AROUND)

    def around(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (reach,) * 4, mode="reflect"), 2 * reach + 1, 1)

    luma, luma_t = (x[:, :1].clamp(min=0) for x in (ours, theirs))
    green, green_t, red, red_t = _green(ours), _green(theirs), _red(ours), _red(theirs)
    most_green = GREEN[0] + GREEN[1] * luma + torch.maximum(green_t, around(green_t))
    own = red_t * ((luma + LEAST) / (luma_t + LEAST)).clamp(0, 1)
    most_red = RED[0] + RED[1] * luma + torch.maximum(around(red_t) / (around(luma_t) + LEAST) * luma, own)
    share = torch.minimum(most_green / torch.maximum(green, most_green), most_red / torch.maximum(red, most_red))
    change = torch.einsum("ck,nkhw->nchw", y.new_tensor(FROM_CC), ours[:, 1:] * (share - 1)) / 127.5
    return y + F.pad(change, (columns.start, size - columns.stop, rows.start, size - rows.stop))


def with_pores(y: Tensor, target: Tensor, maps: Maps) -> Tensor:
    """``fsvideo.faces.sharpness.with_pores`` for batches (N, 3, S, S) in [-1, 1]."""
    weights = y.new_tensor(LUMA)
    light, light_t = (torch.einsum("ck,nkhw->nchw", weights, x.float() * 127.5 + 127.5) for x in (y, target))
    small = (F.avg_pool2d(x, SHRINK) for x in (light, light_t))
    coarse, coarse_t = (_blurred(x, x.shape[-1] * PORES) for x in small)
    apart = ((coarse.clamp(min=0) + LEAST) / (coarse_t.clamp(min=0) + LEAST)).log()
    alike = 1 - _ramp(apart.abs(), *OTHER)
    all_of_it = (light_t - light + _enlarged(coarse - coarse_t, y)) * _enlarged(maps.flank * alike, y)
    fine, fine_t = (x - _blurred(x, x.shape[-1] * FINEST) for x in (light, light_t))
    of_cheeks = torch.where(_enlarged(maps.flank, y) > 0.5, fine_t.abs(), torch.nan)
    most = PORE * of_cheeks.flatten(1).nanmedian(1).values.nan_to_num(0).view(-1, 1, 1, 1)
    rest = _enlarged((maps.skin - maps.flank).clamp(min=0) * alike, y)
    a_little = (fine_t.clamp(-most, most) - fine.clamp(-most, most)) * rest
    return y + (all_of_it + a_little) / 127.5


def _green(ycc: Tensor) -> Tensor:
    return (-ycc[:, 2:] - ycc[:, 1:2].clamp(min=0)).clamp(min=0)


def _red(ycc: Tensor) -> Tensor:
    return (ycc[:, 2:] - (-ycc[:, 1:2]).clamp(min=0)).clamp(min=0)


def _retinted(ours: Tensor, theirs: Tensor, sigma: float, maps: Maps | None) -> Tensor:
    soft, soft_t = (_blurred(x, x.shape[-1] * sigma) for x in (ours, theirs))
    luma, chroma, luma_t, chroma_t = soft[:, :1], soft[:, 1:], soft_t[:, :1], soft_t[:, 1:]
    ratio = (luma.clamp(min=0) + LEAST) / (luma_t.clamp(min=0) + LEAST)
    share = ratio.clamp(max=1)
    if maps is not None:
        richer = ratio.clamp(max=float(LIGHTEST)) ** float(RICH)
        skin = torch.maximum(maps.skin * (1 - maps.brows), maps.lids * _ramp(ratio, *SHADE))
        share = torch.lerp(share, richer, skin)
    return (chroma_t * share - chroma).clamp(-STAIN, STAIN)


def _bared(ours: Tensor, theirs: Tensor, maps: Maps, lip: Tensor) -> Tensor:
    hair = torch.maximum(torch.maximum(maps.brows, maps.beard), maps.lids)
    burnt = _ramp(theirs[:, :1], *BURNT)
    plain = maps.skin * (1 - hair) * (1 - float(PALE) * burnt)
    around, lighter = _around(theirs, plain), _lighter(ours, theirs)
    bared = torch.maximum(hair * _ramp(lighter, *BARED), maps.lids * _ramp(-lighter, *DARKER))
    bared = torch.maximum(bared, maps.skin * (1 - maps.forehead) * burnt * _ramp(-lighter, *DIMMER))
    return torch.lerp(theirs, around, torch.maximum(bared, lip))


def _narrower(ours: Tensor, theirs: Tensor, maps: Maps) -> Tensor:
    as_light = _ramp(_lighter(ours, _around(ours, maps.skin)), *AS_SKIN)
    return maps.lip * as_light * _ramp(_lighter(ours, theirs), *BARED)


def _lighter(ours: Tensor, theirs: Tensor) -> Tensor:
    return ((ours[:, :1].clamp(min=0) + LEAST) / (theirs[:, :1].clamp(min=0) + LEAST)).log()


def _around(picture: Tensor, skin: Tensor) -> Tensor:
    wide = skin.shape[-1] * SKIN_AROUND
    around = _blurred(picture * skin, wide) + float(UNSEEN) * picture
    return around / (_blurred(skin, wide) + float(UNSEEN))


def _ramp(x: Tensor, low: float, high: float) -> Tensor:
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _ycc(x: Tensor) -> Tensor:
    """Luma and colour differences (N, 3, s, s) in levels."""
    small = F.avg_pool2d(x.float(), SHRINK) * 127.5 + 127.5
    return torch.einsum("ck,nkhw->nchw", x.new_tensor(TO_YCC), small)


def _enlarged(small: Tensor, picture: Tensor) -> Tensor:
    return F.interpolate(small, size=picture.shape[2:], mode="bilinear")


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """Each channel of (N, C, s, s) blurred as cv2.GaussianBlur does it.

    By matrix products, columns and rows: with the gradient, convolutions of one channel take eight times as long.
    """
    weights = _weights(x.shape[-1], sigma).to(x.device)
    return weights @ x @ weights.T


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # kept for whoever comes next, who may want gradients
def _weights(side: int, sigma: float) -> Tensor:
    """(side, side) how much each place counts in each place's blur; beyond the borders, which are mirrored, too."""
    reach = int(4 * sigma + 0.5)
    row = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    padded = F.pad(torch.eye(side)[None], (reach, reach), mode="reflect")
    with torch.autocast("cpu", enabled=False):
        return F.conv1d(padded.transpose(0, 1), (row / row.sum()).view(1, 1, -1))[:, 0].T.contiguous()
