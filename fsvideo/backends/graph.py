"""From a network in PyTorch to an ONNX graph of it, and whether a runtime makes of that what PyTorch makes."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvideo.backends.runtimes import Engine
from fsvideo.types import FsvideoError

LIMIT = 1e-3  # of pixels in [-1, 1]: an eighth of a grey level
OUTPUTS = ("y_hat", "y")
_EXPORTERS = ("torch", "onnx", "onnxscript")
_OPSET = 20
_BATCHES = (1, 3)  # that are tried


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


def make(net: nn.Module, inputs: Sequence[str], size: int, z_id: int, meta: Mapping[str, str]) -> bytes:
    """An ONNX file of ``net``: target (N, 3, size, size), z_id (N, z_id) -> y_hat and, where it gives one, y; any N.

    ``inputs``: their names, one or two embeddings behind the target. ``meta`` is written into it. Raises FsvideoError
    where the exporter cannot do it.
    """
    probe = _probe(inputs, size, z_id, 2)
    with torch.no_grad():
        outputs = OUTPUTS[: len(net(*probe))]
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                net,
                probe,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes={name: {0: torch.export.Dim("n", min=1, max=4096)} for name in inputs},
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
            assert program is not None  # it is where no file is named
            for node in program.model.graph:
                node.metadata_props.clear()  # places in the code, with the folders of this machine
            program.model.metadata_props.clear()
            program.model.metadata_props.update(meta)
            content: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # whatever the exporter and its passes may raise
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise FsvideoError(f"the network cannot be exported: {line}", "swap with --backend torch") from error
    return content


def difference(net: nn.Module, inputs: Sequence[str], engine: Engine, size: int, z_id: int) -> float:
    """The largest difference in any pixel, of [-1, 1], between PyTorch and ``engine`` on made-up pictures.

    Raises FsvideoError where it is above LIMIT.
    """
    largest = 0.0
    for batch in _BATCHES:
        probe = _probe(inputs, size, z_id, batch)
        with torch.inference_mode():
            wanted = [y.numpy() for y in net(*probe)]
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


def _probe(inputs: Sequence[str], size: int, z_id: int, batch: int) -> tuple[Tensor, ...]:
    """Soft random pictures and identities, the same each time."""
    dice = torch.Generator().manual_seed(batch)
    coarse = torch.rand(batch, 3, 8, 8, generator=dice) * 2 - 1
    picture = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return picture, *(F.normalize(torch.randn(batch, z_id, generator=dice), dim=1) for _ in inputs[1:])


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
