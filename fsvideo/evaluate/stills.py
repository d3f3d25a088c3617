"""Swaps of photos: each person's face on the next person's photo, pasted as `fsvideo swap` pastes it, and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fsvideo.casting import embed_portraits, embedding_spec, portrayed
from fsvideo.evaluate import measures
from fsvideo.evaluate.figures import Column, Section
from fsvideo.evaluate.frechet import Features
from fsvideo.evaluate.judge import Judge
from fsvideo.evaluate.people import Person, Photo
from fsvideo.faces.align import FEATURE_POINTS, compose, crop, crop_matrix, invert, warp
from fsvideo.faces.blend import region_of, shifted
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.flicker import Where, mean_difference
from fsvideo.faces.occlude import Occluders
from fsvideo.likeness import always, corrected
from fsvideo.media.color import add_rgb, region_rgb
from fsvideo.options import SwapOptions
from fsvideo.render import FrameTask, Job, Painter, cut_faces, swap_faces
from fsvideo.swapper import Swapper, mean_identity
from fsvideo.types import Array, CropSpec, Frame, Identity, Image, Portrait, Track, Ui

_SPEC = CropSpec(256)  # how faces are cut for features and occluders
_WIDE = CropSpec(160, tuple((0.1 + 0.8 * x, 0.08 + 0.8 * y) for x, y in CropSpec().template))  # for the sheet
_SHEET = 14  # people in the sheet
_BEST = 100.0  # dB, stands for pictures that are equal
_ENOUGH = 20  # pixels of an occluder that must lie on the face


@dataclass(frozen=True)
class Tools:
    """What measures. ``finder`` gives blendshapes. ``tune``: of the swaps that are measured, see ``SwapOptions``."""

    finder: FaceFinder
    judge: Judge
    occluders: Occluders
    features: Features | None = None
    tune: int = 0


@dataclass(frozen=True)
class Scene:
    """A photo, as it is or with something over the face."""

    photo: Photo
    frame: Frame


@dataclass(frozen=True)
class Result:
    """What became of a scene: the picture, and the network's crop before and after."""

    rgb: Image
    before: Array
    after: Array


def identify(swapper: Swapper, portrait: Portrait) -> Identity:
    """The identity of one photo."""
    return portrayed(mean_identity(embed_portraits(swapper, [portrait]), ["photo"]), portrait, swapper)


def paste(scenes: Sequence[Scene], identities: Sequence[Identity], swapper: Swapper, tune: int) -> list[Result]:
    """Swap the face of each scene by the pipeline's own steps with its default settings, but for ``tune``."""
    plans = [SwapOptions((), s.photo.info.path, s.photo.info.path, tune=tune) for s in scenes]
    tasks: list[FrameTask] = []
    for scene, identity, options in zip(scenes, identities, plans, strict=True):
        job = Job(_track(scene), np.ones(1, np.float32), identity, options.look)
        jobs = corrected([job], always(scene.frame), scene.photo.info, swapper, options, [scene.frame.index])
        tasks += cut_faces([scene.frame], scene.photo.info, jobs, swapper.spec)
    results = []
    for scene, task, options in zip(scenes, swap_faces(tasks, swapper, len(tasks)), plans, strict=True):
        painted = Painter(scene.photo.info, options).paint(task)
        results.append(Result(scene.photo.rgb(painted), task.faces[0].crop, task.swapped[0].clip(0, 255)))
    return results


def occluded(photo: Photo, frame: Frame, occluders: Occluders, rng: np.random.Generator) -> tuple[Frame, Array]:
    """The frame with an occluder over the face, and the occluder's alpha (H, W) in display pixels."""
    info, to_crop = photo.info, crop_matrix(photo.face.points, _SPEC)
    rgb, alpha = occluders.draw(rng, crop(photo.rgb(frame), photo.face.points, _SPEC).rgb, held_out=True)
    native = compose(to_crop, info.to_display)
    box = region_of(native, _SPEC.size, info.width, info.height)
    if box is None:
        return frame, np.zeros((info.display_height, info.display_width), np.float32)
    back, cover = invert(shifted(native, box)), alpha[..., None] * np.ones(3, np.float32)
    laid, share = (warp(x, back, box.width, box.height, cv2.BORDER_CONSTANT) for x in (rgb * cover, cover))
    changed = add_rgb(frame, info, box, np.asarray(laid - share * region_rgb(frame, info, box), np.float32))
    shown = warp(alpha, invert(to_crop), info.display_width, info.display_height, cv2.BORDER_CONSTANT)
    return changed, np.asarray(shown, np.float32)


def evaluate_people(
    people: Sequence[Person], swappers: Sequence[Swapper], tools: Tools, batch: int, seed: int, ui: Ui
) -> Section:
    """A column for the real photos, and one for each swapper. Person k's face goes on person k + 1's target photo."""
    real = _RealPhotos.of(people, tools, ui)
    runs = [_Run(swapper, people, real, tools, seed) for swapper in swappers]
    for run in runs:
        ui.stage(run.swapper.name[:40], len(people))
        for start in range(0, len(people), batch):
            part = range(start, min(start + batch, len(people)))
            run.swap(part)
            ui.advance(len(part))
    kind = "also judged by ImageNet features" if tools.features else "no Fréchet distance without --features"
    width = float(np.median([np.ptp(measures.outline_of(p.target.face)[:, 0]) for p in people]))
    return Section(
        f"{len(people)} people",
        [real.column(), *(run.column() for run in runs)],
        [
            f"{len(people)} pairs of strangers; faces are {width:.0f} pixels wide (median).",
            f"Judge: {tools.judge.name}; {kind}.",
            "All but the crop's PSNR is measured on the result pasted into the photo.",
            "Pose: distance of (yaw, pitch, roll). Expression: distance of 52 blendshapes. Both against the target.",
            "Sharpness: energy of the Laplacian inside the face, median. Self-swap: source = target.",
            "Occluder: mean absolute error where something lay over the target's face; held-out kinds.",
        ],
        _sheet(people, runs),
        "people.png",
    )


@dataclass
class _RealPhotos:
    """What the judge and the features say of real photos: (N, D) each."""

    source: Array
    target: Array
    other: Array
    source_features: Array | None
    target_features: Array | None

    @staticmethod
    def of(people: Sequence[Person], tools: Tools, ui: Ui) -> _RealPhotos:
        ui.stage("real photos", len(people))
        rows: list[list[Array]] = [[], [], []]
        features: list[list[Array]] = [[], []]
        for person in people:
            for k, photo in enumerate((person.source, person.target, person.other)):
                rgb = photo.rgb(photo.frame())
                rows[k].append(tools.judge(rgb, photo.look.points))
                if tools.features is not None and k < 2:
                    features[k].append(tools.features([crop(rgb, photo.face.points, _SPEC).rgb])[0])
            ui.advance()
        seen = [np.stack(f) if f else None for f in features]
        return _RealPhotos(np.stack(rows[0]), np.stack(rows[1]), np.stack(rows[2]), seen[0], seen[1])

    def column(self) -> Column:
        column, count = Column("real photos"), len(self.source)
        column.put("retrieval of another photo", 100 * measures.rank1(self.source, self.other), "%", count)
        column.put("cosine to source", float((self.source * self.other).sum(1).mean()), "", count)
        strangers = (self.source * np.roll(self.target, -1, axis=0)).sum(1)
        column.put("cosine to target", float(strangers.mean()), "", count)
        column.values["cosine to source"] = [float(v) for v in (self.source * self.other).sum(1)]
        column.values["cosine to target"] = [float(v) for v in strangers]
        if self.source_features is not None and self.target_features is not None:
            distance = measures.frechet(self.source_features, self.target_features)
            column.put("Fréchet distance", distance, "", count)
        return column


class _Run:
    """One swapper on all pairs."""

    def __init__(self, swapper: Swapper, people: Sequence[Person], real: _RealPhotos, tools: Tools, seed: int) -> None:
        self.swapper, self.people, self.real, self.tools, self.seed = swapper, people, real, tools, seed
        self.shown: list[Image] = []
        self._column = Column(swapper.name)
        self._judged: list[Array] = []
        self._features: list[Array] = []

    def swap(self, part: Sequence[int]) -> None:
        """The pairs with these numbers: the swap, the target on itself, and the swap of an occluded target."""
        targets = [self.people[(k + 1) % len(self.people)].target for k in part]
        scenes = [Scene(photo, photo.frame()) for photo in targets]
        pictures = [scene.photo.rgb(scene.frame) for scene in scenes]
        identities = [identify(self.swapper, self.people[k].source.portrait()) for k in part]
        own = [identify(self.swapper, Portrait(rgb, photo.face)) for rgb, photo in zip(pictures, targets, strict=True)]
        results = paste(scenes, identities, self.swapper, self.tools.tune)
        for k, photo, rgb, result, identity in zip(part, targets, pictures, results, identities, strict=True):
            self._measure(k, photo, rgb, result, identity)
        again = paste(scenes, own, self.swapper, self.tools.tune)
        for photo, rgb, result in zip(targets, pictures, again, strict=True):
            self._reconstruction(photo, rgb, result)
        covered, alphas = [], []
        for k, scene in zip(part, scenes, strict=True):
            rng = np.random.default_rng([self.seed, k])
            frame, alpha = occluded(scene.photo, scene.frame, self.tools.occluders, rng)
            covered.append(Scene(scene.photo, frame))
            alphas.append(alpha)
        results = paste(covered, identities, self.swapper, self.tools.tune)
        for scene, alpha, result in zip(covered, alphas, results, strict=True):
            self._occlusion(scene, alpha, result)

    def _measure(self, k: int, photo: Photo, target: Image, result: Result, identity: Identity) -> None:
        column, tools = self._column, self.tools
        face = tools.finder.fit(result.rgb, photo.face.points)
        column.collect("face found again", float(face is not None))
        points = photo.face.points if face is None else face.points
        judged = tools.judge(result.rgb, points)
        self._judged.append(judged)
        column.collect("cosine to source", float(judged @ self.real.source[k]))
        column.collect("cosine to target", float(judged @ self.real.target[(k + 1) % len(self.people)]))
        cut = crop(result.rgb, photo.face.points, embedding_spec(self.swapper)).rgb
        z_y = self.swapper.embed(cut[None])[0]
        column.collect("cosine to source, training's recogniser", float(z_y @ identity.embedding))
        if face is not None:
            column.collect("pose error", measures.pose_error(face, photo.look))
            column.collect("expression error", measures.expression_error(face, photo.look))
            column.collect("gaze error", measures.gaze_error(face, photo.look))
        inside = _face_area(photo, target)
        before = measures.detail(target, inside)
        column.collect("sharpness", measures.detail(result.rgb, inside) / before if before > 0 else None)
        if tools.features is not None:
            self._features.append(tools.features([crop(result.rgb, photo.face.points, _SPEC).rgb])[0])
        if k < _SHEET:
            self.shown.append(_tile(result.rgb, photo))

    def _reconstruction(self, photo: Photo, target: Image, result: Result) -> None:
        inside = _face_area(photo, target)
        everywhere = np.ones(result.before.shape[:2], bool)
        self._column.collect("self-swap PSNR", min(_BEST, measures.psnr(result.rgb, target, inside)))
        self._column.collect("self-swap SSIM", measures.ssim(result.rgb, target, inside))
        crop_psnr = measures.psnr(result.after, result.before, everywhere)
        self._column.collect("self-swap PSNR, network's crop", min(_BEST, crop_psnr))

    def _occlusion(self, scene: Scene, alpha: Array, result: Result) -> None:
        target = scene.photo.rgb(scene.frame)
        where = (alpha > 0.5) & _face_area(scene.photo, target)
        if where.sum() >= _ENOUGH:
            self._column.collect("occluder's error", mean_difference(result.rgb, target, where))

    def column(self) -> Column:
        """The figures of all pairs."""
        column, judged = self._column, np.stack(self._judged)
        column.put("retrieval of the source's photo", 100 * measures.rank1(judged, self.real.source), "%", len(judged))
        column.put("retrieval of another photo", 100 * measures.rank1(judged, self.real.other), "%", len(judged))
        column.add("cosine to source", "")
        column.add("cosine to target", "")
        column.add("cosine to source, training's recogniser", "")
        column.add("pose error", "degrees")
        column.add("expression error", "")
        column.add("gaze error", "% of the eye", scale=100)
        column.add("sharpness", "% of the target's", np.median, 100)  # type: ignore[arg-type]
        column.add("self-swap PSNR", "dB")
        column.add("self-swap SSIM", "")
        column.add("self-swap PSNR, network's crop", "dB")
        column.add("occluder's error", "levels of 255")
        if self._features and self.real.target_features is not None:
            real = np.roll(self.real.target_features, -1, axis=0)
            distance = measures.frechet(np.stack(self._features), real)
            column.put("Fréchet distance", distance, "", len(self._features))
        column.add("face found again", "%", scale=100)
        return column


def _track(scene: Scene) -> Track:
    face = scene.photo.face
    one, unknown = np.ones(1, np.float32), np.zeros(0, np.float32)
    outline = measures.outline_of(face)
    features = face.landmarks[list(FEATURE_POINTS)]
    return Track(
        0, scene.frame.index, face.points[None], outline[None], face.pose[None], one, unknown, features=features[None]
    )


def _face_area(photo: Photo, rgb: Image) -> Where:
    return measures.face_area(measures.outline_of(photo.face), *rgb.shape[:2])


def _tile(rgb: Image, photo: Photo) -> Image:
    return np.asarray(crop(rgb, photo.face.points, _WIDE).rgb, np.uint8)


def _sheet(people: Sequence[Person], runs: Sequence[_Run]) -> Image:
    """Columns of source, target, and a result of each swapper."""
    columns = []
    for k in range(min(_SHEET, len(people))):
        source, target = people[k].source, people[(k + 1) % len(people)].target
        tiles = [_tile(p.rgb(p.frame()), p) for p in (source, target)]
        columns.append(np.vstack([*tiles, *(run.shown[k] for run in runs)]))
    return np.hstack(columns)
