"""Glasses are not who somebody is: the target keeps theirs, or none, whatever the source wears.

Recognisers take glasses for a part of a face, so AEI-Net paints those of a source and takes off a target's. Putting
glasses on moves an embedding by much the same wherever it is. So where pictures show that one of the two wears them and
the other does not, that is taken from what is asked for, or added. Pale rims are seen less surely: where there may be
some, the embeddings say, roughly, how far each was moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fsvideo import weights
from fsvideo.faces.tone import ramp
from fsvideo.types import Array

# Pairs of glasses that are put on or taken off: after one, lines are left; what is read beyond that is a misreading.
_MOST = 1.5
# How dark a line across the bridge of the nose is, logarithm of brightness: from where on there may be glasses, and
# mostly are; and from where on that is hardly a frown, and surely none.
_HINTS, _SURE = (0.05, 0.12), (0.12, 0.18)
_READ = (0.3, 0.7)  # of a pair of glasses, as an embedding reads: from where on there may be some, and are
_RIDGE = 1e-4  # of the spread's eigenvalues: some directions hardly vary


@dataclass(frozen=True)
class Glasses:
    """``shift`` (D,): what glasses add to an embedding, on average. ``reader`` (D,), ``bare``: how they are told."""

    shift: Array
    reader: Array
    bare: float

    def worn(self, z: Array) -> float:
        """About 0 for the embedding (D,) of a bare face, about 1 with glasses; single photos stray by half as much."""
        return float(z @ self.reader) - self.bare

    def shown(self, z: Array, line: float) -> float:
        """How surely a face with this embedding (D,), and this dark a line across its nose, wears glasses: 0..1."""
        return float(max(ramp(np.array(line, np.float32), *_HINTS), ramp(np.array(self.worn(z), np.float32), *_READ)))

    def as_on(self, own: Array, asked: Array, lines: tuple[float, float]) -> Array:
        """(D,) what to add to an ``asked`` embedding (D,) so that it says of glasses what the target shows.

        ``own`` (D,): the target's embedding. ``lines``: how dark a line crosses the nose of the target and of the
        source (``rims.line_across``); without any nothing is added.
        """
        target, source = ramp(np.array(lines, np.float32), *_SURE)
        hint, sure = ramp(np.array(lines, np.float32), *_HINTS).max(), max(target, source)
        read = np.clip(self.worn(own) - self.worn(asked), -_MOST, _MOST)
        return np.asarray((_MOST * (target - source) + (1 - sure) * hint * read) * self.shift, np.float32)


def load(encoder: str) -> Glasses | None:
    """What is known of glasses in the embeddings of this identity encoder; None for another than the shipped one's."""
    checkpoint = weights.load("glasses", "glasses")
    if checkpoint.meta["identity"] != encoder:
        return None
    shift, reader = (checkpoint.tensors[name].numpy() for name in ("shift", "reader"))
    return Glasses(shift, reader, float(checkpoint.tensors["bare"]))


def fit(bare: Array, worn: Array) -> Glasses:
    """From embeddings (N, D) of faces and of the same faces with glasses: Fisher's discriminant reads them."""
    shift = worn.mean(0) - bare.mean(0)
    spread = np.cov(np.concatenate([bare - bare.mean(0), worn - worn.mean(0)]).T) + _RIDGE * np.eye(len(shift))
    reader = np.linalg.solve(spread, shift)
    reader /= shift @ reader  # a pair of glasses counts 1
    return Glasses(shift.astype(np.float32), reader.astype(np.float32), float(bare.mean(0) @ reader))


def save(path: str, glasses: Glasses, encoder: str) -> None:
    """Write the file that ``load`` reads."""
    tensors = {"shift": glasses.shift, "reader": glasses.reader, "bare": np.array([glasses.bare], np.float32)}
    meta = {"kind": "glasses", "name": "glasses", "identity": encoder}
    weights.save(path, {name: torch.from_numpy(value) for name, value in tensors.items()}, meta)
