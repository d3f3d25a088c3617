"""people.toml: who is in a clip, written by `fsvideo faces`, edited by a person, read by `fsvideo swap --people`."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fsvideo.options import LOOK_CHOICES, Look, Part, Region
from fsvideo.types import FsvideoError, MediaError

Paths = str | list[str]
_LOOKS = get_type_hints(Look)
# What a person's table may hold. The figures tell a reader who is meant, and are not read.
_KEYS: dict[str, Any] = {
    **{"name": str, "reference": Paths, "seconds": float, "first": float, "last": float},
    **{"source": Paths, "start": float, "end": float, "region": list[float]},
    **_LOOKS,
}


@dataclass(frozen=True)
class Entry:
    """A person as `fsvideo faces` writes them. ``reference``: names of pictures, relative to the file."""

    name: str
    reference: tuple[str, ...]
    seconds: float  # on screen
    first: float  # seconds after the input's first frame
    last: float
    size: tuple[int, int]  # pixels, the median's


def read(path: Path, look: Look) -> tuple[Part, ...]:
    """The people of a file. ``look`` holds for whoever says nothing else.

    Paths are relative to the file. Raises FsvideoError that names the file and the key.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}", "fsvideo faces --input CLIP --output FILE makes one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FsvideoError(f"{path}: not TOML: {error}", "texts stand in quotes, lists in brackets") from error
    people = tables.pop("person", None)
    if tables:
        raise FsvideoError(f"{path}: unknown key {next(iter(tables))}", "it holds [[person]] tables and nothing else")
    if not isinstance(people, list) or not people or not all(isinstance(person, dict) for person in people):
        raise FsvideoError(f"{path}: holds no [[person]]", "fsvideo faces --input CLIP --output FILE makes one")
    parts = tuple(_part(path, number, person, look) for number, person in enumerate(people, start=1))
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise FsvideoError(f"{path}: two people have the name {name}", "give each their own name")
    if not any(part.source for part in parts):
        raise FsvideoError(f"{path}: nobody in it has a source", 'give someone a line like source = "face.jpg"')
    # Whoever is left alone without a picture plays no part.
    return tuple(part for part in parts if part.reference)


def _part(path: Path, number: int, table: Mapping[str, Any], look: Look) -> Part:
    name = table.get("name", str(number))

    def wrong(key: str, why: str, hint: str = "") -> FsvideoError:
        return FsvideoError(f"{path}: person {name}: {key}: {why}", hint or "fsvideo swap --help explains the values")

    values = {}
    for key, value in table.items():
        if key not in _KEYS:
            raise wrong(key, "unknown key", f"known: {', '.join(_KEYS)}")
        if not _fits(value, _KEYS[key]):
            raise wrong(key, f"{value!r} is not {_words(_KEYS[key])}")
        values[key] = value
        if key in _LOOKS:
            own: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value}
            try:
                look = replace(look, **own)
            except FsvideoError as error:
                raise FsvideoError(f"{path}: person {name}: {error}", error.hint) from error
    start, end = values.get("start"), values.get("end")
    if start is not None and end is not None and end <= start:
        raise wrong("end", f"{end:g} does not come after start {start:g}")
    try:
        region = Region(*values["region"]) if "region" in values else None
    except (TypeError, ValueError) as error:
        raise wrong("region", "not x, y, width, height in parts of the frame, each 0 to 1 and all within it") from error
    source, reference = (_paths(path, values.get(key, [])) for key in ("source", "reference"))
    for key, places in (("source", source), ("reference", reference)):
        for place in places:
            if not place.exists():
                raise wrong(key, f"there is no {place}", f"paths are relative to {path.parent}")
    if source and not reference:
        raise wrong("reference", "missing", "a picture of this person is needed to find them in the clip")
    return Part(name, source, reference, start, end, region, look)


def _paths(path: Path, value: str | list[str]) -> tuple[Path, ...]:
    names = [value] if isinstance(value, str) else value
    return tuple(path.parent / os.path.expanduser(name) for name in names)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value from TOML is of a type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inner and not isinstance(value, bool)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin in (list, tuple):
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return type(value) is hint


def _words(hint: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in (Union, UnionType):
        return " or ".join(_words(one) for one in inner if one is not type(None))
    if origin in (list, tuple):
        return "a list of " + {str: "texts", float: "numbers", int: "numbers"}.get(inner[0], "values")
    return {str: "a text", float: "a number", int: "a whole number", bool: "true or false"}.get(hint, str(hint))


def write(title: str, entries: Iterable[Entry]) -> str:
    """The text of a people.toml. ``title``: the input's name."""
    return "\n".join([_HEAD.format(title=_comment(title)), *map(_table, entries)])


_HEAD = """\
# People in {title}. Give those who are to be swapped a source, then:
#   fsvideo swap --people FILE --input CLIP
# Whoever has no source is left as they are. Paths are relative to this file; times are seconds of the clip. A region is
# x, y, width, height in parts of the frame. The other values are those of the options of the same names.
"""


def _table(entry: Entry) -> str:
    width, height = entry.size
    lines = ["[[person]]", f"name = {_toml(entry.name)}"]
    if entry.reference:
        lines.append(f"reference = {_toml(entry.reference)}")
    else:
        lines.append('# reference = "picture.jpg"  # no sharp face was found here: a picture of yours is needed')
    lines += [f"seconds = {entry.seconds:.2f}  # on screen, {width} x {height} pixels"]
    lines += [f"first = {entry.first:.2f}", f"last = {entry.last:.2f}"]
    lines += ['# source = "face.jpg"']
    start, end = _down(entry.first), -_down(-entry.last)
    if end > start:  # not so in a picture, where they would be refused
        lines += [f"# start = {start:.2f}", f"# end = {end:.2f}"]
    lines += ["# region = [0.0, 0.0, 1.0, 1.0]"]
    look = Look()
    defaults = {field.name: getattr(look, field.name) for field in fields(Look)}
    for key, value in defaults.items():
        choices = f"  # {' or '.join(LOOK_CHOICES[key])}" if key in LOOK_CHOICES else ""
        lines.append(f"# {key} = {_toml(value)}{choices}")
    return "\n".join(lines) + "\n"


def _down(seconds: float) -> float:
    """Hundredths, rounded so that no frame is left out: never later than this."""
    nearest = round(100 * seconds)
    return (nearest if nearest / 100 <= seconds else nearest - 1) / 100


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        escaped = "".join(f"\\u{ord(c):04x}" if c < " " or c in '"\\\x7f' else c for c in value)
        return f'"{escaped}"'
    return "[" + ", ".join(_toml(one) for one in value) + "]"
