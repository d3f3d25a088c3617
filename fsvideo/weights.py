"""The weights that ship, and checkpoints in general: find, verify, load, save.

Checkpoints are safetensors files: they hold numbers and text, never code. Their header carries strings that describe
them: ``kind`` ("identity", "landmarks", "expression", "aei", "hear", "judges" or "glasses"), ``name``, the sizes of the
architecture as JSON under ``config``, the crop as JSON under ``crop``, the identity encoder's name under ``identity``,
and more as needed.
A file's layout is checked before anything is allocated for it, and a shipped file's sha256 before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsvideo.types import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SUMS = "SHA256SUMS"
_MAX_HEADER = 16 << 20  # bytes; a network of 10,000 tensors needs one
_MAX_RANK = 8
# safetensors' name of each type of number: torch's name, bytes
_DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
_CODES = {f"torch.{name}": code for code, (name, _) in _DTYPES.items()}
_RESTORE = "restore it with `git checkout -- weights` in a checkout, or reinstall fsvideo"


@dataclass(frozen=True)
class Shipped:
    """One file that comes with fsvideo. Its model card is the ``.md`` of the same name beside it."""

    file: str
    kind: str
    about: str
    license: str  # SPDX


SHIPPED: dict[str, Shipped] = {
    "compact": Shipped("aei_compact.safetensors", "aei", "AEI-Net, makes the swap", "LicenseRef-NonCommercial"),
    "hear": Shipped("hear_compact.safetensors", "hear", "HEAR-Net, mends the swap", "LicenseRef-NonCommercial"),
    "judges": Shipped(
        "aei_compact_judges.safetensors", "judges", "its discriminators, to train on from", "LicenseRef-NonCommercial"
    ),
    "identity": Shipped("identity_dlib.safetensors", "identity", "who a face is: dlib's half of z_id", "CC0-1.0"),
    "second": Shipped("identity_faceres.safetensors", "identity", "a second opinion, for training alone", "MIT"),
    "third": Shipped("identity_mobilefacenet.safetensors", "identity", "the other half of z_id", "Apache-2.0"),
    "glasses": Shipped(
        "glasses.safetensors",
        "glasses",
        "what glasses do to z_id: the target keeps its own",
        "LicenseRef-NonCommercial",
    ),
    "landmarker": Shipped("face_landmarker.task", "landmarker", "478 face landmarks, expression, pose", "Apache-2.0"),
    "mesh": Shipped("landmarks_mesh.safetensors", "landmarks", "its points, for faces that are followed", "Apache-2.0"),
    "expression": Shipped(
        "blendshapes.safetensors", "expression", "expression from its points with gradients, for training", "Apache-2.0"
    ),
    "detector": Shipped("face_detection_yunet_2023mar.onnx", "detector", "where faces are: YuNet", "MIT"),
    "judge": Shipped("judge_arcface_mobile.onnx", "judge", "who a face is, for evaluate alone", "MIT"),
}


@dataclass(frozen=True)
class Checkpoint:
    """What a safetensors file held."""

    tensors: dict[str, Tensor]
    meta: dict[str, str]
    path: Path
    sha256: str


@dataclass(frozen=True)
class Check:
    """A shipped file compared with the list of hashes."""

    name: str
    path: Path
    size: int  # bytes, 0 if missing
    state: Literal["ok", "missing", "altered", "unlisted"]


def folder() -> Path:
    """Where the shipped weights lie: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


def find(name_or_path: str | Path, expect: str | None = None, others: Sequence[str] = ()) -> Path:
    """The file behind a shipped name ("identity") or a path; write ``./identity`` for a file that has such a name.

    ``expect``: the kind wanted, for the names to choose from; ``others``: more of them, which stand for no weights.
    Raises WeightsError where there is none.
    """
    if (shipped := SHIPPED.get(str(name_or_path))) is not None:
        path = folder() / shipped.file
        if not path.is_file():
            raise WeightsError(f"{path} is missing", _RESTORE)
        return path
    path = Path(name_or_path)
    if not os.path.exists(path):
        names = [*(name for name, one in SHIPPED.items() if expect in (None, one.kind)), *others]
        raise WeightsError(f"no weights called {path}", f"give a file, or one of: {', '.join(names)}")
    if not os.path.isfile(path):
        raise WeightsError(f"{path} is not a file", "give a .safetensors file")
    return path


def verify() -> list[Check]:
    """Every shipped file against the list of hashes. Raises WeightsError where the list itself cannot be read."""
    sums = _sums()
    checks = []
    for name, shipped in SHIPPED.items():
        path = folder() / shipped.file
        state: Literal["ok", "missing", "altered", "unlisted"] = "ok"
        if not path.is_file():
            state = "missing"
        elif shipped.file not in sums:
            state = "unlisted"
        elif _sha256(path) != sums[shipped.file]:
            state = "altered"
        checks.append(Check(name, path, path.stat().st_size if state != "missing" else 0, state))
    return checks


def read_bytes(name_or_path: str | Path) -> bytes:
    """A model in a format of its own (.task, .onnx), its hash checked if it is a shipped one. Raises WeightsError."""
    path = find(name_or_path)
    _checked_sha256(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error


def sha256(name_or_path: str | Path) -> str:
    """The hash of a weights file, compared with the list if it is a shipped one. Raises WeightsError."""
    return _checked_sha256(find(name_or_path))


def load(name_or_path: str | Path, expect: str | None = None, others: Sequence[str] = ()) -> Checkpoint:
    """A checkpoint's tensors (on the CPU, as stored) and metadata.

    ``expect``: the kind the caller needs; ``others``: see ``find``. Raises WeightsError, one line, if the
    file is missing, cut, altered, of another kind or no safetensors file.
    """
    path = find(name_or_path, expect, others)
    meta = _checked_meta(path)
    kind = meta.get("kind", "unknown")
    if expect is not None and kind != expect:
        raise WeightsError(f"{path} holds weights of kind {kind!r} where {expect!r} is needed", "give another file")
    sha256 = _checked_sha256(path)

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return Checkpoint(load_file(path), meta, path, sha256)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is damaged: {error}", _hint(path)) from error


def save(path: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all; the same tensors and metadata give the same bytes.

    Raises WeightsError if the place cannot be written; an older file there is then untouched.
    """
    import torch

    path = Path(path)
    header: dict[str, Any] = {"__metadata__": dict(sorted(meta.items()))}
    # Wide numbers first: every tensor then starts at a multiple of its element's size.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    end = 0
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        code = _CODES[str(tensors[name].dtype)]
        header[name] = {"dtype": code, "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in order:
                flat = tensors[name].detach().cpu().contiguous().reshape(-1)
                file.write(flat.view(torch.uint8).numpy().data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}", "check the folder and the free space") from error
    finally:
        with contextlib.suppress(OSError):  # gone, if all went well
            temporary.unlink()


def _sums() -> dict[str, str]:
    """File name -> sha256, from the list beside the shipped weights (the format of ``sha256sum``)."""
    path = folder() / SUMS
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}", _RESTORE) from error
    return {file.strip().lstrip("*"): digest for digest, _, file in (line.partition(" ") for line in lines)}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error


def _is_shipped(path: Path) -> bool:
    return path.resolve() in {(folder() / shipped.file).resolve() for shipped in SHIPPED.values()}


def _hint(path: Path) -> str:
    return _RESTORE if _is_shipped(path) else "copy or download it again"


def _checked_sha256(path: Path) -> str:
    found = _sha256(path)
    if _is_shipped(path) and found != (listed := _sums().get(path.resolve().name, "nothing")):
        raise WeightsError(f"{path} is altered: its sha256 starts {found[:12]}, {SUMS} says {listed[:12]}", _RESTORE)
    return found


def _checked_meta(path: Path) -> dict[str, str]:
    """Check a safetensors file's layout from its header alone; return the metadata."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            text = file.read(length) if length <= _MAX_HEADER else b""
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    if size == 0:
        raise WeightsError(f"{path} is empty", _hint(path))
    if length > _MAX_HEADER and start.startswith((b"PK\x03\x04", b"\x80")):
        raise WeightsError(f"{path} is a pickle, which can run code and is never opened", "give a .safetensors file")
    if length <= _MAX_HEADER and len(text) < length and text[:1] in (b"{", b""):
        raise WeightsError(f"{path} is cut: it ends inside its header", _hint(path))
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise WeightsError(f"{path} is not a safetensors file", _hint(path))
    meta = header.pop("__metadata__", {})
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        raise WeightsError(f"{path} is damaged: its metadata is not text", _hint(path))
    needed, room = _data_size(header, path), size - 8 - length
    if room < needed:
        raise WeightsError(f"{path} is cut: {room:,} of {needed:,} bytes of numbers are there", _hint(path))
    if room > needed:
        raise WeightsError(f"{path} is damaged: {room - needed:,} bytes follow its last tensor", _hint(path))
    return meta


def _data_size(header: dict[str, Any], path: Path) -> int:
    """Bytes of all tensors, which must lie one behind the other, each as large as its shape and type say."""
    spans = []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(code), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if (
                code in _DTYPES and len(shape) <= _MAX_RANK and all(type(n) is int and n >= 0 for n in shape)
            ):
                fits = end - begin == math.prod(shape) * _DTYPES[code][1]
            case _:
                fits = False
        if not fits:
            raise WeightsError(f"{path} is damaged: the header's entry for {name[:80]!r} is wrong", _hint(path))
        spans.append((begin, end))
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise WeightsError(f"{path} is damaged: its tensors overlap or leave gaps", _hint(path))
        at = end
    return at
