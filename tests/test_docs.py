"""The documentation: it builds without a warning, nothing it points at is missing, and its commands exist."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fsvideo.cli import main
from fsvideo.media.writer import ENCODERS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "examples" / "README.md", *sorted((ROOT / "weights").glob("*.md"))]
_RUN = re.compile(r"(?:^|\s)(?:\S*/)?fsvideo\s+(.*)")  # .venv/bin/fsvideo and python -m fsvideo, too


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built documentation. A warning, such as a broken link, ends the build; with --quiet it would not."""
    for package in ("mkdocs", "material", "mkdocstrings_handlers"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'fsvideo[docs]'")
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    return place


def test_site_builds_without_a_warning(site: Path) -> None:
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert (site / page.with_suffix(".html").name).is_file()
    api = (site / "api.html").read_text("utf-8")
    assert 'id="fsvideo.library.swap"' in api and "The output exists whole when this returns" in api
    assert "Put Grace Hopper's face on the astronaut" in api.replace("&#39;", "'"), "the example is not in the page"


def test_site_loads_nothing_from_the_network(site: Path) -> None:
    loads = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*?\bsrc=["']?(?:https?:)?//[^"' >]+""")
    styles = re.compile(
        r"""<link\b(?=[^>]*rel=["']?(?:stylesheet|preconnect|icon))[^>]*href=["']?(?:https?:)?//[^>]+"""
    )
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    assert [hit for page in pages for hit in loads.findall(page.read_text("utf-8"))] == []
    assert [hit for page in pages for hit in styles.findall(page.read_text("utf-8"))] == []
    sheets = [sheet.read_text("utf-8") for sheet in site.rglob("*.css")]
    assert [hit for sheet in sheets for hit in re.findall(r"url\([\"']?(?:https?:)?//[^)]+|@import[^;]+", sheet)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_exist(page: Path) -> None:
    """As they stand in the repository; the strict build says the same of the site."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def blocks(text: str) -> Iterator[str]:
    """The lines of fenced and indented blocks, with those joined that end in a backslash."""
    fenced = False
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()


def wrong_with(line: str, whole: bool) -> str:
    """What is wrong with these arguments of ``fsvideo``, "" if nothing. ``whole``: they are shown as they are typed."""
    command: click.Command = main
    words = shlex.split(line, comments=True)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    if isinstance(command, click.Group):
        return "no command" if whole and not words else ""
    whole = whole and "..." not in words  # which stands for what it needs
    words = [word for word in words if word != "..."]
    context = click.Context(command)
    try:
        if not whole and words and words[-1] in context.command.make_parser(context)._long_opt:
            words.pop()  # named without its value
        given, rest, _ = command.make_parser(context).parse_args(words)
        for parameter in command.params:
            value = given.get(parameter.name or "")
            if isinstance(parameter.type, click.Choice | click.types.IntParamType | click.types.FloatParamType):
                for one in value if isinstance(value, list) else [value]:
                    for choice in one.split("|") if isinstance(one, str) else []:
                        parameter.type.convert(choice, parameter, context)
            if whole and parameter.required and not isinstance(value, str | list):
                return f"{parameter.name} is missing"
    except click.UsageError as error:
        return error.format_message()
    return f"not understood: {rest}" if rest else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_are_understood(page: Path) -> None:
    text = page.read_text("utf-8")
    shown = [(found[1], True) for line in blocks(text) if (found := _RUN.search(line))]
    shown += [(line.strip("`"), False) for line in re.findall(r"`fsvideo ([^`\n]+)`", text)]
    assert [f"{line}: {wrong}" for line, whole in shown if (wrong := wrong_with(line, whole))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_named_in_the_text_exist(page: Path) -> None:
    """`--smooth 1` and its like; which command it belongs to is not said, so any will do."""
    shown = re.findall(r"`(--[^`\n]+)`", page.read_text("utf-8"))
    named = {option for code in shown for option in re.findall(r"--[a-z][\w-]*", code)}
    assert named - {"--help"} - {opt for command in commands(main) for opt in options(command)} == set()


def test_help_names_the_encoders_defaults() -> None:
    texts = {param.name: getattr(param, "help", None) or "" for param in main.commands["swap"].params}
    for name, encoder in ENCODERS.items():
        if encoder.quality:
            assert f"{name} {encoder.quality_default}" in texts["quality"]
        if encoder.preset and name != "x264":
            assert encoder.presets.get("medium", "medium") == encoder.preset_default
    assert f"{ENCODERS['x264'].preset_default} for x264, medium for the others" in texts["preset"]


def test_readme_lists_every_option_of_swap() -> None:
    table = (ROOT / "README.md").read_text("utf-8").split("## Options of `fsvideo swap`")[1].split("\n\n")[1]
    listed = set(re.findall(r"--[a-z][\w-]*", "".join(row.split("| ")[1] for row in table.splitlines()[2:])))
    assert listed - {"--no-refine"} == set(options(main.commands["swap"])) - {"--no-refine"}


def test_messages_in_troubleshooting_are_those_of_the_code() -> None:
    code = "".join(file.read_text("utf-8") for file in sorted((ROOT / "fsvideo").rglob("*.py")))
    table = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8").split("| message |")[1]
    messages = re.findall(r"^\| (?!-)(.+?) \|", table, re.M)
    assert len(messages) > 10
    pieces = [piece.strip() for message in messages for piece in re.split(r"\.\.\.|[\d.]+ ", message)]
    assert [piece for piece in pieces if len(piece) > 1 and piece not in code] == []


@pytest.mark.parametrize(
    "line",
    ["swop --source a", "swap --sauce a --input b", "faces --output a", "weights lst", "evaluate --swapper wrap",
     "swap --source a --input b c", "train aei --data d --size 100", "verify"],
)  # fmt: skip
def test_a_wrong_command_line_is_found(line: str) -> None:
    assert wrong_with(line, whole=True)


def commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from commands(inner)


def options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from (name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--"))
