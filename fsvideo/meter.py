"""What each stage of a run costs: time it, one stage after the other, or pay nothing and let stages overlap.

A run is handed a meter and asks it for its stages. ``OFF`` has none; a ``StageMeter`` counts, and keeps the run from
overlapping its stages, so that whatever the process computes meanwhile belongs to the stage that is open.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from fsvideo.flow import ahead

T = TypeVar("T")

_NOTHING: AbstractContextManager[None] = nullcontext()


class Meter:
    """Measures nothing."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """What happens in this block is the work of that stage; a stage within another counts for itself alone."""
        return _NOTHING

    def each(self, name: str, items: Iterable[T]) -> Iterable[T]:
        """``items``; making each of them is the work of that stage."""
        return items

    def ahead(self, items: Iterable[T], depth: int) -> Generator[T]:
        """``items`` made ahead of their use, where stages may overlap: see ``flow.ahead``."""
        return ahead(items, depth)


OFF = Meter()


@dataclass
class Cost:
    """Of one stage: seconds of computing, of all threads together, and seconds on the clock."""

    cpu: float = 0.0
    wall: float = 0.0


class StageMeter(Meter):
    """Sums up costs by stage. For one run in one thread; threads that it starts and waits for are counted in."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = {}
        self._open: list[str] = []
        self._since = (0.0, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        source = iter(items)
        try:
            while True:
                with self.stage(name):
                    try:
                        item = next(source)
                    except StopIteration:
                        return
                yield item
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    def ahead(self, items: Iterable[T], depth: int) -> Generator[T]:
        yield from items

    def _turn(self) -> None:
        """Put what was spent since the last turn on the stage that is open."""
        now = time.process_time(), time.perf_counter()
        if self._open:
            cost = self.costs.setdefault(self._open[-1], Cost())
            cost.cpu += now[0] - self._since[0]
            cost.wall += now[1] - self._since[1]
        self._since = now
