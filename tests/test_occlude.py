"""Occluders: drawn and cut out, what their alpha means, what is held out, and that they are quick."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsvideo.faces.draw import KINDS, Canvas
from fsvideo.faces.occlude import Cutout, Occluders, load_cutouts
from fsvideo.types import FsvideoError, Image


def face(size: int = 128) -> Image:
    """A skin-coloured crop with some structure."""
    rng = np.random.default_rng(0)
    rough = cv2.resize(rng.normal(0, 25, (8, 8, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.array([190, 150, 130]) + rough, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cut-outs, a PNG without transparency and a photo."""
    (tmp_path / "hands").mkdir()
    (tmp_path / "things").mkdir()
    disc = np.zeros((300, 200, 4), np.uint8)
    cv2.circle(disc, (100, 150), 80, (40, 80, 200, 255), -1)  # BGRA: red
    cv2.imwrite(str(tmp_path / "hands" / "red_disc.png"), disc)
    cv2.imwrite(str(tmp_path / "things" / "blue_disc.png"), disc[..., [2, 1, 0, 3]])
    cv2.imwrite(str(tmp_path / "things" / "opaque.png"), np.full((20, 20, 3), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "things" / "photo.jpg"), np.full((20, 20, 3), 9, np.uint8))
    return tmp_path


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("size", [64, 128])
def test_every_kind_covers_a_part_of_the_face(kind: str, size: int) -> None:
    canvas = Canvas(size)
    covers, middles = [], []
    for seed in range(40):
        rgb, alpha = KINDS[kind](canvas, np.random.default_rng(seed), face(size))
        assert rgb.shape == (size, size, 3) and alpha.shape == (size, size)
        assert rgb.dtype == alpha.dtype == np.float32
        assert np.isfinite(rgb).all() and alpha.min() >= 0 and alpha.max() <= 1
        covers.append(float(alpha.mean()))
        middles.append(float(alpha[size // 4 : -size // 4, size // 4 : -size // 4].mean()))
    assert 0.01 < np.median(covers) < 0.6
    assert np.mean(np.array(middles) > 0.005) > 0.6  # most touch the middle, where the face is
    assert np.std(covers) > 0.002  # no two alike


def test_an_occluder_depends_on_the_generator_alone() -> None:
    occluders = Occluders(64)
    one, two, other = (occluders.draw(np.random.default_rng(s), face(64)) for s in (7, 7, 8))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[1], other[1])


def test_what_is_drawn_is_in_range_and_soft_only_at_its_edge() -> None:
    occluders = Occluders(128)
    hard = 0
    for seed in range(60):
        rgb, alpha = occluders.draw(np.random.default_rng(seed), face())
        assert rgb.min() >= 0 and rgb.max() <= 255 and alpha.min() >= 0 and alpha.max() <= 1
        hard += bool(np.mean((alpha < 0.05) | (alpha > 0.95)) > 0.75)
    assert hard > 45


def test_cutouts_are_loaded_with_their_transparency(folder: Path) -> None:
    cutouts = load_cutouts(folder, 100)
    assert [c.name for c in cutouts] == ["hands/red_disc", "things/blue_disc"]
    red = cutouts[0].rgba
    assert max(red.shape[:2]) == 110
    assert red[0, 0].tolist() == [0, 0, 0, 0]  # premultiplied: no colour where there is no cover
    middle = red[red.shape[0] // 2, red.shape[1] // 2]
    assert middle[3] == 255 and abs(int(middle[0]) - 200) <= 1 and abs(int(middle[2]) - 40) <= 1


def test_a_cutouts_colour_has_no_fringe(folder: Path) -> None:
    """Where a disc of one colour is half transparent, its colour is still the disc's."""
    occluders = Occluders(128, [c for c in load_cutouts(folder, 128) if c.folder == "hands"], tuple(KINDS))
    for seed in range(20):
        rgb, alpha = occluders.draw(np.random.default_rng(seed), face())
        edge, inside = (alpha > 0.3) & (alpha < 0.7), alpha > 0.95
        assert inside.sum() > 50 and edge.sum() > 5
        assert np.abs(rgb[edge].mean(0) - rgb[inside].mean(0)).max() < 6


def test_held_out_occluders_come_in_validation_only(folder: Path) -> None:
    cutouts = load_cutouts(folder, 64)
    kinds = tuple(KINDS)
    occluders = Occluders(64, cutouts, (*kinds, "things/"))
    hues = {}
    for held_out in (False, True):
        drawn = [occluders.draw(np.random.default_rng(s), face(64), held_out) for s in range(80)]
        means = [rgb[alpha > 0.9].mean(0) for rgb, alpha in drawn if (alpha > 0.9).sum() > 20]
        hues[held_out] = np.array([m[0] - m[2] for m in means])  # red minus blue
    assert (hues[False] > 40).all()  # only the red cut-out is left for training
    assert (hues[True] < -40).any()  # validation has the blue one
    assert not np.isin(np.round(hues[True], 3), np.round(hues[False], 3)).any()


def test_colours_are_drawn_towards_the_faces() -> None:
    """The same occluders over a dark and over a bright face: the dark face's are darker."""
    occluders = Occluders(64)
    light = {}
    for level in (30, 220):
        even = np.full((64, 64, 3), level, np.uint8)
        drawn = [occluders.draw(np.random.default_rng(s), even) for s in range(150)]
        light[level] = np.mean([rgb[alpha > 0.5].mean() for rgb, alpha in drawn if (alpha > 0.5).any()])
    assert light[220] - light[30] > 30


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FsvideoError, match="held out"):
        Occluders(64, (), tuple(KINDS))
    with pytest.raises(FsvideoError, match="no PNG files with transparency"):
        load_cutouts(tmp_path, 64)


def test_quick() -> None:
    occluders = Occluders(128, [Cutout("hands/x", np.full((100, 60, 4), 200, np.uint8))])
    rng, skin = np.random.default_rng(0), face()
    began = time.process_time()
    for _ in range(200):
        occluders.draw(rng, skin)
    assert (time.process_time() - began) / 200 < 0.004  # about 0.7 ms on an idle core
