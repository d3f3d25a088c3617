"""`fsvideo swap --preview`: some frames of a clip, swapped, as one picture."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import fsvideo
from fsvideo import likeness, report
from fsvideo.casting import Cast
from fsvideo.glance import glance
from fsvideo.media import provenance
from fsvideo.media.write import refuse
from fsvideo.networks import load_finder
from fsvideo.options import SwapOptions, SwapResult
from fsvideo.outputs import seal_of
from fsvideo.planning import counts, plan
from fsvideo.render import painted
from fsvideo.swapper import Swapper
from fsvideo.types import MediaInfo, Ui


def preview(options: SwapOptions, place: Path, info: MediaInfo, swapper: Swapper, ui: Ui) -> SwapResult:
    """A sheet of frames and no video; of a long input some moments are looked at."""
    began = time.monotonic()
    refuse(place, info, options.overwrite)
    seal = seal_of(options, info, swapper)
    with load_finder(note=ui.note) as finder:
        cast = Cast.of(options, finder, swapper)
        seen = glance(info, finder, swapper, options, ui)
    footage = seen.footage
    jobs = plan(footage, cast, info, options)
    kept = {frame.index: frame for frame in seen.frames}
    jobs = likeness.corrected(jobs, lambda at: [kept[k] for k in at], info, swapper, options, among=kept)
    picks = report.spread(jobs, len(footage.times), list(kept))
    shown = painted([frame for frame in seen.frames if frame.index in picks], info, jobs, swapper, options)
    sheet = report.preview(shown, info, len(picks), ui)
    report.write_preview(place, sheet, provenance.tags(fsvideo.__version__, swapper.name), seal, info.path)
    shots = replace(footage, cuts=[]) if seen.moments else footage  # where a moment begins is no cut
    result = SwapResult(options.input, None, swapper.name, info, shots, frames=len(footage.times), moments=seen.moments)
    result.backend = swapper.backend
    result.provenance = "metadata" if seal is None else "c2pa"
    result.swapped_frames, result.swapped_faces = counts(jobs, len(footage.times))
    if not jobs:
        result.notes.append("no face to swap was found" + (" at the moments looked at" if seen.moments else ""))
    result.seconds = time.monotonic() - began
    return result
