"""Pass 2's parts: which tracks become jobs, and faces that overlap."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest
from test_media_color import info_of, random_frame

from fsvideo.casting import Cast, Role
from fsvideo.faces.passing import passes_before
from fsvideo.meter import Meter
from fsvideo.options import Footage, Look, SwapOptions
from fsvideo.planning import plan
from fsvideo.render import Job, Painter, cut_faces, past_as_record, past_from_record
from fsvideo.render import painted as painted_frames
from fsvideo.swapper import unchanged
from fsvideo.types import Array, Identity, Track

T = TypeVar("T")
OPTIONS = SwapOptions((), Path("in.mp4"), Path("out.mp4"))
WHO = Identity(np.eye(128, dtype=np.float32)[0], ("someone",))
PLAIN = Look(color="keep", sharpness="keep")


def standing(x: float, y: float, size: float, yaw: float = 0.0, frames: int = 1, number: int = 0) -> Track:
    """A face that stays where it is."""
    five = np.array([(-0.3, -0.2), (0.3, -0.2), (0, 0.1), (-0.25, 0.4), (0.25, 0.4)], np.float32)
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    oval = np.stack([0.6 * np.cos(angle), 0.8 * np.sin(angle)], 1)
    points, outline = ((np.float32([x, y]) + size * one).astype(np.float32) for one in (five, oval))
    return Track(
        number,
        0,
        np.repeat(points[None], frames, 0),
        np.repeat(outline[None], frames, 0),
        np.tile(np.float32([yaw, 0, 0]), (frames, 1)),
        np.ones(frames, np.float32),
        WHO.embedding,
        person=number,
        features=np.repeat(
            (np.float32([x, y]) + size * 0.3 * oval).astype(np.float32)[None, np.arange(56) % 36], frames, 0
        ),
    )


def footage(*tracks: Track) -> Footage:
    return Footage(np.arange(len(tracks[0].points)) / 25, list(tracks), [])


@pytest.mark.parametrize(("yaw", "jobs"), [(0.0, 1), (80.0, 0)])
def test_a_face_that_is_never_shown_is_no_job(yaw: float, jobs: int) -> None:
    """One in profile all the time is not swapped in any frame: then nothing is, and nothing says so."""
    info = info_of("yuv420p")
    seen = footage(standing(100, 90, 60, yaw, frames=40))
    assert len(plan(seen, Cast((Role("", WHO, "all"),)), info, OPTIONS)) == jobs


def test_one_person_may_get_other_faces_at_other_times() -> None:
    info, seen = info_of("yuv420p"), footage(standing(100, 90, 60, frames=100))
    other = Identity(np.eye(128, dtype=np.float32)[1], ("another",))
    roles = (Role("before", WHO, WHO.embedding, end=2.0), Role("after", other, WHO.embedding.copy(), start=2.0))
    before, after = sorted(plan(seen, Cast(roles), info, OPTIONS), key=lambda job: job.name, reverse=True)
    assert (before.name, after.name) == ("before", "after") and after.identity is other
    assert before.opacity[:45].min() == 1 and before.opacity[50:].max() == 0
    assert after.opacity[:50].max() == 0 and after.opacity[55:].min() == 1


def painted(jobs: list[Job]) -> tuple[Array, Array]:
    """The luma before and after a swapper that makes every face 60 levels brighter."""
    info, frame = info_of("yuv444p", range_=2), replace(random_frame("yuv444p"), index=0)
    (task,) = cut_faces([frame], info, jobs, unchanged().spec)
    task.swapped = [face.crop + 60 for face in task.faces]
    made = Painter(info, replace(OPTIONS, smooth=0.0)).paint(task)
    return frame.planes[0].astype(np.float32), made.planes[0].astype(np.float32)


def test_where_faces_overlap_the_nearer_one_is_seen_alone() -> None:
    near, far = standing(90, 90, 70), standing(120, 80, 40, number=1)
    ones = np.ones(1, np.float32)
    jobs = [Job(track, ones, WHO, PLAIN) for track in (far, near)]
    before, alone = painted(jobs[1:])
    _, both = painted(jobs)
    _, turned = painted(jobs[::-1])
    assert np.array_equal(both, turned)  # whatever their order
    inside = alone - before > 59
    assert inside.sum() > 1000 and np.abs(both - alone)[inside].max() <= 1
    assert (both - before).max() <= 61.5  # nowhere the sum of both
    assert (np.abs(both - alone) > 30).sum() > 100  # the other is there beside it


def test_a_face_that_is_hidden_wholly_is_left_alone() -> None:
    info, frame = info_of("yuv420p"), replace(random_frame("yuv420p"), index=0)
    for far in (standing(90, 90, 12, number=1), standing(4, 4, 12, number=1)):
        x, y = far.points[0].mean(0)
        job = Job(far, np.ones(1, np.float32), WHO, PLAIN, others=(standing(x + 20, y, 90),))
        (task,) = cut_faces([frame], info, [job], unchanged().spec)
        assert task.faces == [] and Painter(info, OPTIONS).paint(task) is frame


def test_two_faces_on_one_track_have_pasts_of_their_own() -> None:
    info, frame = info_of("yuv420p"), replace(random_frame("yuv420p"), index=0)
    job = Job(standing(100, 90, 70), np.ones(1, np.float32), WHO, Look(), "before")
    painter = Painter(info, OPTIONS)
    for one in (job, replace(job, name="after it")):
        (task,) = cut_faces([frame], info, [one], unchanged().spec)
        task.swapped = [face.crop for face in task.faces]
        painter.paint(task)
    assert set(painter.past) == {(0, "before"), (0, "after it")}
    assert set(past_from_record(past_as_record(painter.past, [job], 0))) == {(0, "before")}


def test_whoever_stays_as_they_are_and_passes_before_a_face_is_not_touched() -> None:
    info = info_of("yuv444p", range_=2)
    far, near = standing(138, 80, 40, number=1), standing(90, 90, 70)
    unlike = replace(near, embedding=np.eye(128, dtype=np.float32)[2])
    cast = Cast((Role("", WHO, WHO.embedding, look=PLAIN),))
    (job,) = plan(footage(far, unlike), cast, info, OPTIONS)
    assert job.track.id == 1 and [other.id for other in job.others] == [0]
    full = np.ones(1, np.float32)
    before, freely = painted([replace(job, opacity=full, others=())])
    _, behind = painted([replace(job, opacity=full)])
    head = cv2.fillPoly(np.zeros(before.shape, np.uint8), [near.outline[0].round().astype(np.int32)], 1) > 0
    assert (np.abs(freely - before)[head] > 30).sum() > 200  # it would have been painted over
    assert np.array_equal(behind[head], before[head])
    away = np.indices(before.shape)[1] > 154  # from the head and the soft edge around it
    assert np.array_equal(behind[away], freely[away]) and (np.abs(behind - before)[away] > 30).sum() > 100
    (whole,) = plan(footage(replace(far, outline=far.outline * 3 - 200), unlike), cast, info, OPTIONS)
    assert not passes_before(unlike, whole.track, 0)  # the smaller face is behind


def test_a_swap_ends_where_the_face_of_whoever_is_seen_beside_it_begins() -> None:
    """Landmarks of a turned face may reach further than the face does."""
    info = info_of("yuv444p", range_=2)
    chosen, beside = standing(80, 90, 70), standing(138, 80, 40, number=1)
    unlike = replace(beside, embedding=np.eye(128, dtype=np.float32)[2])
    cast = Cast((Role("", WHO, WHO.embedding, look=PLAIN),))
    (job,) = plan(footage(chosen, unlike), cast, info, OPTIONS)
    assert [other.id for other in job.others] == [1]  # smaller, so behind
    full = np.ones(1, np.float32)
    before, freely = painted([replace(job, opacity=full, others=())])
    _, held = painted([replace(job, opacity=full)])
    shape = cv2.fillPoly(np.zeros(before.shape, np.uint8), [beside.outline[0].round().astype(np.int32)], 1)
    face = cv2.erode(shape, np.ones((5, 5), np.uint8)) > 0
    assert (np.abs(freely - before)[face] > 30).sum() > 20 and np.abs(held - before)[face].max() <= 1
    far = np.indices(before.shape)[1] < beside.outline[0, :, 0].min() - 4
    assert np.array_equal(held[far], freely[far])


def test_lines_that_glasses_leave_are_filled_in_for_who_wears_some() -> None:
    info, frame = info_of("yuv444p", range_=2), random_frame("yuv444p")
    frame = replace(frame, index=0, planes=tuple(np.full_like(plane, 128) for plane in frame.planes))
    deepest = []
    for worn in (0.0, 1.0):
        job = Job(standing(100, 90, 70), np.ones(1, np.float32), replace(WHO, glasses=worn), PLAIN)
        (task,) = cut_faces([frame], info, [job], unchanged().spec)
        lined = task.faces[0].crop.copy()
        lined[98:101, 64:96] -= 20  # beside an eye
        task.swapped = [lined]
        made = Painter(info, replace(OPTIONS, smooth=0.0)).paint(task)
        deepest.append(128 - int(made.planes[0].min()))
    assert deepest[0] > 10 and deepest[1] < 0.6 * deepest[0]


@pytest.mark.parametrize(("people", "ahead"), [(1, 4), (2, 2), (16, 1)])
def test_the_more_faces_in_a_frame_the_fewer_frames_are_on_their_way(people: int, ahead: int) -> None:
    """Crops take the memory: sixteen faces in each of eight frames would take as much as a film's rushes."""
    depths: list[int] = []

    class Noted(Meter):
        def ahead(self, items: Iterable[T], depth: int) -> Generator[T]:
            depths.append(depth)
            yield from items

    info, frame = info_of("yuv420p"), replace(random_frame("yuv420p"), index=0)
    jobs = [Job(standing(60, 60, 20, number=k), np.ones(1, np.float32), WHO, PLAIN) for k in range(people)]
    later = replace(standing(60, 60, 20), start=1)
    jobs.append(Job(later, np.ones(1, np.float32), WHO, PLAIN))
    made = list(painted_frames([frame], info, jobs, unchanged(), OPTIONS, meter=Noted()))
    assert len(made) == 1 and len(made[0][0].swapped) == people
    assert depths == [min(ahead, 2), min(ahead, 2), ahead, ahead]  # the last one first
