"""How a new face is put in: what is kept, how far it reaches, whose it is, how sharp it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, read_image

from fsvideo import pipeline
from fsvideo.console import Silent
from fsvideo.evaluate.measures import detail, face_area
from fsvideo.faces.align import FEATURE_POINTS, OUTLINE, crop, features_of, transform
from fsvideo.faces.detect import FaceFinder
from fsvideo.faces.mask import face_mask
from fsvideo.faces.sharpness import Detail, match_sharpness, with_pores
from fsvideo.faces.tone import plain_parts
from fsvideo.media import read
from fsvideo.media.view import upright
from fsvideo.models import aei, hear
from fsvideo.networks import load_ensemble
from fsvideo.options import Look, SwapOptions
from fsvideo.render import Past, past_as_record, past_from_record
from fsvideo.swapper import AEISwapper, Swapper, load_swapper, mean_identity, tiny
from fsvideo.types import Array, CropSpec, FsvideoError, Identity, Image

HOPPER, ASTRONAUT, CLIP = (EXAMPLES / name for name in ("grace_hopper.jpg", "astronaut.png", "astronaut.mp4"))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def portrait(finder: FaceFinder) -> tuple[Array, Array, Array]:
    """The astronaut's crop of 256 pixels, and her outline and features in it."""
    image = read_image(ASTRONAUT)
    face = finder.find(image)[0]
    cut = crop(image, face.points, CropSpec(256))
    mesh = transform(cut.matrix, face.landmarks)
    return cut.rgb.astype(np.float32), mesh[list(OUTLINE)], mesh[list(FEATURE_POINTS)]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("mask", "star", "outline"),
        ("keep", ("nose",), "mouth"),
        ("keep", "mouth", "mouth"),
        ("scale", 1.3, "0.8"),
        ("strength", -0.1, "1.5"),
        ("strength", "much", "1.5"),
        ("feather", True, "0.5"),
        ("sharpness", "more", "match"),
    ],
)
def test_a_look_that_cannot_be_is_refused(field: str, value: Any, says: str) -> None:
    with pytest.raises(FsvideoError, match=field) as caught:
        Look(**{field: value})
    assert says in caught.value.hint


def test_a_mask_leaves_out_what_is_kept_and_nothing_else(portrait: tuple[Array, Array, Array]) -> None:
    _, outline, features = portrait
    whole = face_mask(outline, features, 256, Look())
    for name, parts in features_of(features).items():
        mask = face_mask(outline, features, 256, Look(keep=(name,)))
        for part in parts:
            assert mask[face_area(part, 256, 256)].max() == 0
        others = [p for other, found in features_of(features).items() if other != name for p in found]
        assert sum(float(mask[face_area(p, 256, 256)].mean()) > 0.9 for p in others) >= len(others) - 2  # neighbours
        away = np.abs(whole - mask) > 0
        assert 0 < away.mean() < 0.12
        assert np.abs(np.diff(mask, axis=0)).max() < 0.5  # soft


def test_scale_grows_and_shrinks_the_region_about_its_middle(portrait: tuple[Array, Array, Array]) -> None:
    _, outline, features = portrait
    outline = (outline - outline.mean(0)) * 0.7 + 127.5  # away from the crop's edge
    areas, middles = [], []
    for scale in (0.8, 1.0, 1.2):
        mask = face_mask(outline, features, 256, Look(scale=scale, feather=0.05)) > 0.9
        areas.append(mask.sum())
        middles.append(np.argwhere(mask).mean(0))
    assert np.sqrt(areas[0] / areas[1]) == pytest.approx(0.8, abs=0.03)
    assert np.sqrt(areas[2] / areas[1]) == pytest.approx(1.2, abs=0.03)
    assert np.ptp(middles, axis=0).max() < 3


def swap(output: Path, swapper: Swapper, source: Path = HOPPER, **more: Any) -> list[Image]:
    """The frames of a swap of the example's first ones, without loss."""
    fixed: dict[str, Any] = {"input": CLIP, "end": 0.15, "encoder": "ffv1", "provenance": "metadata", "threads": 1}
    pipeline.swap(SwapOptions(source=(source,), output=output, **{**fixed, **more}), swapper, Silent())
    info = read.probe(output)
    return [upright(f, info).rgb for f in read.frames(info)]


def test_kept_regions_are_the_targets_own_pixels(finder: FaceFinder, tmp_path: Path) -> None:
    swapper = tiny()  # random weights: what it paints differs everywhere
    info = read.probe(CLIP)
    before = [upright(f, info).rgb for f in read.frames(info, stop=0.15)]
    after = swap(tmp_path / "kept.mkv", swapper, look=Look(keep=("mouth", "eyes")))
    assert len(before) == len(after) >= 3
    for old, new in zip(before, after, strict=True):
        face = finder.find(old)[0]
        regions = features_of(face.landmarks[list(FEATURE_POINTS)])
        changed = np.abs(old.astype(int) - new).max(2)
        for name in ("mouth", "eyes"):
            for part in regions[name]:
                assert changed[face_area(part, *old.shape[:2])].max() == 0, name
        assert all(changed[face_area(part, *old.shape[:2])].mean() > 3 for part in regions["brows"])


@pytest.fixture(scope="module")
def compact() -> Swapper:
    return load_swapper("compact", False, CPU)


def test_strength_leads_from_the_targets_identity_to_the_sources(compact: Swapper, tmp_path: Path) -> None:
    likeness = {}
    for strength in (0.0, 0.5, 1.0, 1.5):
        output, log = tmp_path / f"{strength}.png", tmp_path / f"{strength}.json"
        options = SwapOptions((HOPPER,), ASTRONAUT, output, report=log, look=Look(strength=strength), threads=1)
        pipeline.swap(options, compact, Silent())
        (face,) = json.loads(log.read_text())["per_frame"][0]["faces"]
        likeness[strength] = face["similarity_to_source"], face["similarity_to_target"]
    to_source, to_target = zip(*likeness.values(), strict=True)
    assert to_source[0] < to_source[1] < to_source[2]
    assert to_target[0] > to_target[1] > to_target[2] > to_target[3]
    assert to_target[0] > 0.6 > to_source[0] and to_source[2] > max(0.6, to_target[2])
    assert to_source[3] > to_source[2] - 0.1  # exaggerated, not lost


def softened(image: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


@pytest.mark.parametrize("blur", [1.0, 2.0])
def test_a_sharp_face_gets_as_soft_as_its_footage(portrait: tuple[Array, Array, Array], blur: float) -> None:
    real, outline, features = portrait
    mask = face_mask(outline, features, 256, Look())
    target, inside = softened(real, blur), face_area(outline, 256, 256)
    ratio = detail(real, inside) / detail(target, inside)
    matched, _ = match_sharpness(real, target, mask, 0.0, 0.5, None)
    assert ratio > 3
    assert 0.7 < detail(matched, inside) / detail(target, inside) < ratio / 1.8
    assert np.abs(matched - target)[inside].mean() < np.abs(real - target)[inside].mean()


def test_false_wrinkles_go_and_eyes_stay(portrait: tuple[Array, Array, Array]) -> None:
    real, outline, features = portrait
    y, x = np.mgrid[:256, :256]
    cheek = np.exp(-(((x - 180) ** 2 + (y - 150) ** 2) / 400.0))[..., None]
    wrinkled = np.asarray(real + 25 * cheek * np.sin(x / 0.6)[..., None], np.float32)
    mask = face_mask(outline, features, 256, Look())
    matched, _ = match_sharpness(wrinkled, real, mask, 0.0, 0.5, None)
    there = cheek[..., 0] > 0.6
    assert detail(wrinkled, there) > 10 * detail(real, there)
    assert detail(matched, there) < 0.35 * detail(wrinkled, there)
    eyes = face_area(features_of(features)["eyes"][0], 256, 256)
    assert detail(matched, eyes) > 0.9 * detail(real, eyes)


def test_skin_has_the_footages_pores_and_beards_do_not_come_back(portrait: tuple[Array, Array, Array]) -> None:
    real, outline, features = portrait
    plain = plain_parts(outline, features, 256)
    smooth = softened(real, 2.5)
    flank, skin = (cv2.resize(x, (256, 256), interpolation=cv2.INTER_LINEAR) for x in (plain.flank, plain.skin))
    cheeks, rest, away = flank > 0.9, (skin > 0.9) & (flank == 0), (skin == 0) & (flank == 0)
    assert min(cheeks.sum(), rest.sum(), away.sum()) > 2000
    made = with_pores(smooth, real, plain)
    assert detail(smooth, cheeks) < 0.3 * detail(real, cheeks)
    assert 0.9 < detail(made, cheeks) / detail(real, cheeks) < 1.1
    assert detail(made, rest) > 1.5 * detail(smooth, rest)
    assert np.array_equal(made[away], smooth[away])
    bearded = np.asarray(real * 0.5, np.float32)
    assert np.abs(with_pores(smooth, bearded, plain) - smooth)[cheeks].mean() < 0.05
    assert np.abs(with_pores(real, real, plain) - real).max() < 0.01


def test_lines_do_not_come_back_with_the_pores(portrait: tuple[Array, Array, Array]) -> None:
    real, outline, features = portrait
    plain = plain_parts(outline, features, 256)
    smooth, wrinkled = softened(real, 2.5), real.copy()
    nose = slice(110, 150), slice(124, 132)
    assert cv2.resize(plain.skin - plain.flank, (256, 256), interpolation=cv2.INTER_LINEAR)[nose].min() > 0.9
    wrinkled[nose[0], 127:129] -= 40
    drawn = with_pores(smooth, real, plain) - with_pores(smooth, wrinkled, plain)
    assert np.abs(drawn[nose]).max() < 0.25 * 40


def test_a_face_as_sharp_as_its_footage_stays_as_it_is(portrait: tuple[Array, Array, Array]) -> None:
    real, outline, features = portrait
    matched, _ = match_sharpness(real, real, face_mask(outline, features, 256, Look()), 0.0, 0.5, None)
    assert np.abs(matched - real).max() < 0.01


def test_sharpness_follows_the_footage_slowly_and_comes_back_exactly(portrait: tuple[Array, Array, Array]) -> None:
    real, outline, features = portrait
    mask = face_mask(outline, features, 256, Look())
    _, before = match_sharpness(real, real, mask, 0.0, 0.5, None)
    assert before is not None
    steps = []
    for k in range(1, 26):  # the focus is lost at once; the gains take their time
        _, before = match_sharpness(real, softened(real, 2.0), mask, k / 25, 0.5, before)
        assert before is not None
        steps.append(float(before.gains[0].mean()))
    _, at_once = match_sharpness(real, softened(real, 2.0), mask, 1.0, 0.0, None)
    assert at_once is not None
    final = float(at_once.gains[0].mean())
    assert (np.diff(steps) < 0).all() and steps[0] > 0.15 * final and 0.75 < steps[-1] / final < 1
    kept = past_from_record(json.loads(json.dumps(past_as_record({(7, "a b"): Past(detail=before)}, [Going()], 0))))  # type: ignore[list-item]
    assert isinstance(kept[7, "a b"].detail, Detail) and kept[7, "a b"].detail.time == before.time
    assert np.array_equal(kept[7, "a b"].detail.gains, before.gains)


class Going:
    """A job whose track goes on."""

    key = 7, "a b"

    class track:
        stop = 9


def test_a_share_of_what_hear_net_repairs() -> None:
    torch.manual_seed(3)
    sizes = hear.PRESETS["tiny"]
    refiner = hear.HEARNet(sizes).eval()
    for parameter in refiner.parameters():  # untrained it changes nothing
        torch.nn.init.normal_(parameter, std=0.05)
    net = aei.AEINet(aei.PRESETS["tiny"]).eval()
    whole = AEISwapper("x", net, load_ensemble(), refiner, CropSpec(net.config.size), CPU)
    crops = np.random.default_rng(1).uniform(0, 255, (2, whole.spec.size, whole.spec.size, 3)).astype(np.float32)
    who: Identity = mean_identity(whole.embed(crops), ["noise"])
    without, half, none, full = (
        swapper.swap(crops, [who, who])
        for swapper in (replace(whole, refiner=None), replace(whole, share=0.5), replace(whole, share=0.0), whole)
    )
    assert np.abs(full - without).max() > 1
    assert np.array_equal(none, without)
    assert np.abs(half - (full + without) / 2).max() < 1e-3
