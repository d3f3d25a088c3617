"""HDR as a viewer of SDR would see it: PQ and HLG signals to BT.709-like RGB, and back.

Networks and detectors know SDR faces. A picture is shown to them on a curve that has diffuse white just below the top
of the scale, and what they change is carried back through the same curve: where nothing changes, nothing is carried.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.types import Array

PQ, HLG = 16, 18  # H.273 transfer functions
_WHITE_NITS = 203.0  # diffuse white (BT.2408)
_WHITE_HLG = 0.75  # the HLG signal of diffuse white
_KNEE = 0.5  # of diffuse white: a square root below, a logarithm above
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073  # ARIB STD-B67
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_TO_2020 = np.linalg.inv(_TO_709)
_BT2020 = 9  # H.273 primaries

Values = npt.NDArray[np.floating]


def is_hdr(transfer: int) -> bool:
    return transfer in (PQ, HLG)


def to_sdr(rgb: Array, transfer: int, primaries: int) -> Array:
    """(h, w, 3) RGB of a PQ or HLG signal, on the 0..255 scale -> what an SDR camera would have made of it.

    Highlights lie above 255, colours that BT.709 lacks below 0.
    """
    light = _pq_light(rgb / 255) if transfer == PQ else _hlg_light(rgb / 255)
    return _floats(_sdr_signal(_turned(light, _TO_709, primaries)) * 255)


def from_sdr(rgb: Array, transfer: int, primaries: int) -> Array:
    """The inverse of ``to_sdr``."""
    light = np.maximum(_turned(_sdr_light(rgb / 255), _TO_2020, primaries), 0)
    return _floats((_pq_signal(light) if transfer == PQ else _hlg_signal(light)) * 255)


@lru_cache(maxsize=2)
def table(transfer: int) -> npt.NDArray[np.uint8]:
    """(256,) a look-up table that does what ``to_sdr`` does but for the primaries: for a glance, in little time."""
    gray = np.repeat(np.arange(256, dtype=np.float32)[None, :, None], 3, axis=2)
    return np.clip(np.rint(to_sdr(gray, transfer, 1)[0, :, 0]), 0, 255).astype(np.uint8)


def _turned(light: Values, matrix: Values, primaries: int) -> Values:
    return np.asarray(cv2.transform(_floats(light), _floats(matrix))) if primaries == _BT2020 else light


def _floats(values: Values) -> Array:
    return np.asarray(values, np.float32)


# light is in units of diffuse white


def _sdr_signal(light: Values) -> Values:
    size, corner = np.abs(light), _KNEE**0.5
    above = corner + corner / 2 * np.log(np.maximum(size, _KNEE) / _KNEE)
    return np.sign(light) * np.where(size < _KNEE, np.sqrt(size), above)


def _sdr_light(signal: Values) -> Values:
    size, corner = np.abs(signal), _KNEE**0.5
    above = _KNEE * np.exp(np.maximum(size - corner, 0) / (corner / 2))
    return np.sign(signal) * np.where(size < corner, size**2, above)


def _pq_light(signal: Values) -> Values:
    root = np.clip(signal, 0, 1) ** (1 / _M2)
    return (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1) * (10000 / _WHITE_NITS)


def _pq_signal(light: Values) -> Values:
    power = np.minimum(light * (_WHITE_NITS / 10000), 1) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _hlg_light(signal: Values) -> Values:
    size = np.clip(signal, 0, 1)
    linear = np.where(size <= 0.5, size**2 / 3, (np.exp((size - _C) / _A) + _B) / 12)
    return linear / _HLG_WHITE


def _hlg_signal(light: Values) -> Values:
    linear = np.minimum(light * _HLG_WHITE, 1)
    return np.where(linear <= 1 / 12, np.sqrt(3 * linear), _A * np.log(np.maximum(12 * linear - _B, 1e-6)) + _C)


_HLG_WHITE = float((np.exp((_WHITE_HLG - _C) / _A) + _B) / 12)
