"""fsvideo from Python: `swap` for files, `FrameSwapper` for pictures in memory. ``import fsvideo`` offers all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypedDict, Unpack, get_args, get_type_hints

import numpy as np

from fsvideo import pipeline
from fsvideo.networks import load_finder, pick_device
from fsvideo.options import TUNE_STEPS, Backend, Device, Look, Part, Region, SwapOptions, SwapResult
from fsvideo.outputs import default_output
from fsvideo.stream import Stage, Stream, frame_of, of_rgb, rgb_of
from fsvideo.swapper import Swapper
from fsvideo.swapper import load_swapper as _load
from fsvideo.types import FsvideoError, Image

__all__ = ["FrameSwapper", "FsvideoError", "SwapResult", "load_swapper", "swap"]

Source = str | Path | Sequence[str | Path]
Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``: frames of that stage; ``total`` is 0 where it is not known."""


class LookOptions(TypedDict, total=False):
    """How the new face is put in: the fields of ``options.Look``."""

    mask: str  # "outline" or "ellipse"
    feather: float  # 0..0.5 parts of the face's width
    scale: float  # 0.8..1.2 of the replaced region
    keep: tuple[str, ...] | list[str]  # of "mouth", "eyes", "brows"
    strength: float  # 0..1.5 of the source's identity
    color: str  # "match" or "keep"
    sharpness: str  # "match" or "keep"


class Options(LookOptions, total=False):
    """What `fsvideo swap` takes as flags: the fields of ``options.SwapOptions``, with its defaults."""

    faces: Literal["largest", "all", "reference"]
    reference: str | Path | None
    parts: tuple[Part, ...]  # several people; source is then an empty list
    region: Region | None
    start: float | None  # seconds
    end: float | None
    model: str
    refine: bool
    refine_strength: float  # 0..1
    tune: int  # steps, 0..100
    detect_size: int  # pixels
    smooth: float  # seconds, 0..5; 0 is off
    encoder: str | None
    quality: int | None
    preset: str | None
    audio: Literal["copy", "none"]
    device: Device
    backend: Backend
    engine: Literal["local", "ray"]  # where pass 2 of a video runs: here, or on a Ray cluster
    batch_size: int  # 1 or more
    threads: int  # of decoder and encoder, 0: all cores; the networks take torch.get_num_threads()
    report: str | Path | None
    compare: str | Path | None
    compare_layout: Literal["side", "wipe", "stack"]
    preview: str | Path | None
    no_face: Literal["copy", "fail"]
    overwrite: bool
    keep_going: bool
    no_limits: bool
    provenance: Literal["c2pa", "metadata"]
    certificate: str | Path | None
    key: str | Path | None
    resume: bool
    segment: float  # seconds, 0.1 or more


_PATHS = ("reference", "report", "compare", "preview", "certificate", "key")
_RANGES = {"smooth": (0, 5), "batch_size": (1, 256), "threads": (0, 256), "segment": (0.1, np.inf)}
_RANGES |= {"refine_strength": (0, 1), "tune": (0, 100), "detect_size": (320, 3840)}
_RANGES |= {"start": (0, np.inf), "end": (0, np.inf), "quality": (0, 100)}
_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool, np.bool_), "True or False"),
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "a text"),
    Region: ((Region,), "an options.Region"),
}


def load_swapper(
    model: str = "compact",
    *,
    refine: bool = True,
    refine_strength: float = 1.0,
    device: Device = "auto",
    backend: Backend = "auto",
) -> Swapper:
    """Load weights once, for several calls of ``swap`` and ``FrameSwapper``.

    ``model``: ``compact``, or a file that `fsvideo train` wrote. ``refine_strength``: how much of HEAR-Net's repair is
    taken, 0..1. ``backend``: what computes the swap, "auto"
    is the fastest that is installed; a model's first use on another than torch takes longer. Raises FsvideoError.
    """
    _check_option("refine_strength", refine_strength, float)
    return _load(model, refine, pick_device(device), refine_strength, backend)


def swap(
    source: Source,
    input: str | Path,
    output: str | Path | None = None,
    *,
    swapper: Swapper | None = None,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> SwapResult:
    """Put the face of ``source`` on a person in ``input``, as `fsvideo swap` does.

    ``source``: a photo, clip or folder, or several of one person. ``input``: a video, an image or a folder of images.
    ``output``: None is INPUT-swapped.EXT beside the input. ``options``: see ``fsvideo.library.Options``. ``swapper``:
    what ``load_swapper`` returned, in place of ``model``, ``refine``, ``device`` and ``backend``. ``progress`` is
    called often, from this thread; what it raises ends the run, with no output.

    The output exists whole when this returns, or not at all. Raises FsvideoError (``str(error)`` says what is wrong,
    ``error.hint`` what to do) for what a user can mend, ValueError for an option out of its range, TypeError for one
    that does not exist or is of another kind.

        result = fsvideo.swap("face.jpg", "clip.mp4", "out.mp4", faces="all", end=10.0)
        print(result.swapped_faces, result.output)
    """
    if swapper is not None and "refine_strength" in options:
        raise TypeError("refine_strength goes to load_swapper: the swapper that is given has its own")
    place = Path(output) if output is not None else default_output(Path(input))
    settings = _settings(source, Path(input), place, options)
    device = pick_device(settings.device)
    ui = _Told(progress)
    model = settings.model, settings.refine, device, settings.refine_strength, settings.backend
    made = swapper or _load(*model, ui.note, settings.batch_size)
    result = pipeline.swap(settings, made, ui)
    result.notes[:0] = ui.notes
    return result


class FrameSwapper:
    """The face of ``source`` on pictures in memory: for a notebook, or inside another program.

    Pictures are RGB, uint8, (H, W, 3); others raise ValueError. What comes back is a new array of the same shape, equal
    to what went in where nobody was found. Nothing marks arrays as AI-edited: whoever stores or shows them must.

    ``faces``: whom to swap: "largest", "all", or "reference", the person in ``reference``. ``smooth``: seconds over
    which streams are steadied, 0..5. ``tune``: steps in which what is asked of the network is tuned to each single
    picture, which takes seconds; 0 leaves it out, as streams do. ``look``: see ``LookOptions``. Loading takes seconds:
    keep it, and ``close`` it or use it in a ``with`` block. Not thread-safe. Raises FsvideoError where a source shows
    no face or weights lack.

        swapper = fsvideo.FrameSwapper("face.jpg")
        picture = swapper(rgb)                      # one picture by itself
        for picture in swapper.stream(frames):      # pictures of one stream, in order, steadied by the past alone
            show(picture)
    """

    def __init__(
        self,
        source: Source,
        *,
        faces: Literal["largest", "all", "reference"] = "largest",
        reference: str | Path | None = None,
        model: str = "compact",
        refine: bool = True,
        device: Device = "auto",
        backend: Backend = "auto",
        smooth: float = 0.5,
        tune: int = TUNE_STEPS,
        swapper: Swapper | None = None,
        **look: Unpack[LookOptions],
    ) -> None:
        if strange := look.keys() - {field.name for field in fields(Look)}:
            raise TypeError(f"FrameSwapper takes no {', '.join(sorted(strange))}")
        chosen: Options = {"faces": faces, "reference": reference, "smooth": smooth, "tune": tune, **look}
        settings = _settings(source, Path(), Path(), chosen)
        made = swapper or load_swapper(model, refine=refine, device=device, backend=backend)
        self._finder = load_finder()
        try:
            self._stage = Stage(settings, self._finder, made)
        except BaseException:
            self.close()
            raise

    def __call__(self, rgb: Image) -> Image:
        """One picture by itself, looked at thoroughly: also turned and dark faces are found."""
        _check(rgb)
        frame, _ = self._stage.single(frame_of(rgb), of_rgb(rgb), rgb)
        return rgb_of(frame)

    def stream(
        self, pictures: Iterable[Image], *, times: Iterable[float] | None = None, rate: float = 25.0
    ) -> Iterator[Image]:
        """Each of ``pictures``, swapped, as soon as it is given: positions and colour are steadied by the past alone.

        ``times``: seconds of each, rising; without them there are ``rate`` a second. All pictures have one size.
        Every call begins a stream of its own.
        """
        if times is None and not 0 < rate < np.inf:
            raise ValueError(f"rate: {rate!r} is not a number of pictures a second")
        return self._each(pictures, iter(times) if times is not None else (n / rate for n in range(2**62)))

    def _each(self, pictures: Iterable[Image], clock: Iterator[float]) -> Iterator[Image]:
        stream, info = Stream(self._stage), None
        last = -np.inf
        for index, rgb in enumerate(pictures):
            _check(rgb)
            info = info or of_rgb(rgb)
            seconds = next(clock, None)
            if seconds is None or not last < seconds < np.inf:
                raise ValueError(f"picture {index}: its time must be later than the last one's, and it needs one")
            if rgb.shape != (info.height, info.width, 3):
                raise ValueError(f"picture {index}: {rgb.shape[1]} x {rgb.shape[0]}, not of the first one's size")
            last = seconds
            frame, _ = stream.update(frame_of(rgb, index, seconds), info, rgb)
            yield rgb_of(frame)

    def close(self) -> None:
        """Free the landmarker."""
        self._finder.close()

    def __enter__(self) -> FrameSwapper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Told:
    """What a run tells (types.Ui), for a progress function and for the result's notes."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._stage, self._done, self._total = "", 0, 0
        self.notes: list[str] = []

    def stage(self, name: str, total: int) -> None:
        self._stage, self._done, self._total = name, 0, total
        self._say()

    def advance(self, frames: int = 1) -> None:
        self._done += frames
        self._say()

    def expect(self, total: int) -> None:
        self._total = total

    def note(self, text: str) -> None:
        self.notes.append(text)

    def _say(self) -> None:
        if self._progress is not None:
            self._progress(self._stage, self._done, self._total)


def _settings(source: Source, path: Path, output: Path, options: Options) -> SwapOptions:
    """The options value. Raises ValueError, and TypeError for a name that is none."""
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources and not options.get("parts"):
        raise ValueError("source: at least one is needed")
    given: dict[str, Any] = {**options}
    for name in _PATHS:
        if not isinstance(value := given.get(name), str | PathLike | None):
            raise TypeError(f"{name}: {value!r} is not a path")
        given[name] = Path(value) if value is not None else None
    if isinstance(keep := given.get("keep"), str | list):
        given["keep"] = (keep,) if isinstance(keep, str) else tuple(keep)
    if isinstance(model := given.get("model"), PathLike):
        given["model"] = str(model)
    parts = given.setdefault("parts", ())
    if not isinstance(parts, tuple | list) or not all(isinstance(part, Part) for part in parts):
        raise TypeError(f"parts: {parts!r} is no list of options.Part")
    given["parts"] = tuple(parts)
    look = {field.name: given.pop(field.name) for field in fields(Look) if field.name in given}
    hints = get_type_hints(SwapOptions)
    for name, value in given.items():
        words = get_args(hints[name]) if name in hints and "Literal" in str(hints[name]) else ()
        if words and value not in words:
            raise ValueError(f"{name}: {value!r} is none of {', '.join(words)}")
        _check_option(name, value, hints.get(name))
    try:
        how = Look(**look)
    except FsvideoError as error:  # here it is the program's mistake, not its user's
        raise ValueError(f"{error}: {error.hint}") from error
    if (given["reference"] is not None) != (given.get("faces") == "reference"):
        raise ValueError('reference goes with faces="reference"')
    if (given["certificate"] is None) != (given["key"] is None):
        raise ValueError("certificate and key go together")
    if given.get("end") is not None and given["end"] <= (given.get("start") or 0.0):
        raise ValueError("end must come after start")
    return SwapOptions(tuple(map(Path, sources)), path, output, look=how, **given)


def _check_option(name: str, value: Any, hint: Any) -> None:
    """Raise TypeError for a value of another kind than ``hint``, ValueError for one out of its range."""
    inner = get_args(hint)
    if value is None and type(None) in inner:
        return
    kind = inner[0] if type(None) in inner else hint
    if kind in _KINDS:
        kinds, words = _KINDS[kind]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{name}: {value!r} is not {words}")
    low, high = _RANGES.get(name, (-np.inf, np.inf))
    if kind in (int, float) and not (low <= value <= high and np.isfinite(value)):
        raise ValueError(f"{name}: {value!r} is not between {low} and {high}")


def _check(rgb: Any) -> None:
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ValueError("a picture is a uint8 array (H, W, 3), RGB")
