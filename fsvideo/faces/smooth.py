"""Steady tracks without lag: every frame is judged with what comes before and after it.

A still face is averaged over the whole window, a fast move hardly at all, so that nothing trails behind or overshoots.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import features_of
from fsvideo.types import Array, Track

Values = npt.NDArray[np.float64]
Smoother = Callable[[Values, Values, Values, float], Values]
"""(T, K) values, (T,) times in seconds, (T,) trust 0..1, width of the widest window in seconds -> (T, K)."""

# (width of the window as a share of the widest, degree of the polynomial), from little to much smoothing.
_STEPS = ((0.35, 2), (0.6, 2), (1.0, 2), (0.6, 1), (1.0, 1))
_NOISE = 4.5  # standard deviations by which two estimates of one frame may differ and still be noise
_BLOCK = 2000  # frames that are smoothed at a time
_GLITCH = 8.0  # standard deviations by which no neighbour, before or after, expects a glitch ...
_SPIKE, _ALONE = 0.02, 2.0  # ... and parts of the face's width, and times what is as unexpected two frames off
_FILLED = 0.2  # trust in rows that were filled in between detections
YAW, PITCH = (53.0, 60.0), (33.0, 40.0)  # degrees: a face turned beyond the second fades out, back within the first in
TURN, END = 0.2, 0.1  # seconds of a fade at a turned face, and where a face comes or goes
BRIDGE = 0.12  # seconds between two sights of a face; more is taken for an occlusion


def smooth(track: Track, times: npt.ArrayLike, seconds: float, method: str = "adaptive") -> Track:
    """The track with its points, outline, features and pose steadied.

    ``times`` (T,): seconds of the track's frames. ``seconds``: how much time, before and after together, one frame may
    be averaged over; 0 changes nothing. ``method``: one of SMOOTHERS.
    """
    count = len(track.points)
    if seconds <= 0 or count < 3:
        return track
    seconds_of = np.asarray(times, np.float64)
    shape = np.concatenate([track.points, track.outline], axis=1).reshape(count, -1).astype(np.float64)
    trust = np.where(track.score > 0, 1.0, _FILLED)
    glitch = _glitches(shape, float(np.median(np.ptp(track.outline[..., 0], axis=1))))
    trust[glitch] = 0.01
    smoother = SMOOTHERS[method]
    steady = smoother(_mended(shape, seconds_of, glitch), seconds_of, trust, seconds).reshape(count, -1, 2)
    pose = smoother(_mended(track.pose.astype(np.float64), seconds_of, glitch), seconds_of, trust, seconds)
    features = [  # each by itself: a blink or a word shall not hold back the steadying of all else
        smoother(_mended(part.reshape(count, -1).astype(np.float64), seconds_of, glitch), seconds_of, trust, seconds)
        .reshape(count, -1, 2)
        .astype(np.float32)
        for parts in (features_of(track.features).values() if track.features.size else ())
        for part in parts
    ]
    return replace(
        track,
        points=steady[:, :5].astype(np.float32),
        outline=steady[:, 5:].astype(np.float32),
        pose=_within(pose, track.pose, seconds_of, seconds),
        features=np.concatenate(features, axis=1) if features else track.features,
    )


def _within(steady: Values, seen: Array, times: Values, seconds: float) -> Array:
    """``steady`` held within what was ``seen`` in the window: where a track ends, a polynomial goes on turning a face
    that no frame shows turned so far, and it would fade out for that."""
    first = np.searchsorted(times, times - seconds / 2, "left")
    last = np.searchsorted(times, times + seconds / 2, "right")
    spans = [seen[a:b] for a, b in zip(first, last, strict=True)]
    low, high = np.array([s.min(0) for s in spans]), np.array([s.max(0) for s in spans])
    return np.asarray(steady.clip(low, high), np.float32)


def adaptive(values: Values, times: Values, trust: Values, seconds: float) -> Values:
    """Local polynomials over the widest window whose result still agrees with all narrower ones, frame by frame.

    The intersection of confidence intervals rule (Goldenshluger and Nemirovski 1997): widening stops where the motion
    bends more than noise would explain.
    """
    noise = _noise(values)
    pieces = []
    for begin in range(0, len(values), _BLOCK):  # with what their windows reach: memory does not grow with the clip
        end = min(begin + _BLOCK, len(values))
        first = max(0, int(np.searchsorted(times, times[begin] - seconds)) - 3)
        last = int(np.searchsorted(times, times[end - 1] + seconds)) + 3
        there = slice(first, last)
        pieces.append(_adapted(values[there], times[there], trust[there], seconds, noise)[begin - first : end - first])
    return np.concatenate(pieces)


def _adapted(values: Values, times: Values, trust: Values, seconds: float, noise: float) -> Values:
    estimates, gains = [values], [1 / trust]
    level = np.zeros(len(values))
    agrees = np.ones(len(values), bool)
    for step, (share, degree) in enumerate(_STEPS, start=1):
        estimate, gain = _local_polynomial(values, times, trust, share * seconds, degree)
        for other, other_gain in zip(estimates, gains, strict=True):
            spread = np.sqrt(np.maximum(other_gain**2 - gain**2, 0.05))
            agrees &= np.abs(estimate - other).max(1) <= _NOISE * noise * spread
        level[agrees] = step
        estimates.append(estimate)
        gains.append(gain)
    # Neighbours use the least of their levels, and change it gradually: a sudden change would show.
    padded = np.pad(level, 2, mode="edge")
    least = np.lib.stride_tricks.sliding_window_view(padded, 5).min(1)
    padded = np.pad(least, 1, mode="edge")
    gradual = np.minimum(least, (padded[:-2] + padded[1:-1] + padded[2:]) / 3)
    lower = np.floor(gradual).astype(int)
    upper = np.minimum(lower + 1, len(_STEPS))
    part = (gradual - lower)[:, None]
    stack, rows = np.stack(estimates), np.arange(len(values))
    return np.asarray((1 - part) * stack[lower, rows] + part * stack[upper, rows])


def polynomial(values: Values, times: Values, trust: Values, seconds: float) -> Values:
    """Local polynomials of second degree over a fixed window (Savitzky and Golay 1964, on the real times)."""
    return _local_polynomial(values, times, trust, seconds, 2)[0]


SMOOTHERS: dict[str, Smoother] = {"adaptive": adaptive, "polynomial": polynomial}


def fade(
    track: Track,
    times: npt.ArrayLike,
    bounds: Collection[int] | None = None,
    wanted: npt.NDArray[np.bool_] | None = None,
) -> Array:
    """(T,) opacity 0..1 of what is put on the face in each of the track's frames.

    0 where the face is turned too far away or was not seen for a while, with short ramps before and after. Ramps also
    where the track begins and ends, unless the shot does: ``bounds`` are the frames at which shots begin and the number
    of frames in the clip (see ``follow.Tracking``); without them there are none. ``times`` (T,): seconds of the
    track's frames. ``wanted`` (T,): where a face is wanted at all; None: everywhere.
    """
    seconds = np.asarray(times, np.float64)
    count = len(track.points)
    frame = float(np.median(np.diff(seconds))) if count > 1 else 0.04
    turned = _turned(track.pose)
    hidden = _hidden(track.score > 0, seconds)
    gone = seconds[hidden if wanted is None else hidden | ~wanted]
    if bounds is not None and track.start not in bounds:
        gone = np.append(gone, seconds[0] - frame)
    if bounds is not None and track.stop not in bounds:
        gone = np.append(gone, seconds[-1] + frame)
    return np.minimum(_ramp(seconds, seconds[turned], TURN), _ramp(seconds, gone, END))


def _turned(pose: Array) -> npt.NDArray[np.bool_]:
    """Where the face looks too far away; the limit to come back is lower than the one to go."""
    near, far = (np.any(np.abs(pose[:, :2]) > (yaw, pitch), axis=1) for yaw, pitch in zip(YAW, PITCH, strict=True))
    turned = far.copy()
    for t in range(1, len(turned)):
        turned[t] |= turned[t - 1] and near[t]
    return np.asarray(turned)


def _hidden(seen: npt.NDArray[np.bool_], times: Values) -> npt.NDArray[np.bool_]:
    """The rows of gaps that last longer than a missed detection or two."""
    hidden = ~seen
    rows = np.flatnonzero(seen)
    for before, after in pairwise(rows):
        if times[after] - times[before] <= BRIDGE + 1e-6:
            hidden[before:after] = False
    return hidden


def _ramp(times: Values, absent: Values, length: float) -> Array:
    """(T,) 0 at the absent times, rising to 1 within ``length`` seconds on either side."""
    if len(absent) == 0:
        return np.ones(len(times), np.float32)
    absent = np.sort(absent)
    after = np.searchsorted(absent, times)
    away = np.minimum(
        np.abs(times - absent[np.clip(after, 0, len(absent) - 1)]),
        np.abs(times - absent[np.clip(after - 1, 0, len(absent) - 1)]),
    )
    x = np.clip(away / length, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def _local_polynomial(
    values: Values, times: Values, trust: Values, seconds: float, degree: int
) -> tuple[Values, Values]:
    """Least squares over the window around each frame: (T, K) its value there, (T,) what it makes of unit noise."""
    half = seconds / 2
    first, last = np.searchsorted(times, times - half), np.searchsorted(times, times + half, side="right")
    width = int((last - first).max())
    result, gain = np.empty_like(values), np.empty(len(values))
    for begin in range(0, len(values), 512):  # so that memory does not grow with the clip
        rows = slice(begin, begin + 512)
        index = first[rows, None] + np.arange(width)
        inside = index < last[rows, None]
        index = np.minimum(index, len(values) - 1)
        offset = (times[index] - times[rows, None]) / half
        weight = trust[index] * np.maximum(1.05 - offset**2, 0) * inside
        powers = offset[..., None] ** np.arange(degree + 1)
        # A touch of ridge on the higher terms: a window with too few frames falls back to a lower degree.
        normal = np.einsum("tw,twi,twj->tij", weight, powers, powers) + np.diag([1e-9] + [1e-4] * degree)
        target = np.zeros((len(normal), degree + 1, 1))
        target[:, 0] = 1
        kernel = np.einsum("twi,ti,tw->tw", powers, np.linalg.solve(normal, target)[..., 0], weight)
        result[rows] = np.einsum("tw,twk->tk", kernel, values[index])
        gain[rows] = np.sqrt((kernel**2 / trust[index]).sum(1))
    return result, gain


def _noise(values: Values) -> float:
    """Standard deviation of the noise, from third differences, which smooth motion hardly enters; pixels or degrees."""
    if len(values) < 6:
        return 0.3
    third = np.diff(values, n=3, axis=0)
    return max(0.02, float(np.median(np.abs(third))) / 0.6745 / float(np.sqrt(20)))


def _glitches(values: Values, width: float) -> npt.NDArray[np.bool_]:
    """Rows that fit neither what comes before, nor what comes after, nor the middle of both.

    ``width``: of the face, pixels. A move that bends is as unexpected for several frames: that is none.
    """
    glitch = np.zeros(len(values), bool)
    if len(values) < 6:
        return glitch
    middle = values[2:-2]
    guesses = (
        2 * values[1:-3] - values[:-4],
        2 * values[3:-1] - values[4:],
        (values[1:-3] + values[3:-1]) / 2,
    )
    surprise = np.min([np.median(np.abs(middle - guess), axis=1) for guess in guesses], axis=0)
    usual = np.pad(surprise, 2)
    usual = np.maximum(usual[:-4], usual[4:])
    glitch[2:-2] = surprise > np.maximum(max(_GLITCH * _noise(values), _SPIKE * width), _ALONE * usual)
    return glitch


def _mended(values: Values, times: Values, bad: npt.NDArray[np.bool_]) -> Values:
    """The values with the bad rows replaced by what lies between their good neighbours."""
    if not bad.any():
        return values
    mended = values.copy()
    for column in range(values.shape[1]):
        mended[bad, column] = np.interp(times[bad], times[~bad], values[~bad, column])
    return mended
