from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_fixtures import EXAMPLES, backdrop, read_image

from fsvideo import weights
from fsvideo.faces.detect import FaceFinder, carried
from fsvideo.faces.quiet import without_chatter, without_plots
from fsvideo.faces.yunet import Forward, by_shape, iou
from fsvideo.types import Array, Face, Image

# pictures that hold more than one face, or none
COUNTS = {"group__21.jpg": 3, "group_friends__22.jpg": 6, "three_people__48.jpg": 3, "two_people__24.jpg": 2}


@pytest.fixture(scope="module")
def portrait() -> Image:
    return read_image(EXAMPLES / "grace_hopper.jpg")


def moved(face: Face, by: Array) -> Face:
    x, y = by
    return carried(face, np.array([[1, 0, x], [0, 1, y]], np.float32), face.score)


def test_hard_pictures(finder: FaceFinder, data: Path) -> None:
    """Profiles, masks, hands, phones, darkness, paintings: all found; dog, cat, grass and view: nothing."""
    wrong = {}
    for path in sorted((data / "hard").iterdir()):
        expected = 0 if path.name.startswith("noface") else COUNTS.get(path.name, 1)
        found = finder.find(read_image(path), thorough=True)
        if len(found) != expected:
            wrong[path.name] = (expected, len(found))
    assert not wrong


def test_a_face_in_detail(finder: FaceFinder, portrait: Image) -> None:
    (face,) = finder.find(portrait)
    right_eye, left_eye, nose, mouth_right, mouth_left = face.points
    assert right_eye[0] < nose[0] < left_eye[0] and mouth_right[0] < mouth_left[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(mouth_right[1], mouth_left[1])
    assert face.landmarks.shape == (478, 2) and face.score > 0.9 and face.blendshapes is None
    assert np.all(np.abs(face.pose) < 20)
    assert np.all(face.points >= face.box[:2]) and np.all(face.points <= face.box[2:])


@pytest.mark.parametrize("degrees", [-90, -35, 35, 90, 180])
def test_turned_pictures(finder: FaceFinder, portrait: Image, degrees: float) -> None:
    h, w = portrait.shape[:2]
    (upright,) = finder.find(portrait)
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), -degrees, 1.0)  # OpenCV counts counter-clockwise
    turned = cv2.warpAffine(portrait, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
    (face,) = finder.find(np.asarray(turned, np.uint8), thorough=True)
    expected = upright.points @ matrix[:, :2].T + matrix[:, 2]
    size = upright.box[2] - upright.box[0]
    assert np.abs(face.points - expected).mean() < 0.04 * size
    # OpenCV's turn is clockwise for these degrees, roll counts against the clock
    off = (face.pose[2] - upright.pose[2] + degrees + 180) % 360 - 180
    assert abs(off) < 6


@pytest.mark.parametrize("width", [40, 60, 120])
def test_small_faces_in_a_full_hd_frame(finder: FaceFinder, portrait: Image, width: int) -> None:
    box = finder.find(portrait)[0].box
    scale = width / float(box[2] - box[0])
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = backdrop(1920, 1080)
    places = [(100, 80), (1500, 100), (900, 450), (300, 600), (1550, 650)]
    for x, y in places:
        frame[y : y + small.shape[0], x : x + small.shape[1]] = small
    faces = finder.find(frame)
    assert len(faces) == len(places)
    for x, y in places:
        expected = box * scale + (x, y, x, y)
        assert max(iou(f.box, expected) for f in faces) > 0.75


def test_a_face_that_fills_the_picture(finder: FaceFinder, portrait: Image) -> None:
    left, top, right, bottom = finder.find(portrait)[0].box.astype(int)
    close = cv2.resize(portrait[top - 5 : bottom + 5, left - 5 : right + 5], None, fx=7, fy=7)
    faces = finder.find(np.asarray(close, np.uint8))
    assert len(faces) == 1 and faces[0].box[2] - faces[0].box[0] > 0.7 * close.shape[1]


def test_darkness(finder: FaceFinder, portrait: Image) -> None:
    rng = np.random.default_rng(0)
    dark = np.clip(portrait * 0.06 + rng.normal(0, 1.5, portrait.shape), 0, 255).astype(np.uint8)
    (bright,) = finder.find(portrait)
    (face,) = finder.find(dark, thorough=True)
    assert np.abs(face.points - bright.points).mean() < 0.04 * (bright.box[2] - bright.box[0])


def test_follow_finds_a_face_near_where_it_was(finder: FaceFinder, portrait: Image) -> None:
    (face,) = finder.find(portrait)
    size = face.box[2] - face.box[0]
    for shift in ((0.3, 0.1), (-0.2, -0.3)):
        again = finder.follow(portrait, moved(face, np.float32(shift) * size))
        assert again is not None and np.abs(again.points - face.points).mean() < 0.02 * size
        assert again.score > 0.8
    assert finder.follow(portrait, moved(face, np.float32([3, 3]) * size)) is None
    assert finder.follow(np.zeros_like(portrait), face) is None


def test_the_mesh_is_carried_while_the_detector_alone_sees_the_face(
    finder: FaceFinder, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    (face,) = finder.find(portrait)
    size = face.box[2] - face.box[0]
    monkeypatch.setattr(finder, "fit_near", lambda *_: None)
    again = finder.follow(portrait, moved(face, np.float32([0.1, 0.1]) * size))
    assert again is not None and np.abs(again.landmarks - face.landmarks).mean() < 0.03 * size
    assert np.array_equal(again.pose, face.pose)
    assert again.fitted
    # a mesh that had another shape, as of a turned head, is where the face is, and no longer the face's own
    nose = np.zeros((5, 2), np.float32)
    nose[2] = (0.3 * size, 0)
    turned = finder.follow(portrait, replace(face, points=face.points + nose))
    assert turned is not None and not turned.fitted
    assert np.linalg.norm(turned.points.mean(0) - face.points.mean(0)) < 0.1 * size


def test_a_face_that_cannot_be_seen_upright_is_looked_for_as_it_is(
    finder: FaceFinder, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    (face,) = finder.find(portrait)
    size = face.box[2] - face.box[0]
    monkeypatch.setattr(finder, "locate", lambda *_: None)
    again = finder.follow(portrait, moved(face, np.float32([0.1, 0.1]) * size))
    assert again is not None and np.abs(again.points - face.points).mean() < 0.03 * size
    assert finder.follow(portrait, moved(face, np.float32([0.8, 0]) * size)) is None


def test_known_faces_are_not_found_again(finder: FaceFinder, data: Path) -> None:
    picture = read_image(data / "hard" / "three_people__48.jpg")
    faces = finder.find(picture)
    rest = finder.find(picture, known=faces[:2])
    assert len(rest) == 1 and iou(rest[0].box, faces[2].box) > 0.9
    assert finder.find(picture, known=faces, thorough=True) == []


def test_pictures_without_anything(finder: FaceFinder) -> None:
    for shape in ((1, 1, 3), (8, 300, 3), (480, 640, 3)):
        assert finder.find(np.full(shape, 128, np.uint8), thorough=True) == []


def test_iou() -> None:
    box = np.array([0, 0, 10, 10], np.float32)
    assert iou(box, box) == 1
    assert iou(box, box + 20) == 0
    assert iou(box, box + np.float32([5, 0, 5, 0])) == pytest.approx(1 / 3)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    tests = Path(__file__).parent
    head = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
    return subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("size", [(200, 300), (250, 317)])
def test_what_is_read_from_the_detector_is_what_opencv_reads(finder: FaceFinder, size: tuple[int, int]) -> None:
    """For pictures of any size and for frames of a clip, against OpenCV's own reader of the same network."""
    photo = cv2.resize(read_image(EXAMPLES / "grace_hopper.jpg"), size, interpolation=cv2.INTER_AREA)
    picture = np.hstack([photo, photo[:, ::-1]])
    model = np.frombuffer(weights.read_bytes("detector"), np.uint8)
    reader = cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), picture.shape[1::-1], 0.6, 0.3, 200)
    rows = np.asarray(reader.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1])
    assert len(rows) == 2
    for detector in (finder.detector, finder.detector.for_clip()):
        found = detector.detect(picture, 0.6)
        assert [one.score for one in found] == pytest.approx(rows[:, 14], abs=1e-4)
        np.testing.assert_allclose([one.points.ravel() for one in found], rows[:, 4:14], atol=0.01)
        corners = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
        np.testing.assert_allclose([one.box for one in found], corners, atol=0.01)


def test_a_runner_is_started_once_for_each_shape() -> None:
    started: list[tuple[int, ...]] = []

    def start(shape: tuple[int, ...]) -> Forward:
        started.append(shape)
        return lambda blob: [blob + len(started)]

    run = by_shape(start)
    small, large = np.zeros((1, 3, 32, 32), np.float32), np.zeros((1, 3, 64, 32), np.float32)
    assert [run(blob)[0].shape for blob in (small, large, small)] == [small.shape, large.shape, small.shape]
    assert started == [small.shape, large.shape]


def test_the_terminal_stays_clean() -> None:
    """Neither start-up notes, nor a traceback when the interpreter exits with an open finder."""
    code = "from face_fixtures import *; finder = load_finder()\n"
    code += "print(len(finder.find(read_image(EXAMPLES / 'grace_hopper.jpg'))))"
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_errors_are_not_hidden() -> None:
    done = run_python("from fsvideo.faces.yunet import by_opencv; by_opencv(b'no model')")
    assert done.returncode == 1 and "Traceback" in done.stderr and "Failed to parse onnx model" in done.stderr


def test_only_chatter_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with without_chatter():
        os.write(2, b"one\nW0000 00:00:17.5 1 graph.cc:1] noise\n")
        os.write(2, b"INFO: Created a delegate\nE0000 00:00:1 f.cc:2] error\n")
    assert capfd.readouterr().err == "one\nE0000 00:00:1 f.cc:2] error\n"


def test_a_finder_brings_no_plots_and_takes_none_away() -> None:
    code = """
import sys
from fsvideo.networks import load_finder
load_finder().close()
assert not any(name.partition(".")[0] == "matplotlib" for name in sys.modules)
from mediapipe.tasks.python.vision import drawing_utils
import matplotlib.pyplot
assert drawing_utils.plt.figure is matplotlib.pyplot.figure
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    import matplotlib.pyplot

    with without_plots():
        assert sys.modules["matplotlib.pyplot"] is matplotlib.pyplot
