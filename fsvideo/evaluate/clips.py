"""Swaps of clips, by the pipeline's own two passes: flicker, trembling, pose, what is untouched."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from fsvideo import likeness, report, survey
from fsvideo.casting import Cast, Role
from fsvideo.console import Silent
from fsvideo.evaluate import measures
from fsvideo.evaluate.figures import Column, Figure, Section
from fsvideo.evaluate.stills import Tools, identify
from fsvideo.faces.align import crop, crop_matrix, five_points, invert, scale_of, transform, warp
from fsvideo.faces.flicker import flicker, flow_back
from fsvideo.media import read
from fsvideo.media.view import upright
from fsvideo.options import Footage, SwapOptions
from fsvideo.pipeline import render
from fsvideo.planning import plan
from fsvideo.render import FrameTask
from fsvideo.survey import decode
from fsvideo.swapper import Swapper
from fsvideo.types import Array, CropSpec, Face, Frame, Image, MediaInfo, Portrait, Ui

_SPEC = CropSpec(256)  # where neighbouring frames are compared
_WIDE = CropSpec(224, tuple((0.2 + 0.6 * x, 0.15 + 0.6 * y) for x, y in CropSpec().template))  # for the sheet
_NEAR = 2  # pixels around a mask that chroma, being coarser, may change as well


@dataclass
class _Look:
    """One frame as a viewer sees it, before and after."""

    index: int
    target: Image
    result: Image


@dataclass(frozen=True)
class _Mesh:
    """The landmarks found in one frame, before and after."""

    track: int
    index: int
    target: Array
    result: Array


@dataclass
class _Seen:
    """What one swapper's pass over a clip leaves."""

    column: Column
    tiles: list[tuple[Image, Image]] = field(default_factory=list)
    meshes: list[_Mesh] = field(default_factory=list)


def evaluate_clip(
    path: Path, portrait: Portrait, swappers: Sequence[Swapper], tools: Tools, frames: int, ui: Ui
) -> Section:
    """A column a swapper, the clip's main person swapped. ``frames``: how many of the first frames, 0 for all."""
    info = read.probe(path)
    end = frames / float(info.rate) if frames and info.rate is not None and info.kind == "video" else None
    options = SwapOptions((), path, path, end=end, tune=tools.tune)
    footage = survey.look(info, tools.finder, swappers[0], options, ui).footage
    seen = [_pass(info, footage, portrait, s, tools, options, ui) for s in swappers] if footage.tracks else []
    about = [f"{len(footage.times)} frames, {len(footage.cuts)} cuts; one person of {_people(footage)} swapped."]
    if not footage.tracks:
        about = [f"{len(footage.times)} frames, nobody found in them."]
    sheet = _sheet(portrait, seen) if seen else None
    return Section(path.name, [s.column for s in seen], about, sheet, f"{path.stem}.png")


def _people(footage: Footage) -> int:
    return len({t.person for t in footage.tracks})


def _pass(
    info: MediaInfo,
    footage: Footage,
    portrait: Portrait,
    swapper: Swapper,
    tools: Tools,
    options: SwapOptions,
    ui: Ui,
) -> _Seen:
    cast = Cast((Role("", identify(swapper, portrait), "largest"),))
    source = tools.judge(portrait.image, portrait.face.points)
    jobs = plan(footage, cast, info, options)
    jobs = likeness.corrected(
        jobs, lambda at: (f for f in decode(info, options, Silent()) if f.index in at), info, swapper, options
    )
    wanted = set(report.spread(jobs, len(footage.times)))
    seen = _Seen(Column(swapper.name))
    before: _Look | None = None
    ui.stage(swapper.name[:40], len(footage.times))
    with closing(render(info, jobs, swapper, options, ui)) as frames:
        for task, frame in frames:
            ui.advance()
            if not task.faces:
                before = None
                continue
            look = _Look(task.frame.index, *(upright(f, info).rgb for f in (task.frame, frame)))
            seen.column.collect("change outside the mask", float(outside_change(task, frame)))
            _face(look, task, source, tools, seen)
            if before is not None and before.index == look.index - 1 and look.index not in footage.cuts:
                _flicker(before, look, task, seen.column)
            if look.index in wanted:
                points = _track_points(task)
                seen.tiles.append((crop(look.target, points, _WIDE).rgb, crop(look.result, points, _WIDE).rgb))
            before = look
    _finish(seen, len(footage.times))
    return seen


def _track_points(task: FrameTask) -> Array:
    track = task.faces[0].job.track
    return track.points[task.frame.index - track.start]


def _face(look: _Look, task: FrameTask, source: Array, tools: Tools, seen: _Seen) -> None:
    """Pose, expression, gaze and identity of one frame."""
    column, points = seen.column, _track_points(task)
    faces: list[Face | None] = [tools.finder.fit(rgb, points) for rgb in (look.target, look.result)]
    target, result = faces
    if target is None:
        return
    column.collect("face found again", float(result is not None))
    if result is None:
        return
    z_y, z_t = tools.judge.batch(
        [tools.judge.chip(rgb, f.points) for rgb, f in ((look.result, result), (look.target, target))]
    )
    column.collect("cosine to source", float(z_y @ source))
    column.collect("cosine to target", float(z_y @ z_t))
    column.collect("pose error", measures.pose_error(result, target))
    column.collect("expression error", measures.expression_error(result, target))
    column.collect("gaze error", measures.gaze_error(result, target))
    seen.meshes.append(_Mesh(task.faces[0].job.track.id, look.index, target.landmarks, result.landmarks))


def _flicker(before: _Look, now: _Look, task: FrameTask, column: Column) -> None:
    """Both pairs of neighbours, cut at one place, the earlier frames moved by the flow of the originals.

    That flow is the one that explains the originals best; where the result shows lines and the target plain skin, it
    says little. So the result is also measured along its own.
    """
    track = task.faces[0].job.track
    matrix = crop_matrix(_track_points(task), _SPEC)
    outline = transform(matrix, track.outline[now.index - track.start])
    inside = measures.face_area(outline, _SPEC.size, _SPEC.size)
    pictures = (now.target, before.target, now.result, before.result)
    cuts = [np.asarray(warp(p, matrix, _SPEC.size, _SPEC.size), np.uint8) for p in pictures]
    places = flow_back(cuts[0], cuts[1])
    own = flicker(cuts[0], cuts[1], places, inside)
    column.collect("flicker of the original", own)
    column.collect("flicker", flicker(cuts[2], cuts[3], places, inside))
    column.collect("own", flicker(cuts[2], cuts[3], flow_back(cuts[2], cuts[3]), inside))


def outside_change(task: FrameTask, frame: Frame) -> int:
    """Largest change of any sample, in the stream's own levels, away from every mask; before encoding."""
    height, width = task.frame.planes[0].shape[:2]
    touched = np.zeros((height, width), np.uint8)
    for face in task.faces:
        mask = warp(face.mask, invert(face.matrix), face.box.width, face.box.height, cv2.BORDER_CONSTANT)
        touched[face.box.slices] |= (mask > 0).astype(np.uint8)
    touched = cv2.dilate(touched, np.ones((2 * _NEAR + 1, 2 * _NEAR + 1), np.uint8))
    largest = 0
    for old, new in zip(task.frame.planes, frame.planes, strict=True):
        coarse = cv2.resize(touched * 255, old.shape[1::-1], interpolation=cv2.INTER_AREA)
        change = np.abs(old.astype(np.int32) - new)[np.asarray(coarse) == 0]
        largest = max(largest, int(change.max(initial=0)))
    return largest


def _finish(seen: _Seen, frames: int) -> None:
    """The figures of the whole clip."""
    column = seen.column
    swapped = len(column.values.get("change outside the mask", []))
    column.put("frames swapped", 100 * swapped / max(1, frames), "%", frames)
    column.add("cosine to source", "")
    column.add("cosine to target", "")
    column.add("pose error", "degrees")
    column.add("expression error", "")
    column.add("gaze error", "% of the eye", scale=100)
    column.add("flicker of the original", "levels of 255")
    column.add("flicker", "levels of 255")
    own = column.values.get("flicker of the original", [])
    if own and sum(own) > 0:
        for name, figure in (("flicker", "flicker against the original's"), ("own", "the same along its own motion")):
            column.put(figure, sum(column.values[name]) / sum(own), "times", len(own))
    _jitter(seen)
    column.add("change outside the mask", "levels, largest", max)  # type: ignore[arg-type]
    column.add("face found again", "%", scale=100)


def _jitter(seen: _Seen) -> None:
    """Trembling of the landmarks over all triples of neighbouring frames, in parts of the crop's side."""
    own: list[float] = []
    result: list[float] = []
    for triple in zip(seen.meshes, seen.meshes[1:], seen.meshes[2:], strict=False):
        first, _, last = triple
        if last.index - first.index != 2 or len({m.track for m in triple}) > 1:
            continue
        parts = scale_of(crop_matrix(five_points(first.target), CropSpec(1)))
        own.append(measures.jitter(np.stack([m.target for m in triple])) * parts)
        result.append(measures.jitter(np.stack([m.result for m in triple])) * parts)
    if own:
        seen.column.put("jitter of the original's landmarks", 100 * float(np.mean(own)), "% of the crop", len(own))
        seen.column.put("jitter of the landmarks", 100 * float(np.mean(result)), "% of the crop", len(own))


def _sheet(portrait: Portrait, seen: Sequence[_Seen]) -> Image:
    """The source, then frames of the target over those of each result."""
    size = _WIDE.size
    source = np.full((size * (1 + len(seen)), size, 3), 255, np.uint8)
    source[:size] = crop(portrait.image, portrait.face.points, _WIDE).rgb
    columns = [source]
    for k, (target, _) in enumerate(seen[0].tiles):
        columns.append(np.vstack([target, *(s.tiles[k][1] for s in seen)]))
    return np.hstack(columns)


def overall(clips: Sequence[Section]) -> Section:
    """The mean of each figure over the clips where every swapper has it, weighing every clip alike."""
    columns = []
    for name in dict.fromkeys(c.name for clip in clips for c in clip.columns):
        column, groups = Column(name), dict[str, list[Figure]]()
        for clip in clips:
            common = set.intersection(*({f.name for f in c.figures} for c in clip.columns)) if clip.columns else set()
            for figure in (f for c in clip.columns if c.name == name for f in c.figures if f.name in common):
                groups.setdefault(figure.name, []).append(figure)
        for group in groups.values():
            values = [f.value for f in group]
            value = max(values) if group[0].unit.endswith("largest") else float(np.mean(values))
            column.figures.append(replace(group[0], value=value, samples=sum(f.samples for f in group)))
        columns.append(column)
    return Section(f"{len(clips)} clips", columns, ["Mean over clips, each weighing alike."])
