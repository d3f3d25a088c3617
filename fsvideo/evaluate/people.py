"""Photos of people: a folder of folders, one person each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsvideo.faces.detect import FaceFinder
from fsvideo.media import read
from fsvideo.media.view import upright
from fsvideo.types import Face, FaceError, Frame, Image, MediaError, MediaInfo, Portrait, Ui


@dataclass(frozen=True)
class Photo:
    """A photo and its face. ``look``: the face seen from ``face``'s points, as results will be looked at again."""

    info: MediaInfo
    face: Face
    look: Face

    def frame(self) -> Frame:
        return next(read.frames(self.info))

    def portrait(self) -> Portrait:
        return Portrait(self.rgb(self.frame()), self.face)

    def rgb(self, frame: Frame) -> Image:
        """What a viewer sees of a frame of this photo, as it is or changed."""
        return upright(frame, self.info).rgb


@dataclass(frozen=True)
class Person:
    """Three looks at somebody; with two photos ``other`` is ``target``."""

    name: str
    source: Photo
    target: Photo
    other: Photo


def load_people(folder: Path, finder: FaceFinder, limit: int | None, seed: int, ui: Ui) -> list[Person]:
    """People with at least two photos that show a face, in an order that ``seed`` gives; ``limit`` of them at most.

    The first photo is the source, the second the target, the last the other one. Raises FaceError for less than two
    people, MediaError where there is no such folder.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder}: not a folder", "give a folder with a folder of photos for each person")
    folders = sorted(p for p in folder.iterdir() if p.is_dir())
    ui.stage("people", min(len(folders), limit or len(folders)))
    people: list[Person] = []
    for index in np.random.default_rng(seed).permutation(len(folders)):
        if limit is not None and len(people) >= limit:
            break
        person = _person(folders[index], finder)
        if person is not None:
            people.append(person)
            ui.advance()
    if len(people) < 2:
        raise FaceError(
            f"{folder}: {len(people)} people with two photos that show a face; two people are needed",
            "give a folder with a folder of photos for each person",
        )
    return people


def load_photo(file: Path, finder: FaceFinder) -> Photo | None:
    """A photo and the face nearest to its middle; None where it shows none."""
    info = read.probe(file)
    rgb = upright(next(read.frames(info)), info).rgb
    faces = finder.find(rgb)
    if not faces:
        return None
    middle = np.array(rgb.shape[1::-1]) / 2
    nearest = min(faces, key=lambda f: float(np.linalg.norm((f.box[:2] + f.box[2:]) / 2 - middle)))
    look = finder.fit(rgb, nearest.points, nearest.score)
    return None if look is None else Photo(info, nearest, look)


def _person(folder: Path, finder: FaceFinder) -> Person | None:
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    first = _readable(files, finder)
    source, target = next(first, None), next(first, None)
    if source is None or target is None:
        return None
    last = next(_readable(files[::-1], finder))
    return Person(folder.name, source, target, target if last.info.path == source.info.path else last)


def _readable(files: list[Path], finder: FaceFinder) -> Iterator[Photo]:
    for file in files:
        try:
            photo = load_photo(file, finder)
        except MediaError:  # something else lies between the photos
            continue
        if photo is not None:
            yield photo
