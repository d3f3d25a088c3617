"""What streams ask for: measured at once, tuned beside them, and known when somebody comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, load_finder, read_clip

from fsvideo.likeness import Seen
from fsvideo.options import SwapOptions
from fsvideo.stream import Stage, Stream, frame_of, of_rgb
from fsvideo.swapper import AEISwapper, load_swapper
from fsvideo.types import Array, Image

HOPPER, CLIP = EXAMPLES / "grace_hopper.jpg", EXAMPLES / "astronaut.mp4"


class Tuner:
    """Stands in for tuning: says what it was given, and is done when it is told to be."""

    def __init__(self, swapper: AEISwapper) -> None:
        self.calls: list[tuple[tuple[int, ...], int]] = []
        self.go, self.given_up = threading.Event(), False
        self.answer = np.zeros((swapper.net.layers, swapper.net.config.z_id), np.float32)
        self.answer[:, 0] = 1

    def __call__(
        self, crops: Array, masks: Array, goal: Array, asked: Array, steps: int, going: Callable[[], bool], held: object
    ) -> Array:
        if steps == 0:
            return asked
        self.calls.append((crops.shape, steps))
        while not self.go.wait(0.01):
            if not going():
                self.given_up = True
                break
        return self.answer


class Watched:
    """A stream at two pictures a second, and what it asked for in each."""

    def __init__(self, stream: Stream, asked: list[Array | None]) -> None:
        self.stream, self.asked, self.time = stream, asked, 0.0

    def see(self, picture: Image, after: float = 0.5) -> Array | None:
        self.time += after
        self.asked.clear()
        self.stream.update(frame_of(picture, seconds=self.time), of_rgb(picture), picture)
        return self.asked[0] if self.asked else None


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    swapper = load_swapper("compact", False, torch.device("cpu"))
    with load_finder() as finder:
        yield Stage(SwapOptions((HOPPER,), CLIP, CLIP), finder, swapper)


@pytest.fixture
def tuner(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Tuner:
    assert isinstance(stage.swapper, AEISwapper)
    made = Tuner(stage.swapper)
    monkeypatch.setattr(stage.swapper, "tuned", made)
    return made


@pytest.fixture
def watched(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Watched]:
    asked: list[Array | None] = []

    def paint(frame: object, info: object, jobs: list[Seen], painter: object) -> tuple[object, int]:
        asked.extend(job.missing for job in jobs)  # type: ignore[attr-defined]
        return frame, len(jobs)

    monkeypatch.setattr(stage, "paint", paint)
    return lambda tune: Watched(Stream(stage, tune), asked)


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    return list(read_clip(CLIP, count=9))


def test_it_is_tuned_beside_the_stream_and_eased_in(
    watched: Callable[[int], Watched], tuner: Tuner, pictures: list[Image], stage: Stage
) -> None:
    one = watched(7)
    first = one.see(pictures[0])
    assert first is not None and first.ndim == 1
    for n in range(1, 9):  # a look at 0, 1, 2, 3 and 4 seconds
        assert not one.stream.tuning
        assert one.see(pictures[n % 3]) is first, "as it was measured"
    assert one.stream.tuning
    assert one.see(pictures[5]) is first, "nobody waits"
    tuner.go.set()
    while not one.stream._likeness._aside.done:  # type: ignore[union-attr]
        pass
    begin = one.see(pictures[6], 0.04)
    assert not one.stream.tuning and tuner.calls == [((5, 256, 256, 3), 7)]
    half, whole = one.see(pictures[6]), [one.see(picture) for picture in pictures[6:8]][-1]
    assert begin is not None and half is not None and whole is not None
    np.testing.assert_allclose(begin, np.broadcast_to(first, begin.shape), atol=1e-6)
    np.testing.assert_allclose(half, (begin + whole) / 2, atol=1e-5)
    wanted = whole + stage.identity.embedding
    assert float(wanted[:, 0].min()) > 0.9 * float(np.linalg.norm(wanted, axis=1).max()), "what tuning said"
    blank = np.full_like(pictures[0], 90)
    for _ in range(3):
        one.see(blank)
    back = one.see(pictures[8])
    assert back is not None and np.array_equal(back, whole), "known again, at once"
    for picture in pictures * 2:
        one.see(picture)
    assert len(tuner.calls) == 1
    one.stream.close()


def test_who_leaves_while_being_tuned_is_known_when_that_is_done(
    watched: Callable[[int], Watched], tuner: Tuner, pictures: list[Image]
) -> None:
    one = watched(7)
    first, *_ = (one.see(picture) for picture in pictures)
    assert one.stream.tuning and first is not None
    for _ in range(3):
        one.see(np.full_like(pictures[0], 90))
    back = one.see(pictures[0])
    assert one.stream.tuning and back is not None and back.ndim == 1, "measured anew"
    tuner.go.set()
    while not one.stream._likeness._aside.done:  # type: ignore[union-attr]
        pass
    for picture in pictures[1:]:
        last = one.see(picture)
    assert last is not None and last.ndim == 2 and len(tuner.calls) == 1
    one.stream.close()


def test_closing_gives_up_what_is_being_tuned(
    watched: Callable[[int], Watched], tuner: Tuner, pictures: list[Image]
) -> None:
    one = watched(7)
    for picture in pictures:
        one.see(picture)
    assert one.stream.tuning
    one.stream.close()
    assert tuner.given_up and not one.stream.tuning
    assert not [thread for thread in threading.enumerate() if thread.name == "fsvideo-aside"]


def test_without_steps_what_was_measured_stays(
    watched: Callable[[int], Watched], tuner: Tuner, pictures: list[Image]
) -> None:
    one = watched(0)
    asked = [one.see(picture) for picture in pictures]
    assert asked[0] is not None and all(each is asked[0] for each in asked)
    assert tuner.calls == [] and not one.stream.tuning
    one.stream.close()
