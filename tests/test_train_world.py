"""Several processes train as one does; the arithmetic's precision and the compiled step change little."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from train_fixtures import data_folder, faces

from fsvideo.networks import load_encoder
from fsvideo.train.aei import AEITrainer
from fsvideo.train.pairs import Pairs
from fsvideo.train.run import read_state
from fsvideo.train.settings import AEISettings
from fsvideo.train.world import World
from fsvideo.types import FsvideoError
from fsvideo.weights import load

SETTINGS = AEISettings(preset="tiny", identity=("id",), batch=4, warmup=1, ramp=0, precision="float32")

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python", sys.executable]


def curve(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def command(output: Path, crops: Path, config: Path) -> list[str]:
    words = ["-m", "fsvideo", "train", "aei", "--data", str(crops), "--output", str(output), "--device", "cpu"]
    return [*words, "--config", str(config), "--preset", "tiny", "--steps", "10"]


def test_two_processes_make_the_steps_of_one(tmp_path: Path) -> None:
    """With small steps: Adam's first ones are as large for the smallest gradient as for the largest, and rounding
    then decides their signs."""
    crops = data_folder(tmp_path / "crops")
    config = tmp_path / "settings.toml"
    config.write_text(
        "[settings]\nprecision = 'float32'\nbatch = 8\nwarmup = 2\nramp = 2\nsample_every = 10\n"
        "lr = 0.0001\nlr_discriminator = 1e-5\n"
    )
    subprocess.run([sys.executable, *TORCHRUN, *command(tmp_path / "two", crops, config)], check=True, timeout=300)
    subprocess.run([sys.executable, *command(tmp_path / "one", crops, config)], check=True, timeout=300)

    for one, two in zip(curve(tmp_path / "one"), curve(tmp_path / "two"), strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - {"minutes"}:
            assert two[name] == pytest.approx(one[name], rel=2e-3, abs=2e-4), name
    nets = [read_state(tmp_path / run / "state.pt")["net"] for run in ("one", "two")]
    start = AEITrainer(
        replace(SETTINGS, identity=("id", "third")), load_encoder(), World(), others={"third": load_encoder("third")}
    ).net.state_dict()
    moved = sum(float((v - start[k]).abs().sum()) for k, v in nets[0].items())
    apart = sum(float((v - nets[1][k]).abs().sum()) for k, v in nets[0].items())
    assert moved > 1 and apart < 0.05 * moved


def test_ctrl_c_ends_all_processes_with_weights(tmp_path: Path) -> None:
    """The terminal interrupts torchrun and what it started, and torchrun interrupts them again."""
    crops = data_folder(tmp_path / "crops")
    config = tmp_path / "settings.toml"
    config.write_text("[settings]\nprecision = 'float32'\nbatch = 4\nwarmup = 2\n")
    run = tmp_path / "run"
    words = [*TORCHRUN, *command(run, crops, config)[:-2]]  # without an end
    process = subprocess.Popen(
        [sys.executable, *words],
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_for(lambda: (run / "metrics.jsonl").exists() and len(curve(run)) > 0)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert read_state(run / "state.pt")["step"] >= 10
    assert load(run / "aei.safetensors", "aei").tensors


def wait_for(ready: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def test_each_process_takes_its_rows_of_the_same_batch() -> None:
    data = faces()
    mean = {"id": torch.zeros(128), "second": torch.zeros(1024), "third": torch.zeros(192)}
    whole = Pairs(data, mean, SETTINGS, World()).draw(5)
    parts = [Pairs(data, mean, SETTINGS, World(rank=rank, size=2)).draw(5) for rank in (0, 1)]
    for name in ("target", "source", "same"):
        together = torch.stack([getattr(p, name) for p in parts], 1).flatten(0, 1)
        assert torch.equal(together, getattr(whole, name)), name
    assert whole.z_source.keys() == whole.z_target.keys() == {"id", "second", "third"}
    for name, z in whole.z_source.items():
        assert torch.equal(torch.stack([p.z_source[name] for p in parts], 1).flatten(0, 1), z)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(FsvideoError, match="batch of 4 cannot be shared by 3"):
        World.join(torch.device("cpu"), 4)


def steps(settings: AEISettings, count: int = 3) -> list[dict[str, float]]:
    encoder = load_encoder()
    others = {"second": load_encoder("second")}
    trainer = AEITrainer(settings, encoder, World(), others=others)
    pairs = Pairs(faces(), {"id": encoder.mean, "second": others["second"].mean}, settings, World())
    return [trainer.train_step(pairs.draw(k)) for k in range(count)]


def test_bfloat16_trains_nearly_as_float32_does() -> None:
    exact, rough = steps(SETTINGS), steps(replace(SETTINGS, precision="bfloat16"))
    assert exact != rough
    for a, b in zip(exact, rough, strict=True):
        assert a.keys() == b.keys() == {"total", "id", "second", "att", "rec", *a.keys()}
        np.testing.assert_allclose([b[k] for k in a], [a[k] for k in a], rtol=0.15, atol=0.15)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler on a CPU")
def test_the_compiled_step_is_the_same_step() -> None:
    plain, compiled = steps(SETTINGS, 2), steps(replace(SETTINGS, compile=True), 2)
    for a, b in zip(plain, compiled, strict=True):
        np.testing.assert_allclose([b[k] for k in a], [a[k] for k in a], rtol=1e-2, atol=1e-3)
