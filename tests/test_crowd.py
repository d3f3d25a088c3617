"""Everyone in a crowd keeps their own track: people who walk, turn, bow their heads and pass before one another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_fixtures import EXAMPLES, Head, backdrop, load_embed, read_clip

from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.follow import Follower, Tracking
from fsvideo.faces.smooth import fade, smooth
from fsvideo.types import Array, Face

RATE, WIDTH = 25, 1280
# Where faces are in crowd.mp4, marked by eye: frame, middle and size in a picture of 1280 x 720; between these they
# move evenly. Each from the first frame in which the face can be seen to the last.
MARKED = {
    "boy": [(0, 630, 453, 50), (13, 661, 473, 56), (26, 677, 497, 56), (39, 696, 514, 56), (52, 650, 505, 60),
            (65, 637, 485, 65), (78, 576, 476, 67), (91, 554, 474, 71), (104, 532, 471, 78)],
    "red hair": [(0, 470, 400, 48), (13, 506, 413, 51), (26, 453, 417, 54), (39, 439, 452, 56), (52, 394, 458, 58),
                 (65, 378, 458, 66), (78, 340, 460, 66), (85, 330, 433, 66), (91, 323, 440, 66), (98, 302, 428, 66),
                 (104, 262, 452, 67)],
    "white hair": [(3, 207, 443, 42), (13, 215, 468, 42), (26, 202, 473, 46), (39, 182, 479, 50), (52, 162, 472, 54),
                   (65, 158, 469, 54), (78, 150, 466, 56), (94, 176, 477, 56)],
    "passer-by": [(0, 224, 524, 70), (13, 534, 538, 76), (26, 868, 559, 76), (34, 1085, 588, 76)],
    "glasses": [(46, 766, 494, 40), (55, 770, 491, 41), (68, 781, 487, 42), (81, 801, 484, 44), (94, 794, 482, 44),
                (104, 805, 478, 45)],
}  # fmt: skip


def swapped(tracking: Tracking, person: int) -> dict[int, Array]:
    """The middle of a person's face in each frame in which a swap would be seen on it."""
    found = {}
    for track in (t for t in tracking.tracks if t.person == person):
        times = tracking.times[track.start : track.stop]
        steady = smooth(track, times, 0.5)
        opacity = fade(steady, times, tracking.bounds)
        middles = (steady.outline.min(1) + steady.outline.max(1)) / 2
        found |= {track.start + int(row): middles[row] for row in np.flatnonzero(opacity > 0)}
    return found


def marked(keys: list[tuple[int, int, int, int]]) -> dict[int, Array]:
    """(3,) middle and size for each frame."""
    at, *values = np.array(keys).T
    frames = np.arange(at[0], at[-1] + 1)
    return dict(zip(frames.tolist(), np.stack([np.interp(frames, at, v) for v in values], 1), strict=True))


@pytest.mark.slow
def test_who_is_chosen_in_a_crowd_stays_chosen(finder: FaceFinder, data: Path) -> None:
    follower = Follower(finder, load_embed())
    for i, frame in enumerate(read_clip(data / "clips" / "crowd.mp4")):
        reduced = cv2.resize(
            frame, None, fx=WIDTH / frame.shape[1], fy=WIDTH / frame.shape[1], interpolation=cv2.INTER_AREA
        )
        follower.update(np.asarray(reduced, np.uint8), i / RATE)
    tracking = follower.finish()
    places = {person: swapped(tracking, person) for person in {t.person for t in tracking.tracks}}
    truth = {name: marked(keys) for name, keys in MARKED.items()}

    def on(name: str, person: int) -> set[int]:
        """The frames in which the person's swap is on the one marked."""
        return {
            i
            for i, (x, y, size) in truth[name].items()
            if i in places[person] and np.hypot(*(places[person][i] - (x, y))) < 0.5 * size
        }

    taken = {name: max(places, key=lambda person: len(on(name, person))) for name in truth}
    assert len(set(taken.values())) == len(truth)
    for name, person in taken.items():
        assert len(on(name, person)) >= 0.98 * len(truth[name]), name
        for other in truth.keys() - {name}:
            assert not {i for i in on(other, person) if i not in on(name, person)}, (name, other)


@pytest.mark.slow
def test_a_singer_stays_the_singer_over_cuts(finder: FaceFinder, data: Path) -> None:
    """Small and whole, then close with hands and a microphone before the face; others between and after."""
    follower = Follower(finder, load_embed())
    for i, frame in enumerate(read_clip(data / "clips" / "stage_cuts_mic_small_faces.mp4")):
        follower.update(frame, i / 29.97)
    tracking = follower.finish()
    assert tracking.cuts == [20, 82, 211]
    first = next(t.person for t in tracking.tracks if t.start == 0 and t.points[0, 2, 0] > 320)
    visible = {*range(20), *range(82, 211)}
    on = set(swapped(tracking, first))
    assert on <= visible and len(on) >= 0.98 * len(visible)


def test_a_head_without_a_mesh_keeps_its_track_and_touches_nobody(
    finder: FaceFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mesh fits nobody for a while, in which one walks off and the other passes before them."""
    near, far = (Head.from_photo(finder, EXAMPLES / name, 110) for name in ("grace_hopper.jpg", "astronaut.png"))
    blind = False

    def sometimes(fit: Callable[..., Face | None]) -> Callable[..., Face | None]:
        return lambda *rest: None if blind else fit(*rest)

    for name in ("fit", "fit_near"):
        monkeypatch.setattr(FaceFinder, name, sometimes(getattr(FaceFinder, name)))
    follower, count = Follower(finder, load_embed()), 50
    where = [
        (120 + 9.0 * i, 200 + (4.0 * (i - 10) if 10 <= i < 25 else 60.0 * (i >= 25)), 700 - 6.0 * i)
        for i in range(count)
    ]
    for i, (x, y, other) in enumerate(where):
        blind = 10 <= i < 25 or 30 <= i < 36
        follower.update(near.paste(far.paste(backdrop(960, 540), other, 180), x, y), i / RATE)
    tracking = follower.finish()
    first = {t.person: t.points[0, 2, 0] for t in tracking.tracks if t.start == 0}
    assert len(first) == len({t.person for t in tracking.tracks}) == 2
    left, right = sorted(first, key=lambda person: first[person])
    found = swapped(tracking, left)
    offset = found[0] - where[0][:2]
    assert sorted(found) == list(range(count))
    assert all(np.linalg.norm(found[i] - np.add(where[i][:2], offset)) < 20 for i in range(count))
    passing = swapped(tracking, right)
    beside = passing[0] - (where[0][2], 180)
    for i, place in passing.items():  # never on the one who passes
        assert np.linalg.norm(place - np.add((where[i][2], 180), beside)) < 30
