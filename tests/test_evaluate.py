"""`fsvideo evaluate` on people and on a clip; the judge, the warped baseline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import Result
from commandline import run

from fsvideo import weights
from fsvideo.casting import identify
from fsvideo.evaluate import measures
from fsvideo.evaluate.clips import outside_change
from fsvideo.evaluate.judge import Judge
from fsvideo.faces.align import OUTLINE
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.mesh import lay, triangles
from fsvideo.media import read
from fsvideo.models import aei, hear
from fsvideo.models.identity import IdentityEncoder
from fsvideo.networks import load_finder
from fsvideo.render import FrameTask
from fsvideo.swapper import load_swapper
from fsvideo.types import CropSpec, Face, Image, WeightsError

ROOT = Path(__file__).resolve().parents[1]
HOPPER = ROOT / "examples" / "grace_hopper.jpg"
CLIP = ROOT / "examples" / "astronaut.mp4"


@pytest.fixture(scope="module")
def finder() -> Iterator[FaceFinder]:
    with load_finder(blendshapes=True) as found:
        yield found


@pytest.fixture(scope="module")
def hopper(finder: FaceFinder) -> tuple[Image, Face]:
    image = np.ascontiguousarray(cv2.imread(str(HOPPER))[..., ::-1])
    return image, finder.find(image)[0]


def test_judge_knows_a_person_in_batches_and_alone(hopper: tuple[Image, Face], finder: FaceFinder) -> None:
    judge = Judge()
    image, found = hopper
    other = np.ascontiguousarray(cv2.imread(str(ROOT / "examples" / "astronaut.png"))[..., ::-1])
    stranger = judge(other, finder.find(other)[0].points)
    turned = np.ascontiguousarray(image[:, ::-1])
    mirrored = judge(turned, finder.find(turned)[0].points)
    own = judge(image, found.points)
    assert np.linalg.norm(own) == pytest.approx(1, abs=1e-5)
    assert own @ mirrored > 0.7 and own @ stranger < 0.4
    chips = [judge.chip(image, found.points), judge.chip(other, found.points)]
    assert np.abs(judge.batch(chips)[0] - own).max() < 1e-5


def test_judge_runs_alike_in_another_runtime(hopper: tuple[Image, Face]) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is in the extra 'cpu'")
    judge, (image, found) = Judge(), hopper
    chip = judge.chip(image, found.points)
    session = runtime.InferenceSession(str(weights.find("judge")), providers=["CPUExecutionProvider"])
    chips = ((np.stack([chip, chip])[..., ::-1].astype(np.float32) - 127.5) / 128).transpose(0, 3, 1, 2)
    raw = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(chips)})[0]
    assert np.abs(raw[1] / np.linalg.norm(raw[1]) - judge.batch([chip])[0]).max() < 1e-3


def test_a_judge_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(WeightsError, match=r"text\.onnx"):
        Judge(tmp_path / "text.onnx")
    with pytest.raises(WeightsError):
        Judge(weights.find("detector"))


def test_triangles_cover_a_grid() -> None:
    points = np.array([(x, y) for x in range(0, 50, 10) for y in range(0, 40, 10)], np.float32)
    corners = points[triangles(points)]
    sides = corners[:, 1:] - corners[:, :1]
    areas = (
        np.abs(
            np.cross(
                np.append(sides[:, 0], np.zeros((len(sides), 1)), 1),
                np.append(sides[:, 1], np.zeros((len(sides), 1)), 1),
            )[:, 2]
        )
        / 2
    )
    assert areas.sum() == pytest.approx(40 * 30) and len(corners) == 2 * 4 * 3


def test_a_face_laid_on_itself_is_itself(hopper: tuple[Image, Face]) -> None:
    image, found = hopper
    picture = image.astype(np.float32)[: min(image.shape[:2]), : min(image.shape[:2])]
    same = lay(picture.astype(np.uint8), found.landmarks, picture, found.landmarks)
    assert np.abs(same - picture).max() < 2


def test_a_laid_face_puts_each_point_on_its_landmark(hopper: tuple[Image, Face]) -> None:
    """A source that is black but for a dot on one landmark: the dot comes to that landmark of another mesh."""
    _, found = hopper
    low, high = found.landmarks.min(0), found.landmarks.max(0)
    mesh = ((found.landmarks - low) / (high - low) * 180 + 30).astype(np.float32)
    bend = (mesh + 8 * np.sin(mesh[:, ::-1] / 40)).astype(np.float32)
    for landmark in (4, 61, 133, 205):
        source = np.zeros((256, 256, 3), np.uint8)
        cv2.circle(source, tuple(np.round(mesh[landmark]).astype(int).tolist()), 3, (255, 255, 255), -1)
        result = lay(source, mesh, np.full((256, 256, 3), 128, np.float32), bend)
        bright = np.argwhere(result[..., 0] > result[..., 0].max() - 20).mean(0)[::-1]
        assert np.abs(bright - bend[landmark]).max() < 1.5
    outside = ~measures.face_area(bend[list(OUTLINE)], 256, 256)
    far = cv2.erode(outside.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    assert (result[far] == 128).all()


def test_a_source_is_remembered_with_its_picture(finder: FaceFinder) -> None:
    identity = identify(finder, load_swapper("unchanged", False, torch.device("cpu")), [HOPPER])
    assert identity.portrait is not None and identity.portrait.image.ndim == 3
    assert identity.portrait.face.landmarks.shape == (478, 2)


def test_a_change_outside_the_mask_is_seen() -> None:
    frame = next(read.frames(read.probe(CLIP)))
    luma = frame.planes[0].copy()
    luma[5, 7] += 9
    changed = replace(frame, planes=(luma, *frame.planes[1:]))
    task = FrameTask(frame, [])
    assert outside_change(task, frame) == 0 and outside_change(task, changed) == 9


def evaluate(*arguments: object, code: int = 0) -> Result:
    return run("evaluate", "--threads", 1, *arguments, code=code)


def figures(section: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {s["name"]: {f["name"]: f["value"] for f in s["figures"]} for s in section["swappers"]}


def test_people_from_end_to_end(data: Path, tmp_path: Path) -> None:
    """A random network, the warping baseline and no swap at all, side by side on six people."""
    things = tmp_path / "things"
    things.mkdir()
    disc = np.zeros((120, 120, 4), np.uint8)
    cv2.circle(disc, (60, 60), 50, (0, 200, 0, 255), -1)
    cv2.imwrite(str(things / "disc.png"), disc)
    output = tmp_path / "report"
    done = evaluate(
        *("--people", data / "identity", "--limit", 6, "--model", "tiny", "--occluders", things),
        *("--held-out", "things/", "--output", output, "--json"),
        *(word for name in ("aei", "warp", "unchanged") for word in ("--swapper", name)),
    )
    document = json.loads(done.stdout)
    assert document == json.loads((output / "evaluation.json").read_text("utf-8"))
    (section,) = document["sections"]
    found = figures(section)
    assert list(found) == ["real photos", "tiny", "warp", "unchanged"]
    assert all(f["samples"] <= 6 for s in section["swappers"] for f in s["figures"])

    same = found["unchanged"]
    assert same["self-swap PSNR"] == 100 and same["self-swap SSIM"] == pytest.approx(1)
    assert same["pose error"] == same["expression error"] == same["gaze error"] == same["occluder's error"] == 0
    assert same["sharpness"] == pytest.approx(100) and same["cosine to target"] == pytest.approx(1, abs=1e-5)

    warp, tiny = found["warp"], found["tiny"]
    assert warp["cosine to source"] > max(tiny["cosine to source"], same["cosine to source"]) + 0.15
    assert warp["cosine to source, training's recogniser"] > tiny["cosine to source, training's recogniser"]
    assert warp["retrieval of the source's photo"] > tiny["retrieval of the source's photo"]
    assert warp["self-swap PSNR"] > tiny["self-swap PSNR"] + 5
    assert 0 < warp["pose error"] < 15 and warp["occluder's error"] > 5
    assert found["real photos"]["cosine to source"] > 0.4 > found["real photos"]["cosine to target"]

    sheet = cv2.imread(str(output / "people.png"))
    assert sheet.shape == (5 * 160, 6 * 160, 3) and sheet.std() > 20
    assert cv2.imread(str(output / "people_identity.png")).std() > 5
    report = (output / "evaluation.md").read_text("utf-8")
    assert "| pose error, degrees |" in report and "(people.png)" in report
    assert "already" in evaluate("--people", data / "identity", "--output", output, code=1).stderr


def test_the_same_command_gives_the_same_figures(data: Path, tmp_path: Path) -> None:
    options = ("--people", data / "identity", "--limit", 2, "--model", "tiny", "--output", tmp_path, "--overwrite")
    one, two = (json.loads(evaluate(*options, "--json").stdout) for _ in range(2))
    assert one == two


def test_with_and_without_hear_net_side_by_side(data: Path, tmp_path: Path) -> None:
    """An untrained HEAR-Net leaves the swap as it is: both columns are there, and equal."""
    net, refiner = aei.AEINet(aei.PRESETS["tiny"]), hear.HEARNet(hear.PRESETS["tiny"])
    about = {"crop": CropSpec(net.config.size).to_json(), "identity": IdentityEncoder.name}
    files = tmp_path / "aei.safetensors", tmp_path / "hear.safetensors"
    own = {"kind": "aei", "name": "both", "config": net.config.to_json(), "refiner": str(files[1])}
    weights.save(files[0], net.state_dict(), {**about, **own})
    weights.save(
        files[1], refiner.state_dict(), {**about, "kind": "hear", "name": "h", "config": refiner.config.to_json()}
    )
    done = evaluate(
        *("--people", data / "identity", "--limit", 2, "--model", files[0], "--json", "--output", tmp_path / "r")
    )
    found = figures(json.loads(done.stdout)["sections"][0])
    assert list(found) == ["real photos", "both with HEAR-Net", "both without HEAR-Net"]
    assert found["both with HEAR-Net"] == pytest.approx(found["both without HEAR-Net"], rel=1e-3, abs=1e-3)


def test_a_clip_from_end_to_end(tmp_path: Path) -> None:
    done = evaluate(
        *("--clips", CLIP, "--source", HOPPER, "--limit-frames", 8, "--output", tmp_path / "report", "--json"),
        *("--swapper", "warp", "--swapper", "unchanged"),
    )
    (section,) = json.loads(done.stdout)["sections"]
    found = figures(section)
    same, warp = found["unchanged"], found["warp"]
    assert same["flicker against the original's"] == pytest.approx(1)
    assert same["the same along its own motion"] == pytest.approx(1)
    assert same["jitter of the landmarks"] == pytest.approx(same["jitter of the original's landmarks"])
    assert same["pose error"] == same["expression error"] == 0
    assert same["change outside the mask"] == warp["change outside the mask"] == 0
    assert same["frames swapped"] == warp["frames swapped"] == 100
    assert warp["flicker against the original's"] > 1
    assert warp["cosine to source"] > same["cosine to source"] + 0.2 and warp["cosine to target"] < 0.6
    sheet = cv2.imread(str(tmp_path / "report" / "astronaut.png"))
    assert sheet.shape == (3 * 224, 7 * 224, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "give --people, --clips, or both"),
        (("--clips", "x"), 2, "--clips needs --source"),
        (("--people", "nowhere"), 1, "nowhere: not a folder"),
        (("--clips", "nowhere", "--source", HOPPER), 1, "nowhere: no clips"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    output = tmp_path / "report"
    assert says in evaluate(*arguments, "--model", "tiny", "--output", output, code=code).stderr
    assert not (output / "evaluation.json").exists()
