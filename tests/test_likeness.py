"""What is missing of the source in a result: where it is looked for, and that results come nearer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, load_finder, read_image

from fsvideo.casting import identify
from fsvideo.console import Silent
from fsvideo.faces.align import warp
from fsvideo.faces.people import clearness
from fsvideo.likeness import always, corrected, worth_looking
from fsvideo.media import read
from fsvideo.media.color import region_rgb
from fsvideo.options import Look, SwapOptions
from fsvideo.render import Job, Painter, cut_faces, swap_faces
from fsvideo.stream import Stage, _track, frame_of, of_rgb
from fsvideo.survey import frames_at, look
from fsvideo.swapper import Swapper, beyond, load_swapper, unchanged
from fsvideo.types import Array, Identity, Track

HOPPER, ASTRONAUT = EXAMPLES / "grace_hopper.jpg", EXAMPLES / "astronaut.png"
SOMEBODY = Identity(np.eye(1, 128, dtype=np.float32)[0], ("a",))


def track(number: int, start: int, count: int, person: int, yaw: float = 0.0) -> Track:
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    outline = np.stack([100 + 60 * np.cos(turn), 100 + 80 * np.sin(turn)], 1)
    pose = np.tile(np.float32([yaw, 0, 0]), (count, 1))
    return Track(
        number,
        start,
        np.zeros((count, 5, 2), np.float32),
        np.tile(outline, (count, 1, 1)).astype(np.float32),
        pose,
        np.ones(count, np.float32),
        SOMEBODY.embedding,
        person,
    )


def job(of: Track, identity: Identity = SOMEBODY, look: Look | None = None) -> Job:
    return Job(of, np.ones(len(of.points), np.float32), identity, look or Look())


def test_a_few_frames_of_each_person_and_source_are_looked_at() -> None:
    first, again, other = job(track(0, 0, 50, 0)), job(track(1, 80, 40, 0)), job(track(2, 10, 300, 1))
    looks = worth_looking([first, again, other], [0, 250])
    assert list(looks) == sorted(looks)
    own = [frame for frame, jobs in looks.items() if first in jobs or again in jobs]
    assert len(own) == 5 and sum(other in jobs for jobs in looks.values()) == 5
    for frame, jobs in looks.items():
        assert all(one.track.start <= frame < one.track.stop for one in jobs)
    assert 250 in looks  # decoding can begin there
    endless = job(track(4, 0, 20000, 2))
    assert max(worth_looking([endless])) <= 300 < min(worth_looking([job(track(5, 5000, 100, 3))]))
    elsewhere = job(track(3, 0, 50, 0), look=Look(strength=0.5))
    assert sum(elsewhere in jobs for jobs in worth_looking([first, elsewhere]).values()) == 5


def test_faces_that_are_turned_fading_or_unseen_are_not_looked_at() -> None:
    seen, turned = track(0, 0, 30, 0), track(1, 100, 30, 0, yaw=50)
    assert clearness(turned).max() < 0.1 < clearness(seen).min()
    assert worth_looking([job(seen), job(turned)], among=[5, 6, 100, 101]).keys() <= {5, 6, 100, 101}
    assert worth_looking([job(seen), job(turned)], among=[5, 110]).keys() == {5, 110}
    score = np.ones(30, np.float32)
    score[:20] = 0
    fading = replace(job(replace(seen, score=score)), opacity=np.linspace(0, 1, 30).astype(np.float32))
    assert worth_looking([fading]).keys() == {29}
    assert worth_looking([replace(fading, opacity=0.5 * fading.opacity)]) == {}
    assert worth_looking([]) == {}


def test_what_is_missing_moves_the_wish_and_nothing_else() -> None:
    missing = np.zeros(128, np.float32)
    missing[1] = 1
    moved = beyond(SOMEBODY, missing)
    np.testing.assert_allclose(moved.embedding[:3], [0.5**0.5, 0.5**0.5, 0], rtol=1e-6)
    plain = job(track(0, 0, 5, 0))
    assert np.array_equal(replace(plain, missing=missing).wanted.embedding, moved.embedding)
    assert plain.wanted is plain.identity


@pytest.fixture(scope="module")
def compact() -> Swapper:
    return load_swapper("compact", False, torch.device("cpu"))


def test_a_result_comes_nearer_to_its_source_and_that_is_the_same_each_time(compact: Swapper) -> None:
    options = SwapOptions((HOPPER,), ASTRONAUT, ASTRONAUT)
    rgb = read_image(ASTRONAUT)
    frame, info = frame_of(rgb), of_rgb(rgb)
    with load_finder() as finder:
        stage = Stage(options, finder, compact)
        assert np.array_equal(stage.identity.embedding, identify(finder, compact, [HOPPER]).embedding)
        face = finder.find(rgb)[0]
    plain = stage.jobs([(_track(0, 0, face), 1.0)], ())
    asked = stage.corrected(frame, info, plain)
    again = corrected(plain, always(frame), info, compact, options)
    assert asked[0].missing is not None and again[0].missing is not None
    assert np.array_equal(asked[0].missing, again[0].missing)

    def likeness(jobs: list[Job]) -> float:
        (task,) = swap_faces(cut_faces([frame], info, jobs, compact.spec), compact, 1)
        shown, cut = Painter(info, options).paint(task), task.faces[0]
        side = compact.spec.size
        crop: Array = warp(region_rgb(shown, info, cut.box), cut.matrix, side, side)
        return float(compact.embed(crop[None])[0] @ stage.identity.embedding)

    before, after = likeness(plain), likeness(asked)
    assert after > before + 0.01
    faded = stage.jobs([(_track(0, 0, face), 0.5)], ())
    assert stage.corrected(frame, info, faded)[0].missing is None


def test_frames_are_fetched_from_their_segments_as_they_are_in_the_clip() -> None:
    """Pass 2 asks for a few frames of a clip, in any segment, without decoding all of it."""
    clip = EXAMPLES / "astronaut.mp4"
    options = SwapOptions((HOPPER,), clip, clip, end=3.0, segment=0.5)
    info = read.probe(clip)
    with load_finder() as finder:
        found = look(info, finder, unchanged(), options, Silent())
    assert len(found.segments) > 3
    every = {frame.index: frame for frame in read.frames(info, None, options.end)}
    wanted = [0, 3, found.cuts[2], found.cuts[2] + 1, found.cuts[-1] + 2]
    fetched = list(frames_at(info, wanted, found, options))
    assert [frame.index for frame in fetched] == wanted
    for frame in fetched:
        assert frame.pts == every[frame.index].pts
        assert all(np.array_equal(a, b) for a, b in zip(frame.planes, every[frame.index].planes, strict=True))
    assert list(frames_at(info, [], found, options)) == []
