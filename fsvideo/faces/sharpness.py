"""The fine detail of a swapped face brought to the footage's: no false wrinkles, no face sharper than its film."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fsvideo.faces.tone import LEAST, LUMA, Plain, enlarged, ramp
from fsvideo.types import Array

_BANDS = (0.9, 1.8, 3.6, 7.2)  # standard deviations of the blurs that part the bands, pixels of a crop of 256
_HOLDS = 1.7  # standard deviation of a blur, in pixels, from which half as many pixels hold the picture
_CELLS = 12  # a side of the grid on which strengths are compared: a cell holds an eye's corner, a part of a cheek
_RIM = 9  # pixels of a crop of 256, twice the strip along the mask's edge that is not measured: jaw and hair end there
PORES = 1 / 110  # of the crop's side, a standard deviation: what is finer than this is skin, not its shape
FINEST = 1 / 220  # the same where lines as fine as pores are a nose or a fold
PORE = 3.0  # times as strong as the median of the cheeks' fine detail: so much is a pore, more is a line
OTHER = (0.15, 0.35)  # logarithm of brightness by which it is as ours, and by which something else lies there
_LEAST, _MOST = 0.05, 1.15  # of a band's strength; more than that would blow up the network's own noise
_FLOOR = 0.15  # levels: weaker bands are as good as none


@dataclass(frozen=True)
class Detail:
    """Natural logarithms of the gain of each band in each cell of the crop, at a time."""

    gains: Array  # (bands, cells, cells)
    time: float  # seconds


def match_sharpness(
    swapped: Array, target: Array, mask: Array, time: float, seconds: float, before: Detail | None
) -> tuple[Array, Detail | None]:
    """Give each part of the swapped face as much fine detail as the target has there, averaged over ``seconds``.

    Crops (S, S, 3) on the 0..255 scale, mask (S, S), time in seconds; ``before`` is what this function returned for the
    track's last frame. Strengths are compared place by place: eyes and lips are where they were and stay crisp, while a
    cheek that is smooth in the footage gets smooth. Detail is brightness: of colour, which few videos hold as finely,
    all stays.
    """
    rim = np.ones((1 + round(_RIM * len(mask) / 256),) * 2, np.uint8)
    inside = cv2.erode((mask > 0.95).astype(np.float32), rim)
    weight = _cells(inside)
    if float(weight.max(initial=0)) <= 0:
        return swapped, before
    made, real = (_bands(cv2.transform(picture, LUMA)) for picture in (swapped, target))
    gains = np.stack([_gain(y, t, inside, weight) for y, t in zip(made, real, strict=True)])
    if before is not None and seconds > 0:
        keep = np.float32(np.exp(-max(0.0, time - before.time) / seconds))
        gains = keep * before.gains + (1 - keep) * gains
    size = swapped.shape[1::-1]
    change = np.zeros(swapped.shape[:2], np.float32)
    for band, gain in zip(made, gains, strict=True):
        factor = cv2.exp(cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)) - 1
        change = cv2.add(change, cv2.multiply(band, factor))
    result = cv2.add(swapped, cv2.cvtColor(change, cv2.COLOR_GRAY2RGB))
    return np.asarray(result, np.float32), Detail(np.asarray(gains, np.float32), time)


def with_pores(swapped: Array, target: Array, plain: Plain) -> Array:
    """Give skin the target's own fine detail: no network of this size paints it as finely.

    Crops (S, S, 3) on the 0..255 scale. On cheeks and temples it is all of that detail; elsewhere lines as fine belong
    to a nose or a fold, so there only as much changes as pores are strong. Where the target is far lighter or darker,
    as with a beard, it is not skin.
    """
    light, light_t = (cv2.transform(picture, LUMA) for picture in (swapped, target))
    small = plain.flank.shape[::-1]
    coarse, coarse_t = (
        cv2.GaussianBlur(cv2.resize(x, small, interpolation=cv2.INTER_AREA), (0, 0), small[0] * PORES)
        for x in (light, light_t)
    )
    apart = cv2.log((coarse.clip(0) + LEAST) / (coarse_t.clip(0) + LEAST))
    alike = 1 - ramp(np.abs(apart), *OTHER)
    lighter = enlarged(coarse - coarse_t, target)
    all_of_it = cv2.multiply(cv2.add(cv2.subtract(light_t, light), lighter), enlarged(plain.flank * alike, target))
    fine, fine_t = (cv2.subtract(x, cv2.GaussianBlur(x, (0, 0), len(x) * FINEST)) for x in (light, light_t))
    of_cheeks = np.abs(fine_t[enlarged(plain.flank, target) > 0.5])
    most = PORE * float(np.median(of_cheeks)) if len(of_cheeks) else 0.0
    rest = enlarged((plain.skin - plain.flank).clip(0) * alike, target)
    a_little = cv2.multiply(cv2.subtract(fine_t.clip(-most, most), fine.clip(-most, most)), rest)
    change = cv2.add(all_of_it, a_little)
    return np.asarray(cv2.add(swapped, cv2.cvtColor(change, cv2.COLOR_GRAY2RGB)), np.float32)


def _bands(image: Array) -> list[Array]:
    """What each blur takes away of what the one before left, fine to coarse.

    Each blur goes on from the one before, the coarse ones on a smaller grid.
    """
    scale, size = len(image) / 256, image.shape[1::-1]
    bands: list[Array] = []
    above = small = image.astype(np.float32)
    spread, step = 0.0, 1  # of the blur so far, and between two places of the small grid; pixels of the picture
    for sigma in (one * scale for one in _BANDS):
        if spread / step > _HOLDS and not any(side % 2 for side in small.shape[:2]):
            half = small.shape[1] // 2, small.shape[0] // 2
            small, step = np.asarray(cv2.resize(small, half, interpolation=cv2.INTER_AREA), np.float32), 2 * step
        grown = float(np.sqrt(sigma**2 - spread**2)) / step
        small = np.asarray(cv2.GaussianBlur(small, (0, 0), grown), np.float32)
        blurred = small if step == 1 else cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
        bands.append(cv2.subtract(above, blurred))
        above, spread = np.asarray(blurred, np.float32), sigma
    return bands


def _gain(made: Array, real: Array, inside: Array, weight: Array) -> Array:
    """(cells, cells) logarithm of what brings one band (S, S) of luma to the strength of the other, place by place.

    ``inside`` (S, S) says what counts, ``weight`` how much of each cell does; the rest takes its neighbours' gain.
    """
    power = [_cells(band * band * inside) / np.maximum(weight, 1e-3) for band in (real, made)]
    gain = 0.5 * np.log((power[0] + _FLOOR**2) / (power[1] + _FLOOR**2))
    gain = gain.clip(np.log(_LEAST), np.log(_MOST)) * weight
    total, share = (cv2.GaussianBlur(v, (0, 0), 0.7, borderType=cv2.BORDER_REPLICATE) for v in (gain, weight))
    everywhere = float(gain.sum()) / float(weight.sum())
    return np.asarray((total + 0.01 * everywhere) / (share + 0.01), np.float32)


def _cells(values: Array) -> Array:
    """(cells, cells) means of an (S, S) map; by quarters first, of which OpenCV makes short work."""
    size = len(values) // 4
    quarter = cv2.resize(values, (size, size), interpolation=cv2.INTER_AREA) if size * 4 == len(values) else values
    return np.asarray(cv2.resize(quarter, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA), np.float32)
