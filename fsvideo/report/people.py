"""The rows of a log as arrays over time, a set for each person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Person:
    """(N,) a value for each frame of the clip, NaN where the person is not swapped or nothing was measured."""

    name: str
    swapped: npt.NDArray[np.bool_]
    filled: npt.NDArray[np.bool_]  # swapped where the detector saw nobody
    tracks: npt.NDArray[np.int64]
    to_source: Values
    to_target: Values
    flicker: Values  # of the result
    own_flicker: Values  # of the original
    area: Values  # native pixels under the mask
    pose: Values  # (N, 3) degrees

    @property
    def added(self) -> Values:
        """Flicker of the result beyond the original's."""
        return self.flicker - self.own_flicker


def people_of(rows: Sequence[dict[str, Any]]) -> list[Person]:
    """Everybody who is swapped, by their numbers: who fills most of the clip comes first."""
    numbers = sorted({face["person"] for row in rows for face in row["faces"]})
    return [_person(number, rows) for number in numbers]


def _person(number: int, rows: Sequence[dict[str, Any]]) -> Person:
    faces = {n: face for n, row in enumerate(rows) for face in row["faces"] if face["person"] == number}
    at = list(faces)

    def over_time(name: str) -> Values:
        values = np.full(len(rows), np.nan)
        values[at] = np.array([face[name] for face in faces.values()], np.float64)  # None becomes NaN
        return values

    swapped, filled = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    tracks, pose = np.full(len(rows), -1), np.full((len(rows), 3), np.nan)
    swapped[at] = True
    filled[at] = [face["filled"] for face in faces.values()]
    tracks[at] = [face["track"] for face in faces.values()]
    pose[at] = [face["pose_degrees"] for face in faces.values()]
    return Person(
        f"Person {number + 1}",
        swapped,
        filled,
        tracks,
        over_time("similarity_to_source"),
        over_time("similarity_to_target"),
        over_time("flicker"),
        over_time("flicker_of_original"),
        over_time("mask_pixels"),
        pose,
    )
