"""Who is swapped: `fsvideo faces`, `swap --people`, `--map`, `--region`, through the command line on real faces."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from face_fixtures import EXAMPLES, Head, backdrop, load_embed
from hard_fixtures import Run

from fsvideo.cli import main
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.follow import Follower, Tracking
from fsvideo.options import Look, Part, SwapOptions
from fsvideo.recipe import recipe
from fsvideo.swapper import unchanged
from fsvideo.types import Array, Image

HOPPER, ASTRONAUT = EXAMPLES / "grace_hopper.jpg", EXAMPLES / "astronaut.png"
RATE = 20
Place = tuple[float, float]


def fsvideo(*arguments: object, code: int = 0) -> Run:
    """A command in this process; a traceback or another exit code than ``code`` fails the test."""
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.stderr[-2000:]
    return Run(done.exit_code, json.loads(done.stdout) if done.stdout else None, done.stderr)


def swapped(clip: Path, folder: Path, *more: object) -> tuple[list[dict[str, Any]], Run]:
    """What `swap` reports of each frame; nothing is painted."""
    log = folder / "log.json"
    quick = ("--model", "unchanged", "--preset", "ultrafast", "--provenance", "metadata", "--threads", 1, "--overwrite")
    run = fsvideo("swap", "--input", clip, "--output", folder / "out.mp4", "--report", log, "--json", *quick, *more)
    return json.loads(log.read_text())["per_frame"], run


def middles(frames: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """For each name the frames in which they are swapped, and where: x in parts of a width of 640 pixels."""
    found: dict[str, list[tuple[int, float]]] = {}
    for frame in frames:
        for face in frame["faces"]:
            left, _, right, _ = face["region"]
            found.setdefault(face["name"], []).append((frame["index"], (left + right) / 2 / 640))
    return found


@pytest.fixture(scope="module")
def clip(finder: FaceFinder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second and a half: Hopper on the left, the astronaut, smaller, on the right."""
    path = tmp_path_factory.mktemp("who") / "two people.mp4"
    left, right = Head.from_photo(finder, HOPPER, 130), Head.from_photo(finder, ASTRONAUT, 100)
    scene = backdrop(640, 360)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for i in range(30):
            picture = right.paste(left.paste(scene, 60 + i % 3, 60), 400 - i % 2, 90)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def listed(clip: Path) -> dict[str, Any]:
    """`fsvideo faces` on the clip, with people.toml beside it."""
    said = fsvideo("faces", "--input", clip, "--output", clip.with_name("people.toml"), "--json", "--threads", 1).said
    assert isinstance(said, dict)
    return said


def edited(listed: dict[str, Any], number: int, *lines: str) -> Path:
    """A people.toml in which one person has these lines more."""
    path = Path(listed["output"])
    blocks = path.read_text().split("[[person]]")
    blocks[number] = blocks[number].replace("# source", "\n".join(lines) + "\n# source")
    path.with_name("edited.toml").write_text("[[person]]".join(blocks))
    shutil.copy(HOPPER, path.with_name("face.jpg"))
    return path.with_name("edited.toml")


def test_people_are_listed_with_pictures_and_a_file_to_edit(listed: dict[str, Any], clip: Path) -> None:
    people = listed["people"]
    assert [(p["number"], p["frames"], p["share"], p["shots"]) for p in people] == [(1, 30, 1, 1), (2, 30, 1, 1)]
    assert all(p["seconds"] == p["last"] == 1.5 and p["first"] == 0 and p["known"] for p in people)
    assert people[0]["size"][1] == pytest.approx(130, rel=0.1) and people[1]["size"][1] == pytest.approx(100, rel=0.1)
    sheet = cv2.imread(str(clip.with_name("people.png")))
    assert sheet is not None and sheet.shape[0] == 2 * 160 and sheet[:, 160:320].std() > 20
    assert {p.name[0] for p in clip.with_name("people-faces").iterdir()} == {"1", "2"}
    before = clip.with_name("people.toml").read_bytes()
    again = fsvideo("faces", "--input", clip, "--output", clip.with_name("people.toml"), code=1)
    assert "exists" in again.stderr and clip.with_name("people.toml").read_bytes() == before
    assert not [p for p in clip.parent.iterdir() if p.name.startswith(".")]


def test_the_people_of_a_picture_can_be_read_as_they_are_offered(tmp_path: Path) -> None:
    fsvideo("faces", "--input", ASTRONAUT, "--output", tmp_path / "p.toml", "--threads", 1)
    text = (tmp_path / "p.toml").read_text()
    (tmp_path / "p.toml").write_text(re.sub(r"(?m)^# (?=(source|start|end) = )", "", text))
    shutil.copy(HOPPER, tmp_path / "face.jpg")
    given = ("swap", "--people", tmp_path / "p.toml", "--input", ASTRONAUT, "--output", tmp_path / "o.png")
    assert fsvideo(*given, "--model", "unchanged", "--json").said["faces_swapped"] == 1


def test_nobody_in_a_picture_writes_nothing(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), backdrop(320, 240))
    run = fsvideo("faces", "--input", tmp_path / "empty.png", "--output", tmp_path / "p.toml", "--json")
    assert run.said["people"] == [] and run.said["output"] is None and "nobody" in run.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["empty.png"]


def test_who_has_a_source_is_swapped_and_nobody_else(listed: dict[str, Any], clip: Path, tmp_path: Path) -> None:
    frames, _ = swapped(clip, tmp_path, "--people", edited(listed, 2, 'source = "face.jpg"'))
    (places,) = middles(frames).values()
    assert middles(frames).keys() == {"2"} and [i for i, _ in places] == list(range(30))
    assert all(x > 0.6 for _, x in places)


def test_a_persons_own_time_fades_in_and_out(listed: dict[str, Any], clip: Path, tmp_path: Path) -> None:
    people = edited(listed, 1, 'source = "face.jpg"', "start = 0.5", "end = 1.0")
    frames, _ = swapped(clip, tmp_path, "--people", people)
    opacity = {f["index"]: f["faces"][0]["opacity"] for f in frames if f["faces"]}
    assert set(opacity) == set(range(10, 20))
    assert opacity[10] < 1 and opacity[19] < 1 and all(opacity[i] == 1 for i in range(12, 18))
    cut, _ = swapped(clip, tmp_path, "--people", people, "--start", "0.25")
    assert [f["index"] + 5 for f in cut if f["faces"]] == list(range(10, 20))  # the input's seconds, wherever it is cut


def test_each_source_goes_on_its_own_person(listed: dict[str, Any], clip: Path, tmp_path: Path) -> None:
    pairs = [f"{HOPPER}={ASTRONAUT}", f"{ASTRONAUT}={HOPPER}"]
    frames, _ = swapped(clip, tmp_path, "--map", pairs[0], "--map", pairs[1])
    places = middles(frames)
    assert places.keys() == {str(ASTRONAUT), str(HOPPER)}
    assert all(x > 0.6 for _, x in places[str(ASTRONAUT)]) and all(x < 0.4 for _, x in places[str(HOPPER)])
    likeness = {f["name"]: f["similarity_to_source"] for f in frames[9]["faces"]}
    assert max(likeness.values()) < 0.4  # unchanged, so neither looks like what it is to become


def test_only_faces_in_the_region_are_taken(listed: dict[str, Any], clip: Path, tmp_path: Path) -> None:
    frames, _ = swapped(clip, tmp_path, "--source", HOPPER, "--region", "0.5,0,0.5,1")
    (places,) = middles(frames).values()
    assert len(places) == 30 and all(x > 0.6 for _, x in places)  # the largest of those within it
    people = edited(listed, 1, 'source = "face.jpg"', "region = [0.0, 0.0, 0.5, 0.1]")
    run = fsvideo("swap", "--people", people, "--input", clip, "--output", tmp_path / "none.mp4", code=1)
    assert "nobody to swap is in it: 1" in run.stderr and not (tmp_path / "none.mp4").exists()


def test_someone_who_is_not_there_is_named(clip: Path, tmp_path: Path, data: Path) -> None:
    stranger = sorted((data / "identity" / "Bill_Clinton").iterdir())[0]
    _, run = swapped(clip, tmp_path, "--map", f"{HOPPER}={ASTRONAUT}", "--map", f"{HOPPER}={stranger}")
    assert run.said["notes"] == [f"{stranger}: nobody to swap was found"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "are needed; --map, --people or --jobs"),
        (["--source", HOPPER, "--map", f"{HOPPER}={ASTRONAUT}"], "not several"),
        (["--map", f"{HOPPER}={ASTRONAUT}", "--faces", "all"], "go with --source"),
        (["--map", f"{HOPPER}={ASTRONAUT}", "--map", f"{ASTRONAUT}={ASTRONAUT}"], "same REFERENCE"),
        (["--map", HOPPER], "SOURCE=REFERENCE"),
        (["--map", f"{HOPPER}=gone.png"], "there is no gone.png"),
        (["--source", HOPPER, "--region", "0.5,0.5,0.6,0.5"], "X,Y,W,H"),
    ],
)
def test_usage_errors_exit_2(arguments: list[object], says: str) -> None:
    assert says in " ".join(fsvideo("swap", "--input", HOPPER, *arguments, code=2).stderr.split())


def test_a_resumed_run_depends_on_all_that_is_read(tmp_path: Path) -> None:
    source, reference = tmp_path / "a.jpg", tmp_path / "b.png"
    shutil.copy(HOPPER, source)
    shutil.copy(ASTRONAUT, reference)
    part = Part("Ann", (source,), (reference,))
    options = SwapOptions((), HOPPER, tmp_path / "out.mp4", parts=(part,))
    swapper = unchanged()
    keys = [recipe(options, swapper)["people"]]
    for other in (
        replace(part, look=Look(feather=0.3)),
        replace(part, start=1.0),
        replace(part, source=()),
        replace(part, reference=(source,)),
    ):
        keys.append(recipe(replace(options, parts=(other,)), swapper)["people"])
    source.write_bytes(source.read_bytes() + b"0")
    keys.append(recipe(options, swapper)["people"])
    assert len({json.dumps(key) for key in keys}) == len(keys) == 6


# Crossing, cuts and returns, of people who were photographed on different days.

PAIRS = [("Bill_Clinton", "Conan_OBrien"), ("Aaron_Peirsol", "Adam_Sandler")]  # the first two look alike: cosine 0.66


def crossing(finder: FaceFinder, data: Path, names: tuple[str, str]) -> Iterator[tuple[Image, list[Place | None]]]:
    """Frames, and where each of the two is; None while hidden or partly so.

    The second walks across in front of the first. After a cut both are seen in other photos, on the sides where they
    began; the first leaves the frame and comes back.
    """
    photos = [sorted((data / "identity" / name).iterdir()) for name in names]
    (a, b), (c, d) = ([Head.from_photo(finder, p[nth], 110) for p in photos] for nth in (0, 1))

    def shown(behind: tuple[Head, Place], before: tuple[Head, Place], shot: int) -> tuple[Image, list[Place | None]]:
        picture = backdrop(640, 360) if shot == 0 else (0.5 * backdrop(640, 360)[::-1, ::-1]).astype(np.uint8)
        for head, (x, y) in (behind, before):
            picture = head.paste(picture, x - head.rgb.shape[1] / 2, y - head.rgb.shape[0] / 2)
        places: list[Place | None] = [behind[1], before[1]]
        covered = abs(behind[1][0] - before[1][0]) < 85
        if covered or behind[1][0] < 55:
            places[0] = None
        return picture, places

    for i in range(45):
        yield shown((a, (100 + 10 * i, 180)), (b, (540 - 10 * i, 183)), 0)
    for i in range(60):
        x = 160 if i < 12 else max(-110, 160 - 18 * (i - 12)) if i < 36 else -110 + 18 * (i - 36)
        yield shown((c, (x, 170)), (d, (480 - i % 9, 180)), 1)


def seen_by(tracking: Tracking, person: int) -> dict[int, Array]:
    """The middle of a person's face in each frame in which they were seen."""
    return {
        track.start + int(row): track.points[row].mean(0)
        for track in tracking.tracks
        if track.person == person
        for row in np.flatnonzero(track.score > 0)
    }


@pytest.mark.slow
@pytest.mark.parametrize("names", PAIRS)
def test_two_who_cross_keep_their_faces_over_a_cut_and_a_return(
    finder: FaceFinder, data: Path, names: tuple[str, str]
) -> None:
    follower, truth = Follower(finder, load_embed()), []
    for i, (picture, places) in enumerate(crossing(finder, data, names)):
        follower.update(picture, i / RATE)
        truth.append(places)
    tracking = follower.finish()
    assert tracking.cuts == [45] and {t.person for t in tracking.tracks} == {0, 1}
    for who in (0, 1):
        person = min((0, 1), key=lambda p: np.linalg.norm(seen_by(tracking, p)[2] - np.array(truth[2][who])))
        seen = seen_by(tracking, person)
        visible = [i for i, places in enumerate(truth) if places[who] is not None]
        right = [i for i in visible if i in seen and np.linalg.norm(seen[i] - np.array(truth[i][who])) < 45]
        assert len(right) >= 0.98 * len(visible)
        for i, place in seen.items():  # never on the other one
            other = truth[i][1 - who]
            assert other is None or np.linalg.norm(place - np.array(other)) > 45
