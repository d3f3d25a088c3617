"""Make weights/glasses.safetensors: faces are embedded as they are, and with glasses laid over them.

    python tools/fit_glasses.py --data aligned/ --glasses occluders/glasses

``--data``: what `fsvideo align` made. ``--glasses``: PNGs with transparency; those with clear lenses are taken.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from fsvideo import glasses, weights
from fsvideo.faces.occlude import Cutout, Occluders, load_cutouts
from fsvideo.models.identity import EncoderEnsemble
from fsvideo.networks import load_ensemble
from fsvideo.train import data
from fsvideo.types import Array, Image

_SIZE, _FACES, _HELD_OUT = 192, 1500, "glasses/glsu"
_CLEAR = 0.42  # of the frame's bounding box that is covered, at most


def clear(cutout: Cutout) -> bool:
    """Whether eyes are seen through them."""
    left, top, wide, high = cv2.boundingRect((cutout.rgba[..., 3] > 40).astype(np.uint8))
    return float((cutout.rgba[top : top + high, left : left + wide, 3] > 60).mean()) < _CLEAR


def with_glasses(rng: np.random.Generator, occluders: Occluders, cutout: Cutout, face: Image) -> Image:
    rgb, alpha = occluders.lay(rng, cutout)
    cover = alpha[..., None].clip(0, 1)
    return np.asarray((face * (1 - cover) + rgb * cover).clip(0, 255), np.uint8)


def embedded(encoder: EncoderEnsemble, faces: list[Image]) -> Array:
    """(N, D) of the crops."""
    rows = []
    for at in range(0, len(faces), 32):
        x = torch.from_numpy(np.stack(faces[at : at + 32])).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            rows.append(encoder(x).numpy())
    return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--glasses", type=Path, required=True)
    wanted = parser.parse_args()
    rng = np.random.default_rng(0)
    frames = [one for one in load_cutouts(wanted.glasses, _SIZE) if clear(one) and not one.name.startswith(_HELD_OUT)]
    faces = list(data.some(wanted.data, _FACES, rng, _SIZE))
    occluders = Occluders(_SIZE, frames)
    worn = [with_glasses(rng, occluders, frames[rng.integers(len(frames))], face) for face in faces]
    encoder = load_ensemble(weights.load("compact", "aei").meta["identity"])
    bare_z, worn_z = embedded(encoder, faces), embedded(encoder, worn)
    half = len(faces) // 2
    fitted = glasses.fit(bare_z[:half], worn_z[:half])
    for name, rest in (("bare", bare_z[half:]), ("with glasses", worn_z[half:])):
        told = np.array([fitted.worn(z) for z in rest])
        print(f"{name}: {told.mean():.2f}, standard deviation {told.std():.2f} (faces that were not fitted)")
    place = Path(__file__).resolve().parents[1] / "weights" / "glasses.safetensors"
    glasses.save(str(place), glasses.fit(bare_z, worn_z), encoder.name)
    print(f"{len(frames)} pairs of glasses on {len(faces)} faces: {place}")


if __name__ == "__main__":
    main()
