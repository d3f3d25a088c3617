"""The values that pass between rooms, and the errors a user can cause.

Everything here is plain data.
Coordinates: *native* pixels are those of the decoded planes; *display* pixels are what a viewer sees after the
display matrix (rotation, mirror) and the sample aspect are applied. Faces live in display pixels, planes in native
ones; ``MediaInfo.to_display`` maps one to the other. Pixel centres sit at integer coordinates.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # `fsvideo --help` reads this module: it stays free of imports that take a tenth of a second
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.float32]"
Image: TypeAlias = "npt.NDArray[np.uint8]"


_HAIR = 1e-6  # seconds: 0.28 is a little more or less than 7 / 25


class FsvideoError(Exception):
    """Something a user can cause and mend: ``str(error)`` says what is wrong, ``hint`` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class MediaError(FsvideoError):
    """An input that cannot be read or an output that cannot be written."""


class WriteError(MediaError):
    """An output that broke off while it was written: a full disk, most of the time."""


class WeightsError(FsvideoError):
    """A weights file that is missing, cut, altered or of the wrong kind."""


class FaceError(FsvideoError):
    """No face, or several, where one was needed."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: left, top inclusive; right, bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index for an H x W array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def common(self, other: Box) -> Box | None:
        """What both cover; None where that is nothing."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(left, top, right, bottom) if left < right and top < bottom else None

    def within(self, outer: Box) -> Box:
        """The same rectangle, counted from the left and top of ``outer``."""
        return Box(self.left - outer.left, self.top - outer.top, self.right - outer.left, self.bottom - outer.top)


@dataclass(frozen=True)
class ColorTags:
    """H.273 code points as the stream states them (2: unspecified) and the range (0 unspecified, 1 limited, 2 full)."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


def _no_features() -> Array:
    import numpy as np

    return np.zeros((0, 0, 2), np.float32)


def _identity() -> Array:
    import numpy as np

    return np.eye(2, 3, dtype=np.float32)


@dataclass(frozen=True)
class MediaInfo:
    """What an input is, read from its headers; nothing here is trusted to count frames."""

    path: Path
    kind: Literal["video", "image", "folder"]
    width: int  # native pixels
    height: int
    pix_fmt: str
    codec: str
    rate: Fraction | None  # average frames/s; None where the input has none (an image)
    time_base: Fraction  # seconds per tick of Frame.pts
    start: int = 0  # pts of the first frame, ticks
    duration: float = 0.0  # seconds, 0 if unknown
    frames: int = 0  # header's claim or an estimate, for progress only; 0 if unknown
    bit_depth: int = 8
    color: ColorTags = field(default_factory=ColorTags)
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0  # degrees counter-clockwise the decoded picture is turned for display: 0, 90, 180, 270
    mirrored: bool = False
    variable_rate: bool = False
    interlaced: bool = False
    audio: tuple[str, ...] = ()  # one short description a stream, e.g. "aac 48 kHz stereo"
    subtitles: tuple[str, ...] = ()
    to_display: Array = field(default_factory=_identity)  # native -> display, 2 x 3
    display_width: int = 0
    display_height: int = 0

    def tick_at(self, seconds: float) -> int:
        """The first tick at or after so many seconds behind the first frame."""
        return self.start + math.ceil((seconds - _HAIR) / self.time_base)


@dataclass
class Frame:
    """One picture with its time. ``planes`` are the stream's own samples, never converted on the way through.

    ``planes``: one array a component in the order of ``pix_fmt`` (Y, U, V[, A] for planar YUV), uint8 or uint16, shapes
    as subsampled. A frame's planes may be shared with the decoder: whoever wants to change them copies first
    (``media.color.add_rgb`` does).
    """

    index: int
    pts: int  # ticks of MediaInfo.time_base
    planes: tuple[npt.NDArray[np.uint8] | npt.NDArray[np.uint16], ...]
    pix_fmt: str
    key: bool = False
    duration: int = 0  # ticks, 0 if unknown


@dataclass(frozen=True)
class Face:
    """One face in one frame, in display pixels."""

    box: Array  # (4,) left, top, right, bottom
    points: Array  # (5, 2) middles of the eyes' corners (image left first), nose tip, mouth corners
    landmarks: Array  # (478, 2) the mediapipe face mesh
    score: float  # detector confidence, 0..1
    pose: Array  # (3,) yaw, pitch, roll in degrees; 0 looks into the camera
    blendshapes: Array | None = None  # (52,) 0..1
    fitted: bool = True  # False: the landmarks are of an earlier picture, carried to where the detector sees the face


@dataclass(frozen=True)
class Portrait:
    """A face and the picture it is in."""

    image: Image
    face: Face


@dataclass(frozen=True)
class CropSpec:
    """How a face is cut out: five template points in units of the crop's side, and the side in pixels.

    The same spec is stored in a checkpoint's header, so that training and swapping cannot disagree.
    """

    size: int = 256
    template: tuple[tuple[float, float], ...] = (
        (0.345, 0.385),
        (0.655, 0.385),
        (0.500, 0.560),
        (0.372, 0.696),
        (0.628, 0.696),
    )

    @property
    def points(self) -> Array:
        """(5, 2) template points in pixels of the crop; the crop spans [-0.5, size - 0.5]."""
        import numpy as np

        return np.asarray(self.template, np.float32) * self.size - 0.5

    def resized(self, size: int) -> CropSpec:
        return CropSpec(size, self.template)

    def to_json(self) -> str:
        return json.dumps({"size": self.size, "template": self.template})

    @staticmethod
    def from_json(text: str) -> CropSpec:
        """Raises ValueError for anything but five points and a side of 16 to 1024 pixels."""
        try:
            raw = json.loads(text)
            points, size = tuple((float(x), float(y)) for x, y in raw["template"]), int(raw["size"])
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError("not a crop") from error
        if len(points) != 5 or not 16 <= size <= 1024 or not all(-2 < v < 3 for p in points for v in p):
            raise ValueError(f"not a crop: {text}")
        return CropSpec(size, points)


@dataclass(frozen=True)
class Crop:
    """An aligned face. ``matrix`` (2 x 3) maps source pixels (display or native, as the maker says) to crop pixels."""

    rgb: Image  # (size, size, 3)
    matrix: Array


@dataclass
class Track:
    """One person between two cuts. Row t of each array belongs to frame ``start + t``; all in display pixels."""

    id: int
    start: int
    points: Array  # (T, 5, 2)
    outline: Array  # (T, 36, 2) the mesh's face oval, in order around the face
    pose: Array  # (T, 3) degrees
    score: Array  # (T,) 0 where the row was filled in between detections
    embedding: Array  # (D,) mean of the track, unit length
    person: int = -1  # tracks of one person, re-joined after cuts and occlusions, share this number
    features: Array = field(default_factory=_no_features)  # (T, 56, 2) mouth, eyes and brows, as faces.align.FEATURES

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return self.start + len(self.points)


@dataclass(frozen=True)
class Identity:
    """Who the result shall be: the mean of the sources' centred embeddings, unit length."""

    embedding: Array  # (D,); what a swapper is asked for may be (A, D), one for each of its layers
    sources: tuple[str, ...]
    portrait: Portrait | None = None  # the first source, for swappers that take pixels from it
    glasses: float = 0.0  # how surely the source wears some, 0..1


class Ui(Protocol):
    """What a run tells while it works. Every method may be called often and must be quick."""

    def stage(self, name: str, total: int) -> None:
        """A new stage begins; ``total`` frames are expected, 0 if unknown."""

    def advance(self, frames: int = 1) -> None:
        """So many frames of the stage are done."""

    def expect(self, total: int) -> None:
        """The stage is now expected to have so many frames, 0: unknown."""

    def note(self, text: str) -> None:
        """One line a user should see."""
