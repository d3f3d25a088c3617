"""`fsvideo faces`: who is in a clip, for how long, and pictures by which they are found again."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo import people_file
from fsvideo.casting import embedding_of, embedding_spec
from fsvideo.faces.align import crop
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.people import SAME_PERSON, clearness
from fsvideo.media import read
from fsvideo.media.view import upright
from fsvideo.media.write import refuse
from fsvideo.options import Footage, SwapOptions
from fsvideo.report import publish
from fsvideo.survey import decode, look
from fsvideo.swapper import Swapper
from fsvideo.types import Array, CropSpec, FsvideoError, Image, MediaError, MediaInfo, Track, Ui

# A picture of a face and little of what is around it, so that no neighbour is in it.
_PICTURE = CropSpec(256, tuple((0.5 + 0.8 * (x - 0.5), 0.5 + 0.8 * (y - 0.5)) for x, y in CropSpec().template))
_TRIED, _KEPT = 8, 4  # pictures of a person that are looked at, and that are kept
_APART = 0.4  # seconds between two of them
_TILE = 160  # pixels of a face on the sheet


@dataclass(frozen=True)
class Person:
    """Someone in a clip. ``number``: 1 is who is seen most, by size and time. Times: seconds after the first frame."""

    number: int
    frames: int  # in which they were found
    seconds: float  # on screen
    share: float  # of the frames, 0..1
    first: float
    last: float
    size: tuple[int, int]  # pixels, the median's
    yaw: tuple[float, float]  # degrees, from and to
    pitch: tuple[float, float]
    shots: int
    pictures: tuple[Image, ...] = field(default=(), repr=False)
    known: bool = False  # the pictures show so well who it is that they find this person again

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        said = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "pictures"}
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in said.items()}


@dataclass(frozen=True)
class Roster:
    """The people of a clip, who is seen most first."""

    info: MediaInfo
    frames: int
    seconds: float
    people: tuple[Person, ...]


def people(options: SwapOptions, finder: FaceFinder, swapper: Swapper, ui: Ui) -> Roster:
    """Find everyone in ``options.input`` and take pictures of them. Raises FsvideoError for what a user can mend."""
    info = read.probe(options.input, read.NO_LIMITS if options.no_limits else read.LIMITS)
    footage = look(info, finder, swapper, options, ui).footage
    found = list(_people(footage, info))
    tries = {person.number: _rows(footage, person.number - 1) for person in found}
    pictures = _pictures(info, footage, tries, options, ui)
    means = [embedding_of(footage.tracks, number) for number in range(len(found))]
    shown = [_portrayed(person, pictures[person.number], means, finder, swapper) for person in found]
    return Roster(info, len(footage.times), float(_durations(footage.times).sum()), tuple(shown))


def _durations(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Seconds that each frame is shown; the last one as long as most."""
    steps = np.diff(times)
    return np.append(steps, np.median(steps) if len(steps) else 0.0)


def _people(footage: Footage, info: MediaInfo) -> Iterator[Person]:
    """Everyone without pictures."""
    since = footage.times - float(info.start * info.time_base)
    lasts = _durations(footage.times)
    shot_of = np.searchsorted(footage.cuts, np.arange(len(since)), side="right")
    for number in sorted({t.person for t in footage.tracks}):
        tracks = [t for t in footage.tracks if t.person == number]
        seen = np.zeros(len(since), bool)
        for track in tracks:
            seen[track.start : track.stop] |= track.score > 0
        sizes = np.concatenate([np.ptp(t.outline[t.score > 0], axis=1) for t in tracks])
        poses = np.concatenate([t.pose[t.score > 0] for t in tracks])
        low, high = np.percentile(poses[:, :2], (2, 98), axis=0).round()
        width, height = (int(v) for v in np.median(sizes, axis=0).round())
        last = np.flatnonzero(seen)[-1]
        yield Person(
            number=number + 1,
            frames=int(seen.sum()),
            seconds=float(lasts[seen].sum()),
            share=float(seen.mean()),
            first=float(since[seen][0]),
            last=float(since[last] + lasts[last]),
            size=(width, height),
            yaw=(float(low[0]), float(high[0])),
            pitch=(float(low[1]), float(high[1])),
            shots=len(set(shot_of[seen].tolist())),
        )


def _rows(footage: Footage, person: int) -> list[tuple[int, Track]]:
    """The frames in which a person is seen best, best first, some time apart, and the track that has each."""
    rows = []
    for track in (t for t in footage.tracks if t.person == person):
        good = clearness(track)
        rows += [(float(good[row]), track.start + row, track) for row in np.flatnonzero(track.score > 0)]
    picked: list[tuple[int, Track]] = []
    for _, frame, track in sorted(rows, key=lambda found: -found[0]):
        near = any(abs(footage.times[frame] - footage.times[other]) < _APART for other, _ in picked)
        if not near and len(picked) < _TRIED:
            picked.append((int(frame), track))
    return picked


def _pictures(
    info: MediaInfo, footage: Footage, wanted: dict[int, list[tuple[int, Track]]], options: SwapOptions, ui: Ui
) -> dict[int, list[Image]]:
    """Decode again and cut out each person in their frames, in the order of ``wanted``."""
    cut: dict[tuple[int, int], Image] = {}
    last = max((frame for rows in wanted.values() for frame, _ in rows), default=-1)
    if last < 0:
        return {}
    ui.stage("pictures", last + 1)
    for frame in decode(info, options, ui):
        ui.advance()
        here = [(n, track) for n, rows in wanted.items() for index, track in rows if index == frame.index]
        if here:
            rgb = upright(frame, info).rgb
        for number, track in here:
            cut[number, frame.index] = crop(rgb, track.points[frame.index - track.start], _PICTURE).rgb
        if frame.index == last:
            break
    return {number: [cut[number, frame] for frame, _ in rows] for number, rows in wanted.items()}


def _portrayed(
    person: Person, pictures: list[Image], means: list[Array], finder: FaceFinder, swapper: Swapper
) -> Person:
    """The person with the pictures that show best who it is: found in them is one face, and it is nobody else's."""
    rated: list[tuple[float, Array, Image]] = []
    for picture in pictures:
        faces = finder.find(picture, thorough=True)
        if len(faces) != 1:
            continue
        seen = swapper.embed(crop(picture, faces[0].points, embedding_spec(swapper)).rgb[None])[0]
        likeness = [float(mean @ seen) for mean in means]
        if max(likeness) > SAME_PERSON and likeness[person.number - 1] == max(likeness):
            rated.append((max(likeness), seen, picture))
    rated.sort(key=lambda found: -found[0])
    best = [picture for _, seen, picture in rated if float(seen @ rated[0][1]) > SAME_PERSON]
    return replace(person, pictures=tuple((best or pictures)[:_KEPT]), known=bool(best))


def sheet(roster: Roster) -> Image:
    """A row for each person: their number, how long they are seen, their pictures. RGB."""
    page = np.full((max(1, len(roster.people)) * _TILE, (_KEPT + 1) * _TILE, 3), 24, np.uint8)
    for row, person in enumerate(roster.people):
        top = row * _TILE
        for text, y, scale in ((str(person.number), 70, 1.6), (f"{person.seconds:.1f} s", 110, 0.6)):
            cv2.putText(page, text, (20, top + y), cv2.FONT_HERSHEY_SIMPLEX, scale, (235, 235, 235), 2, cv2.LINE_AA)
        for nth, picture in enumerate(person.pictures):
            left = (nth + 1) * _TILE
            tile = cv2.resize(picture, (_TILE - 4, _TILE - 4), interpolation=cv2.INTER_AREA)
            page[top + 2 : top + _TILE - 2, left + 2 : left + _TILE - 2] = tile
    return page


def check_output(output: Path, info: MediaInfo, overwrite: bool) -> None:
    """Refuse places that could not be written, before the long work. Raises FsvideoError."""
    if output.suffix.lower() != ".toml":
        raise FsvideoError(f"{output}: the people go into a .toml file", f"name it {output.with_suffix('.toml').name}")
    try:
        output.stem.encode()
    except UnicodeEncodeError as error:
        raise FsvideoError(f"{output}: its name is not UTF-8, as TOML must be", "choose another name") from error
    folder = folder_of(output)
    for place in (output, sheet_of(output)):
        refuse(place, info, overwrite)
    if (mine := info.path.resolve()) == folder.resolve() or folder.resolve() in mine.parents:
        raise MediaError(f"{folder}: holds the input, and would be replaced", "choose another name")
    if folder.exists() and not overwrite:
        raise MediaError(f"{folder}: exists already", "choose another name, or --overwrite")


def sheet_of(output: Path) -> Path:
    return output.with_suffix(".png")


def folder_of(output: Path) -> Path:
    """Where the pictures of each person go."""
    return output.with_name(f"{output.stem}-faces")


def write(output: Path, roster: Roster) -> None:
    """people.toml, the sheet and the folder of pictures; the first comes last, so that it never lacks the others."""
    folder = folder_of(output)
    part = folder.with_name(f".{folder.name[:80]}.{secrets.token_hex(4)}.part")
    entries = []
    try:
        part.mkdir()
        for person in roster.people:
            names = [f"{person.number}-{nth}.png" for nth in range(1, len(person.pictures) + 1)]
            for name, picture in zip(names, person.pictures, strict=True):
                (part / name).write_bytes(_png(picture))
            reference = tuple(f"{folder.name}/{name}" for name in names) if person.known else ()
            figures = (person.seconds, person.first, person.last, person.size)
            entries.append(people_file.Entry(str(person.number), reference, *figures))
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(part, folder)
    except OSError as error:
        raise MediaError(f"{folder}: cannot be written ({error.strerror})", "choose another place") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    publish(sheet_of(output), _png(sheet(roster)))
    publish(output, people_file.write(roster.info.path.name, entries).encode())


def _png(rgb: Sequence[Any] | Image) -> bytes:
    return bytes(cv2.imencode(".png", np.asarray(rgb)[..., ::-1])[1])


def table(roster: Roster) -> tuple[list[str], list[list[str]]]:
    """The people in words: a header and rows."""
    header = ["who", "seen, s", "%", "when, s", "pixels", "yaw, °", "pitch, °", "shots"]
    rows = [
        [
            str(p.number),
            f"{p.seconds:.2f}",
            f"{100 * p.share:.0f}",
            f"{p.first:.2f}-{p.last:.2f}",
            f"{p.size[0]}x{p.size[1]}",
            *(f"{low:.0f} to {high:.0f}" for low, high in (p.yaw, p.pitch)),
            str(p.shots),
        ]
        for p in roster.people
    ]
    return header, rows
