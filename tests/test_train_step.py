"""One step of training: which losses there are, what HEAR-Net learns, and what stays frozen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from face_fixtures import EXAMPLES
from train_fixtures import AEI, ALONE, HEAR, aei_run, faces, hear_run

from fsvideo import weights
from fsvideo.models.discriminator import FeatureDiscriminator, MultiScaleDiscriminator
from fsvideo.models.identity import IdentityEncoder
from fsvideo.networks import load_blendshapes, load_encoder, load_mesh
from fsvideo.train import losses
from fsvideo.train.aei import AEITrainer
from fsvideo.train.export import export_judges
from fsvideo.train.hear import as_known, heuristic_errors, swap
from fsvideo.train.pairs import Pairs
from fsvideo.train.run import to_tensor
from fsvideo.train.settings import LOSSES


@pytest.fixture(scope="module")
def encoder() -> IdentityEncoder:
    return load_encoder()


def test_every_loss_is_named_and_the_adversarial_one_waits(encoder: IdentityEncoder) -> None:
    trainer, pairs = aei_run(encoder)
    names = [set(trainer.train_step(pairs.draw(k))) for k in range(3)]
    always = {"total", "id", "att", "rec", "away", "texture", "stains", "tint", "steady"}
    assert names == [always, always | {"d", "d_feature"}, always | {"d", "d_feature", "adv", "feature"}]


def test_stains_count_where_they_are_given_a_weight(encoder: IdentityEncoder) -> None:
    trainer, pairs = aei_run(encoder, replace(AEI, w_stains=60.0))
    assert "stains" in trainer.train_step(pairs.draw(0))
    trainer, pairs = aei_run(encoder, replace(AEI, w_stains=0.0))
    assert "stains" not in trainer.train_step(pairs.draw(0))


def test_the_papers_losses_are_the_papers_terms_alone(encoder: IdentityEncoder) -> None:
    trainer, pairs = aei_run(encoder, replace(AEI, **LOSSES["paper"]))
    names = [set(trainer.train_step(pairs.draw(k))) for k in range(3)]
    assert names[2] == {"total", "id", "att", "rec", "adv", "d"}


def test_the_mesh_asks_for_the_targets_gaze_and_expression(encoder: IdentityEncoder) -> None:
    data = faces()
    portrait = cv2.cvtColor(cv2.imread(str(EXAMPLES / "grace_hopper.jpg")), cv2.COLOR_BGR2RGB)
    data.rgb[:] = cv2.resize(portrait[100:340, 145:385], (64, 64), interpolation=cv2.INTER_AREA)
    pairs = Pairs(data, {"id": encoder.mean}, AEI, ALONE)
    told = AEITrainer(AEI, encoder, ALONE, mesh=load_mesh(), blendshapes=load_blendshapes()).train_step(pairs.draw(0))
    assert 0 < told["mesh"] < 1 and 0 < told["pose"] < 3 and 0 < told["expression"] < 5
    without = AEITrainer(
        replace(AEI, **LOSSES["paper"]), encoder, ALONE, mesh=load_mesh(), blendshapes=load_blendshapes()
    )
    assert not {"mesh", "pose", "expression"} & without.train_step(pairs.draw(0)).keys()


@pytest.mark.parametrize("run", [aei_run, hear_run])
def test_half_precision_learns_the_same(encoder: IdentityEncoder, run: Any) -> None:
    """What two steps of bfloat16 report is what two of single precision do, nearly."""
    told = []
    for precision in ("float32", "bfloat16"):
        trainer, pairs = run(encoder, replace(AEI if run is aei_run else HEAR, precision=precision))
        told.append([trainer.train_step(pairs.draw(k)) for k in range(2)])
    for whole, half in zip(*told, strict=True):
        assert whole.keys() == half.keys()
        assert half == pytest.approx(whole, rel=0.1, abs=0.02)


def test_a_third_recogniser_has_a_say(encoder: IdentityEncoder) -> None:
    others = {name: load_encoder(name) for name in ("second", "third")}
    pairs = Pairs(faces(), {"id": encoder.mean} | {n: e.mean for n, e in others.items()}, AEI, ALONE)
    told = AEITrainer(AEI, encoder, ALONE, others=others).train_step(pairs.draw(0))
    assert {"id", "second", "third"} <= told.keys()
    less = AEITrainer(replace(AEI, w_second=0.0), encoder, ALONE, others=others).train_step(pairs.draw(0))
    assert "third" in less and "second" not in less


def test_the_generator_is_told_what_two_recognisers_know(encoder: IdentityEncoder) -> None:
    settings = replace(AEI, identity=("id", "third"))
    third = load_encoder("third")
    pairs = Pairs(faces(), {"id": encoder.mean, "third": third.mean}, settings, ALONE)
    trainer = AEITrainer(settings, encoder, ALONE, others={"third": third})
    batch = pairs.draw(0)
    assert trainer.net.config.z_id == 320 and trainer.state()["identity"] == "dlib-resnet-v1+mobilefacenet"
    torch.testing.assert_close(batch.z_id.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(batch.z_id[:, :128], batch.z_source["id"] / 2**0.5)
    torch.testing.assert_close(batch.z_id[:, 128:], batch.z_source["third"] / 2**0.5)
    before = trainer.net.start.weight.detach().clone()
    trainer.train_step(batch)
    assert bool((trainer.net.start.weight[:, 128:] != before[:, 128:]).any())


def test_who_trains_on_has_the_discriminators_that_judged_before(encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, pairs = aei_run(encoder)
    for k in range(4):
        trainer.train_step(pairs.draw(k))
    file = tmp_path / "judges.safetensors"
    export_judges(trainer.state(), file, "small")
    tensors = weights.load(file, "judges").tensors
    other, _ = aei_run(encoder, replace(AEI, seed=5))
    crops = pairs.draw(0).target

    def scores(run: AEITrainer) -> list[torch.Tensor]:
        run.discriminator.eval()  # spectral norm then stays as it is
        return [x.detach() for x in run.discriminator(crops)]

    assert not torch.allclose(scores(other)[0], scores(trainer)[0], atol=1e-2)
    assert other.judge_as(tensors)
    for a, b in zip(scores(other), scores(trainer), strict=True):
        torch.testing.assert_close(a, b, atol=1e-2, rtol=1e-2)
    assert not other.judge_as({}) and not other.judge_as(tensors | {"discriminator.more": torch.zeros(1)})


def test_a_discriminator_that_the_weights_lack_begins_anew(encoder: IdentityEncoder, tmp_path: Path) -> None:
    trainer, _ = aei_run(encoder)
    export_judges(trainer.state(), tmp_path / "judges.safetensors", "small")
    tensors = weights.load(tmp_path / "judges.safetensors", "judges").tensors
    older = {k: v for k, v in tensors.items() if not k.startswith("discriminator.eyes.")}
    other, _ = aei_run(encoder, replace(AEI, seed=5))
    own = other.discriminator.eyes.state_dict()
    own = {k: v.clone() for k, v in own.items()}
    assert 0 < len(older) < len(tensors) and other.judge_as(older)
    now = other.state()
    for k, v in older.items():
        net, _, name = k.partition(".")
        torch.testing.assert_close(now[net][name], v.float())
    for k, v in other.discriminator.eyes.state_dict().items():
        torch.testing.assert_close(v, own[k])


def test_one_discriminator_looks_at_eyes_and_brows_alone() -> None:
    torch.manual_seed(0)
    judge = MultiScaleDiscriminator((8, 8, 8), depth=4).eval()
    picture = torch.rand(1, 3, 256, 256) * 2 - 1
    brow, mouth = picture.clone(), picture.clone()
    brow[..., 75:80, 90:110] *= -1
    mouth[..., 170:190, 100:150] *= -1
    *scales, eyes = judge(picture)
    assert len(scales) == 3 and eyes.shape[2] < eyes.shape[3]
    assert not torch.equal(judge(brow)[-1], eyes) and torch.equal(judge(mouth)[-1], eyes)
    assert not torch.equal(judge(mouth)[0], scales[0])


def test_heads_on_features_tell_faces_from_noise(encoder: IdentityEncoder) -> None:
    """After a few steps real crops score higher; what is noise to the eye is noise to the recogniser's layers."""
    torch.manual_seed(0)
    heads = FeatureDiscriminator(encoder.net.maps, width=8)
    opt = torch.optim.Adam(heads.parameters(), 1e-2)
    smooth, noise = to_tensor(faces(12).rgb, torch.device("cpu")), torch.rand(12, 3, 64, 64) * 2 - 1
    seen = [encoder.look(x)[1] for x in (smooth, noise)]
    for _ in range(20):
        loss = losses.hinge_discriminator(*([heads([m[:8] for m in maps]) for maps in seen]))
        opt.zero_grad()
        loss.backward()
        opt.step()
    for real, fake in zip(*(heads([m[8:] for m in maps]) for maps in seen), strict=True):
        assert real.mean() > fake.mean() + 0.5


class Paints(torch.nn.Module):
    """Stands in for an AEI-Net: paints these pictures whatever it is given."""

    def __init__(self, pictures: torch.Tensor) -> None:
        super().__init__()
        self.pictures = pictures

    def attributes(self, target: torch.Tensor) -> list[torch.Tensor]:
        return []

    def generate(self, z_att: list[torch.Tensor], z_id: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.pictures[: len(z_id)]

    def forward(self, target: torch.Tensor, z_id: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return self.pictures[: len(z_id)], []


def test_hear_learns_to_show_the_occluders(encoder: IdentityEncoder) -> None:
    """Behind a net that knows the clean faces, what lies under the occluders is restored and the rest left alone."""
    trainer, pairs = hear_run(encoder, replace(HEAR, batch=2, lr=1e-2, w_id=0.0, ema=0.5))
    clean = torch.from_numpy(pairs.data.rgb[:2]).permute(0, 3, 1, 2) / 127.5 - 1
    occluder, alpha = torch.full_like(clean, 0.8), torch.zeros(2, 1, 64, 64)
    alpha[:, :, 20:40, 10:50] = 1
    different = torch.tensor([False, False])
    batch = replace(pairs.draw(0), occluder=occluder, alpha=alpha, same=different)
    batch = replace(batch, target=torch.lerp(clean, occluder, alpha))
    trainer.aei = Paints(clean)
    terms = [trainer.train_step(batch) for _ in range(50)]
    assert terms[-1]["occ"] < 0.4 * terms[0]["occ"]
    columns, found = trainer.look(batch)
    assert len(columns) == 5
    assert found["look_occ"] > found["look_occ_before"] + 6  # dB
    assert found["look_change"] < 5  # grey levels


def test_the_nets_around_hear_stay_frozen(encoder: IdentityEncoder) -> None:
    trainer, pairs = hear_run(encoder)
    before = {k: v.clone() for k, v in {**trainer.aei.state_dict(), **encoder.state_dict()}.items()}
    for k in range(2):
        trainer.train_step(pairs.draw(k))
    after = {**trainer.aei.state_dict(), **encoder.state_dict()}
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert not any(p.requires_grad for p in trainer.aei.parameters())


def test_the_occluded_batch_adds_up(encoder: IdentityEncoder) -> None:
    trainer, pairs = hear_run(encoder, replace(HEAR, batch=16, hard=1.0, occluded=0.5, same=0.5, footage=0.0))
    batch = pairs.draw(3)
    covered = batch.alpha.amax((1, 2, 3)) > 0
    assert 2 < int(covered.sum()) < 14 and 2 < int(batch.same.sum()) < 14
    known = torch.from_numpy(pairs.data.rgb[:5]).permute(0, 3, 1, 2) / 127.5 - 1  # the five hard ones
    for i in range(16):
        clear = batch.alpha[i] == 0
        distances = [((batch.target[i] - k).abs() * clear).max() for f in (known, known.flip(3)) for k in f]
        assert min(distances) < 1e-5
    full = (batch.alpha > 0.999).expand_as(batch.target)
    assert torch.allclose(batch.target[full], batch.occluder[full], atol=1e-2)
    y_hat, delta_y = swap(trainer.aei, batch)
    again, _ = trainer.aei(batch.target, batch.z_target)
    assert torch.equal(batch.z_target[batch.same], batch.z_id[batch.same])
    assert torch.allclose(delta_y, batch.target - again, atol=1e-5)
    assert not y_hat.requires_grad and not delta_y.requires_grad


def test_heuristic_error_is_that_of_the_faces_middle(encoder: IdentityEncoder) -> None:
    _, pairs = hear_run(encoder)
    grey: Any = Paints(torch.zeros(9, 3, 64, 64))
    pairs.data.rgb[:4] = np.array([128, 0, 255, 64], np.uint8)[:, None, None, None]
    rows = np.array([1, 0, 3, 2])
    expected = np.abs(np.array([0, 128, 64, 255]) / 127.5 - 1)
    np.testing.assert_allclose(heuristic_errors(grey, pairs, rows), expected, atol=1e-5)
    pairs.data.rgb[:, :8] = 255  # hair and background: the error there does not count
    pairs.data.rgb[:, :, :8] = 255
    np.testing.assert_allclose(heuristic_errors(grey, pairs, rows), expected, atol=1e-5)


def test_targets_known_by_one_picture_have_its_identity_whatever_lies_over_them(encoder: IdentityEncoder) -> None:
    trainer, pairs = hear_run(encoder, replace(HEAR, batch=12, occluded=1.0, known=0.5))
    batch = pairs.draw(3)
    assert 0 < int(batch.known.sum()) < len(batch.known)
    seen = as_known(batch, trainer.encoder)
    assert torch.equal(seen.z_target[batch.known], batch.z_target[batch.known])
    with torch.no_grad():
        by_this = trainer.encoder(batch.target[~batch.known])
    torch.testing.assert_close(seen.z_target[~batch.known], by_this)
    assert (
        float((by_this * batch.z_target[~batch.known]).sum(1).min()) < 0.99
    )  # the occluder changes who it seems to be
    _, always = hear_run(encoder, replace(HEAR, batch=12, known=1.0))
    batch = always.draw(3)
    assert as_known(batch, trainer.encoder) is batch
    _, looked_at = hear_run(encoder, replace(HEAR, batch=12, known=0.0))
    looked_at.held_out = True
    assert bool(looked_at.draw(0).known.all())
