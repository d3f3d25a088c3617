"""HDR: what the networks are shown looks like SDR, and what they change comes back exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hard_fixtures import MAKERS

from fsvideo.media import tone
from fsvideo.media.color import add_rgb, region_rgb
from fsvideo.media.read import frames, probe
from fsvideo.media.view import upright
from fsvideo.types import Box


@pytest.mark.parametrize("transfer", [tone.PQ, tone.HLG])
@pytest.mark.parametrize("primaries", [1, 9])
def test_there_and_back(transfer: int, primaries: int) -> None:
    ramp = np.repeat(np.linspace(0, 255, 1024, dtype=np.float32)[None, :, None], 3, axis=2)
    shown = tone.to_sdr(ramp, transfer, primaries)
    assert (np.diff(shown[0, :, 0]) >= 0).all()
    assert np.abs(tone.from_sdr(shown, transfer, primaries) - ramp).max() < 0.01
    white = {tone.PQ: 0.5807, tone.HLG: 0.75}[transfer]  # BT.2408: 203 nits
    assert 235 < tone.to_sdr(np.full((1, 1, 3), 255 * white, np.float32), transfer, primaries).mean() < 250
    colours = np.random.default_rng(3).uniform(20, 220, (64, 64, 3)).astype(np.float32)
    assert np.abs(tone.from_sdr(tone.to_sdr(colours, transfer, 9), transfer, 9) - colours).max() < 0.05


@pytest.mark.parametrize("name", ["pq.mp4", "hlg.mp4"])
def test_a_graded_clip_looks_like_its_sdr_original(tmp_path: Path, name: str) -> None:
    pictures = []
    for made in ("plain.mp4", name):
        info = probe(MAKERS[made](tmp_path / made))
        frame = next(iter(frames(info)))
        box = Box(0, 0, info.width, info.height)
        rgb = region_rgb(frame, info, box)
        assert (
            np.abs(np.clip(rgb, 0, 255) - upright(frame, info).rgb).mean() < 12
        )  # the glance leaves out the primaries
        pictures.append(rgb)
    assert np.abs(np.clip(pictures[0], 0, 255) - np.clip(pictures[1], 0, 255)).mean() < 12
    still = add_rgb(frame, info, box, np.zeros_like(rgb))
    assert all(np.array_equal(a, b) for a, b in zip(frame.planes, still.planes, strict=True))
    change = np.zeros_like(rgb)
    change[80:140, 100:180] = (30, 0, -20)
    moved = region_rgb(add_rgb(frame, info, box, change), info, box) - rgb
    assert moved[90:130, 110:170].mean((0, 1)) == pytest.approx([30, 0, -20], abs=1)
    assert np.abs(moved[:70]).max() == 0
