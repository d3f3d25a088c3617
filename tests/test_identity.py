"""The identity encoder: equality with dlib, the cut from crop to chip, centring, gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES, load_finder, read_image
from torch import Tensor
from torch.nn import functional as F

from fsvideo import weights
from fsvideo.casting import embed_portraits
from fsvideo.faces.align import crop
from fsvideo.models.chips import chip_transform, resampling_matrix
from fsvideo.models.identity import CHIP, IDENTITY_ENCODERS, IdentityEncoder
from fsvideo.networks import load_encoder, load_ensemble
from fsvideo.swapper import unchanged
from fsvideo.types import Array, CropSpec, Image, Portrait

# Where dlib's alignment puts the five points.
DLIB_POINTS = np.array([(45.81, 44.89), (101.5, 44.82), (73.83, 77.65), (49.4, 101.15), (98.64, 101.07)])
TEMPLATE = CropSpec().template


@pytest.fixture(scope="module")
def reference() -> tuple[Image, Array]:
    """Chips (4, 150, 150, 3) uint8 - two portraits, a pattern, black - and dlib's embeddings (4, 128)."""
    folder = Path(__file__).parent / "reference"
    strip = cv2.imread(str(folder / "dlib_chips.png"))
    assert strip is not None
    chips = strip[..., ::-1].reshape(CHIP, 4, CHIP, 3).swapaxes(0, 1)
    return chips.astype(np.uint8), np.load(folder / "dlib_embeddings.npy")


@pytest.fixture(scope="module")
def encoder() -> IdentityEncoder:
    checkpoint = weights.load("identity", "identity")
    encoder = IDENTITY_ENCODERS[checkpoint.meta["name"]]()
    encoder.load_state_dict(checkpoint.tensors)
    return encoder


def batch(pictures: Array | Image) -> Tensor:
    return torch.from_numpy(np.asarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def crop_of(chip: Image, size: int) -> Image:
    """A crop of that size from which the encoder would cut ``chip``."""
    scale, x, y = chip_transform(TEMPLATE, size, IdentityEncoder.chip_points)
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(chip, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def test_equals_dlib(encoder: IdentityEncoder, reference: tuple[Image, Array]) -> None:
    chips, expected = reference
    with torch.no_grad():
        z = encoder.net(batch(chips)).numpy()
    cosine = (z * expected).sum(1) / np.linalg.norm(z, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 1 - 1e-5
    # The shipped weights are in half precision; the arithmetic itself is exact to 2e-6.
    np.testing.assert_allclose(z, expected, atol=1e-3)


def test_strangers_are_farther_apart_than_pictures_of_one_face(
    encoder: IdentityEncoder, reference: tuple[Image, Array]
) -> None:
    astronaut, hopper = batch(reference[0][:2])
    changed = (0.7 * F.avg_pool2d(astronaut, 3, 1, 1) + 0.15).flip(2)
    with torch.no_grad():
        z = encoder.net(torch.stack([astronaut, changed, hopper]))
    same, other = (z[0] - z[1]).norm(), (z[0] - z[2]).norm()
    assert same < 0.4 < 0.6 < other  # dlib calls two faces one person below 0.6


def test_the_cut_puts_the_template_where_dlib_has_it(encoder: IdentityEncoder) -> None:
    for size in (64, 128, 256, 400):
        points = CropSpec(size).points
        y, x = np.mgrid[:size, :size]
        for (px, py), expected in zip(points, DLIB_POINTS, strict=True):
            spot = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (size / 40) ** 2)).astype(np.float32)
            chip = encoder.chips(torch.from_numpy(spot)[None, None].expand(1, 3, -1, -1))[0, 0].numpy()
            rows, columns = np.mgrid[:CHIP, :CHIP]
            centroid = np.array([(chip * columns).sum(), (chip * rows).sum()]) / chip.sum()
            assert np.abs(centroid - expected).max() < 1.6, (size, centroid, expected)
        scale, shift_x, shift_y = chip_transform(TEMPLATE, size, IdentityEncoder.chip_points)
        error = points * scale + (shift_x, shift_y) - DLIB_POINTS
        assert np.abs(error.mean(0)).max() < 1e-4  # least squares leaves no common shift


@pytest.mark.parametrize("size", [112, 128, 180, 256, 512])
def test_any_crop_size_gives_the_same_identity(
    encoder: IdentityEncoder, reference: tuple[Image, Array], size: int
) -> None:
    chips, expected = reference
    crops = np.stack([crop_of(chip, size) for chip in chips[:2]])
    with torch.no_grad():
        cut, z = encoder.chips(batch(crops)).numpy(), encoder.raw(batch(crops)).numpy()
    assert np.abs(cut - batch(chips[:2]).numpy()).mean() < 0.035  # a blur at most, no shift
    assert np.linalg.norm(z - expected[:2], axis=1).max() < 0.15
    assert np.linalg.norm(z[0] - expected[1]) > 0.6


def test_large_crops_do_not_alias(encoder: IdentityEncoder) -> None:
    size = 1024
    checker = ((np.add.outer(np.arange(size), np.arange(size)) % 2) * 2 - 1).astype(np.float32)
    chip = encoder.chips(torch.from_numpy(checker)[None, None].expand(1, 3, -1, -1))
    assert chip.abs().max() < 0.02  # the mean of the pattern; interpolation alone would give up to 1


def test_resampling_weights_sum_to_one_and_repeat_the_edge() -> None:
    inside = resampling_matrix(256, 0.714, -17.2, CHIP)
    np.testing.assert_allclose(inside.sum(1), 1, atol=1e-6)
    beyond = resampling_matrix(8, 2.0, 75.0, CHIP)  # a crop far smaller than the chip
    assert beyond[0, 0] == 1 and beyond[-1, -1] == 1


def test_centring_and_unit_length(reference: tuple[Image, Array]) -> None:
    encoder = IdentityEncoder()
    tensors = weights.load("identity").tensors
    mean = torch.linspace(-0.2, 0.2, 128)
    encoder.load_state_dict({**tensors, "mean": mean})
    crops = batch(np.stack([crop_of(chip, 128) for chip in reference[0][:2]]))
    with torch.no_grad():
        z, raw = encoder(crops), encoder.raw(crops)
    torch.testing.assert_close(z, F.normalize(raw - mean, dim=1))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(2))


def test_frozen_but_gradients_reach_the_crops(encoder: IdentityEncoder, reference: tuple[Image, Array]) -> None:
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())
    crops = batch(np.stack([crop_of(chip, 96) for chip in reference[0][:2]]))
    with torch.inference_mode():  # what is kept from here must not spoil the backward pass below
        source = encoder(crops[1:])
    crop = crops[:1].clone().requires_grad_()
    before = F.cosine_similarity(encoder(crop), source.clone()).sum()
    (gradient,) = torch.autograd.grad(before, crop)
    assert bool(gradient.isfinite().all())
    with torch.no_grad():
        after = F.cosine_similarity(encoder(crop + 0.5 * gradient / gradient.norm()), source).sum()
    assert after > before + 1e-3


def test_the_header_describes_the_file() -> None:
    checkpoint = weights.load("identity", "identity")
    assert checkpoint.meta["name"] == checkpoint.meta["identity"] == IdentityEncoder.name
    assert checkpoint.meta["origin"] == "dlib_face_recognition_resnet_model_v1.dat"
    assert len(checkpoint.meta["origin_sha256"]) == 64
    assert checkpoint.tensors["mean"].shape == (128,) and checkpoint.tensors["mean"].dtype == torch.float32


def test_the_third_opinion_knows_a_person_in_another_light_and_from_another() -> None:
    encoder = load_encoder("third")
    with load_finder() as finder:
        found = {name: read_image(EXAMPLES / name) for name in ("grace_hopper.jpg", "astronaut.png")}
        cuts = [crop(image, finder.find(image)[0].points, CropSpec(256)).rgb for image in found.values()]
    hopper, astronaut = batch(np.stack(cuts)).split(1)
    with torch.no_grad():
        z = encoder(
            torch.cat([hopper, hopper.flip(3) * 0.7 - 0.1, astronaut, F.avg_pool2d(hopper, 2).repeat(1, 1, 2, 2)])
        )
        same, other = (z[0] @ z[1]).item(), (z[0] @ z[2]).item()
    assert same > 0.6 and abs(other) < 0.3
    assert (z[0] @ z[3]).item() < same  # four small faces are not hers


def test_an_ensembles_cosine_is_the_mean_of_its_recognisers_own() -> None:
    ensemble = load_ensemble("dlib-resnet-v1+mobilefacenet")
    crops = torch.rand(3, 3, 96, 96) * 2 - 1
    parts = [load_encoder(name)(crops) for name in ("identity", "third")]
    z = ensemble(crops)
    assert z.shape == (3, ensemble.length) == (3, 320)
    torch.testing.assert_close(z @ z.T, sum(p @ p.T for p in parts) / 2)
    with pytest.raises(KeyError):
        load_ensemble("dlib-resnet-v1+nobody")


@pytest.mark.parametrize(
    ("name", "sides"), [("identity", (35, 17, 8)), ("second", (40, 20, 10)), ("third", (28, 14, 7))]
)
def test_a_recogniser_shows_what_it_sees_on_its_way(name: str, sides: tuple[int, ...]) -> None:
    encoder = load_encoder(name)
    crops = torch.rand(2, 3, 96, 96) * 2 - 1
    z, maps = encoder.look(crops)
    torch.testing.assert_close(z, encoder(crops))
    assert [tuple(m.shape[1:]) for m in maps] == [(c, s, s) for c, s in zip(encoder.net.maps, sides, strict=True)]
    assert all(bool(m.isfinite().all()) and bool(m.any()) for m in maps)


@pytest.mark.parametrize("name", ["grace_hopper.jpg", "astronaut.png"])
def test_a_source_is_who_it_is_in_the_mirror(name: str) -> None:
    """Views of a face and their mirror images are averaged: a photo and its mirror image give one identity."""
    swapper, image = unchanged(), read_image(EXAMPLES / name)
    face = load_finder().find(image)[0]
    points = face.points[[1, 0, 2, 4, 3]] * np.float32([-1, 1]) + np.float32([image.shape[1] - 1, 0])
    portraits = [
        Portrait(image, face),
        Portrait(np.ascontiguousarray(image[:, ::-1]), replace(face, points=points.astype(np.float32))),
    ]
    one, other = (embed_portraits(swapper, [p]) for p in portraits)
    assert one.shape == (14, 128) and all(float(one[0] @ view) < 0.995 for view in one[1:])
    np.testing.assert_allclose(one.mean(0), other.mean(0), atol=0.02)
    assert float(F.cosine_similarity(*(torch.from_numpy(z.mean(0)) for z in (one, other)), dim=0)) > 0.995
