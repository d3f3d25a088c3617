"""Decode, encode unchanged, and compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsvideo.media.provenance import tags
from fsvideo.media.read import frames, probe
from fsvideo.media.write import WriteOptions, open_writer
from fsvideo.types import Frame, MediaInfo

TAGS = tags("1.2.3", "compact")
FAST = WriteOptions(preset="ultrafast", tags=TAGS)


def rewrite(source: Path, target: Path, options: WriteOptions = FAST, limit: int | None = None) -> list[str]:
    """Decode and encode unchanged; the writer's notes."""
    info = probe(source)
    with open_writer(target, info, options) as writer:
        for frame in frames(info, options.start, options.stop):
            if limit is not None and frame.index >= limit:
                break
            writer.write(frame)
    return writer.notes


def read(path: Path) -> tuple[MediaInfo, list[Frame]]:
    info = probe(path)
    return info, list(frames(info))


def seconds(info: MediaInfo, made: list[Frame]) -> list[float]:
    return [float(frame.pts * info.time_base) for frame in made]


def psnr(a: Frame, b: Frame) -> float:
    error = np.mean((a.planes[0].astype(float) - b.planes[0]) ** 2)
    return float(10 * np.log10(float(np.iinfo(a.planes[0].dtype).max) ** 2 / max(error, 1e-9)))


def same_times(source: Path, target: Path) -> tuple[MediaInfo, MediaInfo]:
    (old, before), (new, after) = read(source), read(target)
    assert len(before) == len(after)
    assert seconds(old, before) == pytest.approx(seconds(new, after), abs=1e-3)
    return old, new
