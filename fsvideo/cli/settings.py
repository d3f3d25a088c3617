"""Where options come from that are not on the command line: environment, config files, modes.

Command line, environment (FSVIDEO_SWAP_MASK), --config, the user's own config file, mode, default: the first that has a
value gives it. The last three before the defaults are click's ``default_map``, filled while options are parsed.
"""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fsvideo.cli.common import FILE, errors
from fsvideo.types import FsvideoError

MODES: dict[str, dict[str, Any]] = {
    "fast": {"preset": "veryfast", "detect-size": 960, "refine": False, "tune": 0},
    "balanced": {},
    "best": {"preset": "slow", "detect-size": 1920, "tune": 32},
}
_USED = f"{__name__}.used"


def user_config() -> Path:
    """The config file that is read when it exists."""
    return Path(click.get_app_dir("fsvideo")) / "config.toml"


def used(ctx: click.Context) -> list[Path]:
    """The config files that were read."""
    return list(ctx.meta.get(_USED, []))


def name_variables(command: click.Command, prefix: str) -> None:
    """Let each option be read from the environment, under the name it has on the command line."""
    prefix = f"{prefix}_{command.name}".upper()
    for option, flag in _flags(command).values():
        option.envvar = f"{prefix}_{flag}".upper().replace("-", "_")
    for below in getattr(command, "commands", {}).values():
        name_variables(below, prefix)


class Command(click.Command):
    """A command that says of a wrong value where it came from, if it was not typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            name = error.param.name if error.param is not None else None
            source = ctx.get_parameter_source(name) if name else None
            if source is ParameterSource.ENVIRONMENT and error.param is not None:
                origin = f"the environment: {error.param.envvar}"
            elif source is ParameterSource.DEFAULT_MAP:
                origin = ", ".join(map(str, used(ctx)))
            else:
                raise
            raise click.BadParameter(f"{error.message} (from {origin})", error.ctx, error.param) from None


def _read_configs(ctx: click.Context, param: click.Parameter, given: Path | None) -> None:
    files = [path for path in (user_config(), given) if path is not None and (path == given or path.is_file())]
    if ctx.resilient_parsing or not files:
        return
    with errors():
        for path in files:  # later ones win
            ctx.default_map = {**(ctx.default_map or {}), **_named(ctx.command, _load(path), str(path))}
    ctx.meta[_USED] = files


def _take_mode(ctx: click.Context, param: click.Parameter, mode: str) -> None:
    ctx.default_map = {**_named(ctx.command, MODES[mode], "mode"), **(ctx.default_map or {})}


def _as_options(values: dict[str, Any]) -> str:
    words = [f"--{'' if v else 'no-'}{k}" if isinstance(v, bool) else f"--{k} {v}" for k, v in values.items()]
    return " ".join(words)


# Both come before other options. Whichever of the two is first: a config wins over a mode.
CONFIG = click.option(
    "--config",
    type=FILE,
    metavar="FILE.toml",
    is_eager=True,
    expose_value=False,
    callback=_read_configs,
    help="Options from a file, by their long names: keep = ['mouth']. The user's own config.toml is read too, where "
    "there is one (~/.config/fsvideo on Linux), and environment variables such as FSVIDEO_SWAP_MASK. The command line "
    "wins over the environment, that over --config, that over the user's.",
)
MODE = click.option(
    "--mode",
    type=click.Choice(list(MODES)),
    default="balanced",
    show_default=True,
    is_eager=True,
    expose_value=False,
    callback=_take_mode,
    help="Time against quality: fast stands for "
    + "; best for ".join(_as_options(MODES[mode]) for mode in ("fast", "best"))
    + ". Options that are given, or set in a file, win over it.",
)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FsvideoError(f"{path}: {error.strerror}", "give a file that can be read") from error
    except ValueError as error:  # not TOML, or not text
        raise FsvideoError(f"{path}: not a TOML file ({error})", 'write lines such as mask = "ellipse"') from error


def _flags(command: click.Command) -> dict[str, tuple[click.Option, str]]:
    """The options by each of their long names, ``no-refine`` too, with the first of these."""
    found: dict[str, tuple[click.Option, str]] = {}
    for option in (param for param in command.params if isinstance(param, click.Option)):
        long = [flag[2:] for flag in (*option.opts, *option.secondary_opts) if flag.startswith("--")]
        found |= {flag: (option, long[0]) for flag in long}
    return found


# What TOML may hold for click's types of options, in words too. Texts are read as they are on the command line.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "integer range": ((int, str), "a whole number"),
    "float range": ((int, float, str), "a number"),
    "time": ((int, float, str, datetime.time), 'seconds, or "h:mm:ss"'),
    "region": ((int, float, str), "x, y, width and height: [0.5, 0, 0.5, 1]"),
    "text": ((int, str), "a text, in quotes"),
}


def _named(command: click.Command, options: dict[str, Any], origin: str) -> dict[str, Any]:
    """Values by click's names of their options. Raises FsvideoError for an option that there is not."""
    flags = {flag: option for flag, (option, _) in _flags(command).items() if option.name != "config"}
    unknown = [key for key in options if key not in flags]
    if unknown:
        raise FsvideoError(
            f"{origin}: there is no option {', '.join(unknown)}", "keys are long names of options of `fsvideo swap`"
        )
    keys: dict[str, str] = {}
    for key in options:
        twin = keys.setdefault(str(flags[key].name), key)
        if twin != key:
            raise FsvideoError(f"{origin}: {twin} and {key} are one switch", "leave one of them out")
    return {name: _value(flags[key], key, options[key], origin) for name, key in keys.items()}


def _value(option: click.Option, flag: str, value: Any, origin: str) -> Any:
    """A value as ``default_map`` takes it: one of a repeatable option, ``no-refine = true``, a region's list.

    Raises FsvideoError for one of another kind; click would take 0.5 for 0, and True for 1.
    """

    def wrong(hint: str) -> FsvideoError:
        return FsvideoError(f"{origin}: {flag} is {value!r}", hint)

    if option.is_flag:
        if not isinstance(value, bool):
            raise wrong("a switch is true or false")
        return value != (f"--{flag}" in option.secondary_opts)
    kinds, hint = _KINDS.get(option.type.name, ((str,), "a text, in quotes"))
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, kinds) and not isinstance(one, bool) for one in values):
        raise wrong(hint)
    if option.multiple:
        return values
    if isinstance(value, list) and option.type.name != "region":
        raise wrong(f"not a list, but {hint}")
    return ",".join(map(str, value)) if isinstance(value, list) else value
