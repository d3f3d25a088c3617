"""The training loop: steps, metrics, samples, checkpoints, the end."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from torch import Tensor

from fsvideo.train.run import Diverged, RunFolder, stoppable
from fsvideo.types import Ui

LOOK = 2**32 - 1  # the draw that is looked at: a step no run reaches
_OTHER_DRAWS = 10**9  # where the draws of a run go on after a setback
_SETBACKS = 3
_ENDLESS = 1_000_000  # steps; the default, which nobody waits for


class Limits(Protocol):
    """The settings that the loop itself needs."""

    @property
    def batch(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def max_minutes(self) -> float: ...
    @property
    def save_minutes(self) -> float: ...
    @property
    def sample_every(self) -> int: ...


B = TypeVar("B")
B_contra = TypeVar("B_contra", contravariant=True)
D_co = TypeVar("D_co", covariant=True)


class Draws(Protocol[D_co]):
    """Batches by number: the same number gives the same batch."""

    def draw(self, step: int) -> D_co: ...


class Trainer(Protocol[B_contra]):
    """Networks, optimisers and their step. ``state`` and ``load`` carry all that a resumed run needs to be the same."""

    step: int

    @property
    def settings(self) -> Limits: ...
    def train_step(self, batch: B_contra) -> dict[str, float]: ...
    def look(self, batch: B_contra) -> tuple[list[Tensor], dict[str, float]]: ...
    def state(self) -> dict[str, Any]: ...
    def load(self, state: dict[str, Any]) -> None: ...


def train(trainer: Trainer[B], pairs: Draws[B], look: B, folder: RunFolder, ui: Ui) -> None:
    """Train until the settings' steps or minutes are over or a signal came; the state is saved on the way and at last.

    ``look``: the batch that is looked at now and then; its pictures go to ``samples/``, its figures to the metrics.
    Where a loss or a parameter is no longer finite, the run goes back to its last checkpoint and on from there with
    other pairs; Diverged is raised when that has happened more than three times.
    """
    s, world = trainer.settings, folder.world
    if not folder.open_board(trainer.step):
        ui.note("TensorBoard is not installed: metrics go to metrics.jsonl alone (pip install 'fsvideo[train]')")
    if not folder.state_file.exists():
        folder.save_state(trainer.state())
    saved, setbacks = folder.minutes(), 0
    began = trainer.step
    ui.stage("train", 0)
    with stoppable() as stop:
        ended = trainer.step >= s.steps
        while not ended:
            try:
                terms = trainer.train_step(pairs.draw(trainer.step + setbacks * _OTHER_DRAWS))
                done = trainer.step >= s.steps or bool(stop) or 0 < s.max_minutes < folder.minutes()
                ended, due = world.any(done), world.any(folder.minutes() - saved > s.save_minutes)
                if ended or due:
                    folder.save_state(trainer.state())
                    saved = folder.minutes()
            except Diverged as error:
                ended = False
                setbacks += 1
                if setbacks > _SETBACKS:
                    raise
                before = trainer.step
                trainer.load(folder.load_state())
                folder.trim(trainer.step)
                ui.advance((trainer.step - before) * s.batch)
                ui.note(f"{error}: going on from step {trainer.step} with other pairs")
                continue
            ui.advance(s.batch)
            ui.expect(_expected(s, began, trainer.step - began, folder.minutes()) * s.batch)
            if trainer.step % 10 == 0:
                folder.log(step=trainer.step, minutes=folder.minutes(), **terms)
            if world.first and trainer.step % s.sample_every == 0:
                columns, found = trainer.look(look)
                folder.save_samples(trainer.step, columns)
                folder.log(step=trainer.step, **found)
                ui.note(f"step {trainer.step}: " + ", ".join(f"{k} {v:.3f}" for k, v in {**terms, **found}.items()))
    folder.close()


def _expected(limits: Limits, began: int, made: int, minutes: float) -> int:
    """How many steps this process will make, as far as speed so far tells; 0: no end is in sight."""
    left = limits.steps - began
    if limits.max_minutes > 0:
        return min(left, made + round(made * max(0.0, limits.max_minutes - minutes) / max(minutes, 1e-3)))
    return left if limits.steps < _ENDLESS else 0
