"""Targets as poor footage has them: changed, each in another way, and where they were."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from train_fixtures import faces

from fsvideo.faces.occlude import Occluders
from fsvideo.train.footage import _smear, as_footage
from fsvideo.train.hear import OccludedPairs
from fsvideo.train.pairs import Pairs
from fsvideo.train.settings import AEISettings, HEARSettings
from fsvideo.train.world import World
from fsvideo.types import Image

SETTINGS = AEISettings(preset="tiny", identity=("id",), batch=8)
MEANS = {"id": torch.zeros(128), "second": torch.zeros(1024), "third": torch.zeros(192)}


def blocks(side: int) -> Image:
    """(side, side, 3) a picture of large patches."""
    small = np.random.default_rng(0).integers(40, 220, (8, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_what_it_shows_stays_where_it_is() -> None:
    picture = blocks(256)
    grey = picture.mean(2).astype(np.float32)
    for seed in range(40):
        poor = as_footage(picture, np.random.default_rng(seed)).mean(2).astype(np.float32)
        (x, y), _ = cv2.phaseCorrelate(grey, poor)
        assert max(abs(x), abs(y)) < 1, seed
        assert np.corrcoef(grey.ravel(), poor.ravel())[0, 1] > 0.8, seed


def test_no_two_are_alike_and_the_same_numbers_give_the_same() -> None:
    picture = blocks(64)
    made = [as_footage(picture, np.random.default_rng(seed)) for seed in (*range(20), 0)]
    assert np.array_equal(made[0], made[-1])
    apart = [np.abs(a.astype(int) - b).mean() for a in made[:20] for b in [picture, *made[:20]] if a is not b]
    assert min(apart) > 0.5
    assert made[0].dtype == np.uint8 and made[0].shape == picture.shape


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0])
def test_a_smear_keeps_light_and_place(angle: float) -> None:
    kernel = _smear(9.0, angle)
    y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert abs(float((kernel * x).sum())) < 0.1 > abs(float((kernel * y).sum()))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    assert float((kernel * along**2).sum()) == pytest.approx(9.0**2 / 12, rel=0.4)
    assert float((kernel * across**2).sum()) < 0.6


def test_their_share_of_the_targets_is_as_set_and_nothing_else_changes() -> None:
    data = faces()
    clean, poor, some = (
        Pairs(data, MEANS, replace(SETTINGS, footage=share), World()).draw(3) for share in (0.0, 1.0, 0.5)
    )
    changed = [(one.target - clean.target).abs().amax((1, 2, 3)) > 0 for one in (poor, some)]
    assert changed[0].all() and 0 < int(changed[1].sum()) < SETTINGS.batch
    assert torch.equal(poor.target[changed[1]], some.target[changed[1]])
    assert torch.equal(poor.source, clean.source) and torch.equal(poor.z_id, clean.z_id)
    assert torch.equal(poor.same, clean.same)


def test_occluders_lie_in_the_same_footage() -> None:
    data = faces()
    z_id = torch.nn.functional.normalize(torch.from_numpy(data.embeddings), dim=1)
    occluders, hard = Occluders(len(data.rgb[0])), np.arange(5)
    clean, poor = (
        OccludedPairs(
            data, z_id, occluders, hard, HEARSettings(preset="tiny", batch=6, occluded=1.0, footage=share), World()
        ).draw(3)
        for share in (0.0, 1.0)
    )
    assert torch.equal(clean.alpha, poor.alpha) and float(clean.alpha.amax()) == 1
    assert torch.equal(poor.target, poor.occluder)
    changed = (poor.target - clean.target).abs().amax((1, 2, 3)) > 0.05
    assert changed.all()
    for a, b in zip(clean.target, poor.target, strict=True):  # light and place may differ, what it shows does not
        assert np.corrcoef(a.numpy().ravel(), b.numpy().ravel())[0, 1] > 0.7
