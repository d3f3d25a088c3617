"""people.toml: what `fsvideo faces` writes is what `fsvideo swap --people` reads, and mistakes are named."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from fsvideo.options import Look, Part, Region
from fsvideo.people_file import Entry, read, write
from fsvideo.types import FsvideoError

ANN = Entry("1", ("people-faces/1-1.png", "people-faces/1-2.png"), 4.125, 0.04, 4.2, (83, 93))
BOB = Entry('B"ob\\ \u0007', (), 0.5, 1, 1.5, (20, 22))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("face.jpg", "b.jpg", "she.png"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def people(folder: Path, *lines: str, head: str = '[[person]]\nname = "Ann"\nreference = "she.png"\n') -> Path:
    path = folder / "people.toml"
    path.write_text(head + "\n".join(lines))
    return path


def test_what_is_written_can_be_read_and_says_what_can_be_set() -> None:
    text = write("a\nclip.mp4", [ANN, BOB])
    ann, bob = tomllib.loads(text)["person"]
    assert ann == {"name": "1", "reference": list(ANN.reference), "seconds": 4.12, "first": 0.04, "last": 4.2}
    assert bob["name"] == BOB.name and "reference" not in bob
    shown = tomllib.loads(re.sub(r"(?m)^# (?=\w+ = )", "", text.split("[[person]]")[1]))
    assert {"source", "start", "end", "region"} <= shown.keys()
    assert Look(**{f.name: shown[f.name] for f in fields(Look)} | {"keep": tuple(shown["keep"])}) == Look()
    assert '# mask = "outline"  # outline or ellipse' in text


@pytest.mark.parametrize(
    ("first", "last", "lines"),
    [
        (0.0, 0.0, []),  # an image
        (0.0, 1.5, ["# start = 0.00", "# end = 1.50"]),
        (1.236, 4.171, ["# start = 1.23", "# end = 4.18"]),
        (0.57, 0.5700000000000001, ["# start = 0.57", "# end = 0.58"]),
        (math.nextafter(0.57, 0), 0.58, ["# start = 0.56", "# end = 0.58"]),
    ],
)
def test_the_times_that_are_offered_leave_no_frame_out(
    folder: Path, first: float, last: float, lines: list[str]
) -> None:
    text = write("a.png", [Entry("1", ("she.png",), last - first, first, last, (83, 93))])
    assert [line for line in text.splitlines() if line.startswith(("# start", "# end"))] == lines
    path = folder / "people.toml"
    path.write_text(text.replace("# source", "source").replace("# start", "start").replace("# end", "end"))
    (ann,) = read(path, Look())
    assert ann.start is None or ann.end is None or ann.start <= first <= last <= ann.end


def test_each_person_has_what_they_say_and_else_what_holds_for_all(folder: Path) -> None:
    path = people(
        folder,
        'source = ["face.jpg", "b.jpg"]\nstart = 1\nend = 2.5\nregion = [0.5, 0, 0.5, 1]\nfeather = 0.3\nseconds = 3',
        '[[person]]\nreference = ["she.png"]',
        '[[person]]\nname = "not to be found again"',
    )
    ann, other = read(path, Look(mask="ellipse", feather=0.1))
    look = Look(mask="ellipse", feather=0.3)
    sources, reference = (folder / "face.jpg", folder / "b.jpg"), (folder / "she.png",)
    assert ann == Part("Ann", sources, reference, 1, 2.5, Region(0.5, 0, 0.5, 1), look)
    assert other == Part("2", (), reference, look=Look(mask="ellipse", feather=0.1))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('sourse = "face.jpg"', "person Ann: sourse: unknown key"),
        ("source = 3", "person Ann: source: 3 is not a text or a list of texts"),
        ('source = "gone.jpg"', "person Ann: source: there is no "),
        ('source = "~nobody/gone.jpg"', "person Ann: source: there is no "),
        ('feather = "soft"', "person Ann: feather: 'soft' is not a number"),
        ("feather = true", "person Ann: feather: True is not a number"),
        ("feather = nan", "person Ann: feather: nan is not a number"),
        ("feather = 7", "person Ann: feather cannot be 7"),
        ('mask = "oval"', "person Ann: mask cannot be 'oval'"),
        ('color = "keeep"', "person Ann: color cannot be 'keeep'"),
        ("start = 3\nend = 2", "person Ann: end: 2 does not come after start 3"),
        ("region = [0.5, 0.5, 0.6, 0.5]", "person Ann: region: not x, y, width, height"),
        ("region = [0.5, 0.5]", "person Ann: region: not x, y, width, height"),
        ("", "nobody in it has a source"),
        ('[[person]]\nname = "Ann"', "two people have the name Ann"),
        ('[[person]]\nname = "Bob"\nsource = "face.jpg"', "person Bob: reference: missing"),
        ("[person", "not TOML"),
        ("[other]", "unknown key other"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(folder: Path, line: str, says: str) -> None:
    path = people(folder, line)
    with pytest.raises(FsvideoError) as caught:
        read(path, Look())
    said = str(caught.value)
    assert said.startswith(f"{path}: {says}") and "\n" not in said and caught.value.hint


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"person = 3"])
def test_files_that_are_no_list_of_people(folder: Path, content: bytes) -> None:
    path = folder / "people.toml"
    path.write_bytes(content)
    with pytest.raises(FsvideoError, match=re.escape(str(path))):
        read(path, Look())
    with pytest.raises(FsvideoError, match=r"gone\.toml"):
        read(folder / "gone.toml", Look())


def test_every_field_of_a_look_can_be_set(folder: Path) -> None:
    path = people(
        folder, 'source = "face.jpg"\nkeep = ["eyes", "mouth"]\nscale = 1.1\nstrength = 0.5\nsharpness = "keep"'
    )
    (ann,) = read(path, Look(feather=0.2))
    assert ann.look == Look(feather=0.2, keep=("eyes", "mouth"), scale=1.1, strength=0.5, sharpness="keep")
