"""Cutting training crops out of photos and videos, in parallel, into the shards that ``data`` reads.

``inputs.txt`` in the folder lists what it is made of. A shard appears by rename when it is whole, so a cut run goes on
where it was.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from fsvideo.faces.align import crop, warp
from fsvideo.faces.detect import FaceFinder
from fsvideo.media import read
from fsvideo.networks import load_finder
from fsvideo.train.data import shrink
from fsvideo.types import Array, Box, CropSpec, Face, FsvideoError, Image, MediaError

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
_VIDEO_STEP = 1.0  # seconds between the pictures taken from a video
_FILES_A_SHARD = 512
_MIN_FACE, _MAX_YAW, _MAX_PITCH, _MIN_SHARPNESS = 64.0, 65.0, 45.0, 8.0


@dataclass(frozen=True)
class Cut:
    """One training crop and its facts."""

    rgb: Image
    points: Array  # (5, 2) in pixels of the crop
    pose: Array
    sharpness: float
    fingerprint: np.uint64
    file: str


def pictures(inputs: Sequence[Path]) -> list[Path]:
    """The photos and videos under these files and folders, in a fixed order. Raises FsvideoError if there are none."""
    found: set[Path] = set()
    for path in inputs:
        if not path.exists():
            raise FsvideoError(f"{path}: no such file or folder", "give photos, videos or folders of them with --input")
        found.update(p for p in (path.rglob("*") if path.is_dir() else [path]) if p.suffix.lower() in PHOTOS + VIDEOS)
    if not found:
        known = " ".join(PHOTOS + VIDEOS)
        raise FsvideoError(f"no photos or videos under {', '.join(map(str, inputs))}", f"known types: {known}")
    return sorted(found)


def align(
    files: Sequence[Path],
    output: Path,
    spec: CropSpec,
    workers: int,
    everyone: bool = False,
    advance: Callable[[int], None] = lambda files: None,
) -> Counter[str]:
    """Cut every picture's largest face, or ``everyone``'s, into shards; returns how many were kept and why others not.

    Of a video a picture a second is taken. A run that was cut goes on where it was, with the same files.
    ``advance`` is told of every shard's number of files.
    """
    listed, text = output / "inputs.txt", "\n".join([f"faces: {'all' if everyone else 'largest'}", *map(str, files)])
    if listed.exists() and listed.read_text() != text:
        raise FsvideoError(
            f"{output}: made from other files or faces", "choose another --output, or take this folder away"
        )
    output.mkdir(parents=True, exist_ok=True)
    listed.write_text(text)
    shards = [(i, files[at : at + _FILES_A_SHARD]) for i, at in enumerate(range(0, len(files), _FILES_A_SHARD))]
    counts: Counter[str] = Counter()
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (spec, everyone)) as pool:
        for shard, reasons in zip(
            shards, pool.map(_cut_shard, [output / f"{i:04d}" for i, _ in shards], [f for _, f in shards]), strict=True
        ):
            counts.update(reasons)
            advance(len(shard[1]))
    return counts


_worker: tuple[FaceFinder, CropSpec, bool]  # one a process, set when the process starts


def _start_worker(spec: CropSpec, everyone: bool) -> None:
    global _worker
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    _worker = load_finder(), spec, everyone


def _cut_shard(stem: Path, files: list[Path]) -> Counter[str]:
    facts = stem.with_suffix(".npz")
    if facts.is_file() and stem.with_suffix(".bin").is_file():
        return Counter(
            {str(k): int(v) for k, v in zip(*(np.load(facts)[n] for n in ("reasons", "counts")), strict=True)}
        )
    finder, spec, everyone = _worker
    results = [r for file in files for name, rgb in _pictures(file) for r in cuts_of(finder, spec, name, rgb, everyone)]
    cuts = [r for r in results if isinstance(r, Cut)]
    reasons = Counter("kept" if isinstance(r, Cut) else r for r in results)
    blobs = [_jpeg(c.rgb) for c in cuts]
    part = stem.with_suffix(".bin.part")
    part.write_bytes(b"".join(blobs))
    os.replace(part, stem.with_suffix(".bin"))
    part = stem.with_suffix(".part.npz")
    np.savez(
        part,
        size=np.int64(spec.size),
        ends=np.cumsum([len(b) for b in blobs], dtype=np.int64),
        points=np.array([c.points for c in cuts], np.float32).reshape(-1, 5, 2),
        pose=np.array([c.pose for c in cuts], np.float32).reshape(-1, 3),
        sharpness=np.array([c.sharpness for c in cuts], np.float32),
        fingerprint=np.array([c.fingerprint for c in cuts], np.uint64),
        files=np.array([c.file for c in cuts], dtype=np.str_),
        reasons=np.array(list(reasons)),
        counts=np.array(list(reasons.values())),
    )
    os.replace(part, facts)
    return reasons


def _pictures(file: Path) -> Iterator[tuple[str, Image | None]]:
    """The photo, or a picture of the video every second, each with its name; None where it cannot be read."""
    if file.suffix.lower() in PHOTOS:
        rgb = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
        yield str(file), None if rgb is None else np.asarray(rgb, np.uint8)
        return
    try:
        info, due = read.probe(file), 0.0
        for frame in read.frames(info, threads=1):
            seconds = float((frame.pts - info.start) * info.time_base)
            if seconds >= due:
                due = seconds + _VIDEO_STEP
                yield f"{file}#{seconds:.2f}", read.upright(frame, info).rgb
    except MediaError:
        yield str(file), None


def cuts_of(
    finder: FaceFinder, spec: CropSpec, name: str, image: Image | None, everyone: bool = False
) -> list[Cut | str]:
    """The training crops of a picture's largest face, or of all of them; in place of each unfit one, the reason."""
    if image is None:
        return ["unreadable"]
    faces = finder.find(image)
    if not faces:
        return ["no face"]
    return [_cut(face, spec, name, image) for face in (faces if everyone else faces[:1])]


def _cut(face: Face, spec: CropSpec, name: str, image: Image) -> Cut | str:
    if reason := _unfit(face):
        return reason
    made = crop(image, face.points, spec)
    grey = cv2.cvtColor(shrink(made.rgb, 128), cv2.COLOR_RGB2GRAY)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    if sharpness < _MIN_SHARPNESS:
        return "blurred"
    rgb = _fade_border(made.rgb, made.matrix, Box(0, 0, image.shape[1], image.shape[0]))
    points = face.points @ made.matrix[:, :2].T + made.matrix[:, 2]
    return Cut(rgb, points.astype(np.float32), face.pose, sharpness, _fingerprint(np.asarray(grey, np.uint8)), name)


def _fingerprint(grey: Image) -> np.uint64:
    """64 bits: whether each of 8 x 8 patches of the crop's middle is brighter than its right neighbour."""
    edge = len(grey) // 8
    small = cv2.resize(grey[edge:-edge, edge:-edge], (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, :-1] > small[:, 1:]).view(np.uint64)[0]


def _unfit(face: Face) -> str:
    if float(np.sqrt(np.prod(face.box[2:] - face.box[:2]))) < _MIN_FACE:
        return "too small"
    if abs(face.pose[0]) > _MAX_YAW or abs(face.pose[1]) > _MAX_PITCH:
        return "extreme pose"
    return ""


def _fade_border(rgb: Image, matrix: Array, picture: Box) -> Image:
    """Blur what the crop repeats from the picture's edge, so that nothing learns stripes."""
    size = len(rgb)
    inside = warp(np.ones((picture.height, picture.width), np.float32), matrix, size, size, cv2.BORDER_CONSTANT)
    inside = np.clip(cv2.GaussianBlur(cv2.erode(inside, np.ones((5, 5))), (0, 0), size / 100), 0, 1)[..., None]
    if inside.min() > 0.99:
        return rgb
    soft = cv2.GaussianBlur(rgb, (0, 0), size / 12, borderType=cv2.BORDER_REFLECT)
    return (rgb * inside + soft * (1 - inside)).astype(np.uint8)


def _jpeg(rgb: Image) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", rgb[..., ::-1], options)[1])
