"""`fsvideo export`: a swapper's networks as a file for another program, compared with PyTorch."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fsvideo.backends import graph
from fsvideo.backends.ready import exported
from fsvideo.backends.runtimes import Cores, start, write_openvino
from fsvideo.swapper import AEISwapper, Swapper
from fsvideo.types import FsvideoError, WriteError


@dataclass(frozen=True)
class Exported:
    """What was written. ``difference``: the largest in any pixel, of [-1, 1], to PyTorch's result."""

    files: list[Path]
    model: str
    runtime: str  # in which it was tried
    difference: float
    inputs: dict[str, str]
    outputs: dict[str, str]
    meta: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {**self.__dict__, "files": [str(path) for path in self.files], "meta": dict(self.meta)}


def export(swapper: Swapper, to: str, folder: Path, overwrite: bool, note: Callable[[str], None]) -> Exported:
    """Write ``swapper``'s networks into ``folder``: NAME.onnx, or NAME.xml and NAME.bin for ``to`` openvino.

    The file is tried out before it gets its place; ``note`` is told what takes time. Raises FsvideoError where the
    runtime is not installed, the result differs by more than graph.LIMIT, or the place cannot be written.
    """
    if not isinstance(swapper, AEISwapper):
        raise FsvideoError(f"{swapper.name} has no networks to export", "give the weights of an AEI-Net as --model")
    network = swapper.network
    stem = swapper.name.replace(" ", "-").replace("/", "-").lower()
    names = [f"{stem}.onnx"] if to == "onnx" else [f"{stem}.bin", f"{stem}.xml"]
    files = [folder / name for name in names]
    if not overwrite and (there := [path for path in files if path.exists()]):
        raise WriteError(f"{there[0]} exists already", "add --overwrite to replace it, or choose another --output")
    content = exported(network, to, note)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written ({error.strerror})", "choose another --output") from error
    try:
        main = scratch / names[-1]
        if to == "onnx":
            main.write_bytes(content)
        else:
            write_openvino(content, main, dict(network.meta))
        engine = start(to, main, Cores(torch.get_num_threads()), exact=True)
        off = graph.difference(network, engine)
        for path in files:
            os.replace(scratch / path.name, path)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written ({error.strerror})", "is there room?") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    config = swapper.net.config
    picture = f"(N, 3, {config.size}, {config.size}) in [-1, 1], RGB"
    return Exported(
        files,
        swapper.name,
        engine.label,
        off,
        {network.inputs[0]: picture} | dict.fromkeys(network.inputs[1:], f"(N, {config.z_id}) of unit length"),
        dict.fromkeys(network.outputs, picture),
        network.meta,
    )
