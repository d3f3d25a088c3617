"""A run's settings as a TOML file: written whole with every default, read back with every name and type checked."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from fsvideo.types import FsvideoError


class Settings(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


S = TypeVar("S", bound=Settings)


def write(path: Path, about: Mapping[str, str], settings: Settings) -> None:
    """``about``: what the run was started with, under [run]; the settings' fields go under [settings]."""
    lines = ["# What this run is made of. Another run takes the same [settings] with --config.", "[run]"]
    lines += [f"{k} = {_toml(v)}" for k, v in about.items()]
    lines += ["", "[settings]", *(f"{k} = {_toml(v)}" for k, v in asdict(settings).items()), ""]
    path.write_text("\n".join(lines), "utf-8", errors="replace")


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables [run] and [settings] of a file. Raises FsvideoError where it is not TOML."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FsvideoError(
            f"{path}: {error.strerror}", "give a TOML file, for example the config.toml of a run"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FsvideoError(f"{path}: not TOML: {error}") from error
    run, settings = tables.get("run", {}), tables.get("settings", {})
    if tables.keys() - {"run", "settings"} or not isinstance(run, dict) or not isinstance(settings, dict):
        raise FsvideoError(f"{path}: holds more than [run] and [settings]", "put every setting under [settings]")
    return run, settings


def apply(settings: S, values: Mapping[str, Any], where: str) -> S:
    """``settings`` with these fields replaced. Raises FsvideoError for an unknown name or a value of another type."""
    before = {f.name: getattr(settings, f.name) for f in fields(settings)}
    for name, value in values.items():
        if name not in before:
            raise FsvideoError(f"{where}: there is no setting {name!r}", f"known: {', '.join(before)}")
        want = type(before[name])
        if want is float and type(value) is int:
            value = float(value)
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            value = tuple(value)
        if type(value) is not want:
            raise FsvideoError(f"{where}: {name} = {value!r} is not {_NAMES[want]}", f"the default is {before[name]!r}")
        before[name] = value
    return type(settings)(**before)


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list of texts"}


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
