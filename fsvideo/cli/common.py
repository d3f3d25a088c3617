"""What the commands share: errors into one line and an exit code, stacks of options."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fsvideo.options import TUNE_STEPS
from fsvideo.types import FsvideoError

if TYPE_CHECKING:
    from fsvideo.console import Terminal

FILE = click.Path(path_type=Path)


@contextmanager
def errors(quiet: bool = False) -> Iterator[Terminal]:
    """Turn what a user can cause into one line and exit code 1, Ctrl-C into 130, SIGTERM into 143."""
    from fsvideo.console import Terminal

    terminal = Terminal(quiet)
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield terminal
    except FsvideoError as error:
        terminal.error(error)
        sys.exit(1)
    except OSError as error:  # of a path that may not be looked at, or cannot be one
        if error.filename is None:
            raise
        terminal.error(FsvideoError(f"{error.filename}: {error.strerror}", "check the name, and who may read it"))
        sys.exit(1)
    except KeyboardInterrupt as interruption:
        # Raised in code made from text, as of dataclasses, it ends `python -m` by the signal; more such code forgets it
        exec("")
        left = getattr(interruption, "__notes__", ["nothing was left behind"])
        terminal.print(f"[yellow]interrupted[/] {left[-1]}")
        sys.exit(143 if isinstance(interruption, _Terminated) else 130)
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Terminated(KeyboardInterrupt):
    """Asked to end: it is taken as Ctrl-C is."""


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


def stack(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(decorators):
            command = option(command)
        return command

    return add


def seconds_of(text: str) -> float:
    """``12.5``, ``1:02.5`` or ``0:01:02.5`` in seconds. Raises ValueError."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        raise ValueError(text) from None
    if not 1 <= len(parts) <= 3 or not all(0 <= part < float("inf") for part in parts):
        raise ValueError(text)
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


class Number(click.FloatRange):
    """A range in which neither nan nor inf lies."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a number that can be worked with", param, ctx)
        return found


class Switch(click.Option):
    """``--refine/--no-refine``; the environment may use either name: FSVIDEO_SWAP_NO_REFINE=1."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        given = super().resolve_envvar_value(ctx)
        yes, no = (opts[0].lstrip("-").upper().replace("-", "_") for opts in (self.opts, self.secondary_opts))
        name = f"{str(self.envvar).removesuffix(yes)}{no}"
        denied = os.environ.get(name)
        if not denied:
            return given
        try:
            off = click.BOOL.convert(denied, self, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(f"{error.message} (from the environment: {name})", ctx, self) from None
        if given is not None and click.BOOL.convert(given, self, ctx) == off:
            raise click.BadParameter(f"{self.envvar} and {name} contradict each other", ctx, self)
        return "0" if off else "1"


class _Seconds(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return seconds_of(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time: give seconds (12.5) or h:mm:ss (0:01:02.5)", param, ctx)


SECONDS = _Seconds()
DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the networks run.",
)


def backend(default: str) -> Callable[[Any], Any]:
    """The option --backend."""
    return click.option(
        "--backend",
        type=click.Choice(["auto", "torch", "onnx", "openvino"]),
        default=default,
        show_default=True,
        help="What computes the swap: auto is the first of openvino, onnx and torch that is installed; on a GPU torch.",
    )


BACKEND = backend("auto")
COMPUTE = stack(
    DEVICE,
    click.option(
        "--batch-size", type=click.IntRange(1, 256), default=4, show_default=True, help="Faces per call of the network."
    ),
    click.option("--threads", type=click.IntRange(0, 256), default=0, show_default="all cores", help="CPU threads."),
)
MODEL = click.option(
    "--model",
    default="compact",
    show_default=True,
    metavar="NAME|FILE",
    help="Weights of the swapper: compact, or a file that `fsvideo train` wrote; warp is the plain baseline.",
)
REFINE = click.option(
    "--refine/--no-refine",
    cls=Switch,
    default=True,
    show_default=True,
    help="Repair occlusions with HEAR-Net, where the model has one.",
)
TUNE = click.option(
    "--tune",
    type=click.IntRange(0, 100),
    default=TUNE_STEPS,
    show_default=True,
    metavar="N",
    help="Adjust what the network is told about the source to this person, in N steps before the swap or beside a live "
    "stream: more likeness, pose and expression held better, for some seconds; 0: none.",
)
REFERENCE = click.option(
    "--reference", type=FILE, metavar="IMAGE", help="Picture of the person to swap, for --faces reference."
)
