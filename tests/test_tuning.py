"""What is asked of the network, tuned: a recogniser that took no part sees more of the source, the face holds still."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from commandline import run
from face_fixtures import EXAMPLES, load_finder, read_image
from torch import Tensor

from fsvideo.backends import ready
from fsvideo.casting import identify
from fsvideo.evaluate.judge import Judge
from fsvideo.faces.align import crop
from fsvideo.faces.shown import maps_of, shown
from fsvideo.models.distances import expression, pose, stains
from fsvideo.networks import load_blendshapes, load_mesh
from fsvideo.options import TUNE_STEPS
from fsvideo.swapper import AEISwapper, load_swapper, tiny, unchanged
from fsvideo.tuning import Readers, tuned
from fsvideo.types import Array, Identity


class Pair(NamedTuple):
    """A source, and a target as the network sees it."""

    swapper: AEISwapper
    source: Array  # its crop
    z_id: Array
    target: Array


@pytest.fixture(scope="module")
def pair() -> Pair:
    swapper = load_swapper("compact", False, torch.device("cpu"))
    assert isinstance(swapper, AEISwapper)
    rgb, portrait = read_image(EXAMPLES / "astronaut.png"), read_image(EXAMPLES / "grace_hopper.jpg")
    with load_finder() as finder:
        cuts = [crop(x, finder.find(x)[0].points, swapper.spec).rgb.astype(np.float32) for x in (portrait, rgb)]
        z_id = identify(finder, swapper, [EXAMPLES / "grace_hopper.jpg"]).embedding
    return Pair(swapper, cuts[0], z_id, cuts[1])


def tensor(crop: Array) -> Tensor:
    return torch.from_numpy(crop).permute(2, 0, 1)[None].contiguous() / 127.5 - 1


def test_results_are_more_of_the_source_and_keep_the_target_s_pose_and_expression(pair: Pair) -> None:
    z_id = pair.swapper.tuned(pair.target[None], np.ones((1, 256, 256), np.float32), pair.z_id, pair.z_id, TUNE_STEPS)
    assert np.linalg.norm(z_id, axis=1) == pytest.approx(1, abs=1e-4)
    assert len(z_id) == pair.swapper.net.layers
    assert np.abs(z_id[0] - z_id[-1]).max() > 0.005  # each layer by itself
    target, judge, points_of = tensor(pair.target), Judge(), np.float32(pair.swapper.spec.template) * 256
    mesh, blendshapes, seen = load_mesh(), load_blendshapes(), torch.tensor([True])
    wanted = mesh(target)
    source, own = (judge(one.round().clip(0, 255).astype(np.uint8), points_of) for one in (pair.source, pair.target))
    found = []
    with torch.no_grad():
        for asked in (pair.z_id, z_id):
            y = as_shown(pair, asked)
            points = mesh(y)
            picture = (y[0].permute(1, 2, 0).numpy() * 127.5 + 127.5).round().clip(0, 255).astype(np.uint8)
            who = judge(picture, points_of)
            shapes = expression(blendshapes(points), blendshapes(wanted), seen).item()
            turned, shades = pose(points, wanted, seen).item(), stains(y, target).item()
            found.append((float(who @ source), shapes, turned, float(who @ own), shades))
    before, after = found
    assert after[0] > before[0] + 0.04  # by a recogniser that took no part in it
    assert after[1] < 0.8 * before[1]
    assert after[2] < before[2]
    assert after[3] < before[3] - 0.04  # less of the target's likeness
    assert after[4] < 0.8 * before[4]  # and of shades that it has nowhere near


def as_shown(pair: Pair, asked: Array) -> Tensor:
    """The result, lit and tinted as a swap does it."""
    target = tensor(pair.target)
    points, presence = load_mesh().look(target)
    with torch.no_grad():
        y_hat, _ = pair.swapper.net(target, torch.from_numpy(asked)[None])
        return shown(y_hat, target, torch.ones(1, 1, 256, 256), maps_of(points, presence > 0, 256))


@pytest.mark.skipif(bool(ready.missing("onnx")), reason="pip install 'fsvideo[cpu]' brings the runtimes")
def test_a_runtime_asks_each_layer_as_pytorch_does(pair: Pair) -> None:
    dice = np.random.default_rng(0)
    each = pair.z_id + 0.03 * dice.standard_normal((pair.swapper.net.layers, len(pair.z_id))).astype(np.float32)
    each /= np.linalg.norm(each, axis=1, keepdims=True)
    other = load_swapper("compact", False, torch.device("cpu"), backend="onnx")
    asked = [Identity(each, ("a",)), Identity(pair.z_id, ("a",))]  # tuned and not, in one batch
    crops = np.stack([pair.target] * 2)
    ours, theirs = pair.swapper.swap(crops, asked), other.swap(crops, asked)
    assert np.abs(ours - theirs).max() < 0.2  # levels
    assert np.abs(ours[0] - ours[1]).max() > 5


def test_the_way_down_is_the_same_for_a_single_crop_with_channels_last(pair: Pair) -> None:
    """PyTorch 2.13's instance_norm gives another gradient there."""
    readers = Readers(pair.swapper.encoder, load_mesh(), load_blendshapes())
    mask, z_id = torch.ones(1, 1, 256, 256), torch.from_numpy(pair.z_id)
    target = tensor(pair.target)
    last = target.contiguous(memory_format=torch.channels_last)
    plain, other = (tuned(pair.swapper.net, readers, x, mask, z_id, z_id, 2) for x in (target, last))
    assert torch.equal(plain, other)
    assert not torch.allclose(plain, z_id, atol=1e-3)


def test_what_apples_gpus_cannot_is_done_on_the_cpu(pair: Pair) -> None:
    mask = np.ones((1, 256, 256), np.float32)
    elsewhere = replace(pair.swapper, device=torch.device("mps"))
    plain, other = (one.tuned(pair.target[None], mask, pair.z_id, pair.z_id, 1) for one in (pair.swapper, elsewhere))
    assert np.array_equal(plain, other)


def test_only_a_network_that_knows_faces_is_tuned_and_only_where_that_is_asked(pair: Pair) -> None:
    mask = np.ones((1, 256, 256), np.float32)
    assert pair.swapper.tuned(pair.target[None], mask, pair.z_id, pair.z_id, 0) is pair.z_id
    for other in (unchanged(), tiny()):
        asked = np.eye(1, 128, dtype=np.float32)[0]
        assert other.tuned(pair.target[None], mask, asked, asked, 8) is asked


def test_commands_tune_by_default(tmp_path: Path) -> None:
    photo, source = EXAMPLES / "astronaut.png", EXAMPLES / "grace_hopper.jpg"
    fixed = "--source", source, "--input", photo, "--backend", "torch"
    run("swap", *fixed, "--output", tmp_path / "tuned.png", FSVIDEO_SWAP_TUNE="")  # as if it were not set
    run("swap", *fixed, "--output", tmp_path / "plain.png", "--tune", 0)
    judge = Judge()
    with load_finder() as finder:
        seen = [read_image(p) for p in (source, tmp_path / "plain.png", tmp_path / "tuned.png")]
        wanted, plain, better = (judge(rgb, finder.find(rgb)[0].points) for rgb in seen)
    assert better @ wanted > plain @ wanted + 0.005
