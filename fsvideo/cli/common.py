"""What the commands share: errors into one line and an exit code, stacks of options."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fsvideo.types import FsvideoError

if TYPE_CHECKING:
    from fsvideo.console import Terminal

FILE = click.Path(path_type=Path)


@contextmanager
def errors(quiet: bool = False) -> Iterator[Terminal]:
    """Turn what a user can cause into one line and exit code 1, Ctrl-C into 130."""
    from fsvideo.console import Terminal

    terminal = Terminal(quiet)
    try:
        yield terminal
    except FsvideoError as error:
        terminal.error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        terminal.print("[yellow]interrupted[/] nothing was left behind")
        sys.exit(130)


def stack(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(decorators):
            command = option(command)
        return command

    return add
