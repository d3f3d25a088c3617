"""The terminal: what was found, how far it is, what was made. All of it on stderr."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fsvideo.types import FsvideoError

_LOG_WIDTH = 10_000  # characters

_LONG = 1.0  # seconds after which a stage that counts nothing is told, too


class _Rate(ProgressColumn):
    """How many a second the running stage does."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:5.1f} {self._unit}/s", style="cyan")


class _Count(ProgressColumn):
    """Frames done, and of how many where that is known."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{int(task.total)}"
        return Text(f"{int(task.completed)}{total}")


def _stderr(quiet: bool) -> Console:
    """Lines are as long as they are where no terminal shows them: paths and hashes stay whole in a log."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _LOG_WIDTH
    return console


class Terminal:
    """A live display on stderr (types.Ui). With ``quiet`` it shows errors and nothing else."""

    def __init__(self, quiet: bool) -> None:
        self.console, self._error = _stderr(quiet), _stderr(False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage, self._done, self._began, self._unit = "", 0, 0.0, "frames"

    @contextmanager
    def live(self, unit: str = "frames") -> Iterator[None]:
        """The progress display, taken away at the end. ``unit``: what is counted."""
        self._unit = unit
        columns = (
            TextColumn("[bold]{task.description:<10}"),
            BarColumn(bar_width=32),
            _Count(),
            _Rate(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True, speed_estimate_period=10) as progress:
            self._progress = progress
            try:
                yield
            finally:
                self._finish_stage()
                self._progress, self._task = None, None

    @contextmanager
    def gauge(self) -> Iterator[Callable[[str], None]]:
        """A line that is rewritten in place, taken away at the end: call with what it is to say."""
        with self.console.status("begins ...") as status:
            yield lambda text: status.update(escape(text))

    def stage(self, name: str, total: int) -> None:
        self._finish_stage()
        self._stage, self._done, self._began = name, 0, time.monotonic()
        if self._progress is not None:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(name, total=total or None)

    def advance(self, frames: int = 1) -> None:
        self._done += frames
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, frames)

    def expect(self, total: int) -> None:
        if self._progress is not None and self._task is not None and self._progress.tasks[-1].total != (total or None):
            self._progress.update(self._task, total=total or None)

    def note(self, text: str) -> None:
        self.console.print(f"  {escape(text)}", soft_wrap=True)

    def table(self, rows: list[tuple[str, str]]) -> None:
        """A summary: a name and a value a row."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", justify="right")
        grid.add_column(overflow="fold")
        for name, value in rows:
            grid.add_row(name, escape(value))
        self.console.print(grid)

    def figures(self, title: str, about: list[str], header: list[str], rows: list[list[str]]) -> None:
        """Figures side by side: their names in the first column."""
        self.console.print(f"[bold]{escape(title)}[/]", *(f"  {escape(line)}" for line in about), sep="\n")
        table = Table()
        for nth, name in enumerate(header):
            table.add_column(escape(name), justify="right" if nth else "left", no_wrap=nth == 0, overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row))
        self.console.print(table)

    def listing(self, header: list[str], rows: list[list[str]]) -> None:
        """Things one below the other, a row each."""
        table = Table()
        for name in header:
            table.add_column(escape(name), overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row))
        self.console.print(table)

    def print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    def error(self, error: FsvideoError) -> None:
        """What is wrong, and what to do."""
        self._error.print(f"[bold red]error[/] {escape(str(error))}", soft_wrap=True)
        if error.hint:
            self._error.print(f"  {escape(error.hint)}", soft_wrap=True)

    def _finish_stage(self) -> None:
        if self._stage and self._done:
            seconds = max(1e-6, time.monotonic() - self._began)
            rate = f"{self._done / seconds:.1f} {self._unit}/s"
            self.console.print(f"  [dim]{self._stage:<10} {self._done} {self._unit} in {seconds:.1f} s, {rate}[/]")
        elif self._stage and (seconds := time.monotonic() - self._began) >= _LONG:
            self.console.print(f"  [dim]{self._stage:<10} {seconds:.1f} s[/]")
        self._stage, self._done = "", 0


class Silent:
    """Says nothing (types.Ui): for tests and for use as a library."""

    def stage(self, name: str, total: int) -> None: ...

    def advance(self, frames: int = 1) -> None: ...

    def expect(self, total: int) -> None: ...

    def note(self, text: str) -> None: ...
