from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_fixtures import EXAMPLES, read_clip, read_image

from fsvideo.faces.cuts import CutDetector
from fsvideo.types import Image

STAGE = "stage_cuts_mic_small_faces.mp4"


def cuts(frames: Iterable[Image]) -> list[int]:
    detector = CutDetector()
    return [i for i, frame in enumerate(frames) if detector.update(frame)]


@pytest.fixture(scope="module")
def shots(data: Path) -> list[list[Image]]:
    """Ten frames each of five scenes, 640 x 360."""
    names = ("indoor_1080p.mp4", "dark_720p.mp4", "expressions.mp4", "crowd.mp4", STAGE)
    clips = (islice(read_clip(data / "clips" / name), 10) for name in names)
    return [[cv2.resize(f, (640, 360), interpolation=cv2.INTER_AREA) for f in clip] for clip in clips]  # type: ignore[misc]


def brightened(frame: Image, gain: float, offset: float = 0) -> Image:
    return np.clip(frame.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("grey", [False, True])
def test_cuts_between_similar_dark_shots(data: Path, grey: bool) -> None:
    """The truth was found by looking at the frames."""
    frames = read_clip(data / "clips" / STAGE)
    if grey:
        frames = (np.repeat(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)[..., None], 3, 2) for f in frames)
    assert cuts(frames) == [20, 82, 211]


@pytest.mark.parametrize("clip", ["crowd.mp4", "expressions.mp4", "dark_outdoors.mp4"])
def test_none_in_clips_without_any(data: Path, clip: str) -> None:
    assert cuts(read_clip(data / "clips" / clip, count=150)) == []
    assert cuts(read_clip(data / "clips" / clip, count=150, every=4)) == []


def test_every_change_of_scene(shots: list[list[Image]]) -> None:
    order = [a for i in range(5) for j in range(i + 1, 5) for a in (i, j)]
    frames = [f for a in order for f in shots[a][:3]]
    changes = [3 * i for i in range(1, len(order)) if order[i] != order[i - 1]]
    assert cuts(frames) == changes


@pytest.mark.parametrize(("gain", "offset"), [(2, 0), (4, 0), (30, 0), (1, 60), (1, 250), (0.2, 0), (0, 0)])
def test_not_flashes_nor_blackouts(shots: list[list[Image]], gain: float, offset: float) -> None:
    for shot in shots:
        frames = [brightened(f, gain, offset) if i in (3, 4, 7) else f for i, f in enumerate(shot)]
        assert cuts(frames) == []


def test_not_fades_and_dissolves(shots: list[list[Image]]) -> None:
    a, b = shots[0][0], shots[3][0]
    mixed = [cv2.addWeighted(a, 1 - i / 20, b, i / 20, 0) for i in range(21)]
    assert cuts(mixed) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("speed", [5, 20, 40, 80])
def test_not_pans(speed: int) -> None:
    """Pixels a frame at 640 wide, with the blur that such a camera has, from rest and to rest."""
    photos = [read_image(EXAMPLES / name) for name in ("astronaut.png", "grace_hopper.jpg")]
    photos = [cv2.resize(p, (640, 640), interpolation=cv2.INTER_AREA)[100:460] for p in photos]  # type: ignore[misc]
    panorama = np.hstack([photos[0], photos[0][:, ::-1], photos[1][:, ::-1], photos[1], photos[0]])
    speeds = [*np.linspace(0, speed, 8), *[speed] * 10, *np.linspace(speed, 0, 8), 0, 0]
    frames, x = [], 0.0
    for v in speeds:
        x += v
        frames.append(cv2.blur(panorama, (max(1, int(v / 2)), 1))[:, int(x) : int(x) + 640])
    assert cuts(frames) == []  # type: ignore[arg-type]


def test_through_black(shots: list[list[Image]]) -> None:
    black = np.zeros_like(shots[0][0])
    assert cuts([*shots[0][:4], *[black] * 3, *shots[3][:4]]) == [7]
    assert cuts([*shots[0][:4], *[black] * 3, *shots[0][5:8]]) == []


def test_a_folder_of_pictures_of_all_sizes(data: Path) -> None:
    names = ["group__21.jpg", "mask__39.jpg", "three_people__48.jpg", "noface_grass__08.jpg"]
    assert cuts(read_image(data / "hard" / n) for n in names) == [1, 2, 3]


def test_one_even_frame_is_enough() -> None:
    assert cuts([np.zeros((4, 4, 3), np.uint8)] * 3) == []
