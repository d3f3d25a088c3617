"""The house rule: imports go down only, every package used is declared, and --help is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room may import from rooms with a smaller number, and from itself. Rooms on one floor do not know each other.
FLOOR = {
    "types": 0,
    "options": 1,
    "disk": 0,
    "flow": 0,
    "heap": 0,
    "processor": 0,
    "console": 2,
    "meter": 3,
    "summary": 3,
    "media": 2,
    "faces": 2,
    "models": 2,
    "weights": 2,
    "backends": 2,
    "journal": 3,
    "glasses": 3,
    "networks": 3,
    "tuning": 3,
    "swapper": 4,
    "casting": 5,
    "render": 5,
    "export": 5,
    "recipe": 5,
    "people_file": 2,
    "places": 3,
    "memory": 5,
    "survey": 6,
    "glance": 7,
    "train": 9,
    "report": 6,
    "likeness": 6,
    "live_likeness": 7,
    "stream": 8,
    "parts": 7,
    "cluster": 8,
    "forecast": 7,
    "roster": 7,
    "live": 9,
    "planning": 6,
    "outputs": 7,
    "preview": 8,
    "pipeline": 9,
    "library": 10,
    "evaluate": 10,
    "doctor": 10,
    "bench": 10,
    "cli": 11,
    "__main__": 12,
}
HEAVY = {"ray", "torch", "cv2", "av", "mediapipe", "onnx", "onnxruntime", "openvino", "c2pa", "cryptography"}
BROUGHT_BY = {"cv2": "mediapipe"}  # packages that another dependency is relied on to install


def imports(package: Path) -> Iterator[tuple[Path, int, str]]:
    """Every import in the package, those inside functions too: (file, line, absolute dotted name)."""
    for file in sorted(package.rglob("*.py")):
        inside = [package.name, *file.relative_to(package).parent.parts]
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield file, node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                base = inside[: len(inside) - node.level + 1] if node.level else []
                start = [*base, *([node.module] if node.module else [])]
                for alias in node.names:
                    yield file, node.lineno, ".".join([*start, alias.name])


def violations(package: Path) -> list[str]:
    """What breaks the rule, one line each."""
    rooms = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()} - {"__init__"}
    wrong = [f"{room}: no floor in FLOOR" for room in sorted(rooms - FLOOR.keys())]
    for file, line, name in imports(package):
        room = file.relative_to(package).parts[0].removesuffix(".py")
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top != package.name or other == room or other not in FLOOR:
            continue
        if room == "__init__" and other == "library":  # what `import fsvideo` offers, imported when it is asked for
            continue
        if room == "__init__" or FLOOR.get(room, 0) <= FLOOR[other]:
            wrong.append(f"{file.relative_to(package)}:{line}: {room} imports {other}")
    return wrong


def test_imports_go_down_only() -> None:
    package = ROOT / "fsvideo"
    assert len({file for file, _, _ in imports(package)}) > 5
    assert violations(package) == []


def test_the_drawing_in_contributing_shows_the_house() -> None:
    """Every room is in its table once, and no row imports from one above it."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("## The house")[1].split("\n\n")[1]
    rows = [re.findall(r"`(\w+)(?:/|\.py)`", line.split("|")[1]) for line in text.splitlines()[2:]]
    row_of = {room: number for number, rooms in enumerate(rows) for room in rooms}
    assert sorted(room for rooms in rows for room in rooms) == sorted(FLOOR.keys() - {"__main__"})
    for file, line, name in imports(ROOT / "fsvideo"):
        room, other = file.relative_to(ROOT / "fsvideo").parts[0].removesuffix(".py"), name.split(".")[1:2]
        if room in row_of and other and other[0] in row_of and name.startswith("fsvideo."):
            assert row_of[room] <= row_of[other[0]], f"{file.name}:{line}: {room} imports {other[0]}"


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("faces/align.py", "from fsvideo.media import read"),
        ("media/read.py", "from fsvideo import weights"),
        ("models/aei.py", "import fsvideo.faces.detect"),
        ("media/write.py", "from ..faces.align import crop"),
        ("media/write.py", "def late():\n    from fsvideo.pipeline import swap"),
        ("types.py", "from . import weights"),
        ("train/loop.py", "from fsvideo.pipeline import swap"),
        ("pipeline.py", "from .train.data import Pairs"),
        ("swapper.py", "from fsvideo.cli import main"),
        ("__init__.py", "from .pipeline import swap"),
        ("cellar.py", "x = 1"),
    ],
)
def test_an_import_against_the_rule_is_found(tmp_path: Path, file: str, line: str) -> None:
    path = tmp_path / "fsvideo" / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert len(violations(tmp_path / "fsvideo")) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("faces/align.py", "from fsvideo.types import Crop\nfrom .detect import find\nfrom fsvideo.faces import mask"),
        ("pipeline.py", "from fsvideo import __version__, swapper\nimport numpy.typing"),
        ("evaluate.py", "from .pipeline import swap"),
    ],
)
def test_an_import_within_the_rule_passes(tmp_path: Path, file: str, line: str) -> None:
    path = tmp_path / "fsvideo" / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert violations(tmp_path / "fsvideo") == []


def test_every_imported_package_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {re.split(r"[\[<>=~! ]", line)[0].lower() for lines in lists for line in lines}
    providers = packages_distributions()
    undeclared = set()
    for file, line, name in imports(ROOT / "fsvideo"):
        top = name.partition(".")[0]
        if top == "fsvideo" or top in sys.stdlib_module_names:
            continue
        homes = {BROUGHT_BY.get(top, home).lower() for home in providers.get(top, [top])}
        if not homes & declared:
            undeclared.add(f"{file.relative_to(ROOT)}:{line}: {top}")
    assert undeclared == set()


def test_help_imports_nothing_heavy() -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fsvideo", "--help"], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "swap" in run.stdout
    loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}
    assert "fsvideo.cli" in loaded
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
