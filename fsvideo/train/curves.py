"""A run's metrics as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fsvideo.types import Array


def read(metrics: Path) -> dict[str, Array]:
    """Every named value of a metrics.jsonl with its steps: (n, 2). A line that was cut is left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in metrics.read_text().splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        for name in values.keys() - {"step", "minutes"}:
            found.setdefault(name, []).append((values["step"], values[name]))
    return {name: np.asarray(rows, np.float64) for name, rows in found.items()}


def draw(metrics: Path, output: Path) -> None:
    """One panel a value: as it was, and its running mean. Nothing where there are no metrics yet."""
    found = read(metrics) if metrics.exists() else {}
    if not found:
        return
    from matplotlib.figure import Figure

    names = sorted(found)
    figure = Figure(figsize=(12, 2.4 * -(-len(names) // 3)), layout="constrained")
    for panel, name in zip(figure.subplots(-(-len(names) // 3), 3, squeeze=False).flat, names, strict=False):
        steps, values = found[name].T
        panel.plot(steps, values, color="0.75", linewidth=0.7)
        panel.plot(steps, _running_mean(values), color="tab:blue")
        panel.set_title(name, fontsize=10)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
    for panel in figure.axes[len(names) :]:
        panel.set_axis_off()
    figure.savefig(output, dpi=90)


def _running_mean(values: Array) -> Array:
    """Each value's mean with its neighbours, up to a fiftieth of the curve away."""
    reach = len(values) // 50
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(0, at - reach), np.minimum(len(values), at + reach + 1)
    return np.asarray((total[high] - total[low]) / (high - low))
