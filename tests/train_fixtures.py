"""Small things to train on, and small runs: faces that are smooth noise, settings for a few steps, a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from fsvideo.faces.occlude import Occluders
from fsvideo.models.aei import PRESETS, AEIConfig, AEINet
from fsvideo.models.identity import EncoderEnsemble, IdentityEncoder
from fsvideo.train.aei import AEITrainer
from fsvideo.train.data import FaceData
from fsvideo.train.export import export_aei
from fsvideo.train.hear import HEARTrainer, OccludedPairs
from fsvideo.train.pairs import Pairs
from fsvideo.train.settings import AEISettings, HEARSettings
from fsvideo.train.world import World


def faces(count: int = 24, size: int = 64) -> FaceData:
    rng = np.random.default_rng(1)
    rgb = [
        cv2.resize(rng.uniform(0, 255, (5, 5, 3)), (size, size), interpolation=cv2.INTER_LINEAR) for _ in range(count)
    ]
    embeddings = rng.normal(0, 0.1, (count, 128)).astype(np.float32)
    points, pose = np.zeros((count, 5, 2), np.float32), np.zeros((count, 3), np.float32)
    others = {n: rng.normal(0, 1, (count, d)).astype(np.float32) for n, d in (("second", 1024), ("third", 192))}
    return FaceData(
        np.stack(rgb).astype(np.uint8),
        points,
        pose,
        np.array(["x"] * count),
        embeddings,
        others,
        np.linspace(1, 2, count),
    )


ABOUT = {"identity": IdentityEncoder.name}


def aei_state(config: AEIConfig = PRESETS["tiny"]) -> dict[str, object]:
    """A training state of a tiny AEI-Net of random weights."""
    torch.manual_seed(3)
    net = AEINet(config)
    settings = {"batch": 4, "w_id": 10.0, "w_att": 10.0, "w_rec": 20.0, "w_adv": 1.0}
    return {"step": 7, "settings": settings, "config": net.config.to_json(), **ABOUT, "ema": dict(net.state_dict())}


def aei_file(path: Path, config: AEIConfig = PRESETS["tiny"]) -> Path:
    export_aei(aei_state(config), path, "small")
    return path


class Recorder:
    """A types.Ui that remembers what it was told."""

    def __init__(self) -> None:
        self.stages: dict[str, list[int]] = {}
        self.notes: list[str] = []

    def stage(self, name: str, total: int) -> None:
        self.stages[name] = [total, 0]
        self._now = name

    def advance(self, frames: int = 1) -> None:
        self.stages[self._now][1] += frames

    def expect(self, total: int) -> None:
        self.stages[self._now][0] = total

    def note(self, text: str) -> None:
        self.notes.append(text)


def data_folder(path: Path, size: int = 64) -> Path:
    """A folder as `fsvideo align` makes it, of a few smooth pictures."""
    made = faces(12, size)
    path.mkdir()
    blobs = [cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes() for rgb in made.rgb]
    (path / "0000.bin").write_bytes(b"".join(blobs))
    np.savez(
        path / "0000.npz",
        size=np.int64(size),
        ends=np.cumsum([len(b) for b in blobs]),
        points=made.points,
        pose=made.pose,
        sharpness=np.ones(len(made), np.float32),
        files=made.files,
    )
    np.save(path / "embeddings.npy", made.embeddings)
    for name, embeddings in made.others.items():
        np.save(path / f"embeddings-{name}.npy", embeddings)
    return path


ALONE = World()
AEI = AEISettings(
    preset="tiny", identity=("id",), batch=2, warmup=2, lead=1, ramp=3, steps=6, sample_every=3, precision="float32"
)
HEAR = HEARSettings(preset="tiny", batch=3, steps=6, sample_every=3, precision="float32")


def aei_run(encoder: IdentityEncoder, settings: AEISettings = AEI) -> tuple[Any, Any]:
    return AEITrainer(settings, encoder, ALONE), Pairs(faces(), {"id": encoder.mean}, settings, ALONE)


def hear_run(encoder: IdentityEncoder, settings: HEARSettings = HEAR) -> tuple[Any, Any]:
    torch.manual_seed(2)
    aei = AEINet(PRESETS["tiny"])
    data = faces()
    pairs = OccludedPairs(data, data.z("id", encoder.mean), Occluders(64), np.arange(5), settings, ALONE)
    return HEARTrainer(settings, aei, EncoderEnsemble([encoder]), ALONE), pairs
