"""Training crops: kept as shards of JPEG bytes, held in memory as uint8.

A data folder holds, for every 512 input files, ``NNNN.bin`` (the crops' JPEG bytes, end to end) and ``NNNN.npz``
(offsets, five points, pose, sharpness, fingerprints, file names, reasons of what was left out), ``embeddings.npy``
(raw, one row a crop), the same by other recognisers in ``embeddings-NAME.npy``, and ``twins.npy`` (which crops show
what another one shows already). ``fsvideo align`` makes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from fsvideo.types import Array, FsvideoError, Image

FIRST = "embeddings.npy"  # by the identity encoder
OTHERS = {"second": "embeddings-second.npy", "third": "embeddings-third.npy"}  # by the recognisers for training alone
TWINS = "twins.npy"
_ALIKE, _SAME_FACE = 4, 0.25  # bits of 64; distance of raw embeddings, which is 0.6 between strangers


@dataclass(frozen=True)
class FaceData:
    """All crops of a folder in memory. ``rgb`` (N, S, S, 3) uint8; ``embeddings`` (N, D) raw; ``sharpness`` (N,).

    ``others``: raw embeddings by those of the other recognisers that were asked, under their names.
    """

    rgb: Image
    points: Array
    pose: Array
    files: npt.NDArray[np.str_]
    embeddings: Array
    others: dict[str, Array]
    sharpness: Array

    def __len__(self) -> int:
        return len(self.rgb)

    def z(self, name: str, mean: Tensor) -> Tensor:
        """(N, D) centred embeddings of unit length by the recogniser ``id`` or one of ``others``."""
        raw = torch.from_numpy(self.embeddings if name == "id" else self.others[name])
        return F.normalize(raw - mean.cpu(), dim=1)


def check(folder: Path) -> None:
    """Raises FsvideoError for a data folder that holds no shards, or that `fsvideo align` did not finish."""
    _shards(folder)
    if not (folder / FIRST).is_file():
        raise FsvideoError(f"{folder}: its crops have no embeddings yet", "run the same fsvideo align again")


def embedded(folder: Path, name: str) -> bool:
    """Whether this file holds embeddings of all crops of a folder that ``check`` accepts."""
    file = folder / name
    return file.is_file() and len(np.load(file, mmap_mode="r")) == len(np.load(folder / FIRST, mmap_mode="r"))


def load(folder: Path, size: int, every: int = 1) -> FaceData:
    """Decode a data folder at ``size`` pixels. Raises FsvideoError as ``check``, and where embeddings do not fit."""
    check(folder)
    parts = [np.load(p) for p in _shards(folder)]
    points = np.concatenate([p["points"] * (size / float(p["size"])) for p in parts])
    embeddings = np.load(folder / FIRST)
    if len(points) != len(embeddings) or len(points) == 0:
        raise FsvideoError(
            f"{folder}: {len(points)} crops, but {len(embeddings)} embeddings", "run the same fsvideo align again"
        )
    twins = np.load(folder / TWINS) if (folder / TWINS).is_file() else np.zeros(len(points), bool)
    rows = np.flatnonzero(~twins)[::every]
    rgb, place = np.empty((len(rows), size, size, 3), np.uint8), {row: i for i, row in enumerate(rows.tolist())}
    for row, picture in enumerate(_crops(folder)):
        if row in place:
            rgb[place[row]] = shrink(picture, size)
    others = {name: np.load(folder / file)[rows] for name, file in OTHERS.items() if embedded(folder, file)}
    return FaceData(
        rgb,
        points.astype(np.float32)[rows],
        np.concatenate([p["pose"] for p in parts])[rows],
        np.concatenate([p["files"] for p in parts])[rows],
        embeddings[rows],
        others,
        np.concatenate([p["sharpness"] for p in parts])[rows],
    )


def mark_twins(folder: Path) -> int:
    """Write ``twins.npy`` and return how many there are: crops that look like an earlier one, of the same person.

    Alike: fingerprints at most ``_ALIKE`` bits and embeddings at most ``_SAME_FACE`` apart, as two scales or encodings
    of one photo are, or two pictures of a video in which nothing moved.
    """
    prints = np.concatenate([np.load(p)["fingerprint"] for p in _shards(folder)])
    embeddings = np.load(folder / FIRST)
    twins = np.zeros(len(prints), bool)
    for at in range(0, len(prints), 256):
        block = prints[at : at + 256]
        apart = np.bitwise_count(block[:, None] ^ prints[None, : at + len(block)])
        for later, earlier in zip(*np.nonzero(apart <= _ALIKE), strict=True):
            later += at
            if earlier < later and not twins[earlier]:
                twins[later] |= bool(np.linalg.norm(embeddings[later] - embeddings[earlier]) < _SAME_FACE)
    np.save(folder / TWINS, twins)
    return int(twins.sum())


def contact_sheet(folder: Path, output: Path, seed: int = 0) -> None:
    """Up to 120 crops, drawn at random, as one picture."""
    shown = list(some(folder, 120, np.random.default_rng(seed), 112))
    shown += [np.zeros((112, 112, 3), np.uint8)] * (-len(shown) % 15)
    rows = [np.hstack(shown[at : at + 15]) for at in range(0, len(shown), 15)]
    cv2.imwrite(str(output), np.vstack(rows)[..., ::-1])


def some(folder: Path, most: int, rng: np.random.Generator, size: int) -> Iterator[Image]:
    """Crops of a data folder drawn at random, ``most`` of them at most, at ``size`` pixels."""
    count = sum(len(np.load(p)["ends"]) for p in _shards(folder))
    chosen = set(rng.choice(count, min(most, count), replace=False).tolist())
    yield from (shrink(rgb, size) for row, rgb in enumerate(_crops(folder)) if row in chosen)


def embed(
    folder: Path,
    encode: Callable[[Image], Array],
    advance: Callable[[int], None] = lambda crops: None,
    batch: int = 32,
    name: str = FIRST,
) -> None:
    """Write a file of embeddings: ``encode`` takes (N, S, S, 3) uint8 crops and returns (N, D) raw embeddings."""
    rows, left = [], _crops(folder)
    while crops := list(islice(left, batch)):
        rows.append(encode(np.stack(crops)))
        advance(len(crops))
    part = folder / f"{name}.part.npy"
    np.save(part, np.concatenate(rows).astype(np.float32))
    os.replace(part, folder / name)


def _shards(folder: Path) -> list[Path]:
    found = sorted(folder.glob("[0-9]*.npz"))
    if not found:
        hint = f"make one: fsvideo align --input PHOTOS --output {folder}"
        raise FsvideoError(f"{folder}: not a folder of training crops", hint)
    return found


def _crops(folder: Path) -> Iterator[Image]:
    for facts in _shards(folder):
        blob = np.fromfile(facts.with_suffix(".bin"), np.uint8)
        ends = np.load(facts)["ends"]
        for begin, end in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
            rgb = cv2.imdecode(blob[begin:end], cv2.IMREAD_COLOR_RGB)
            if rgb is None:
                raise FsvideoError(f"{facts.with_suffix('.bin')}: damaged", "take it away and run fsvideo align again")
            yield np.asarray(rgb, np.uint8)


def shrink(rgb: Image, size: int) -> Image:
    return rgb if len(rgb) == size else cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA)
