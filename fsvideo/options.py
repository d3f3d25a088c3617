"""What is asked of a run, and what it says it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fsvideo.types import FsvideoError, MediaInfo, Track

Device = Literal["auto", "cpu", "cuda", "mps"]
Backend = Literal["auto", "torch", "onnx", "openvino"]
LOOK_CHOICES: dict[str, tuple[str, ...]] = {
    "mask": ("outline", "ellipse"),
    "keep": ("mouth", "eyes", "brows"),
    "color": ("match", "keep"),
    "sharpness": ("match", "keep"),
}
TUNE_STEPS = 16  # by default
LOOK_RANGES: dict[str, tuple[float, float]] = {"feather": (0, 0.5), "scale": (0.8, 1.2), "strength": (0, 1.5)}


@dataclass(frozen=True)
class Look:
    """How a new face is put in. Every person of a clip may have another; the command line gives the one for all.

    Raises FsvideoError for a value of the wrong kind or out of LOOK_CHOICES and LOOK_RANGES.
    """

    mask: str = "outline"
    feather: float = 0.15  # width of the soft edge, parts of the face's width
    scale: float = 1.0  # size of the replaced region, relative to the face
    keep: tuple[str, ...] = ()  # parts of the face that stay the target's
    strength: float = 1.0  # identity: 0 is the target's own, 1 the source's, more overdraws it
    color: str = "match"  # to the scene's, or keep what the network made
    sharpness: str = "match"  # fine detail: to the target's, or keep what the network made

    def __post_init__(self) -> None:
        for name, known in LOOK_CHOICES.items():
            value = getattr(self, name)
            fits = isinstance(value, tuple) and set(value) <= set(known) if name == "keep" else value in known
            if not fits:
                raise FsvideoError(f"{name} cannot be {value!r}", f"known: {', '.join(known)}")
        for name, (low, high) in LOOK_RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, float | int) or not low <= value <= high:
                raise FsvideoError(f"{name} cannot be {value!r}", f"give a number from {low:g} to {high:g}")


@dataclass(frozen=True)
class Region:
    """A part of the frame as it is shown, in parts of its width and height. Raises ValueError where it is none."""

    x: float  # of the left edge
    y: float  # of the top edge
    width: float
    height: float

    def __post_init__(self) -> None:
        right, bottom = self.x + self.width, self.y + self.height
        if not (0 <= self.x < right <= 1.0001 and 0 <= self.y < bottom <= 1.0001):
            raise ValueError("a region is x, y, width, height in parts of the frame, each 0 to 1 and all within it")


@dataclass(frozen=True)
class Part:
    """What one person of a clip shall get."""

    name: str
    source: tuple[Path, ...]  # what shows the face to put in; empty: this person is left as they are
    reference: tuple[Path, ...]  # pictures of the person, by which they are found
    start: float | None = None  # seconds after the input's first frame
    end: float | None = None
    region: Region | None = None  # where the middle of the face must be
    look: Look = Look()


@dataclass(frozen=True)
class SwapOptions:
    """Everything `fsvideo swap` was asked for about one input; times in seconds, sizes in pixels.

    With ``parts`` every person has their own sources; ``source``, ``faces`` and ``reference`` are for one face alone.
    """

    source: tuple[Path, ...]
    input: Path
    output: Path
    faces: Literal["largest", "all", "reference"] = "largest"
    reference: Path | None = None
    parts: tuple[Part, ...] = ()
    region: Region | None = None  # for all whose part names none
    start: float | None = None
    end: float | None = None
    model: str = "compact"
    refine: bool = True
    refine_strength: float = 1.0  # share of HEAR-Net's repair that is taken, 0..1
    tune: int = TUNE_STEPS  # steps in which what is asked of the network is tuned to source and person; 0: none
    detect_size: int = 1280  # longer side of the pictures in which faces are looked for
    look: Look = Look()
    smooth: float = 0.5  # seconds of the window that steadies points and colour; 0 is off
    encoder: str | None = None  # None: what suits container and input
    quality: int | None = None  # the encoder's own scale; None is its visually lossless value
    preset: str | None = None
    audio: Literal["copy", "none"] = "copy"
    device: Device = "auto"
    backend: Backend = "auto"  # what computes the swap there
    engine: Literal["local", "ray"] = "local"  # where pass 2 runs
    batch_size: int = 4
    threads: int = 0  # 0: as many as there are cores
    report: Path | None = None
    compare: Path | None = None
    compare_layout: Literal["side", "wipe", "stack"] = "side"
    preview: Path | None = None
    no_face: Literal["copy", "fail"] = "copy"
    overwrite: bool = False
    keep_going: bool = False
    no_limits: bool = False  # take an input however large it claims to be
    provenance: Literal["c2pa", "metadata"] = "c2pa"  # a signed manifest where the output can hold one; tags always
    certificate: Path | None = None  # PEM, with ``key``; None: the one kept for this user, made on first use
    key: Path | None = None
    resume: bool = False
    segment: float = 10.0  # seconds of footage between two points from which a broken-off run can go on


@dataclass(frozen=True)
class Footage:
    """What pass 1 found: the time of every frame in seconds, the tracks, the first frames of shots after cuts."""

    times: npt.NDArray[np.float64]
    tracks: list[Track]
    cuts: list[int]


@dataclass(frozen=True)
class Forecast:
    """What a run would take, tried out on a few frames; None where that is no work to speak of (an image)."""

    encoder: str  # in words; empty for images
    seconds: float | None  # of pass 2
    size: int | None  # bytes of the output, rather too many
    free: int  # bytes free where the output goes


@dataclass
class SwapResult:
    """What a run did; ``seconds`` is wall time."""

    input: Path
    output: Path | None
    model: str
    info: MediaInfo = field(repr=False)
    footage: Footage = field(repr=False)  # landmarks and embeddings of all faces: nothing for a log
    frames: int = 0
    swapped_frames: int = 0
    swapped_faces: int = 0
    seconds: float = 0.0
    moments: int = 0  # around which so many frames of the input were looked at; 0: all of it was
    notes: list[str] = field(default_factory=list)
    provenance: Literal["c2pa", "metadata", "none"] = (
        "metadata"  # how the output is marked; none: nothing in it is edited
    )
    forecast: Forecast | None = None  # of a dry run
    backend: str = ""  # what computed the swap, in which version and precision

    @property
    def people(self) -> int:
        return len({t.person for t in self.footage.tracks})
