"""The whole first pass on real pictures."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_fixtures import EXAMPLES, Head, backdrop, load_embed, read_clip, read_image

from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.follow import Follower, Tracking, rescaled
from fsvideo.faces.people import Embed
from fsvideo.faces.scout import Scout
from fsvideo.faces.smooth import smooth
from fsvideo.faces.yunet import Candidate, Detector
from fsvideo.types import Array, Image

RATE = 30


@pytest.fixture(scope="module")
def embed() -> Embed:
    return load_embed()


@pytest.fixture(scope="module")
def heads(finder: FaceFinder) -> tuple[Head, Head]:
    names = ("grace_hopper.jpg", "astronaut.png")
    a, b = (Head.from_photo(finder, EXAMPLES / name, 130) for name in names)
    return a, b


def follow(finder: FaceFinder, embed: Embed, frames: Iterable[Image]) -> Tracking:
    follower = Follower(finder, embed)
    for i, frame in enumerate(frames):
        follower.update(frame, i / RATE)
    return follower.finish()


def test_one_person_in_two_shots(finder: FaceFinder, embed: Embed, data: Path) -> None:
    """A singer, small and whole, then close with a microphone; another person's profile between."""
    clip = data / "clips" / "stage_cuts_mic_small_faces.mp4"
    frames = chain(read_clip(clip, 5, 15), read_clip(clip, 75, 45))
    found = follow(finder, embed, frames)
    assert found.cuts == [15, 22] and found.bounds == [0, 15, 22, 60] and len(found.times) == 60
    singer = [t for t in found.tracks if t.person == 0]
    assert [(t.start, t.stop) for t in singer] == [(0, 15), (22, 60)]
    assert np.ptp(singer[0].outline[0, :, 0]) < 60 < np.ptp(singer[1].outline[0, :, 0])
    assert all((t.score > 0.6).mean() > 0.9 for t in singer)


@pytest.mark.parametrize("clip", ["dark_outdoors.mp4", "expressions.mp4", "indoor_1080p.mp4"])
def test_no_frame_is_missed(finder: FaceFinder, embed: Embed, data: Path, clip: str) -> None:
    found = follow(finder, embed, read_clip(data / "clips" / clip, count=60, every=3))
    (track,) = found.tracks
    assert (track.start, track.stop) == (0, 20) and (track.score > 0.7).all()


def test_a_crowd(finder: FaceFinder, embed: Embed, data: Path) -> None:
    found = follow(finder, embed, read_clip(data / "clips" / "crowd.mp4", 5, 30))
    assert len(found.tracks) >= 5 and found.cuts == []
    assert sum(len(t.points) >= 25 for t in found.tracks) >= 3
    centres = {t.id: dict(enumerate(t.points.mean(1), t.start)) for t in found.tracks}
    for track in found.tracks:  # nobody jumps, nobody is followed twice
        size = np.sqrt(np.ptp(track.outline, axis=1).prod(1)).mean()
        assert np.abs(np.diff(track.points.mean(1), axis=0)).max() < 0.55 * size  # one strides past the lens
        for other in found.tracks:
            shared = set(centres[track.id]) & set(centres[other.id])
            if other.id > track.id and shared:
                apart = [np.linalg.norm(centres[track.id][i] - centres[other.id][i]) for i in shared]
                assert np.median(apart) > 0.5 * size


def test_two_heads_cross(finder: FaceFinder, embed: Embed, heads: tuple[Head, Head]) -> None:
    scene, count = backdrop(), 31
    near, far = heads
    frames = []
    for i in range(count):
        shift = 720 * i / (count - 1)
        frames.append(near.paste(far.paste(scene, 150 + shift, 240), 870 - shift, 230))
    tracks = follow(finder, embed, frames).tracks
    assert len(tracks) == 2 and all((t.start, t.stop) == (0, count) for t in tracks)
    leftwards = next(t for t in tracks if t.points[0, 2, 0] > t.points[-1, 2, 0])
    rightwards = next(t for t in tracks if t is not leftwards)
    assert (leftwards.score > 0).all()
    assert leftwards.points[0, 2, 0] - leftwards.points[-1, 2, 0] == pytest.approx(720, abs=6)
    assert rightwards.points[-1, 2, 0] - rightwards.points[0, 2, 0] == pytest.approx(720, abs=6)


def test_newcomers_are_followed_back_and_returning_people_known(
    finder: FaceFinder, embed: Embed, heads: tuple[Head, Head]
) -> None:
    scene = backdrop()
    frames = []
    for i in range(50):
        frame = heads[1].paste(scene, 800, 240)
        frames.append(heads[0].paste(frame, 200 + 4 * i, 230) if i in range(7, 20) or i >= 42 else frame)
    tracks = follow(finder, embed, frames).tracks
    assert [(t.start, t.stop, t.person) for t in tracks] == [(0, 50, 0), (7, 20, 1), (42, 50, 1)]


def test_still_face_under_noise_is_steady(finder: FaceFinder, embed: Embed) -> None:
    photo = read_image(EXAMPLES / "grace_hopper.jpg")
    rng = np.random.default_rng(0)
    noisy = (np.clip(photo + rng.normal(0, 6, photo.shape), 0, 255).astype(np.uint8) for _ in range(40))
    found = follow(finder, embed, noisy)
    (track,) = found.tracks
    raw, steady = track.points, smooth(track, found.times, 0.5).points
    assert steady.std(0).max() < 0.3 and np.diff(steady, axis=0).std() < 0.1
    assert steady.std(0).mean() < 0.6 * raw.std(0).mean()
    assert np.abs(steady.mean(0) - raw.mean(0)).max() < 0.1


def test_fast_pan_of_a_real_face(finder: FaceFinder, embed: Embed, heads: tuple[Head, Head]) -> None:
    scene = backdrop()
    speeds = np.concatenate([np.zeros(8), np.linspace(0, 28, 6), np.full(18, 28), np.zeros(10)])
    places = np.round(np.cumsum(speeds))
    found = follow(finder, embed, (heads[0].paste(scene, 100 + x, 250) for x in places))
    (track,) = found.tracks
    assert (track.start, track.stop) == (0, len(places)) and (track.score > 0).all()
    steady = smooth(track, found.times, 0.5)
    error = steady.points[:, :, 0].mean(1) - places
    assert np.abs(error - np.median(error)).max() < 3  # pixels; a frame is 28


def test_one_picture_and_none(finder: FaceFinder, embed: Embed, data: Path) -> None:
    found = follow(finder, embed, [read_image(data / "hard" / "three_people__48.jpg")])
    assert [t.person for t in found.tracks] != [] and sorted(t.person for t in found.tracks) == [0, 1, 2]
    assert all((t.start, t.stop) == (0, 1) for t in found.tracks)
    assert follow(finder, embed, [backdrop(640, 360)] * 7).tracks == []
    assert follow(finder, embed, []).bounds == [0, 0]


def test_reduced_pictures(finder: FaceFinder, embed: Embed) -> None:
    photo = read_image(EXAMPLES / "astronaut.png")
    half = np.asarray(cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    (full,), (small,) = (follow(finder, embed, [p]).tracks for p in (photo, half))
    assert np.abs(rescaled(small, (2, 2)).points - full.points).mean() < 1
    assert np.abs(rescaled(small, (2, 2)).outline - full.outline).mean() < 1.5


@pytest.mark.parametrize("rate", [12, 25, 60])
def test_newcomers_are_looked_for_by_the_clock(rate: int) -> None:
    """Four times a second at most, however many frames there are; in full once a second, and where a shot begins."""
    asked: list[int] = []

    def nothing(blob: Array) -> list[Array]:
        return []

    class Asked(Detector):
        def candidates(self, image: Image, min_score: float = 0.6, side: int = 1280) -> list[Candidate]:
            asked.append(side)
            return []

    scout, plain = Scout(Asked(nothing, lambda: nothing), 1280), np.full((36, 64, 3), 90, np.uint8)
    times = [k / rate for k in range(3 * rate)]
    seen = [scout.look(plain, time) for time in times]
    looks = [time for time, one in zip(times, seen, strict=True) if one.due]
    assert looks[0] == 0 and min(np.diff(looks)) >= 0.25 > max(np.diff(looks)) - 1 / rate
    assert asked == [1280 if k % 4 == 0 else 640 for k in range(len(looks))]
    assert all((one.candidates is None) != one.due for one in seen)
    late = scout.look(plain, times[-1] + 1e-3, cut=True)
    assert late.cut and late.due and late.fine


def test_pictures_are_held_back_to_the_last_look(finder: FaceFinder, embed: Embed, heads: tuple[Head, Head]) -> None:
    """Large pictures, many a second: more of them than fit what is held lie between two looks for newcomers."""
    canvas = backdrop(640, 360)
    there = heads[0].paste(canvas, 220, 60)
    follower = Follower(finder, embed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsvideo.faces.follow._HELD", 1)
        for k in range(31):  # comes just after a look
            follower.update(canvas if k < 2 else there, k / 60)
    tracks = follower.finish().tracks
    assert [(one.start, one.stop) for one in tracks] == [(2, 31)]
