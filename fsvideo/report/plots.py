"""Lines over time as SVG: as wide as the page, with text that stays readable, and no library behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

_MOST = 500  # points of a line; more are drawn as their mean and their range
_WIDTH, _HEIGHT = 1000.0, 100.0  # units of the area that is stretched
_LANE = 22  # pixels of a person's lane


@dataclass(frozen=True)
class Line:
    """(N,) a value a frame, NaN where there is none."""

    name: str
    values: Values


@dataclass(frozen=True)
class Axis:
    """The frames' times in seconds (N,), and where shots begin."""

    times: Values
    cuts: Sequence[float] = ()

    @property
    def span(self) -> float:
        """Seconds from the first frame to the last, never 0."""
        return max(1e-3, float(self.times[-1] - self.times[0]))

    def at(self, seconds: float | Values) -> Values:
        """Where along the axis, 0..1."""
        return np.asarray((seconds - self.times[0]) / self.span)


@dataclass(frozen=True)
class Plot:
    """``breaks`` (N,): a line does not go on from one number to another. ``marked`` (N,): frames to be shaded."""

    title: str
    unit: str
    about: str
    lines: Sequence[Line]
    breaks: npt.NDArray[np.int64]
    marked: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    floor: float | None = None  # the axis reaches at least from here ...
    ceiling: float | None = None  # ... to here


def figure(plot: Plot, axis: Axis) -> str:
    """A plot with its heading, what it means, its legend."""
    legend = "".join(
        f'<span class="key line{n}"><svg viewBox="0 0 24 8" aria-hidden="true"><path d="M0,4H24"/></svg>'
        f"{escape(line.name)}</span>"
        for n, line in enumerate(plot.lines)
    )
    return (
        f'<figure class="plot"><figcaption><h4>{escape(plot.title)} <small>{escape(plot.unit)}</small></h4>'
        f'<p>{escape(plot.about)}</p><p class="legend">{legend}<output></output></p></figcaption>'
        f"{_svg(plot, axis)}</figure>"
    )


def _svg(plot: Plot, axis: Axis) -> str:
    ticks = _ticks(*_range(plot))
    low, high = ticks[0], ticks[-1]
    drawn = []
    for n, line in enumerate(plot.lines):
        height = _HEIGHT * (1 - (line.values - low) / (high - low))
        drawn.append(_drawn(axis.at(axis.times) * _WIDTH, height, plot.breaks, n, line.name))
    levels = [(value, 14 + 130 * (1 - (value - low) / (high - low))) for value in ticks]
    grid = "".join(f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>' for _, y in levels)
    numbers = "".join(f'<text x="0" y="{y - 3:.1f}">{value:g}</text>' for value, y in levels)
    words = "; ".join(f"{line.name}: {_words(line.values)}" for line in plot.lines)
    return (
        f'<svg class="area" role="img" aria-label="{escape(f"{plot.title}, {plot.unit}. {words}")}" '
        f'data-low="{low:g}" data-high="{high:g}" data-begin="{axis.times[0]:.3f}" data-span="{axis.span:.3f}">'
        f"{_bands(plot.marked, axis, 14, 130)}{grid}{cut_lines(axis, 14, 130)}"
        f'<svg class="lines" y="14" width="100%" height="130" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'preserveAspectRatio="none">{"".join(drawn)}</svg>{numbers}<line class="cursor" y1="14" y2="144"/>'
        f"{time_ticks(axis, 160)}</svg>"
    )


def lanes(people: Sequence[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]], axis: Axis) -> str:
    """Who is swapped when: a name, (N,) swapped and (N,) filled in a lane."""
    rows = []
    for n, (name, swapped, filled) in enumerate(people):
        top = 4 + n * _LANE * 1.8
        rows.append(f'<text x="0" y="{top + 10:.0f}">{escape(name)}</text>')
        rows += [_bands(swapped, axis, top + 14, _LANE - 10, "swapped"), _bands(filled, axis, top + 14, _LANE - 10)]
    height = round(4 + len(people) * _LANE * 1.8)
    return (
        f'<svg class="lanes" height="{height + 22}" role="img" aria-label="who is swapped when">'
        f"{''.join(rows)}{cut_lines(axis, 0, height)}{time_ticks(axis, height + 16)}</svg>"
    )


def time_ticks(axis: Axis, y: float) -> str:
    """Times in words along the bottom."""
    anchors = ("start", "middle", "middle", "middle", "end")
    texts = []
    for part, anchor in zip((0.0, 0.25, 0.5, 0.75, 1.0), anchors, strict=True):
        seconds = axis.times[0] + part * axis.span
        texts.append(f'<text x="{100 * part:g}%" y="{y}" text-anchor="{anchor}">{_time(seconds, axis.span)}</text>')
    return "".join(texts)


def _time(seconds: float, span: float) -> str:
    if span < 60:
        return f"{seconds:.2f} s" if span < 4 else f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{whole % 60:02}"


def cut_lines(axis: Axis, y: float, height: float) -> str:
    """A dashed line where a shot begins."""
    return "".join(
        f'<line class="cut" x1="{100 * float(axis.at(cut)):.3f}%" x2="{100 * float(axis.at(cut)):.3f}%" '
        f'y1="{y:g}" y2="{y + height:g}"/>'
        for cut in axis.cuts
    )


def _bands(marked: npt.NDArray[np.bool_], axis: Axis, y: float, height: float, kind: str = "filled") -> str:
    """A rectangle over each run of marked frames; runs that are nearer than a pixel are one."""
    if not marked.any():
        return ""
    at = axis.at(axis.times)
    frame = float(np.median(np.diff(at))) if len(at) > 1 else 1.0
    numbers = np.flatnonzero(marked)
    ends = np.append(at[1:], at[-1] + frame)
    gaps = np.flatnonzero(at[numbers[1:]] - ends[numbers[:-1]] > 5e-4)
    firsts, lasts = numbers[np.append(0, gaps + 1)], numbers[np.append(gaps, len(numbers) - 1)]
    return "".join(
        f'<rect class="{kind}" x="{100 * at[a]:.3f}%" y="{y:g}" height="{height:g}" '
        f'width="{100 * max(1e-3, min(1.0, ends[b]) - at[a]):.3f}%"/>'
        for a, b in zip(firsts, lasts, strict=True)
    )


def _drawn(x: Values, y: Values, breaks: npt.NDArray[np.int64], nth: int, name: str) -> str:
    """A line, and behind it the range of what its points stand for, where they stand for several."""
    there = np.flatnonzero(np.isfinite(y))
    x, y = x[there], y[there]
    if not len(x):
        return ""
    run = np.cumsum(np.append(0, (np.diff(there) > 1) | (np.diff(breaks[there]) != 0)))  # what one line goes through
    bins = np.minimum((x / _WIDTH * _MOST).astype(int), _MOST - 1) if len(x) > _MOST else np.arange(len(x))
    starts = np.flatnonzero(np.append(True, (np.diff(bins) != 0) | (np.diff(run) != 0)))
    counts = np.diff(np.append(starts, len(x)))
    mid_x, mid_y = (np.add.reduceat(v, starts) / counts for v in (x, y))
    begins = np.append(True, np.diff(run[starts]) != 0)
    path = _path(mid_x, mid_y, begins)
    band = ""
    if len(starts) < len(x):
        low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
        for part in np.split(np.arange(len(starts)), np.flatnonzero(begins)[1:]):
            ring = np.append(part, part[::-1])
            edge = np.append(high[part], low[part][::-1])
            band += _path(mid_x[ring], edge, np.arange(len(ring)) == 0) + "Z"
        band = f'<path class="band line{nth}" d="{band}"/>'
    return f'{band}<path class="line line{nth}" data-name="{escape(name)}" d="{path}"/>'


def _path(x: Values, y: Values, begins: npt.NDArray[np.bool_]) -> str:
    return "".join(
        f"{'M' if new else 'L'}{a:.1f},{b:.1f}" + ("h.1" if new else "") for a, b, new in zip(x, y, begins, strict=True)
    )


def _range(plot: Plot) -> tuple[float, float]:
    values = np.concatenate([line.values[np.isfinite(line.values)] for line in plot.lines])
    bounds = [v for v in (plot.floor, plot.ceiling) if v is not None]
    everything = np.append(values, bounds)
    return (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 1.0)


def _ticks(low: float, high: float) -> list[float]:
    """Three to five round numbers that enclose the range."""
    wide = max(high - low, 1e-6, 1e-3 * abs(high))
    step = 10 ** math.floor(math.log10(wide / 3))
    step *= next(times for times in (1, 2, 5, 10) if wide / (step * times) <= 3.5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 9) for n in range(first, max(last, first + 1) + 1)]


def _words(values: Values) -> str:
    there = values[np.isfinite(values)]
    if not len(there):
        return "nothing measured"
    return f"mean {there.mean():.3g}, from {there.min():.3g} to {there.max():.3g}"
