"""How much a picture changes from one frame to the next that motion does not explain."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.types import Array, Image

Picture: TypeAlias = "Image | Array"  # RGB on the 0..255 scale, (H, W, 3)
Where = npt.NDArray[np.bool_]  # (H, W) which pixels count


def luma(picture: Picture) -> Array:
    """(H, W) BT.601 luma, 0..255."""
    return np.asarray(picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def mean_difference(a: Picture, b: Picture, inside: Where) -> float:
    """Mean absolute difference, levels of 255."""
    return float(np.abs(a[inside].astype(np.float64) - b[inside]).mean())


def flow_back(now: Picture, before: Picture) -> Array:
    """(H, W, 2) where each pixel of ``now`` was in ``before``: dense inverse search optical flow."""
    here, there = (np.asarray(np.round(luma(p)), np.uint8) for p in (now, before))
    flow = np.zeros((*here.shape, 2), np.float32)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(here, there, flow)
    y, x = np.mgrid[: now.shape[0], : now.shape[1]].astype(np.float32)
    return np.asarray(np.dstack([x, y]) + flow, np.float32)


def flicker(now: Picture, before: Picture, places: Array, inside: Where) -> float:
    """Mean absolute change that motion does not explain, levels of 255; ``places`` as ``flow_back`` gives them."""
    moved = cv2.remap(before, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return mean_difference(now, np.asarray(moved), inside)
