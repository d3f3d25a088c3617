"""A run folder: its settings, metrics and checkpoints, and how a run is stopped and taken up again."""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from fsvideo.train import curves
from fsvideo.train.world import World
from fsvideo.types import FsvideoError, Image

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


_ECHO = 2.0  # seconds within which signals are one and the same


class Diverged(FsvideoError):
    """A loss or a parameter is no longer finite."""


class Stop:
    """True once Ctrl-C or SIGTERM came: the loop then saves and ends. A later one interrupts at once.

    torchrun's processes get one Ctrl-C twice: from the terminal and, moments later, from torchrun.
    """

    def __init__(self) -> None:
        self._asked: float | None = None  # when, on the monotonic clock

    def __bool__(self) -> bool:
        return self._asked is not None

    def ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
        elif now - self._asked > _ECHO:
            raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Within it, the first Ctrl-C or SIGTERM only sets the flag; the handlers before it come back at the end."""
    stop = Stop()
    before = {s: signal.signal(s, stop.ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class RunFolder:
    """Where one run keeps what it makes: ``metrics.jsonl``, ``state.pt``, ``samples/``, ``curves.png``, weights.

    Metrics and samples also go to TensorBoard's files under ``board/`` where tensorboard is installed. Of several
    processes in a ``world``, only the first writes.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.state_file = path / "state.pt"
        if self.state_file.exists() and not resume:
            raise FsvideoError(f"{path}: holds a run already", "go on with --resume, or choose another --output")
        if resume and not self.state_file.exists():
            raise FsvideoError(f"{path}: no run to resume here", "start one without --resume")
        self.world = World()
        self._started = time.monotonic()
        self._board: SummaryWriter | None = None

    def make(self) -> None:
        """Create what is not there yet."""
        if not self.world.first:
            return
        try:
            (self.path / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FsvideoError(f"{self.path}: {error.strerror}", "choose another --output") from error

    def minutes(self) -> float:
        """Minutes since this process took up the run."""
        return (time.monotonic() - self._started) / 60

    def open_board(self, step: int) -> bool:
        """Write for TensorBoard, too, from this step on. False where it is not installed."""
        if not self.world.first or find_spec("tensorboard") is None:
            return not self.world.first
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(self.path / "board"), purge_step=step)  # type: ignore[no-untyped-call]
        return True

    def close(self) -> None:
        """Draw the curves and let go of TensorBoard's file."""
        if self._board is not None:
            self._board.close()  # type: ignore[no-untyped-call]
        if self.world.first:
            curves.draw(self.path / "metrics.jsonl", self.path / "curves.png")

    def log(self, **values: float) -> None:
        """Append one line to metrics.jsonl."""
        if not self.world.first:
            return
        if self._board is not None:
            for name, value in values.items():
                if name != "step":
                    self._board.add_scalar(name, value, int(values["step"]))  # type: ignore[no-untyped-call]
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({k: round(float(v), 6) for k, v in values.items()}) + "\n")

    def trim(self, step: int) -> None:
        """Forget the metrics after ``step``: the checkpoint that is gone on with does not know them."""
        path = self.path / "metrics.jsonl"
        if self.world.first and path.exists():
            kept = [line for line in path.read_text().splitlines(keepends=True) if _step_of(line) <= step]
            path.write_text("".join(kept))

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, whole or not at all. Raises Diverged where it holds a number that is not finite."""
        if not all(bool(torch.isfinite(t).all()) for t in _floats(state)):
            raise Diverged(f"the parameters are no longer finite at step {state['step']}")
        if not self.world.first:
            return
        part = self.state_file.with_suffix(".part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.state_file)

    def load_state(self) -> dict[str, Any]:
        """The checkpoint."""
        self.world.wait()  # for the first process to have written it
        return read_state(self.state_file)

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """In this block a trainer takes the checkpoint. Raises FsvideoError where its networks have other parts."""
        try:
            yield
        except (KeyError, RuntimeError, ValueError) as error:
            raise FsvideoError(
                f"{self.state_file}: does not fit the networks of this version of fsvideo",
                "go on in a new run that begins with its weights: --init and the .safetensors file beside it",
            ) from error

    def save_samples(self, step: int, columns: list[Tensor]) -> None:
        """A PNG whose rows are samples and whose columns are these batches (N, 3, S, S) in [-1, 1]."""
        grid = to_image(torch.cat([torch.cat(list(c), 1) for c in columns], 2))
        cv2.imwrite(str(self.path / "samples" / f"{step:07d}.png"), grid[..., ::-1])
        if self._board is not None:
            self._board.add_image("samples", grid, step, dataformats="HWC")  # type: ignore[no-untyped-call]


def read_state(file: Path) -> dict[str, Any]:
    """A training checkpoint; only tensors and plain values are unpickled. Raises FsvideoError where it is not one."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise FsvideoError(f"{file}: not a readable training checkpoint", "give a run's state.pt") from error
    if not isinstance(state, dict) or not {"step", "settings", "config", "identity", "ema"} <= state.keys():
        raise FsvideoError(f"{file}: not a training checkpoint", "give a run's state.pt")
    return state


def _floats(value: Any) -> Iterator[Tensor]:
    """Every tensor of floats inside nested dicts and lists."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _floats(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _floats(part)


def _step_of(line: str) -> float:
    """The step of a line of metrics; infinite for one that was cut."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def to_image(x: Tensor) -> Image:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8."""
    scaled = (x.detach().float().cpu().permute(1, 2, 0) * 127.5 + 127.5).round().clamp(0, 255)
    return np.asarray(scaled.numpy(), np.uint8)


def to_tensor(rgb: Image | Tensor, device: torch.device) -> Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) float in [-1, 1]."""
    return torch.as_tensor(rgb).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()


class Ema:
    """Exponential moving average of a net's parameters; early on a shorter memory, so that the start is forgotten."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for k, v in net.state_dict().items():
            self.values[k].lerp_(v, weight)
