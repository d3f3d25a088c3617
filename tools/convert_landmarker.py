"""Make weights/landmarks_mesh and blendshapes.safetensors from the networks inside weights/face_landmarker.task.

    pip install tflite
    python tools/convert_landmarker.py

The numbers stay as they are stored there, in half precision.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tflite
import torch
from torch import Tensor

from fsvideo import weights
from fsvideo.models.expression import Blendshapes
from fsvideo.models.landmarks import FaceMesh

_TARGETS = Path(__file__).resolve().parents[1] / "weights"
_FILES = {"landmarks": "landmarks_mesh.safetensors", "expression": "blendshapes.safetensors"}
_DTYPES = {tflite.TensorType.FLOAT16: "<f2", tflite.TensorType.FLOAT32: "<f4"}


def layers(model: Any) -> Iterator[tuple[int, list[Tensor]]]:
    """Of every convolution and PReLU in turn: what it makes, and its numbers (weight, bias) in PyTorch's order."""
    graph = model.Subgraphs(0)
    wide = {}  # tensor in single precision -> the stored one in half precision that is widened to it
    for k in range(graph.OperatorsLength()):
        op = graph.Operators(k)
        code = model.OperatorCodes(op.OpcodeIndex()).BuiltinCode()
        if code == tflite.BuiltinOperator.DEQUANTIZE:
            wide[op.Outputs(0)] = op.Inputs(0)
        elif code in (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D):
            first = (3, 0, 1, 2) if code == tflite.BuiltinOperator.DEPTHWISE_CONV_2D else (0, 3, 1, 2)
            weight, bias = (stored(model, wide.get(op.Inputs(i), op.Inputs(i))) for i in (1, 2))
            yield op.Outputs(0), [weight.permute(first), bias]
        elif code == tflite.BuiltinOperator.PRELU:
            yield op.Outputs(0), [stored(model, wide.get(op.Inputs(1), op.Inputs(1))).flatten()]


def stored(model: Any, index: int) -> Tensor:
    """The numbers of a tensor as the file has them, in single precision."""
    tensor = model.Subgraphs(0).Tensors(index)
    data = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
    values = np.frombuffer(data, _DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
    return torch.from_numpy(values.astype(np.float32))


def mesh(model: Any) -> dict[str, Tensor]:
    """The state dict of a FaceMesh. The layers lie in the file in the order in which they are applied."""
    graph = model.Subgraphs(0)
    found = list(layers(model))
    heads = {"points": graph.Outputs(0), "presence": graph.Outputs(1)}  # a third tells of the tongue
    ends = {head: numbers for head, made in heads.items() for output, numbers in found if output == made}
    trunk = [numbers for output, numbers in found if output not in heads.values()][:-1]
    flat = []
    for numbers in trunk:
        if numbers[0].ndim == 4 and numbers[0].shape[1] == 1:  # a depthwise convolution: its bias is nothing
            assert not numbers.pop().any()
        flat += numbers
    names = [n for n in FaceMesh().state_dict() if not n.startswith(tuple(heads))]
    state = dict(zip(names, flat, strict=True))
    for head, (weight, bias) in ends.items():
        state |= {f"{head}.weight": weight, f"{head}.bias": bias}
    return state


def blendshapes(model: Any) -> dict[str, Tensor]:
    """The state dict of Blendshapes. The layers lie in the file in the order in which they are applied."""
    graph = model.Subgraphs(0)
    wide = {}  # tensor in single precision -> the stored one in half precision that is widened to it
    linear, norms, extra = [], [], []
    for k in range(graph.OperatorsLength()):
        op = graph.Operators(k)
        code = model.OperatorCodes(op.OpcodeIndex()).BuiltinCode()
        if code == tflite.BuiltinOperator.DEQUANTIZE:
            wide[op.Outputs(0)] = op.Inputs(0)
        elif code == tflite.BuiltinOperator.CONV_2D:  # 1x1: a linear layer
            weight, bias = (stored(model, wide[op.Inputs(i)]) for i in (1, 2))
            linear.append({"weight": weight.flatten(1), "bias": bias})
        elif code == tflite.BuiltinOperator.CONCATENATION:
            extra.append(stored(model, wide[op.Inputs(0)]).view(1, 1, -1))
        elif code == tflite.BuiltinOperator.MUL and graph.Tensors(wide.get(op.Inputs(1), 0)).ShapeLength() == 1:
            norms.append(stored(model, wide[op.Inputs(1)]))  # a layer norm's scale
    (token,) = extra
    state = {"extra": token}
    mixers = [f"blocks.{k}.{part}" for k in range(4) for part in ("tokens1", "tokens2", "channels1", "channels2")]
    for name, numbers in zip(("reduce", "embed", *mixers, "head"), linear, strict=True):
        state |= {f"{name}.{k}": v for k, v in numbers.items()}
    scales = [f"blocks.{k}.{norm}.weight" for k in range(4) for norm in ("norm1", "norm2")]
    return state | dict(zip(scales, norms, strict=True))


def main() -> None:
    bundle = weights.read_bytes("landmarker")
    for inside, kind, net, convert in (
        ("face_landmarks_detector.tflite", "landmarks", FaceMesh(), mesh),
        ("face_blendshapes.tflite", "expression", Blendshapes(), blendshapes),
    ):
        with zipfile.ZipFile(io.BytesIO(bundle)) as parts:
            state = convert(tflite.Model.GetRootAs(parts.read(inside), 0))
        net.load_state_dict(state)
        meta = {"kind": kind, "name": net.name, "origin": f"face_landmarker.task/{inside}"}
        meta |= {"origin_sha256": weights.sha256("landmarker"), "license": "Apache-2.0"}
        weights.save(_TARGETS / _FILES[kind], {k: v.half().contiguous() for k, v in state.items()}, meta)


if __name__ == "__main__":
    main()
