"""`import fsvideo`: files, pictures in memory, streams of them."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import av
import cv2
import numpy as np
import pytest
from test_house import HEAVY

import fsvideo
from fsvideo.library import LookOptions, Options
from fsvideo.options import Look, SwapOptions
from fsvideo.render import Job
from fsvideo.swapper import Swapper
from fsvideo.types import FaceError, Frame, Image, MediaInfo

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SOURCE, CLIP = EXAMPLES / "grace_hopper.jpg", EXAMPLES / "astronaut.mp4"


@pytest.fixture(scope="module")
def networks() -> Swapper:
    return fsvideo.load_swapper()


@pytest.fixture(scope="module")
def swapper(networks: Swapper) -> Iterator[fsvideo.FrameSwapper]:
    with fsvideo.FrameSwapper(SOURCE, swapper=networks) as made:
        yield made


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    with av.open(str(CLIP)) as container:
        return [
            np.asarray(f.to_ndarray(format="rgb24")) for f, _ in zip(container.decode(video=0), range(12), strict=False)
        ]


def test_importing_it_is_light() -> None:
    code = "import fsvideo, sys; fsvideo.__version__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "fsvideo" in loaded
    assert {name.partition(".")[0] for name in loaded} & (HEAVY | {"numpy"}) == set()
    with pytest.raises(AttributeError, match="no attribute 'swapp'"):
        _ = fsvideo.swapp  # type: ignore[attr-defined]


def test_every_option_of_the_command_line_is_one_here() -> None:
    """A new field of SwapOptions or Look belongs into library.Options or LookOptions."""
    look, options = get_type_hints(Look), get_type_hints(SwapOptions)
    for name in ("source", "input", "output", "look"):
        options.pop(name)
    assert get_type_hints(LookOptions).keys() == look.keys()
    assert get_type_hints(Options).keys() == options.keys() | look.keys()


def test_a_file_is_swapped_as_the_command_line_does(tmp_path: Path, networks: Swapper) -> None:
    said: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int) -> None:
        said.append((stage, done, total))

    result = fsvideo.swap(
        SOURCE, str(CLIP), tmp_path / "out.mp4", swapper=networks, progress=progress, end=0.2, feather=0.1,
        preset="ultrafast", keep=["mouth"],
    )  # fmt: skip
    assert isinstance(result, fsvideo.SwapResult)
    assert result.output == tmp_path / "out.mp4" and result.output.is_file()
    assert result.swapped_faces == result.frames == 5
    assert max(done for stage, done, _ in said if stage == "faces") == 5
    assert len({stage for stage, _, _ in said}) >= 2


def test_what_progress_raises_ends_the_run_with_no_output(tmp_path: Path, networks: Swapper) -> None:
    shutil.copy(CLIP, tmp_path / "clip.mp4")

    def progress(stage: str, done: int, total: int) -> None:
        if stage != "faces" and done:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fsvideo.swap(SOURCE, tmp_path / "clip.mp4", swapper=networks, progress=progress, end=0.2)
    assert not (tmp_path / "clip-swapped.mp4").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"faces": "some"},
        {"mask": "square"},
        {"feather": 0.6},
        {"smooth": -1},
        {"batch_size": 0},
        {"reference": "a.png"},
        {"faces": "reference"},
        {"start": 2.0, "end": 1.0},
        {"key": "a.pem"},
        {"start": float("nan")},
        {"start": -1.0},
        {"quality": 1000},
        {"smooth": float("nan")},
        {"segment": float("inf")},
        {"keep": ["nose"]},
    ],
)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) if len(wrong) == 1 else "end"):
        fsvideo.swap(SOURCE, CLIP, "never.mp4", **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"region": (0, 0, 1, 1)},
        {"tune": 1.5},
        {"tune": True},
        {"overwrite": "no"},
        {"end": "1:00"},
        {"report": 3},
        {"parts": "a.png"},
        {"keep": 3},
    ],
)
def test_options_of_another_kind(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))) as caught:
        fsvideo.swap(SOURCE, CLIP, "never.mp4", **wrong)
    assert "\n" not in str(caught.value)


def test_what_a_call_does_not_take_is_said(swapper: fsvideo.FrameSwapper, networks: Swapper) -> None:
    with pytest.raises(TypeError, match="encoder"):
        fsvideo.FrameSwapper(SOURCE, swapper=networks, encoder="x264")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="refine_strength goes to load_swapper"):
        fsvideo.swap(SOURCE, CLIP, "never.mp4", swapper=networks, refine_strength=0.5)
    for rate in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="rate"):
            swapper.stream([], rate=rate)


def test_errors_are_errors(tmp_path: Path, networks: Swapper) -> None:
    with pytest.raises(TypeError, match="colour"):
        fsvideo.swap(SOURCE, CLIP, "never.mp4", colour="keep")  # type: ignore[call-arg]
    with pytest.raises(fsvideo.FsvideoError, match=r"gone\.mp4") as caught:
        fsvideo.swap(SOURCE, tmp_path / "gone.mp4", tmp_path / "never.mp4", swapper=networks)
    assert "\n" not in str(caught.value)
    with pytest.raises(FaceError, match="faces in it"):
        fsvideo.FrameSwapper(EXAMPLES / "before_after.jpg", swapper=networks)


def test_one_picture(swapper: fsvideo.FrameSwapper, pictures: list[Image]) -> None:
    before = pictures[0].copy()
    after = swapper(pictures[0])
    assert np.array_equal(before, pictures[0]), "the picture that was given is not touched"
    assert (after.shape, after.dtype) == (before.shape, np.uint8)
    changed = (after != before).any(axis=2)
    assert 0.01 < changed.mean() < 0.4
    assert not changed[:, :20].any() and not changed[-20:].any()
    nobody = np.full((90, 160, 3), 120, np.uint8)
    assert np.array_equal(swapper(nobody), nobody)


def test_whoever_stands_beside_the_largest_face_is_a_bystander(
    swapper: fsvideo.FrameSwapper, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []

    def paint(frame: Frame, info: MediaInfo, asked: list[Job], painter: object) -> tuple[Frame, int]:
        jobs.extend(asked)
        return frame, len(asked)

    monkeypatch.setattr(swapper._stage, "paint", paint)
    other = cv2.resize(pictures[0], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    below = ((0, len(pictures[0]) - len(other)), (0, 0), (0, 0))
    swapper(np.hstack([pictures[0], np.pad(other, below)]))
    (job,) = jobs
    (beside,) = job.others
    assert job.track.points[0, :, 0].max() < pictures[0].shape[1] < beside.points[0, :, 0].min()


def test_a_stream_knows_the_past_alone(swapper: fsvideo.FrameSwapper, pictures: list[Image]) -> None:
    taken = []

    def source() -> Iterator[Image]:
        for number, picture in enumerate(pictures):
            taken.append(number)
            yield picture

    results = []
    for number, result in enumerate(swapper.stream(source())):
        assert len(taken) == number + 1, "a result waits for no later picture"
        results.append(result)
    assert len(results) == len(pictures)
    assert all((a != b).any() for a, b in zip(results, pictures, strict=True))
    again = list(swapper.stream(pictures[:6]))
    assert all(np.array_equal(a, b) for a, b in zip(again, results[:6], strict=True)), "nothing is left of a stream"


def test_pictures_that_are_none(swapper: fsvideo.FrameSwapper, pictures: list[Image]) -> None:
    for wrong in (pictures[0].astype(np.float32), pictures[0][..., 0], np.zeros((0, 0, 3), np.uint8), "face.jpg"):
        with pytest.raises(ValueError, match="uint8"):
            swapper(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="later"):
        list(swapper.stream(pictures[:2], times=[1.0, 1.0]))
    with pytest.raises(ValueError, match="size"):
        list(swapper.stream([pictures[0], pictures[0][:100]]))


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("swap_faces.py", SOURCE.name, CLIP.name):
        shutil.copy(EXAMPLES / name, tmp_path)
    runpy.run_path(str(tmp_path / "swap_faces.py"), run_name="__main__")
    assert (tmp_path / "out" / "swap_faces.mp4").is_file()
    assert "a stream: 25 pictures" in capsys.readouterr().out
