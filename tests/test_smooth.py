from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsvideo.faces.smooth import SMOOTHERS, fade, smooth
from fsvideo.types import Track

Floats = npt.NDArray[np.float64]
BASE = np.random.default_rng(9).uniform(0, 150, (41, 2))


def track(path: Floats, noise: float = 0.0, start: int = 0, seed: int = 0) -> Track:
    """A face that moves along (T, 2) pixels, with noise of this standard deviation on every point."""
    points = BASE + path[:, None] + np.random.default_rng(seed).normal(0, noise, (len(path), 41, 2))
    points = points.astype(np.float32)
    count = len(path)
    return Track(
        0, start, points[:, :5], points[:, 5:], np.zeros((count, 3), np.float32), np.ones(count, np.float32), BASE[0]
    )  # type: ignore[arg-type]


def errors(made: Track, path: Floats) -> Floats:
    both = np.concatenate([made.points, made.outline], axis=1)
    return np.asarray(both - (BASE + path[:, None]))


def still(count: int) -> Floats:
    return np.zeros((count, 2))


def pan(rate: float, speed: float = 27.0) -> tuple[Floats, Floats]:
    """At rest, speeding up over six frames, going on, stopping from one frame to the next: times and positions."""
    speeds = np.concatenate([np.zeros(20), np.linspace(0, speed, 6), np.full(20, speed), np.zeros(25)])
    return np.arange(len(speeds)) / rate, np.stack([np.cumsum(speeds), 0.3 * np.cumsum(speeds)], 1)


@pytest.mark.parametrize("rate", [24, 30, 60])
@pytest.mark.parametrize("noise", [0.2, 0.5])
def test_a_still_face_gets_still(rate: float, noise: float) -> None:
    times = np.arange(150) / rate
    made = smooth(track(still(150), noise), times, 0.5)
    error = errors(made, still(150))
    assert error.std() < 0.5 * noise
    assert np.diff(error, axis=0).std() < 0.3 * noise


@pytest.mark.parametrize("rate", [24, 30, 60])
@pytest.mark.parametrize("seconds", [0.25, 0.5])
def test_a_fast_pan_keeps_its_place(rate: float, seconds: float) -> None:
    times, path = pan(rate)
    made = smooth(track(path, 0.3), times, seconds)
    error = errors(made, path)
    assert np.abs(error.mean(1)).max() < 1.0  # pixels, where a frame is 27: no lag, no overshoot
    assert error.std() < 0.35
    # a fixed window of this length misses the stop by far more
    fixed = errors(smooth(track(path, 0.3), times, seconds, "polynomial"), path)
    assert np.abs(fixed.mean(1)).max() > 4 * np.abs(error.mean(1)).max()


def test_a_nod_keeps_its_depth() -> None:
    times = np.arange(90) / 30
    path = np.stack([still(90)[:, 0], 15 * np.sin(2 * np.pi * 1.5 * times)], 1)
    error = errors(smooth(track(path, 0.3), times, 0.5), path)
    assert error.std() < 0.3 and np.abs(error.mean(1)).max() < 1


def test_uneven_times() -> None:
    """A face in steady motion, of which frames are missing: places follow the clock, not the frame count."""
    times = np.sort(np.random.default_rng(4).choice(200, 80, replace=False)) / 60
    path = np.stack([300 * times, -100 * times], 1)
    error = errors(smooth(track(path, 0.3), times, 0.5), path)
    assert error.std() < 0.2


def test_a_glitch_is_taken_out_and_a_jump_is_not() -> None:
    times = np.arange(60) / 30
    shaken = track(still(60), 0.2)
    shaken.points[30] += 15
    shaken.outline[30] += 15
    assert np.abs(errors(smooth(shaken, times, 0.5), still(60))).max() < 1
    jump = still(60)
    jump[30:] += 40
    assert np.abs(errors(smooth(track(jump, 0.2), times, 0.5), jump).mean(1)).max() < 1


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_a_move_that_bends_is_no_glitch_however_steady_its_points_are(noise: float) -> None:
    times, path = pan(30)
    made = smooth(track(path, noise), times, 0.5)
    assert np.abs(errors(made, path)).max() < 1.5


def test_filled_rows_count_less() -> None:
    times = np.arange(30) / 30
    path = np.stack([4.0 * np.arange(30), still(30)[:, 0]], 1)
    given_track = track(path, 0.2)
    given_track.score[14:17] = 0
    given_track.points[14:17] += 1.2
    given_track.outline[14:17] += 1.2
    error = errors(smooth(given_track, times, 0.5), path)
    assert np.abs(error[14:17].mean((1, 2))).max() < 1.0 and np.abs(error[:12].mean((1, 2))).max() < 0.3


def test_long_tracks_are_smoothed_in_blocks_that_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    times, path = pan(25.0)
    whole = smooth(track(path, noise=0.5), times, 0.5)
    monkeypatch.setattr("fsvideo.faces.smooth._BLOCK", 17)
    pieces = smooth(track(path, noise=0.5), times, 0.5)
    assert np.abs(whole.points - pieces.points).max() < 1e-3
    assert np.abs(whole.outline - pieces.outline).max() < 1e-3


def test_off_and_short_tracks() -> None:
    one = track(still(40), 0.5)
    assert smooth(one, np.arange(40) / 30, 0) is one
    for count in range(1, 8):
        path = np.stack([10.0 * np.arange(count), still(count)[:, 0]], 1)
        made = smooth(track(path, 0.1), np.arange(count) / 30, 0.5)
        assert made.points.shape == (count, 5, 2) and np.abs(errors(made, path)).max() < 2


@pytest.mark.parametrize("method", SMOOTHERS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_moving_or_enlarging_everything_changes_nothing_else(method: str, data: st.DataObject) -> None:
    """Straight motion is kept exactly; a track that is shifted gives a result that is shifted."""
    count = data.draw(st.integers(3, 40))
    steps = data.draw(st.lists(st.floats(0.005, 0.2), min_size=count, max_size=count))
    seconds = data.draw(st.floats(0.01, 2))
    times = np.cumsum(steps)
    path = np.stack([50 * times, -20 * times], 1)
    made = smooth(track(path), times, seconds, method)
    assert np.abs(errors(made, path)).max() < 0.05
    shifted = smooth(track(path + 1000), times, seconds, method)
    assert np.allclose(shifted.points, made.points + 1000, atol=0.02)


def yawed(yaw: Floats, start: int = 0) -> Track:
    made = track(still(len(yaw)), start=start)
    made.pose[:, 0] = yaw
    return made


def test_fade_at_a_profile_without_flicker() -> None:
    times = np.arange(120) / 30
    wobble = 1.5 * np.sin(np.arange(120) * 2.1)
    yaw = np.concatenate([np.linspace(0, 60, 50), np.full(30, 59.0), np.linspace(59, 0, 40)]) + wobble
    weight = fade(yawed(yaw), times)
    assert weight.shape == (120,) and weight.min() == 0 and weight.max() == 1
    assert np.abs(np.diff(weight)).max() < 0.35
    assert (weight[yaw > 60] == 0).all() and (weight[np.abs(yaw) < 40] == 1).all()
    assert np.count_nonzero(np.diff((weight > 0.5).astype(int))) == 2  # once off, once on
    assert np.array_equal(fade(yawed(-yaw), times), weight)
    nodding = track(still(120))
    nodding.pose[:, 1] = yaw
    assert fade(nodding, times).min() == 0


def test_a_head_that_leaves_while_it_turns_is_no_further_turned_than_any_frame_shows() -> None:
    times = np.arange(22) / 25
    wave = 2.1 * np.arange(22)
    rise = [44.4, 49.4, 50.0, 47.9, 56.7, *[59.7] * 5]  # from there on the mesh is carried, for want of another one
    leaving = yawed(np.concatenate([45 + 2 * np.sin(wave[:12]), rise]))
    leaving.pose[:, 1] = 2 * np.sin(wave)
    made = smooth(leaving, times, 0.5)
    assert made.pose[:, 0].max() <= 59.71
    assert (fade(made, times) == 1).all()


def test_fade_where_a_face_comes_and_goes_but_not_at_cuts() -> None:
    times = np.arange(40) / 30
    here = track(still(40), start=100)
    soft = fade(here, times, bounds=[0, 300])
    assert 0 < soft[0] < soft[1] < 1 and soft[2:-2].min() == 1 and 0 < soft[-1] < soft[-2] < 1
    assert fade(here, times, bounds=[0, 100, 140]).min() == 1
    assert fade(here, times).min() == 1
    assert fade(here, times, bounds=[0, 100, 300])[:30].min() == 1


def test_fade_bridges_a_missed_detection_but_not_an_occlusion() -> None:
    times = np.arange(60) / 30
    missed = track(still(60))
    missed.score[20:22] = 0
    assert fade(missed, times).min() == 1
    hidden = track(still(60))
    hidden.score[20:30] = 0
    weight = fade(hidden, times)
    assert (weight[20:30] == 0).all() and 0 < weight[19] < weight[17] == 1 and weight[32] == 1


def test_fade_of_a_single_frame() -> None:
    assert fade(track(still(1)), [0.0], bounds=[0, 1]).tolist() == [1.0]
