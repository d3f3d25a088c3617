from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsvideo.faces.people import Sample, mean_embedding, number_people, quality
from fsvideo.faces.track import Tracker, assign
from fsvideo.types import Array, Face, Image, Track

PEOPLE = np.eye(8, dtype=np.float32)
OFFSETS = np.array([(-20, -15), (20, -15), (0, 5), (-15, 25), (15, 25)], np.float32)
FRAME = 1 / 25


def face(x: float, y: float = 300.0, who: int = 0, size: float = 100.0, score: float = 0.9, yaw: float = 0) -> Face:
    """A face whose centre is at (x, y); ``Scene`` reads who it shows from its roll."""
    centre = np.array([x, y], np.float32)
    mesh = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 2)).astype(np.float32) * size + centre
    box = np.concatenate([centre - size / 2, centre + size / 2]).astype(np.float32)
    pose = np.array([yaw, 0, who], np.float32)
    return Face(box, centre + OFFSETS * size / 100, mesh, score, pose)


class Scene:
    """A tracker whose recogniser reads who a face is from the level it was painted with."""

    def __init__(self) -> None:
        self.tracker = Tracker(self.embed)
        self.asked = 0  # crops
        self.frame = 0

    def embed(self, crops: Sequence[Image]) -> Array:
        self.asked += len(crops)
        return np.stack([PEOPLE[round(float(c[len(c) // 2, len(c) // 2, 0]) / 20) - 1] for c in crops])

    def show(self, *faces: Face, cut: bool = False, time: float | None = None) -> None:
        image = np.zeros((720, 1280, 3), np.uint8)
        for f in faces:
            left, top, right, bottom = np.maximum(f.box.astype(int), 0)
            image[top:bottom, left:right] = 20 * (1 + int(f.pose[2]))
        self.tracker.update(self.frame * FRAME if time is None else time, image, faces, cut)
        self.frame += 1


def spans(tracks: list[Track]) -> list[tuple[int, int, int]]:
    return [(t.start, t.stop, t.person) for t in tracks]


def test_a_gap_is_filled_over_time() -> None:
    scene = Scene()
    for i in range(30):
        scene.show(*([] if 10 <= i < 20 else [face(100 + 10 * i)]))
    (track,) = scene.tracker.finish()
    assert (track.start, track.stop, track.person) == (0, 30, 0)
    assert track.points.shape == (30, 5, 2) and track.outline.shape == (30, 36, 2) and track.pose.shape == (30, 3)
    assert np.array_equal(track.score == 0, [10 <= i < 20 for i in range(30)])
    assert np.allclose(track.points[:, 2, 0], 100 + 10 * np.arange(30), atol=0.01)


def test_half_a_second_is_measured_in_seconds() -> None:
    """The same five missing frames end a track at 8 frames a second, and not at 25."""
    for rate, parts in ((25, 1), (8, 2)):
        scene = Scene()
        for i in range(20):
            scene.show(*([] if 8 <= i < 13 else [face(300)]), time=i / rate)
        tracks = scene.tracker.finish()
        assert len(tracks) == parts and {t.person for t in tracks} == {0}


def test_a_gap_in_uneven_time_is_filled_by_the_clock() -> None:
    scene = Scene()
    times = [0, 0.04, 0.08, 0.12, 0.36, 0.40, 0.44, 0.48]
    for i, time in enumerate(times):
        scene.show(*([] if i == 4 else [face(100 + 500 * time)]), time=time)
    (track,) = scene.tracker.finish()
    assert np.allclose(track.points[:, 2, 0], 100 + 500 * np.array(times), atol=0.05) and track.score[4] == 0


def test_tracks_end_at_cuts_and_people_go_on() -> None:
    scene = Scene()
    for i in range(30):
        scene.show(face(300, who=0), face(700, who=1, size=60), cut=False) if i < 15 else scene.show(
            face(300, who=1, size=60), face(705, who=0), cut=i == 15
        )
    tracks = scene.tracker.finish()
    assert spans(tracks) == [(0, 15, 0), (0, 15, 1), (15, 30, 1), (15, 30, 0)]
    assert scene.tracker.cuts == [15]


@pytest.mark.parametrize("hidden", [3, 6])
def test_people_who_cross_do_not_exchange(hidden: int) -> None:
    """``hidden``: frames on either side of the meeting in which one covers the other."""
    scene = Scene()
    for i in range(61):
        a, b = face(200 + 10 * i, who=0), face(800 - 10 * i, 310, who=1)
        scene.show(*([a] if abs(i - 30) < hidden else [b, a]))
    tracks = scene.tracker.finish()
    assert len(tracks) == 2 and {t.stop - t.start for t in tracks} == {61}
    for track in tracks:
        who = int(track.embedding.argmax())
        assert (track.pose[track.score > 0, 2] == who).all()


def test_people_who_bounce_do_not_exchange() -> None:
    """They come near, where their courses say they would pass, and turn round: only identity tells."""
    scene = Scene()
    for i in range(60):
        d = 35 + 12 * abs(i - 30)
        scene.show(face(600 + d, who=1), face(600 - d, who=0))
    tracks = scene.tracker.finish()
    assert len(tracks) == 2 and all(np.ptp(t.pose[:, 2]) == 0 for t in tracks)


def test_another_person_at_the_same_place_is_another_track() -> None:
    """A cut that nobody noticed: not a frame of the second person counts as the first's."""
    scene = Scene()
    for i in range(60):
        scene.show(face(400, who=0 if i < 30 else 1))
    tracks = scene.tracker.finish()
    assert [(t.start, t.stop) for t in tracks] == [(0, 30), (30, 60)] and {t.person for t in tracks} == {0, 1}
    assert all(np.ptp(t.pose[:, 2]) == 0 for t in tracks)


def glimpse(x: float, who: int = 0, size: float = 100.0) -> Face:
    """A face that the detector sees and the mesh does not fit."""
    return replace(face(x, who=who, size=size), fitted=False)


def test_a_track_goes_on_where_only_the_detector_sees_the_face() -> None:
    """Place and size are the detector's, shape and pose lie between the meshes before and after."""
    scene = Scene()
    for i in range(40):
        x, size = 100 + 10 * i, 100 + i
        seen = replace(face(x, size=size), pose=np.array([i, 0, 0], np.float32))
        scene.show(replace(seen, pose=np.array([90, 0, 0], np.float32), fitted=False) if 10 <= i < 25 else seen)
    (track,) = scene.tracker.finish()
    assert (track.start, track.stop) == (0, 40) and (track.score > 0).all()
    assert np.allclose(track.points[:, 2, 0], 100 + 10 * np.arange(40), atol=0.1)
    width = np.ptp(track.outline, axis=1)[:, 0]
    assert np.allclose(width / width[0], 1 + np.arange(40) / 100, atol=0.01)
    assert np.allclose(track.pose[:, 0], np.arange(40), atol=0.1)


def test_a_glimpse_of_somebody_else_is_none_of_the_track() -> None:
    scene = Scene()
    for i in range(40):
        scene.show(glimpse(300, who=1) if i >= 20 else face(300))
    assert spans(scene.tracker.finish()) == [(0, 20, 0)]  # and nobody is known by glimpses alone


def test_glimpses_alone_do_not_last() -> None:
    """A mesh that was never fitted again may be of a face that is no longer there."""
    scene = Scene()
    for i in range(80):
        scene.show(glimpse(300) if i >= 20 else face(300))
    ((start, stop, _),) = spans(scene.tracker.finish())
    assert start == 0 and stop * FRAME == pytest.approx(20 * FRAME + 1, abs=2 * FRAME)


def test_recognition_is_asked_sparsely() -> None:
    scene = Scene()
    for _ in range(250):
        scene.show(face(300), face(800, who=1))
    assert scene.asked <= 2 * (10 / 0.5 + 1)


def test_flickers_are_dropped_but_pictures_and_short_shots_kept() -> None:
    scene = Scene()
    for i in range(50):
        others = [face(900, who=1)] if i in (20, 21) else []
        others += [face(1100, who=2, score=0.65)] if 30 <= i < 37 else []
        scene.show(face(300), *others)
    assert spans(scene.tracker.finish()) == [(0, 50, 0)]
    one = Scene()
    one.show(face(300, score=0.62))
    assert spans(one.tracker.finish()) == [(0, 1, 0)]
    folder = Scene()
    for i in range(4):
        folder.show(face(300, who=i % 2), cut=i > 0)
    assert spans(folder.tracker.finish()) == [(0, 1, 0), (1, 2, 1), (2, 3, 0), (3, 4, 1)]


def test_nobody() -> None:
    scene = Scene()
    for _ in range(5):
        scene.show()
    assert scene.tracker.finish() == [] and Tracker(scene.embed).finish() == []


def test_a_fast_face_is_predicted() -> None:
    """60 pixels a frame at a face of 100: without its velocity every frame would be a new face."""
    scene = Scene()
    x = 50.0
    for i in range(20):
        x += min(60, 12 * i)
        scene.show(face(x))
    assert len(scene.tracker.finish()) == 1


def track(person: int, start: int, length: int, size: float = 100, tilt: float = 0.0, seed: int = 0) -> Track:
    """A track whose embedding is ``tilt`` (0..1) away from its person's."""
    noise = np.random.default_rng(seed).normal(size=8)
    embedding = PEOPLE[person] * (1 - tilt) + tilt * noise / np.linalg.norm(noise)
    outline = np.random.default_rng(1).uniform(0, size, (length, 36, 2)).astype(np.float32)
    return Track(
        0,
        start,
        outline[:, :5],
        outline,
        np.zeros((length, 3), np.float32),
        np.ones(length, np.float32),
        (embedding / np.linalg.norm(embedding)).astype(np.float32),
    )


def test_people_are_joined_and_ranked_by_how_much_is_seen_of_them() -> None:
    tracks = [track(2, 0, 10), track(5, 0, 40), track(2, 60, 100, tilt=0.3), track(5, 50, 20, tilt=0.3, seed=2)]
    assert [t.person for t in number_people(tracks)] == [0, 1, 0, 1]
    assert [t.person for t in number_people([track(1, 0, 50, size=30), track(2, 0, 50, size=90)])] == [1, 0]
    aside = replace(track(1, 0, 50, size=120), pose=np.tile(np.float32([-50, 0, 0]), (50, 1)))
    assert [t.person for t in number_people([aside, track(2, 0, 50, size=90)])] == [1, 0]  # seen from the side
    assert [t.person for t in number_people([aside, track(2, 0, 50, size=40)])] == [0, 1]


def test_two_in_one_frame_are_two_people() -> None:
    assert sorted(t.person for t in number_people([track(3, 0, 50), track(3, 49, 50)])) == [0, 1]
    assert [t.person for t in number_people([track(3, 0, 50), track(3, 50, 50)])] == [0, 0]


def test_position_confirms_and_speaks_against() -> None:
    """A likeness of 0.34 joins two tracks at one place, 0.44 does not join two that are far apart; nor after a cut."""
    times = np.arange(200) / 25

    def pair(likeness: float, shift: float) -> list[Track]:
        a, b = track(0, 0, 60), track(0, 70, 50)
        b.embedding = (likeness * PEOPLE[0] + np.sqrt(1 - likeness**2) * PEOPLE[1]).astype(np.float32)
        b.points, b.outline = b.points + np.float32(shift), b.outline + np.float32(shift)
        return [a, b]

    def people(tracks: list[Track], *cuts: int) -> int:
        return len({t.person for t in number_people(tracks, times, cuts)})

    assert people(pair(0.34, 10)) == 1 and people(pair(0.34, 10), 65) == 2 and people(pair(0.34, 300)) == 2
    assert people(pair(0.44, 10)) == 1 and people(pair(0.44, 900)) == 2 and people(pair(0.44, 900), 65) == 1
    assert people(pair(0.6, 900)) == 1


def test_good_samples_count_most() -> None:
    assert quality(face(0)) > quality(face(0, size=30)) > 0
    assert quality(face(0)) > 5 * quality(face(0, yaw=60))
    mean = mean_embedding([Sample(PEOPLE[0], 0.9), Sample(PEOPLE[1], 0.1)])
    assert np.linalg.norm(mean) == pytest.approx(1) and mean[0] > 0.99


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_assignment_is_the_best_one(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))
    values = st.one_of(st.floats(0, 2), st.just(np.inf))
    cost = np.array(data.draw(st.lists(values, min_size=rows * columns, max_size=rows * columns))).reshape(
        rows, columns
    )
    pairs = assign(cost)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(np.isfinite(cost[i, j]) for i, j in pairs)

    def key(chosen: Sequence[tuple[int, int]]) -> tuple[int, float]:
        finite = [cost[i, j] for i, j in chosen if np.isfinite(cost[i, j])]
        return -len(finite), float(sum(finite))

    if rows <= columns:
        every = [list(zip(range(rows), p, strict=True)) for p in itertools.permutations(range(columns), rows)]
    else:
        every = [list(zip(p, range(columns), strict=True)) for p in itertools.permutations(range(rows), columns)]
    best = min(key(chosen) for chosen in every)
    assert key(pairs)[0] == best[0] and key(pairs)[1] == pytest.approx(best[1])
