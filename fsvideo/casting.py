"""Who is who: the identity that the sources give, and the tracks of a clip that shall get it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fsvideo.faces.align import crop
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.people import SAME_PERSON
from fsvideo.media import read
from fsvideo.media.view import upright
from fsvideo.swapper import Swapper, mean_identity
from fsvideo.types import Array, CropSpec, Face, FaceError, Identity, Image, MediaInfo, SwapOptions, Track

_RIVAL = 0.4  # a second face this large, relative to the largest, makes a source ambiguous
_FRAMES_A_SOURCE = 12  # looked at in a source that is a clip or a folder


@dataclass(frozen=True)
class Cast:
    """Whose face, and on whom. ``wanted``: embedding of the person to swap, for ``--faces reference``."""

    identity: Identity
    faces: Literal["largest", "all", "reference"]
    wanted: Array | None

    @staticmethod
    def of(options: SwapOptions, finder: FaceFinder, swapper: Swapper) -> Cast:
        """Read the sources and the reference. Raises FaceError where they cannot serve."""
        wanted = None
        if options.faces == "reference":
            if options.reference is None:
                raise FaceError("--faces reference needs a picture of the person", "add --reference IMAGE")
            wanted = identify(finder, swapper, [options.reference]).embedding
        return Cast(identify(finder, swapper, options.source), options.faces, wanted)

    def choose(self, tracks: list[Track]) -> list[Track]:
        """The tracks to swap: every one, those of the largest person, or those of the person in the reference."""
        if self.faces == "all" or not tracks:
            return tracks
        if self.wanted is not None:
            return [t for t in tracks if float(_person(tracks, t) @ self.wanted) > SAME_PERSON]
        largest = min(t.person for t in tracks)  # people are numbered by how much of the clip they fill
        return [t for t in tracks if t.person == largest]


def identify(finder: FaceFinder, swapper: Swapper, sources: Sequence[Path]) -> Identity:
    """The mean identity of photos, clips or folders of one person.

    Raises FaceError where a source shows no face, several of like size, or people who do not look alike.
    """
    means = []
    for path in sources:
        faces = [(_only_face(finder, image, path), image) for image in pictures(read.probe(path))]
        crops = [crop(image, face.points, embedding_spec(swapper)).rgb for face, image in faces if face is not None]
        if not crops:
            raise FaceError(
                f"{path}: no face found in the source",
                "take a photo in which the face is large, sharp and seen from the front",
            )
        means.append(mean_identity(swapper.embed(np.stack(crops)), [path.name]).embedding)
    for path, mean in zip(sources[1:], means[1:], strict=True):
        if float(mean @ means[0]) < SAME_PERSON / 2:
            raise FaceError(
                f"{path}: does not look like the person in {sources[0]} (similarity {float(mean @ means[0]):.2f})",
                "several --source files are averaged to one person: give photos of one person only",
            )
    return mean_identity(np.stack(means), [p.name for p in sources])


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
        raise FaceError(
            f"{path}: {rivals + 1} faces in the source", "crop the picture so that only the face to use is left"
        )
    return faces[0] if faces else None


def _person(tracks: Sequence[Track], track: Track) -> Array:
    """Mean embedding of all tracks of a track's person, weighted by their length."""
    mean = np.sum([t.embedding * len(t.points) for t in tracks if t.person == track.person], axis=0)
    return np.asarray(mean / max(1e-6, float(np.linalg.norm(mean))), np.float32)
