"""What an evaluation finds: figures in columns, one column a swapper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fsvideo.types import Image


@dataclass(frozen=True)
class Figure:
    """One number, what it is, its unit, and how many samples it is from."""

    name: str
    value: float
    unit: str
    samples: int


@dataclass
class Column:
    """The figures of one swapper, and the samples behind them."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)

    def collect(self, name: str, value: float | None) -> None:
        """One sample; None where it could not be measured."""
        kept = self.values.setdefault(name, [])
        if value is not None and np.isfinite(value):
            kept.append(float(value))

    def add(self, name: str, unit: str, middle: Callable[[list[float]], float] = np.mean, scale: float = 1.0) -> None:  # type: ignore[assignment]
        """The figure of what was collected under this name: its mean, unless told otherwise. None for no samples."""
        kept = self.values.get(name, [])
        if kept:
            self.figures.append(Figure(name, float(middle(kept)) * scale, unit, len(kept)))

    def put(self, name: str, value: float, unit: str, samples: int) -> None:
        """A figure that is no mean of samples."""
        self.figures.append(Figure(name, value, unit, samples))

    def __getitem__(self, name: str) -> float:
        """The value of a figure. Raises KeyError where it was not measured."""
        for figure in self.figures:
            if figure.name == name:
                return figure.value
        raise KeyError(name)


@dataclass
class Section:
    """Figures of several swappers on the same footage. ``about``: how they were measured, a line each."""

    title: str
    columns: list[Column]
    about: list[str] = field(default_factory=list)
    sheet: Image | None = None
    file: str = ""  # of the sheet
