"""The training loop: a resumed run is the run that was never cut; a diverged one goes back; signals; metrics."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from train_fixtures import Recorder, faces

from fsvideo.models.aei import PRESETS, AEINet
from fsvideo.models.identity import IdentityEncoder
from fsvideo.swapper import load_encoder
from fsvideo.train.aei import AEISettings, AEITrainer, Pairs
from fsvideo.train.hear import HEARSettings, HEARTrainer, OccludedPairs, heuristic_errors, swap
from fsvideo.train.loop import LOOK, train
from fsvideo.train.occlude import Occluders
from fsvideo.train.run import Diverged, Ema, RunFolder, read_state
from fsvideo.types import FsvideoError

CPU = torch.device("cpu")
AEI = AEISettings(preset="tiny", batch=2, warmup=2, ramp=3, steps=6, sample_every=3)
HEAR = HEARSettings(preset="tiny", batch=3, steps=6, sample_every=3)


@pytest.fixture(scope="module")
def encoder() -> IdentityEncoder:
    return load_encoder()


def aei_run(encoder: IdentityEncoder, settings: AEISettings = AEI) -> tuple[Any, Any]:
    return AEITrainer(settings, encoder, CPU), Pairs(faces(), encoder.mean, settings, CPU)


def hear_run(encoder: IdentityEncoder, settings: HEARSettings = HEAR) -> tuple[Any, Any]:
    torch.manual_seed(2)
    aei = AEINet(PRESETS["tiny"])
    pairs = OccludedPairs(faces(), encoder.mean, Occluders(64), np.arange(5), settings, CPU)
    return HEARTrainer(settings, aei, encoder, CPU), pairs


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


def test_every_loss_is_named_and_the_adversarial_one_waits(encoder: IdentityEncoder) -> None:
    trainer, pairs = aei_run(encoder)
    names = [set(trainer.train_step(pairs.draw(k))) for k in range(3)]
    assert names[0] == {"total", "id", "att", "rec"}
    assert names[2] == {"total", "id", "att", "rec", "adv", "d"}


class Paints(torch.nn.Module):
    """Stands in for an AEI-Net: paints these pictures whatever it is given."""

    def __init__(self, pictures: torch.Tensor) -> None:
        super().__init__()
        self.pictures = pictures

    def attributes(self, target: torch.Tensor) -> list[torch.Tensor]:
        return []

    def generate(self, z_att: list[torch.Tensor], z_id: torch.Tensor) -> torch.Tensor:
        return self.pictures[: len(z_id)]

    def forward(self, target: torch.Tensor, z_id: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return self.pictures[: len(z_id)], []


def test_hear_learns_to_show_the_occluders(encoder: IdentityEncoder) -> None:
    """Behind a net that knows the clean faces, what lies under the occluders is restored and the rest left alone."""
    trainer, pairs = hear_run(encoder, replace(HEAR, batch=2, lr=1e-2, w_id=0.0, ema=0.5))
    clean = torch.from_numpy(pairs.data.rgb[:2]).permute(0, 3, 1, 2) / 127.5 - 1
    occluder, alpha = torch.full_like(clean, 0.8), torch.zeros(2, 1, 64, 64)
    alpha[:, :, 20:40, 10:50] = 1
    different = torch.tensor([False, False])
    batch = replace(pairs.draw(0), occluder=occluder, alpha=alpha, same=different)
    batch = replace(batch, target=torch.lerp(clean, occluder, alpha))
    trainer.aei = Paints(clean)
    terms = [trainer.train_step(batch) for _ in range(50)]
    assert terms[-1]["occ"] < 0.4 * terms[0]["occ"]
    columns, found = trainer.look(batch)
    assert len(columns) == 5
    assert found["look_occ"] > found["look_occ_before"] + 6  # dB
    assert found["look_change"] < 5  # grey levels


def test_the_nets_around_hear_stay_frozen(encoder: IdentityEncoder) -> None:
    trainer, pairs = hear_run(encoder)
    before = {k: v.clone() for k, v in {**trainer.aei.state_dict(), **encoder.state_dict()}.items()}
    for k in range(2):
        trainer.train_step(pairs.draw(k))
    after = {**trainer.aei.state_dict(), **encoder.state_dict()}
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert not any(p.requires_grad for p in trainer.aei.parameters())


def test_the_occluded_batch_adds_up(encoder: IdentityEncoder) -> None:
    trainer, pairs = hear_run(encoder, replace(HEAR, batch=16, hard=1.0, occluded=0.5, same=0.5))
    batch = pairs.draw(3)
    covered = batch.alpha.amax((1, 2, 3)) > 0
    assert 2 < int(covered.sum()) < 14 and 2 < int(batch.same.sum()) < 14
    known = torch.from_numpy(pairs.data.rgb[:5]).permute(0, 3, 1, 2) / 127.5 - 1  # the five hard ones
    for i in range(16):
        clear = batch.alpha[i] == 0
        distances = [((batch.target[i] - k).abs() * clear).max() for f in (known, known.flip(3)) for k in f]
        assert min(distances) < 1e-5
    full = (batch.alpha > 0.999).expand_as(batch.target)
    assert torch.allclose(batch.target[full], batch.occluder[full], atol=1e-2)
    y_hat, delta_y = swap(trainer.aei, trainer.encoder, batch.target, batch.z_id)
    again, _ = trainer.aei(batch.target, trainer.encoder(batch.target))
    assert torch.allclose(delta_y, batch.target - again, atol=1e-5)
    assert not y_hat.requires_grad and not delta_y.requires_grad


def test_heuristic_error_is_that_of_the_faces_middle(encoder: IdentityEncoder) -> None:
    _, pairs = hear_run(encoder)
    grey: Any = Paints(torch.zeros(9, 3, 64, 64))
    pairs.data.rgb[:4] = np.array([128, 0, 255, 64], np.uint8)[:, None, None, None]
    rows = np.array([1, 0, 3, 2])
    expected = np.abs(np.array([0, 128, 64, 255]) / 127.5 - 1)
    np.testing.assert_allclose(heuristic_errors(grey, pairs, rows), expected, atol=1e-5)
    pairs.data.rgb[:, :8] = 255  # hair and background: the error there does not count
    pairs.data.rgb[:, :, :8] = 255
    np.testing.assert_allclose(heuristic_errors(grey, pairs, rows), expected, atol=1e-5)


def test_a_whole_run_leaves_metrics_samples_and_state(encoder: IdentityEncoder, tmp_path: Path) -> None:
    settings = replace(AEI, steps=20, sample_every=10)
    trainer, pairs = aei_run(encoder, settings)
    ui = Recorder()
    train(trainer, pairs, pairs.draw(LOOK), new_folder(tmp_path), ui)
    assert ui.stages["train"] == [20, 20]
    assert [m["step"] for m in metrics(tmp_path)] == [10, 10, 20, 20]
    assert {"id", "att", "rec", "adv", "d", "total", "minutes"} <= metrics(tmp_path)[2].keys()
    assert {"look_id", "look_rec"} <= metrics(tmp_path)[3].keys()
    picture = cv2.imread(str(tmp_path / "samples" / "0000020.png"))
    assert picture.shape == (2 * 64, 4 * 64, 3)
    assert read_state(tmp_path / "state.pt")["step"] == 20


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
    assert ui.stages["train"] == [6, 6]
    assert any("from step 0 with other pairs" in note for note in ui.notes)
    assert all(bool(torch.isfinite(v).all()) for v in read_state(tmp_path / "state.pt")["ema"].values())


def test_it_gives_up_when_it_diverges_again_and_again(encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, pairs = aei_run(encoder)
    poisoned = Poisoned(trainer, lambda self, batch: self.step == 1)
    with pytest.raises(Diverged, match="step 1"):
        train(poisoned, pairs, pairs.draw(LOOK), new_folder(tmp_path), Recorder())
    assert len(poisoned.seen) == 2 * 4
    assert read_state(tmp_path / "state.pt")["step"] == 0


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
