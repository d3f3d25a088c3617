"""Small things to train on: faces that are smooth noise, and an AEI-Net's weights file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from fsvideo.models.aei import PRESETS, AEINet
from fsvideo.train.data import FaceData
from fsvideo.train.export import export_aei


def faces(count: int = 24, size: int = 64) -> FaceData:
    rng = np.random.default_rng(1)
    rgb = [
        cv2.resize(rng.uniform(0, 255, (5, 5, 3)), (size, size), interpolation=cv2.INTER_LINEAR) for _ in range(count)
    ]
    embeddings = rng.normal(0, 0.1, (count, 128)).astype(np.float32)
    points, pose = np.zeros((count, 5, 2), np.float32), np.zeros((count, 3), np.float32)
    return FaceData(np.stack(rgb).astype(np.uint8), points, pose, np.array(["x"] * count), embeddings)


def aei_state() -> dict[str, object]:
    """A training state of a tiny AEI-Net of random weights."""
    torch.manual_seed(3)
    net = AEINet(PRESETS["tiny"])
    settings = {"batch": 4, "w_id": 10.0, "w_att": 10.0, "w_rec": 20.0, "w_adv": 1.0}
    return {"step": 7, "settings": settings, "config": net.config.to_json(), "ema": dict(net.state_dict())}


def aei_file(path: Path) -> Path:
    export_aei(aei_state(), path, "small")
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

    def note(self, text: str) -> None:
        self.notes.append(text)
