"""Who plays what: the identities that the sources give, and the tracks of a clip that shall get them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import crop
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.people import RECOGNISED, SAME_PERSON, overlap, presence
from fsvideo.faces.rims import line_across
from fsvideo.media import read
from fsvideo.media.view import upright
from fsvideo.options import Footage, Look, Region, SwapOptions
from fsvideo.swapper import Swapper, mean_identity
from fsvideo.types import Array, CropSpec, Face, FaceError, Identity, Image, MediaInfo, Portrait, Track

View: TypeAlias = tuple[float, float, float]

_RIVAL = 0.4  # a second face this large, relative to the largest, makes a source ambiguous
_LOOK = Look()
_FRAMES_A_SOURCE = 12  # looked at in a source that is a clip or a folder
_WEAKLY = 0.6  # cosine to a reference below which it is better looked at whether this is the one
# How the five points of a source are moved before it is cut for the recogniser: scale, degrees, and how far, in
# distances between the eyes.
_VIEWS: tuple[View, ...] = ((1, 0, 0), (0.88, 0, 0), (1.12, 0, 0), (1, 8, 0), (1, -8, 0), (1, 0, 0.1), (1, 0, -0.1))


@dataclass(frozen=True)
class Role:
    """One part to play: which face is put in, on whom, when, where in the frame, and how.

    ``who``: the embedding of the person, or a rule for whoever has no role of their own.
    """

    name: str
    face: Identity | None  # None: this person is known, and left as they are
    who: Array | Literal["largest", "all"]
    start: float | None = None  # seconds after the input's first frame
    end: float | None = None
    region: Region | None = None
    look: Look = _LOOK

    def takes(self, track: Track, times: npt.NDArray[np.float64], info: MediaInfo) -> npt.NDArray[np.bool_]:
        """(T,) in which of its frames, at ``times`` (T,), a track is within the role's time and region."""
        since = times - float(info.start * info.time_base)
        taken = np.ones(len(times), bool)
        if self.start is not None:
            taken &= since >= self.start
        if self.end is not None:
            taken &= since < self.end
        if self.region is not None:
            x, y = ((track.points.mean(1) + 0.5) / (info.display_width, info.display_height)).T
            taken &= (self.region.x <= x) & (x < self.region.x + self.region.width)
            taken &= (self.region.y <= y) & (y < self.region.y + self.region.height)
        return taken


@dataclass(frozen=True)
class Cast:
    """All roles of a run."""

    roles: tuple[Role, ...]

    @staticmethod
    def of(options: SwapOptions, finder: FaceFinder, swapper: Swapper) -> Cast:
        """Read the sources and the references. Raises FaceError where they cannot serve."""

        @cache
        def known(paths: tuple[Path, ...]) -> Identity:
            return identify(finder, swapper, paths)

        @cache
        def seen(paths: tuple[Path, ...]) -> Array:  # as tracks are: one view of each picture is enough to know them
            return identify(finder, swapper, paths, _VIEWS[:1]).embedding

        if options.parts:
            return Cast(
                tuple(
                    Role(
                        part.name,
                        known(part.source) if part.source else None,
                        seen(part.reference),
                        part.start,
                        part.end,
                        part.region or options.region,
                        part.look,
                    )
                    for part in options.parts
                )
            )
        who: Array | Literal["largest", "all"]
        if options.faces != "reference":
            who = options.faces
        elif options.reference is not None:
            who = seen((options.reference,))
        else:
            raise FaceError("--faces reference needs a picture of the person", "add --reference IMAGE")
        return Cast((Role("", known(options.source), who, region=options.region, look=options.look),))

    def assign(self, footage: Footage, info: MediaInfo) -> list[tuple[Track, Role]]:
        """The tracks to swap, each with its role; tracks of one person share one. People with no face to get are out.

        Identity alone decides: whoever looks most like a role's person plays it, if they look like them at all. Of
        people who are seen together only one can.
        """
        played: list[tuple[Track, Role]] = []
        for likeness, person, role in sorted(self._likenesses(footage.tracks), key=lambda found: -found[0]):
            theirs = [t for t in footage.tracks if t.person == person]
            others = [t for t, other in played if other is role]
            if likeness > RECOGNISED and not any(overlap(a, b) for a in theirs for b in others):
                played += [(t, role) for t in theirs]
        for role in self.roles:
            if isinstance(role.who, str):
                played += [(t, role) for t in _by_rule(role, footage, info)]
        return [(track, role) for track, role in played if role.face is not None]

    def doubts(self, footage: Footage, info: MediaInfo) -> list[str]:
        """A line for each person who was taken for a role's, and is only somewhat like them."""
        chosen = {(track.person, role.name) for track, role in self.assign(footage, info)}
        return [
            f"{role.name or 'the reference'}: similarity of only {likeness:.2f} to who is swapped, see that it is them"
            for likeness, person, role in self._likenesses(footage.tracks)
            if (person, role.name) in chosen and likeness < _WEAKLY
        ]

    def _likenesses(self, tracks: Sequence[Track]) -> Iterator[tuple[float, int, Role]]:
        """For each person of the clip, the role whose person they look most like, and how much.

        Several roles where that person has several, such as other faces at other times.
        """
        roles = [(role, role.who) for role in self.roles if not isinstance(role.who, str)]
        for person in sorted({t.person for t in tracks}) if roles else ():
            seen = embedding_of(tracks, person)
            likeness = [float(seen @ who) for _, who in roles]
            best = int(np.argmax(likeness))
            for role, who in roles:
                if np.array_equal(who, roles[best][1]):
                    yield likeness[best], person, role


def _by_rule(role: Role, footage: Footage, info: MediaInfo) -> list[Track]:
    """Every track in a role's time and region, or those of the person who fills most of it."""
    taken = [(t, role.takes(t, footage.times[t.start : t.stop], info)) for t in footage.tracks]
    taken = [(t, rows) for t, rows in taken if rows.any()]
    if role.who == "all" or not taken:
        return [t for t, _ in taken]
    area: dict[int, float] = {}
    for track, rows in taken:
        area[track.person] = area.get(track.person, 0.0) + presence(track, rows)
    largest = max(area, key=lambda person: (area[person], -person))
    return [t for t, _ in taken if t.person == largest]


def identify(finder: FaceFinder, swapper: Swapper, sources: Sequence[Path], views: Sequence[View] = _VIEWS) -> Identity:
    """The mean identity of photos, clips or folders of one person: sources, or references.

    ``views``: in which each picture is looked at.

    Raises FaceError where one shows no face, several of like size, or people who do not look alike.
    """
    means, portraits = [], []
    for path in sources:
        faces = [(_only_face(finder, image, path), image) for image in pictures(read.probe(path))]
        found = [Portrait(image, face) for face, image in faces if face is not None]
        if not found:
            raise FaceError(
                f"{path}: no face found in it",
                "take a photo in which the face is large, sharp and seen from the front",
            )
        means.append(mean_identity(embed_portraits(swapper, found, views), [path.name]).embedding)
        portraits += found[:1]
    for path, mean in zip(sources[1:], means[1:], strict=True):
        if float(mean @ means[0]) < SAME_PERSON / 2:
            raise FaceError(
                f"{path}: does not look like the person in {sources[0]} (similarity {float(mean @ means[0]):.2f})",
                "several pictures are averaged to one person: give photos of one person only",
            )
    return portrayed(mean_identity(np.stack(means), [p.name for p in sources]), portraits[0], swapper)


def portrayed(identity: Identity, portrait: Portrait, swapper: Swapper) -> Identity:
    """The identity with a picture of it, in which glasses are looked for."""
    if swapper.glasses is None:
        return replace(identity, portrait=portrait)
    return replace(identity, portrait=portrait, glasses=swapper.glasses.shown(identity.embedding, line_of(portrait)))


def line_of(portrait: Portrait) -> float:
    """How dark a line crosses the nose: see ``line_across``."""
    return line_across(crop(portrait.image, portrait.face.points, CropSpec(256)).rgb)


def embed_portraits(swapper: Swapper, portraits: Sequence[Portrait], views: Sequence[View] = _VIEWS) -> Array:
    """(2 V N, D) what the faces' embeddings are in V views, and those of their mirror images.

    A recogniser errs a little differently in each: their mean says better who somebody is.
    """
    return np.concatenate([swapper.embed(_views(portrait, embedding_spec(swapper), views)) for portrait in portraits])


def _views(portrait: Portrait, spec: CropSpec, views: Sequence[View]) -> Image:
    """(2 V, S, S, 3) crops of one face that differ in size, angle and height, and their mirror images."""
    points = portrait.face.points
    middle = points.mean(axis=0)
    crops = []
    for scale, degrees, up in views:
        cos, sin = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
        turn = np.array([(cos, sin), (-sin, cos)])  # of points as rows
        raised = (0, up * np.linalg.norm(points[1] - points[0]))
        seen = ((points - middle) @ turn + middle + raised).astype(np.float32)
        crops.append(crop(portrait.image, seen, spec).rgb)
    cut = np.stack(crops)
    return np.concatenate([cut, cut[:, :, ::-1]])


def embedding_spec(swapper: Swapper) -> CropSpec:
    """Crops for the recogniser alone: its chip fills 150 pixels, so 192 lose nothing."""
    return swapper.spec.resized(192)


def pictures(info: MediaInfo) -> Iterator[Image]:
    """The picture of an image; some evenly spread ones of a clip or folder."""
    every = max(1, (info.frames or 300) // _FRAMES_A_SOURCE)
    for frame in read.frames(info):
        if frame.index % every == 0:
            yield upright(frame, info).rgb
        if frame.index >= every * _FRAMES_A_SOURCE:
            return


def _only_face(finder: FaceFinder, image: Image, path: Path) -> Face | None:
    faces = finder.find(image, thorough=True)
    sizes = [float(np.sqrt(np.prod(f.box[2:] - f.box[:2]))) for f in faces]
    rivals = sum(size > _RIVAL * sizes[0] for size in sizes[1:])
    if rivals:
        raise FaceError(f"{path}: {rivals + 1} faces in it", "crop the picture so that only the face to use is left")
    return faces[0] if faces else None


def embedding_of(tracks: Sequence[Track], person: int) -> Array:
    """Mean embedding of all tracks of a person, weighted by their length."""
    mean = np.sum([t.embedding * len(t.points) for t in tracks if t.person == person], axis=0)
    return np.asarray(mean / max(1e-6, float(np.linalg.norm(mean))), np.float32)
