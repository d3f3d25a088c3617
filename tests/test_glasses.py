"""What glasses do to embeddings: told from drawn ones, and left to the target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, read_image

from fsvideo import glasses, weights
from fsvideo.casting import identify
from fsvideo.faces.align import crop
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.draw import Canvas
from fsvideo.glasses import Glasses
from fsvideo.options import TUNE_STEPS, SwapOptions
from fsvideo.stream import Stage, _track, frame_of, of_rgb
from fsvideo.swapper import AEISwapper, Swapper, load_swapper
from fsvideo.types import Image


@pytest.fixture(scope="module")
def compact() -> Swapper:
    return load_swapper("compact", True, torch.device("cpu"))


def bespectacled(face: Image) -> Image:
    """Round dark rims and clear lenses, drawn where the default crop has eyes."""
    canvas, rims = Canvas(len(face)), np.zeros(face.shape[:2], np.uint8)
    turn = np.linspace(0, 2 * np.pi, 60)
    for x in (0.345, 0.655):
        canvas.stroke(rims, np.stack([x + 0.105 * np.cos(turn), 0.39 + 0.085 * np.sin(turn)], 1), 0.018)
    canvas.stroke(rims, [(0.45, 0.38), (0.55, 0.38)], 0.018)
    for x, outer in ((0.24, 0.1), (0.76, 0.9)):
        canvas.stroke(rims, [(x, 0.37), (outer, 0.36)], 0.018)
    cover = rims[..., None] / np.float32(255)
    return np.asarray(face * (1 - cover) + 25 * cover, np.uint8)


def crops(finder: FaceFinder, swapper: Swapper) -> list[Image]:
    found = []
    for name in ("astronaut.png", "grace_hopper.jpg"):
        rgb = read_image(EXAMPLES / name)
        face = finder.find(rgb)[0]
        found.append(np.asarray(crop(rgb, face.points, swapper.spec).rgb.clip(0, 255), np.uint8))
    return found


def test_fisher_s_discriminant_finds_what_was_added() -> None:
    rng = np.random.default_rng(0)
    spread = np.float32([3, 1, 1, 0.2])
    bare = rng.normal(0, 1, (4000, 4)).astype(np.float32) * spread + np.float32([0, 0, 0, 5])
    added = np.float32([1, 0, 0, 1])
    fitted = glasses.fit(bare, bare[::-1] + added)
    np.testing.assert_allclose(fitted.shift, added, atol=0.15)
    assert abs(np.mean([fitted.worn(z) for z in bare])) < 1e-3
    assert np.mean([fitted.worn(z + added) for z in bare]) == pytest.approx(1, abs=0.02)
    # the fourth number says it best: little else moves it
    assert abs(fitted.reader[3] * spread[3]) > 5 * abs(fitted.reader[0] * spread[0])


def test_what_is_asked_for_says_what_the_target_s_own_does() -> None:
    known = Glasses(np.float32([0.5, 0, 0]), np.float32([2, 1, 0]), 0.25)
    asked, own = np.float32([0.6, 0.1, 0.2]), np.float32([0.1, 0.3, 0])
    changed = asked + known.as_on(own, asked, (0.0, 0.12))
    assert known.worn(changed) == pytest.approx(known.worn(own), abs=1e-6)
    np.testing.assert_array_equal(changed[1:], asked[1:])
    far = known.as_on(np.float32([9, 0, 0]), asked, (0.12, 0.0))
    np.testing.assert_allclose(far, 1.5 * known.shift, atol=1e-6)  # a pair and a half at most
    assert not known.as_on(own, asked, (0.05, 0.0)).any()  # where no rims are seen


def test_dark_rims_are_believed_whatever_the_embeddings_say() -> None:
    known = Glasses(np.float32([0.5, 0]), np.float32([2, 1]), 0.25)
    asked, own = np.float32([0.5, 0.1]), np.float32([0.4, 0.3])  # read alike
    off, on = known.as_on(own, asked, (0.0, 0.3)), known.as_on(own, asked, (0.3, 0.0))
    np.testing.assert_allclose(off, -1.5 * known.shift, atol=1e-6)  # the source's alone: taken off
    np.testing.assert_allclose(on, 1.5 * known.shift, atol=1e-6)
    assert not known.as_on(own, asked, (0.3, 0.3)).any()  # both wear some
    half = known.as_on(own, asked, (0.0, 0.15))
    np.testing.assert_allclose(half, 0.5 * off + 0.5 * known.as_on(own, asked, (0.0, 0.12)), atol=1e-6)


def test_drawn_glasses_are_told(finder: FaceFinder, compact: Swapper) -> None:
    assert compact.glasses is not None
    bare = crops(finder, compact)[0]
    without, with_them = compact.embed(np.stack([bare, bespectacled(bare)]))
    assert compact.glasses.worn(with_them) > compact.glasses.worn(without) + 0.4


def test_the_target_s_glasses_decide(finder: FaceFinder, compact: Swapper) -> None:
    """The same source, with glasses, on the same photo, bare and with glasses drawn on: they are taken off, or stay."""
    assert compact.glasses is not None
    bare = crops(finder, compact)[0]
    track = _track(0, 0, finder.find(bare)[0])
    assert isinstance(compact, AEISwapper)
    taken: dict[int, list[float]] = {0: [], TUNE_STEPS: []}
    for tune, pairs in taken.items():
        options = SwapOptions((EXAMPLES / "grace_hopper.jpg",), Path(), Path(), tune=tune)
        stage, unknowing = (Stage(options, finder, one) for one in (compact, replace(compact, glasses=None)))
        for picture in (bare, bespectacled(bare)):
            told = []
            for one in (stage, unknowing):
                made = one.corrected(frame_of(picture), of_rgb(picture), one.jobs([(track, 1.0)], ()))[0]
                assert made.missing is not None
                asked = np.atleast_2d(made.identity.embedding + made.missing).mean(0)  # of all layers
                told.append(compact.glasses.worn(asked))
            pairs.append(told[1] - told[0])
    assert taken[0] == pytest.approx([1.5, 0], abs=0.02)  # a pair and a half; nothing where both wear some
    assert taken[TUNE_STEPS][0] > 1 and abs(taken[TUNE_STEPS][1]) < 0.02  # tuning brings them back by no half


def test_another_encoder_knows_nothing_of_glasses(tmp_path: Path) -> None:
    made = weights.load("glasses", "glasses")
    assert glasses.load(made.meta["identity"]) is not None
    assert glasses.load("somebody-else") is None
    known = Glasses(np.float32([0.5, 0]), np.float32([2, 1]), 0.25)
    glasses.save(str(tmp_path / "g.safetensors"), known, "a")
    again = weights.load(tmp_path / "g.safetensors", "glasses")
    np.testing.assert_array_equal(again.tensors["reader"].numpy(), known.reader)
    assert again.meta["identity"] == "a" and float(again.tensors["bare"]) == 0.25


def test_a_source_says_how_surely_it_wears_glasses(finder: FaceFinder, compact: Swapper) -> None:
    """By rims that the picture shows, or by how it is recognised: pale rims draw no dark line."""
    bare, worn = (identify(finder, compact, [EXAMPLES / name]) for name in ("astronaut.png", "grace_hopper.jpg"))
    assert bare.glasses < 0.1
    assert worn.glasses == 1
    known = Glasses(np.float32([1, 0]), np.float32([1, 0]), 0.0)
    read = [known.shown(np.float32([z, 0]), 0.0) for z in (0.25, 0.5, 0.75)]
    assert read[0] == 0 < read[1] < read[2] == 1
    assert known.shown(np.float32([-1, 0]), 0.2) == 1
