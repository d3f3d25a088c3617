"""Things to lay over faces, so that HEAR-Net learns to bring them back: drawn here, or cut-outs from a folder.

An occluder is a picture (S, S, 3) float32 on the 0..255 scale and its cover ``alpha`` (S, S) in 0..1, in the place of
an aligned crop. A drawing has the name of its kind ("hair"), a cut-out that of its folder and file ("hands/left_03").
Those whose name starts with one of the ``held_out`` prefixes are kept for validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fsvideo.faces.draw import KINDS, Canvas
from fsvideo.types import Array, CropSpec, FsvideoError, Image


@dataclass(frozen=True)
class Cutout:
    """A thing with its cover. ``name``: "folder/file" without the ending."""

    name: str
    rgba: Image  # (h, w, 4), colour premultiplied by alpha

    @property
    def folder(self) -> str:
        return self.name.partition("/")[0]


def load_cutouts(folder: Path, size: int) -> list[Cutout]:
    """The PNGs with transparency under ``folder``, for crops of ``size`` pixels. FsvideoError if there are none."""
    found = []
    for file in sorted(folder.rglob("*.png")):
        rgba = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if rgba is None or rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4 or rgba[..., 3].min() == 255:
            continue
        scale = min(1.0, 1.1 * size / max(rgba.shape[:2]))
        wide, high = (max(2, round(n * scale)) for n in rgba.shape[1::-1])
        cover = rgba[..., 3:].astype(np.float32) / 255
        pure = np.dstack([rgba[..., 2::-1] * cover, rgba[..., 3]]).astype(np.uint8)
        small = cv2.resize(pure, (wide, high), interpolation=cv2.INTER_AREA)
        found.append(Cutout(f"{file.parent.name}/{file.stem}", np.asarray(small, np.uint8)))
    if not found:
        raise FsvideoError(f"{folder}: no PNG files with transparency", "give a folder of cut-outs, or none")
    return found


class Occluders:
    """Draws occluders for faces of ``size`` pixels; what comes depends on the generator given and nothing else."""

    def __init__(self, size: int, cutouts: Sequence[Cutout] = (), held_out: Sequence[str] = ()) -> None:
        self.size = size
        self._canvas = Canvas(size)
        prefixes = tuple(held_out)
        self._training = self._sort(cutouts, lambda name: not name.startswith(prefixes))
        self._validation = self._sort(cutouts, lambda name: name.startswith(prefixes)) or self._training
        if not self._training:
            raise FsvideoError("every occluder is held out", "name fewer prefixes in held_out")

    def _sort(self, cutouts: Sequence[Cutout], wanted: Callable[[str], bool]) -> list[list[str | Cutout]]:
        """What is wanted, in groups that are drawn equally often: a kind or a folder each."""
        groups: dict[str, list[str | Cutout]] = {kind: [kind] for kind in KINDS if wanted(kind)}
        for cutout in cutouts:
            if wanted(cutout.name):
                groups.setdefault(f"{cutout.folder}/", []).append(cutout)
        drawn = [g for name, g in groups.items() if not name.endswith("/")]
        cut = [g for name, g in groups.items() if name.endswith("/")]
        # As many cut-outs as drawings, where there are both.
        return drawn * max(1, len(cut)) + cut * max(1, len(drawn)) if drawn and cut else drawn + cut

    def draw(self, rng: np.random.Generator, face: Image, held_out: bool = False) -> tuple[Array, Array]:
        """An occluder for this crop (S, S, 3): its picture and its alpha, its colours drawn towards the face's."""
        groups = self._validation if held_out else self._training
        group = groups[rng.integers(len(groups))]
        item = group[rng.integers(len(group))]
        if isinstance(item, Cutout):
            rgb, alpha = self.lay(rng, item)
        else:
            rgb, alpha = KINDS[item](self._canvas, rng, face)
        rgb = _matched(rng, rgb, alpha, face)
        sigma = rng.uniform(0, 1) ** 2 * 1.5 * self.size / 128
        if sigma > 0.25:  # out of focus; premultiplied, or a dark fringe would come in
            cover = alpha[..., None] + 1e-4
            both = cv2.GaussianBlur(np.dstack([rgb * cover, cover]), (0, 0), sigma)
            rgb, alpha = both[..., :3] / both[..., 3:], both[..., 3]
        return np.clip(rgb, 0, 255), np.clip(alpha, 0, 1)

    def lay(self, rng: np.random.Generator, cutout: Cutout) -> tuple[Array, Array]:
        """A cut-out turned, scaled and put in a place that suits it."""
        high, wide = cutout.rgba.shape[:2]
        if cutout.folder == "glasses":
            place, side, turn = _between_eyes(), rng.uniform(0.52, 0.66), rng.normal(0, 4)
        elif cutout.folder == "masks":
            place, side, turn = (0.5, 0.68), rng.uniform(0.55, 0.75), rng.normal(0, 6)
        else:
            place, side, turn = (0.5, 0.55), rng.uniform(0.4, 1.1), rng.uniform(-180, 180)
        spread = 0.015 if cutout.folder in ("glasses", "masks") else 0.2
        x, y = rng.normal(place, spread) * self.size
        scale = side * self.size / max(high, wide)
        matrix = cv2.getRotationMatrix2D((wide / 2, high / 2), turn, scale)
        matrix[:, 2] += (x - wide / 2, y - high / 2)
        if rng.random() < 0.5:  # mirrored
            matrix[:, 2] += matrix[:, 0] * (wide - 1)
            matrix[:, 0] *= -1
        rgba = cv2.warpAffine(cutout.rgba, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR).astype(np.float32)
        cover = rgba[..., 3:] / 255
        return rgba[..., :3] / np.maximum(cover, 1e-3), cover[..., 0]


def _between_eyes() -> tuple[float, float]:
    right, left = CropSpec().template[:2]
    return (right[0] + left[0]) / 2, (right[1] + left[1]) / 2


def _matched(rng: np.random.Generator, rgb: Array, alpha: Array, face: Image) -> Array:
    """Mean and spread of the occluder's colours drawn a random part of the way towards the face's."""
    inside = np.asarray(alpha > 0.5, np.uint8)
    if cv2.countNonZero(inside) < 8:
        return rgb
    edge = len(face) // 5
    mean, spread = (v.ravel() for v in cv2.meanStdDev(rgb, mask=inside))
    to_mean, to_spread = (v.ravel() for v in cv2.meanStdDev(face[edge:-edge, edge:-edge]))
    light, part = rng.uniform(0, 0.6), rng.uniform(0, 0.3)
    # Light and shade of the scene reach everything; its colour less so.
    to_mean = mean + light * (to_mean.mean() - mean.mean()) + part * (to_mean - mean)
    gain = 1 + part * (np.clip(to_spread / (spread + 4), 0.5, 2) - 1)
    return np.asarray(rgb * gain.astype(np.float32) + (to_mean - gain * mean).astype(np.float32), np.float32)
