"""What the tests of fsvideo.faces share: the shipped models, frames of clips, and heads pasted on a background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from fsvideo import weights
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.people import Embed
from fsvideo.models.identity import IdentityEncoder
from fsvideo.networks import load_finder as load_finder
from fsvideo.types import Array, Image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load_embed() -> Embed:
    encoder = IdentityEncoder()
    encoder.load_state_dict(weights.load("identity", expect="identity").tensors)

    def embed(crops: Sequence[Image]) -> Array:
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
            return np.asarray(encoder(batch).numpy())

    return embed


def read_image(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None, path
    return np.ascontiguousarray(image[..., ::-1])


def read_clip(path: Path, start: int = 0, count: int = 10**9, every: int = 1) -> Iterator[Image]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= start + count:
                return
            if index >= start and (index - start) % every == 0:
                yield frame.to_ndarray(format="rgb24")


@dataclass(frozen=True)
class Head:
    """A head cut out of a photo, with soft edges."""

    rgb: Image
    alpha: Array

    @classmethod
    def from_photo(cls, finder: FaceFinder, path: Path, height: int) -> Head:
        """``height``: of the face, pixels."""
        image = read_image(path)
        left, top, right, bottom = finder.find(image)[0].box
        size = bottom - top
        x, y = round((left + right) / 2 - 0.75 * size), round((top + bottom) / 2 - 0.85 * size)
        pad = 300
        padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        cut = padded[y + pad : round(y + pad + 1.7 * size), x + pad : round(x + pad + 1.5 * size)]
        scale = height / size
        rgb = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        h, w = rgb.shape[:2]
        alpha = np.zeros((h, w), np.float32)
        cv2.ellipse(alpha, (w // 2, h // 2), (int(0.46 * w), int(0.47 * h)), 0, 0, 360, 1.0, -1)
        return cls(np.asarray(rgb, np.uint8), cv2.GaussianBlur(alpha, (0, 0), 3)[..., None])

    def paste(self, image: Image, x: float, y: float) -> Image:
        """A copy of the picture with the head's top left corner at (x, y); it may hang over the left or right edge."""
        out = image.copy()
        h, w = self.rgb.shape[:2]
        left, top = round(x), round(y)
        a, b = max(0, -left), min(w, image.shape[1] - left)
        if b > a:
            region = out[top : top + h, left + a : left + b]
            alpha = self.alpha[:, a:b]
            region[:] = (region * (1 - alpha) + self.rgb[:, a:b] * alpha).astype(np.uint8)
        return out


def backdrop(width: int = 1280, height: int = 720) -> Image:
    """A smooth background with some structure and no face."""
    rng = np.random.default_rng(5)
    small = rng.uniform(60, 180, (9, 16, 3)).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255), np.uint8)
