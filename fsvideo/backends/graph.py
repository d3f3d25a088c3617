"""From a network in PyTorch to an ONNX graph of it, and whether a runtime makes of that what PyTorch makes."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fsvideo.backends.runtimes import Engine
from fsvideo.flow import insisted
from fsvideo.types import FsvideoError

LIMIT = 1e-3  # of pixels in [-1, 1]: an eighth of a grey level; of places in pixels: nothing
_EXPORTERS = ("torch", "onnx", "onnxscript")
_OPSET = 20
_BATCHES = (1, 3)  # that are tried


@dataclass(frozen=True)
class Network:
    """What is exported: ``net`` takes ``inputs`` and returns a tuple of ``outputs``, all of one length N, any N.

    ``probe(N)``: inputs to try it with, the same each time. ``about``: its sizes, as text. ``meta`` goes into exported
    files.
    """

    net: nn.Module
    inputs: Sequence[str]
    outputs: Sequence[str]
    probe: Callable[[int], tuple[Tensor, ...]]
    about: str
    meta: Mapping[str, str]


@dataclass(frozen=True)
class Form:
    """How a graph is spelled. ``single``: so that runtimes are fast at it, but lose too much in half precision.
    ``one``: for one input at a time, which is exported in half the time. The default is for any program.
    """

    single: bool = False
    one: bool = False


def fingerprint(net: nn.Module, about: str) -> str:
    """Hex digits that change with anything a graph depends on: parameters, sizes (``about``), code, exporter."""
    total = hashlib.sha256(json.dumps([about, _OPSET, *(version(name) for name in _EXPORTERS)]).encode())
    for file in sorted((Path(__file__).parents[1] / "models").glob("*.py")):
        total.update(file.read_bytes())
    total.update(Path(__file__).read_bytes())
    for name, values in net.state_dict().items():
        total.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        total.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def make(network: Network, form: Form) -> bytes:
    """An ONNX file of it. Raises FsvideoError where the exporter cannot do it."""
    spelled: dict[Any, Any] = {torch.ops.aten.lerp.Tensor: _lerp}
    if form.single:
        spelled[torch.ops.aten.group_norm.default] = _group_norm
    count = torch.export.Dim("n", min=1, max=4096)
    try:
        with insisted(), _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network.net,
                network.probe(1 if form.one else 2),
                input_names=list(network.inputs),
                output_names=list(network.outputs),
                dynamic_shapes=None if form.one else {name: {0: count} for name in network.inputs},
                opset_version=_OPSET,
                custom_translation_table=spelled,
                dynamo=True,
                verbose=False,
                optimize=form == Form(),  # runtimes do that themselves, and sooner
            )
            assert program is not None  # it is where no file is named
            for node in program.model.graph:
                node.metadata_props.clear()  # places in the code, with the folders of this machine
            program.model.metadata_props.clear()
            program.model.metadata_props.update(network.meta)
            content: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # whatever the exporter and its passes may raise
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise FsvideoError(f"the network cannot be exported: {line}", "swap with --backend torch") from error
    return content


def _lerp(a: Any, b: Any, share: Any) -> Any:
    """As ``torch.lerp``, which the exporter spells with a case for each half of ``share``: twice the arithmetic."""
    from onnxscript import opset20 as op

    return op.Add(a, op.Mul(share, op.Sub(b, a)))


def _group_norm(h: Any, groups: int, weight: Any, bias: Any, eps: float = 1e-5, cudnn: bool = True) -> Any:
    """As ``F.group_norm`` of maps (N, C, H, W), which the exporter spells with the groups taken apart.

    A runtime that keeps a pixel's channels together then rearranges the map, and again afterwards.
    """
    from onnxscript import opset20

    op: Any = opset20  # its types know no constants
    channels = h.shape[1]

    def mean(x: Any) -> Any:
        """(N, C, 1, 1): of each channel's group."""
        each = op.ReduceMean(x, op.Constant(value_ints=[2, 3]), keepdims=0)
        each = op.Reshape(each, op.Constant(value_ints=[0, groups, channels // groups]))
        each = op.ReduceMean(each, op.Constant(value_ints=[2]), keepdims=1)
        each = op.Expand(each, op.Constant(value_ints=[1, 1, channels // groups]))
        return op.Reshape(each, op.Constant(value_ints=[0, channels, 1, 1]))

    upright = op.Constant(value_ints=[channels, 1, 1])
    h = op.Sub(h, mean(h))
    scale = op.Div(op.Reshape(weight, upright), op.Sqrt(op.Add(mean(op.Mul(h, h)), op.Constant(value_float=eps))))
    return op.Add(op.Mul(h, scale), op.Reshape(bias, upright))


def difference(network: Network, engine: Engine) -> float:
    """The largest difference in any number between PyTorch and ``engine`` on made-up inputs.

    Raises FsvideoError where it is above LIMIT.
    """
    largest = 0.0
    for batch in _BATCHES:
        probe = network.probe(batch)
        with torch.inference_mode():
            wanted = [y.numpy() for y in network.net(*probe)]
        made = engine.run(*(x.numpy() for x in probe))
        pairs = zip(made, wanted, strict=True)
        # a comparison with nan is never true: such a graph must not pass
        largest = max(largest, *(float(np.nan_to_num(np.abs(a - b), nan=np.inf).max()) for a, b in pairs))
    if largest > LIMIT:
        raise FsvideoError(
            f"{engine.label} is off by {largest:.2g} of PyTorch's result, more than {LIMIT:g}",
            "swap with --backend torch",
        )
    return largest


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of packages that it does not need, and of its own future."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
