"""`fsvideo evaluate`: from options to sections of figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fsvideo.evaluate import report
from fsvideo.evaluate.clips import evaluate_clip, overall
from fsvideo.evaluate.figures import Section
from fsvideo.evaluate.frechet import Features
from fsvideo.evaluate.judge import Judge
from fsvideo.evaluate.people import Photo, load_people, load_photo
from fsvideo.evaluate.stills import Tools, evaluate_people
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.occlude import Occluders, load_cutouts
from fsvideo.networks import load_finder, pick_device
from fsvideo.options import TUNE_STEPS
from fsvideo.swapper import Swapper, load_swapper
from fsvideo.types import FaceError, MediaError, Ui

_OCCLUDER_SIDE = 256  # pixels
_CLIPS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".ts", ".gif")


@dataclass(frozen=True)
class EvaluateOptions:
    """Everything `fsvideo evaluate` was asked for."""

    people: Path | None = None
    clips: Path | None = None
    source: Path | None = None
    model: str = "compact"
    swappers: tuple[str, ...] = ("aei",)
    refine: bool = True
    tune: int = TUNE_STEPS
    judge: str = "judge"
    features: Path | None = None
    occluders: Path | None = None
    held_out: tuple[str, ...] = ("microphone",)
    output: Path = Path("evaluation")
    limit: int | None = None
    limit_frames: int = 0
    seed: int = 0
    device: str = "auto"
    backend: str = "torch"
    batch_size: int = 8
    overwrite: bool = False

    def settings(self) -> dict[str, Any]:
        """What decides the figures, for the report."""
        return {
            "people": str(self.people),
            "clips": str(self.clips),
            "source": str(self.source),
            "model": self.model,
            "swappers": " ".join(self.swappers),
            "tune": self.tune,
            "backend": self.backend,
            "judge": self.judge,
            "features": str(self.features),
            "occluders": f"{self.occluders or 'drawn'}, held out {' '.join(self.held_out)}",
            "limit": self.limit,
            "limit_frames": self.limit_frames,
            "seed": self.seed,
        }


def evaluate(options: EvaluateOptions, ui: Ui, found: Callable[[Section], None]) -> tuple[list[Section], list[Path]]:
    """Measure, tell ``found`` of each section as it is ready, and write the report. Same options, same figures.

    Returns the sections and the files written. Raises FsvideoError for what a user can mend.
    """
    clips = _clips(options.clips)
    _check(options)
    device = pick_device(options.device)
    contenders = [_contenders(name, options, device) for name in options.swappers]
    cutouts = load_cutouts(options.occluders, _OCCLUDER_SIDE) if options.occluders is not None else ()
    sections: list[Section] = []

    def done(section: Section) -> None:
        sections.append(section)
        found(section)

    with load_finder(blendshapes=True) as finder:
        tools = Tools(
            finder,
            Judge(options.judge),
            Occluders(_OCCLUDER_SIDE, cutouts, options.held_out),
            Features(options.features) if options.features is not None else None,
            options.tune,
        )
        sources = [_portrait(options.source, finder)] if options.source is not None else []
        if options.people is not None:
            people = load_people(options.people, finder, options.limit, options.seed, ui)
            sources = sources or [p.source for p in people]
            every = [s for group in contenders for s in group]
            done(evaluate_people(people, every, tools, options.batch_size, options.seed, ui))
        for k, path in enumerate(clips):
            portrait = sources[k % len(sources)].portrait()
            done(evaluate_clip(path, portrait, [g[0] for g in contenders], tools, options.limit_frames, ui))
    if len(clips) > 1:
        done(overall(sections[-len(clips) :]))
    return sections, report.write(options.output, sections, options.settings())


def _contenders(name: str, options: EvaluateOptions, device: torch.device) -> list[Swapper]:
    """The swapper behind ``--swapper NAME``; with HEAR-Net also the one without it."""
    if name != "aei":
        return [load_swapper(name, False, device)]
    plain = load_swapper(options.model, False, device, backend=options.backend)
    refined = load_swapper(options.model, True, device, backend=options.backend) if options.refine else plain
    return [refined, plain] if refined.name != plain.name else [plain]


def _check(options: EvaluateOptions) -> None:
    """Refuse before the work what could not be written after it."""
    report_file = options.output / "evaluation.json"
    if report_file.exists() and not options.overwrite:
        raise MediaError(f"{report_file} is there already", "choose another --output, or add --overwrite")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{options.output}: cannot be made ({error.strerror})", "choose another --output") from error


def _clips(place: Path | None) -> list[Path]:
    if place is None:
        return []
    if place.is_file():
        return [place]
    found = sorted(p for p in place.iterdir() if p.suffix.lower() in _CLIPS) if place.is_dir() else []
    if not found:
        raise MediaError(f"{place}: no clips in it", "give a folder of videos, or one video")
    return found


def _portrait(file: Path, finder: FaceFinder) -> Photo:
    photo = load_photo(file, finder)
    if photo is None:
        raise FaceError(f"{file}: no face found in the source", "take a photo in which the face is large and sharp")
    return photo
