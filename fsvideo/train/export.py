"""From a training checkpoint to the weights that swap: averaged parameters in half precision, and what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fsvideo import weights
from fsvideo.models.aei import AEIConfig
from fsvideo.models.hear import HEARConfig
from fsvideo.train.run import read_state
from fsvideo.types import CropSpec, WeightsError

State = Mapping[str, Any]
_NOTHING: Mapping[str, str] = {}


def export_aei(
    state: Path | State,
    output: Path,
    name: str,
    spec: CropSpec | None = None,
    refiner: str = "",
    notes: Mapping[str, str] = _NOTHING,
) -> dict[str, str]:
    """Write AEI-Net's averaged weights as fp16 safetensors and return the file's metadata.

    ``state``: ``AEITrainer.state()`` or its file. ``spec``: how the training crops were cut (its size is not used).
    ``refiner``: name or file of the HEAR-Net that belongs to it. ``notes``: more lines for the header, for example what
    it was trained on. Raises FsvideoError where the state is not readable or the output not writable.
    """
    state = read_state(state) if isinstance(state, Path) else state
    size = AEIConfig.from_json(state["config"]).size
    own = {"kind": "aei", "crop": (spec or CropSpec()).resized(size).to_json(), "refiner": refiner}
    return _save(state, output, name, {**notes, **own})


def export_hear(
    state: Path | State, output: Path, name: str, size: int, aei: str, notes: Mapping[str, str] = _NOTHING
) -> dict[str, str]:
    """Write HEAR-Net's averaged weights alike. ``size``: side of its crops; ``aei``: its AEI-Net's sha256."""
    state = read_state(state) if isinstance(state, Path) else state
    HEARConfig.from_json(state["config"])
    return _save(state, output, name, {**notes, "kind": "hear", "crop": CropSpec(size).to_json(), "aei_sha256": aei})


def judges_beside(weights_file: Path) -> Path:
    """Where the discriminators of an AEI-Net's weights file lie."""
    return weights_file.with_name(f"{weights_file.stem}_judges.safetensors")


def export_judges(state: State, output: Path, name: str) -> None:
    """Write the discriminators of a training state as fp16 safetensors, for who trains on from its weights."""
    nets = {"discriminator": state["discriminator"], "features": state["features"]}
    tensors = {f"{net}.{k}": _half(k, v) for net, values in nets.items() for k, v in values.items()}
    size = AEIConfig.from_json(state["config"]).size
    weights.save(output, tensors, {"kind": "judges", "name": name, "size": str(size), "steps": str(state["step"])})


def _save(state: State, output: Path, name: str, meta: Mapping[str, str]) -> dict[str, str]:
    settings = state["settings"]
    header = {
        **meta,
        "name": name,
        "config": state["config"],
        "identity": state["identity"],
        "steps": str(state["step"]),
        "samples": str(state["step"] * settings["batch"]),
        "losses": json.dumps({k.removeprefix("w_"): v for k, v in settings.items() if k.startswith("w_")}),
    }
    weights.save(output, {k: _half(k, v) for k, v in state["ema"].items()}, header)
    return header


def _half(name: str, values: Tensor) -> Tensor:
    half = values.half()
    if not bool(torch.isfinite(half).all()):
        raise WeightsError(f"{name} holds numbers that half precision cannot", "the training has diverged")
    return half
