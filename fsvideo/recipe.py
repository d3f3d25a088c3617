"""Everything that a result depends on, under names a user knows: runs with the same recipe make the same output."""

from __future__ import annotations

from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fsvideo
from fsvideo import weights
from fsvideo.journal import digest
from fsvideo.networks import pick_device
from fsvideo.options import Part, SwapOptions
from fsvideo.swapper import Swapper
from fsvideo.types import MediaError

_FINDER = ("detector", "landmarker")
_LIBRARIES = ("av", "mediapipe", "numpy", "torch")
_NO_SETTINGS = {"source", "input", "output", "reference", "parts", "report", "compare", "compare_layout", "preview"}
_NO_SETTINGS |= {"overwrite", "resume", "backend"}
_NO_SETTINGS |= {"provenance", "certificate", "key"}  # said of the finished output, in its last moment


def recipe(options: SwapOptions, swapper: Swapper) -> dict[str, Any]:
    """The contents of all files that are read, by their hashes; versions; settings. Raises FsvideoError."""
    settings = {field.name: getattr(options, field.name) for field in fields(options)}
    settings |= asdict(settings.pop("look"))
    settings["region"] = None if options.region is None else asdict(options.region)
    return {
        "input": _digest(options.input),
        "source": [_digest(path) for path in options.source],
        "reference": None if options.reference is None else _digest(options.reference),
        "people": [asdict(part) | _digests(part) for part in options.parts],
        "weights": {**swapper.hashes} | {name: weights.sha256(name) for name in _FINDER},
        "version": {"fsvideo": fsvideo.__version__} | {name: version(name) for name in _LIBRARIES},
        "container": options.output.suffix.lower(),
        "device": pick_device(options.device).type,
        "backend": swapper.backend,
        "--report": options.report is not None,
    } | {f"--{name.replace('_', '-')}": value for name, value in settings.items() if name not in _NO_SETTINGS}


def _digests(part: Part) -> dict[str, list[str]]:
    return {"source": [_digest(path) for path in part.source], "reference": [_digest(path) for path in part.reference]}


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or error}") from error
