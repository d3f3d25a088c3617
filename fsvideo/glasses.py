"""Glasses are not who somebody is: the target keeps theirs, or none, whatever the source wears.

Recognisers take glasses for a part of a face, so AEI-Net paints those of a source and takes off a target's. Putting
glasses on moves an embedding by much the same wherever it is, and how far it was moved can be told, roughly. So where
rims are seen, in the source's photo or on the target, as much of that is taken from what is asked for, or added, as
makes it say of glasses what the target's embedding does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fsvideo import weights
from fsvideo.types import Array

_MOST = 1.5  # pairs of glasses that are put on or taken off at most: what lies beyond is a misreading
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

    def as_on(self, own: Array, asked: Array, rims: float) -> Array:
        """(D,) what to add to an ``asked`` embedding (D,) so that it says of glasses what the target's ``own`` does.

        ``rims``: how far glasses are seen at all, on the target or the source, 0..1; without any nothing is added.
        """
        pairs = np.clip(self.worn(own) - self.worn(asked), -_MOST, _MOST)
        return np.float32(rims * pairs) * self.shift


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
