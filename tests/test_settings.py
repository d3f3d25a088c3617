"""Options from the environment, config files and modes; completion; what a dry run foretells."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from commandline import run as in_process

from fsvideo import pipeline
from fsvideo.cli import main, swap
from fsvideo.cli.settings import used, user_config
from fsvideo.console import Silent
from fsvideo.options import Region, SwapOptions
from fsvideo.summary import made_rows
from fsvideo.swapper import AEISwapper, tiny
from fsvideo.tuning import Going
from fsvideo.types import Array, FsvideoError

ROOT = Path(__file__).resolve().parents[1]
SOURCE, CLIP = ROOT / "examples" / "grace_hopper.jpg", ROOT / "examples" / "astronaut.mp4"
NEEDED = ("--source", "a.jpg", "--input", "b.mp4")


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's user has the config file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    path = user_config()
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    return path


def parsed(*arguments: str) -> click.Context:
    """`fsvideo swap`'s options as it would take them."""
    return swap.make_context("swap", [*NEEDED, *arguments])


# From the weakest to the strongest: each level is tried with all weaker ones in place.
LEVELS = ("default", "mode", "user", "config", "environment", "command line")


@pytest.mark.parametrize("level", range(len(LEVELS)), ids=LEVELS)
def test_the_strongest_origin_gives_the_value(
    level: int, own_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my.toml"
    file.write_text("detect-size = 700\n")
    arguments: list[str] = []
    if level >= 1:
        arguments += ["--mode", "fast"]
    if level >= 2:
        own_config.write_text('detect-size = 600\nmask = "ellipse"\nrefine = true\n')
    if level >= 3:
        arguments += ["--config", str(file)]
    if level >= 4:
        monkeypatch.setenv("FSVIDEO_SWAP_DETECT_SIZE", "800")
    if level >= 5:
        arguments += ["--detect-size", "900"]
    for order in (arguments, [*arguments[2:], *arguments[:2]]):  # the order on the command line does not matter
        ctx = parsed(*order)
        assert ctx.params["detect_size"] == (1280, 960, 600, 700, 800, 900)[level]
        assert ctx.params["mask"] == ("ellipse" if level >= 2 else "outline")
        assert ctx.params["preset"] == ("veryfast" if level >= 1 else None)
        assert ctx.params["refine"] is (level != 1)
        assert used(ctx) == [own_config][: level >= 2] + [file][: level >= 3]


def test_a_mode_may_come_from_anywhere(own_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_config.write_text('mode = "fast"\n')
    assert parsed().params["preset"] == "veryfast"
    monkeypatch.setenv("FSVIDEO_SWAP_MODE", "best")
    assert parsed().params["preset"] == "slow"
    assert parsed("--mode", "balanced").params["preset"] is None


def test_repeatable_options_and_switches(own_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_config.write_text('keep = ["mouth", "brows"]\noverwrite = true\nfeather = 0.2\nno-face = "fail"\n')
    params = parsed().params
    assert params["keep"] == ("mouth", "brows") and params["overwrite"] and params["feather"] == 0.2
    assert params["no_face"] == "fail"
    monkeypatch.setenv("FSVIDEO_SWAP_KEEP", "eyes mouth")
    assert parsed().params["keep"] == ("eyes", "mouth")
    assert parsed("--keep", "brows").params["keep"] == ("brows",)


def test_a_file_takes_what_people_write(own_config: Path) -> None:
    own_config.write_text('keep = "mouth"\nno-refine = true\nregion = [0.5, 0, 0.5, 1]\n')
    params = parsed().params
    assert params["keep"] == ("mouth",) and params["refine"] is False and params["region"] == Region(0.5, 0, 0.5, 1)
    assert parsed("--refine").params["refine"] is True


def commands(group: click.Group, path: str = "fsvideo") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_a_variable_is_called_as_the_option_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, command in commands(main):
        for option in (param for param in command.params if isinstance(param, click.Option)):
            long = next(flag for flag in option.opts if flag.startswith("--"))
            assert option.envvar == f"{path} {long[2:]}".upper().replace("-", "_").replace(" ", "_"), (path, long)
    monkeypatch.setenv("FSVIDEO_SWAP_SOURCE", f"a.jpg{os.pathsep}b.jpg")
    monkeypatch.setenv("FSVIDEO_SWAP_INPUT", "c.mp4")
    monkeypatch.setenv("FSVIDEO_SWAP_REFINE", "0")
    params = swap.make_context("swap", []).params
    monkeypatch.delenv("FSVIDEO_SWAP_REFINE")
    for value, refine in (("1", False), ("0", True), ("", True)):
        monkeypatch.setenv("FSVIDEO_SWAP_NO_REFINE", value)
        assert swap.make_context("swap", []).params["refine"] is refine
    for no, yes in (("1", "1"), ("maybe", "")):
        monkeypatch.setenv("FSVIDEO_SWAP_NO_REFINE", no)
        monkeypatch.setenv("FSVIDEO_SWAP_REFINE", yes)
        with pytest.raises(click.BadParameter, match="FSVIDEO_SWAP_NO_REFINE"):
            swap.make_context("swap", [])
    assert params["sources"] == (Path("a.jpg"), Path("b.jpg")) and params["inputs"] == (Path("c.mp4"),)
    assert params["refine"] is False


def run(*arguments: object, code: int, **environment: str) -> str:
    command = [sys.executable, "-c", "from fsvideo.cli import main; main(prog_name='fsvideo')", *map(str, arguments)]
    env = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, env=env)
    assert done.returncode == code, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("featherr = 1\n", "featherr"),
        ("feather = \n", "not a TOML"),
        (None, "No such file"),
        ('keep = ["nose"]', "nose"),
        ('no-refine = "yes"', "true or false"),
        ("quiet = 3", "quiet is 3"),
        ("output = 5", "output is 5"),
        ('output = ["a", "b.mp4"]', "output is ['a', 'b.mp4']"),
        ("tune = 0.5", "tune is 0.5"),
        ("tune = true", "tune is True"),
        ("feather = [0.1]", "feather is [0.1]"),
        ("keep = [3]", "keep is [3]"),
        ("refine = true\nno-refine = true", "refine and no-refine are one switch"),
    ],
)
def test_a_config_that_cannot_be_is_refused(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "my.toml"
    if content is not None:
        file.write_text(content)
    said = run("swap", *NEEDED, "--config", file, code=2 if says == "nose" else 1)
    assert says in said
    assert str(file) in "".join(said.split()) or says != "nose"
    assert says == "nose" or (str(file) in said and len(said.strip().splitlines()) == 2)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_no_number_is_no_value(tmp_path: Path, value: str) -> None:
    for flag in ("feather", "strength", "scale", "smooth", "segment", "refine-strength"):
        said = in_process("swap", *NEEDED, f"--{flag}", value, code=2)
        assert f"--{flag}" in said.stderr
        (tmp_path / "my.toml").write_text(f"{flag} = {value}\n")
        assert "my.toml" in in_process("swap", *NEEDED, "--config", tmp_path / "my.toml", code=2).stderr
    assert "--seconds" in in_process("bench", "--seconds", value, code=2).stderr


def test_the_command_line_reads_the_environment_and_says_which_config_it_took(own_config: Path) -> None:
    assert "FSVIDEO_SWAP_MASK" in run("swap", *NEEDED, code=2, FSVIDEO_SWAP_MASK="star")
    own_config.write_text('model = "tiny"\n')
    said = run("swap", "--source", SOURCE, "--input", "nowhere.mp4", code=1)
    assert str(own_config) in said.replace("\n", "") and "nowhere.mp4" in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    script = run("completion", shell, code=0)
    assert "_FSVIDEO_COMPLETE" in script and f"{shell}_complete" in script
    words = {"COMP_WORDS": "fsvideo swap --ma", "COMP_CWORD": "--ma" if shell == "fish" else "2"}
    offered = run(code=0, _FSVIDEO_COMPLETE=f"{shell}_complete", **words)
    assert "--mask" in offered and "--feather" not in offered


def test_a_dry_run_foretells_time_and_room_and_writes_nothing(tmp_path: Path) -> None:
    fixed: dict[str, Any] = {"end": 2.0, "threads": 1, "batch_size": 4, "provenance": "metadata"}
    options = SwapOptions((SOURCE,), CLIP, tmp_path / "out.mp4", **fixed)
    swapper = tiny()
    dry = pipeline.swap(options, swapper, Silent(), write=False)
    assert list(tmp_path.glob("*.mp4")) == [] and {p.name for p in tmp_path.iterdir()} == {"home"}
    assert dry.forecast is not None and dry.forecast.seconds is not None and dry.forecast.size is not None
    done = pipeline.swap(options, swapper, Silent())
    assert 0.2 < (dry.seconds + dry.forecast.seconds) / done.seconds < 5
    assert 0.3 < dry.forecast.size / options.output.stat().st_size < 4
    rows = dict(made_rows(dry, options, dry_run=True))
    assert "x264, crf 12, preset faster" in rows["encoder"] and "exists already" in rows["would write"]
    assert "about" in rows["would take"] and "MB needed" in rows["disk"]


def test_a_dry_run_counts_what_tuning_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(
        self: AEISwapper, crops: Array, masks: Array, goal: Array, asked: Array, steps: int, going: Going, held: object
    ) -> Array:
        time.sleep(0.5 * steps)
        return asked

    monkeypatch.setattr(AEISwapper, "tuned", slow)
    foretold = []
    for steps in (0, 20):
        options = SwapOptions((SOURCE,), CLIP, tmp_path / "out.mp4", end=1.0, tune=steps)
        dry = pipeline.swap(options, tiny(), Silent(), write=False)
        assert dry.forecast is not None and dry.forecast.seconds is not None
        foretold.append(dry.forecast.seconds)
        words = dict(made_rows(dry, options, dry_run=True))["would take"]
        assert ("to tune, swap and encode" in words) == (steps > 0)
    assert foretold[1] - foretold[0] > 5


def test_a_dry_run_refuses_what_could_not_be_written(tmp_path: Path) -> None:
    options = SwapOptions((SOURCE,), CLIP, tmp_path / "no" / "out.mp4", end=0.1, threads=1)
    with pytest.raises(FsvideoError, match="no folder"):
        pipeline.swap(options, tiny(), Silent(), write=False)
