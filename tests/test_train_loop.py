"""The training loop: a resumed run is the run that was never cut; a diverged one goes back; signals; metrics."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from train_fixtures import AEI, Recorder, aei_run, hear_run

from fsvideo.models.identity import IdentityEncoder
from fsvideo.networks import load_encoder
from fsvideo.train.curves import read as read_curves
from fsvideo.train.loop import LOOK, train
from fsvideo.train.run import Diverged, Ema, RunFolder, read_state, stoppable
from fsvideo.types import FsvideoError


@pytest.fixture(scope="module")
def encoder() -> IdentityEncoder:
    return load_encoder()


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def new_folder(path: Path, resume: bool = False) -> RunFolder:
    folder = RunFolder(path, resume)
    folder.make()
    return folder


@pytest.mark.parametrize("make", [aei_run, hear_run])
def test_a_resumed_run_is_bit_equal_to_one_never_cut(make: Any, encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, pairs = make(encoder)
    whole = [trainer.train_step(pairs.draw(k)) for k in range(6)]

    trainer_1, pairs_1 = make(encoder)
    cut = [trainer_1.train_step(pairs_1.draw(k)) for k in range(3)]
    folder = new_folder(tmp_path)
    folder.save_state(trainer_1.state())
    torch.manual_seed(99)  # whatever else the new process drew
    trainer_2, pairs_2 = make(encoder)
    trainer_2.load(folder.load_state())
    assert trainer_2.step == 3
    cut += [trainer_2.train_step(pairs_2.draw(k)) for k in range(3, 6)]

    assert cut == whole
    for a, b in zip(trainer.ema.values.values(), trainer_2.ema.values.values(), strict=True):
        assert torch.equal(a, b)
    assert whole[0] != whole[5]


def test_a_whole_run_leaves_metrics_samples_and_state(encoder: IdentityEncoder, tmp_path: Path) -> None:
    settings = replace(AEI, steps=20, sample_every=10)
    trainer, pairs = aei_run(encoder, settings)
    ui = Recorder()
    train(trainer, pairs, pairs.draw(LOOK), new_folder(tmp_path), ui)
    assert ui.stages["train"] == [40, 40]  # samples
    assert [m["step"] for m in metrics(tmp_path)] == [10, 10, 20, 20]
    assert {"id", "att", "rec", "adv", "d", "total", "minutes"} <= metrics(tmp_path)[2].keys()
    assert {"look_id", "look_rec"} <= metrics(tmp_path)[3].keys()
    picture = cv2.imread(str(tmp_path / "samples" / "0000020.png"))
    assert picture.shape == (2 * 64, 4 * 64, 3)
    assert read_state(tmp_path / "state.pt")["step"] == 20


def test_curves_and_tensorboard_show_what_the_metrics_say(encoder: IdentityEncoder, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer, pairs = aei_run(encoder, replace(AEI, steps=20, sample_every=10))
    train(trainer, pairs, pairs.draw(LOOK), new_folder(tmp_path), Recorder())
    board = EventAccumulator(str(tmp_path / "board"), {"images": 0, "scalars": 0})
    board.Reload()
    lines = [m for m in metrics(tmp_path) if "total" in m]
    for name in ("total", "id", "d"):
        told = [(e.step, e.value) for e in board.Scalars(name)]
        assert told == [(m["step"], pytest.approx(m[name], abs=1e-5)) for m in lines]
    assert [e.step for e in board.Images("samples")] == [10, 20]
    found = read_curves(tmp_path / "metrics.jsonl")
    assert found["id"].tolist() == [[m["step"], m["id"]] for m in lines] and len(found["look_id"]) == 2
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[1] == 1080 and picture.std() > 5


def test_without_tensorboard_a_run_says_so_and_goes_on(
    encoder: IdentityEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsvideo.train.run.find_spec", lambda name: None)
    trainer, pairs = aei_run(encoder, replace(AEI, steps=1))
    ui = Recorder()
    train(trainer, pairs, pairs.draw(LOOK), new_folder(tmp_path), ui)
    assert any("TensorBoard is not installed" in note for note in ui.notes)
    assert trainer.step == 1 and not (tmp_path / "board").exists()


def test_a_finished_run_that_is_resumed_stays_as_it_is(encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, pairs = aei_run(encoder, replace(AEI, steps=2))
    train(trainer, pairs, pairs.draw(LOOK), new_folder(tmp_path), Recorder())
    before = (tmp_path / "state.pt").read_bytes()
    train(trainer, pairs, pairs.draw(LOOK), new_folder(tmp_path, True), Recorder())
    assert trainer.step == 2 and (tmp_path / "state.pt").read_bytes() == before


class Poisoned:
    """A trainer whose loss is not finite on some batches."""

    def __init__(self, trainer: Any, bad: Any) -> None:
        self.trainer, self.bad, self.seen = trainer, bad, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.trainer, name)

    def train_step(self, batch: Any) -> dict[str, float]:
        self.seen.append(batch)
        if self.bad(self, batch):
            batch = replace(batch, target=batch.target * float("nan"))
        return self.trainer.train_step(batch)  # type: ignore[no-any-return]


def test_a_diverged_loss_goes_back_to_the_checkpoint_and_on_with_other_pairs(
    encoder: IdentityEncoder, tmp_path: Path
) -> None:
    trainer, pairs = aei_run(encoder)
    fatal = pairs.draw(3).target
    poisoned = Poisoned(trainer, lambda self, batch: torch.equal(batch.target, fatal))
    ui = Recorder()
    train(poisoned, pairs, pairs.draw(LOOK), new_folder(tmp_path), ui)
    assert trainer.step == 6
    assert len(poisoned.seen) == 4 + 6  # four steps, the last of them bad, and six from the beginning again
    assert ui.stages["train"] == [12, 12]
    assert any("from step 0 with other pairs" in note for note in ui.notes)
    assert all(bool(torch.isfinite(v).all()) for v in read_state(tmp_path / "state.pt")["ema"].values())


def test_it_gives_up_when_it_diverges_again_and_again(encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, pairs = aei_run(encoder)
    poisoned = Poisoned(trainer, lambda self, batch: self.step == 1)
    with pytest.raises(Diverged, match="step 1"):
        train(poisoned, pairs, pairs.draw(LOOK), new_folder(tmp_path), Recorder())
    assert len(poisoned.seen) == 2 * 4
    assert read_state(tmp_path / "state.pt")["step"] == 0


def test_a_last_step_that_broke_the_net_is_made_anew(encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, pairs = aei_run(encoder, replace(AEI, steps=2))
    save, broken = RunFolder.save_state, []

    def save_state(self: RunFolder, state: dict[str, object]) -> None:
        if state["step"] == 2 and not broken:
            broken.append(True)
            raise Diverged("step 2")
        save(self, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "save_state", save_state)
        train(trainer, pairs, pairs.draw(LOOK), new_folder(tmp_path), Recorder())
    assert broken and read_state(tmp_path / "state.pt")["step"] == 2


def test_parameters_that_are_not_finite_are_never_saved(encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, _ = aei_run(encoder)
    folder = new_folder(tmp_path)
    folder.save_state(trainer.state())
    next(trainer.net.parameters()).data[0] = float("inf")
    with pytest.raises(Diverged):
        folder.save_state(trainer.state())
    assert read_state(tmp_path / "state.pt")["step"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_nothing_is_lost(number: int, encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, pairs = aei_run(encoder, replace(AEI, steps=1000))

    def ask(self: Poisoned, batch: Any) -> bool:
        if self.step == 2:
            os.kill(os.getpid(), number)
        return False

    before = signal.getsignal(number)
    train(Poisoned(trainer, ask), pairs, pairs.draw(LOOK), new_folder(tmp_path), Recorder())
    assert trainer.step == 3 == read_state(tmp_path / "state.pt")["step"]
    assert signal.getsignal(number) == before


def test_a_signal_that_comes_twice_at_once_is_one_and_a_later_one_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 100.0, 101.0, 105.0])
    monkeypatch.setattr("fsvideo.train.run.time.monotonic", lambda: next(times))
    with stoppable() as stop:
        assert not stop
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
            assert stop
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_minutes_end_a_run(encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, pairs = aei_run(encoder, replace(AEI, steps=10**6, max_minutes=1e-6))
    train(trainer, pairs, pairs.draw(LOOK), new_folder(tmp_path), Recorder())
    assert trainer.step == 1 == read_state(tmp_path / "state.pt")["step"]


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    for step in (10, 20, 30):
        folder.log(step=step, id=0.5)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1')  # the process was killed while it wrote
    folder.trim(20)
    assert [m["step"] for m in metrics(tmp_path)] == [10, 20]


def test_run_folders_are_not_mixed_up(tmp_path: Path) -> None:
    with pytest.raises(FsvideoError, match="no run to resume"):
        RunFolder(tmp_path, True)
    new_folder(tmp_path).save_state({"step": 0})
    with pytest.raises(FsvideoError, match="holds a run already"):
        RunFolder(tmp_path, False)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02K\x01."])
def test_a_damaged_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "state.pt"
    file.write_bytes(content)
    with pytest.raises(FsvideoError, match=r"state\.pt"):
        read_state(file)


def test_the_average_follows_the_net() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    net.weight.data[:] = 0
    ema = Ema(net, 0.9)
    net.weight.data[:] = 1
    ema.update(net, 0)  # early: nine tenths of the way at once
    assert ema.values["weight"].item() == pytest.approx(0.9)
    ema.values["weight"][:] = 0
    ema.update(net, 10**6)
    assert ema.values["weight"].item() == pytest.approx(0.1)
