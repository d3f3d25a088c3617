"""Training AEI-Net: pairs of source and target, and one step (FaceShifter, section 3.1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from fsvideo.models.aei import PRESETS, AEIConfig, AEINet, AttributesEncoder, grow
from fsvideo.models.discriminator import MultiScaleDiscriminator
from fsvideo.models.identity import IdentityEncoder
from fsvideo.train import losses
from fsvideo.train.data import FaceData
from fsvideo.train.run import Diverged, Ema, to_tensor


@dataclass(frozen=True)
class AEISettings:
    """What a run is made of. The loss weights' defaults are those the shipped weights were trained with."""

    preset: str = "compact"
    size: int = 64
    batch: int = 8
    lr: float = 4e-4
    lr_discriminator: float = 4e-4
    w_adv: float = 1.0
    w_att: float = 10.0
    w_id: float = 10.0
    w_rec: float = 20.0
    same: float = 0.2  # share of pairs whose source is the target
    ramp: int = 1000  # steps over which w_id rises from 0, and the share of same pairs falls from a half
    warmup: int = 1000  # steps without the adversarial term
    ema: float = 0.999
    seed: int = 0
    steps: int = 1_000_000
    max_minutes: float = 0.0  # 0: no limit
    save_minutes: float = 3.0
    sample_every: int = 250


@dataclass(frozen=True)
class Batch:
    """``target`` (B, 3, S, S); ``z_id`` (B, D) of the sources; ``source`` pictures, to look at; ``same`` (B,) bool."""

    target: Tensor
    source: Tensor
    z_id: Tensor
    same: Tensor


class Pairs:
    """Random pairs of source and target from crops in memory; step k draws the same pairs in every run of a seed."""

    def __init__(self, data: FaceData, mean: Tensor, settings: AEISettings, device: torch.device) -> None:
        self.data, self.settings, self.device = data, settings, device
        self.z_id = F.normalize(torch.from_numpy(data.embeddings) - mean.cpu(), dim=1)

    def draw(self, step: int) -> Batch:
        rng = np.random.default_rng((self.settings.seed, step))
        count = self.settings.batch
        target = rng.integers(len(self.data), size=count)
        source = rng.integers(len(self.data), size=count)
        early = max(0.0, 1 - step / max(1, self.settings.ramp))
        same = rng.random(count) < self.settings.same + early * (0.5 - self.settings.same)
        source[same] = target[same]
        flip = rng.random(count) < 0.5
        rgb = self.data.rgb[target]
        rgb[flip] = rgb[flip, :, ::-1]
        return Batch(
            to_tensor(rgb, self.device),
            to_tensor(self.data.rgb[source], self.device),
            self.z_id[source].to(self.device),
            torch.from_numpy(same).to(self.device),
        )


def jitter(y: Tensor, generator: torch.Generator) -> Tensor:
    """Shift a batch by up to a 30th of the side and change each picture's gain and colour a little.

    Stands between generator and recogniser, with a random touch of blur, so that coloured specks in exact places do
    not pay.
    """
    n, _, size, _ = y.shape
    reach = max(1, size // 30)
    dx, dy = torch.randint(0, 2 * reach + 1, (2,), generator=generator).tolist()
    y = F.pad(y, (reach, reach, reach, reach), mode="replicate")[..., dy : dy + size, dx : dx + size]
    gain = 1 + 0.15 * torch.randn(n, 1, 1, 1, generator=generator) + 0.05 * torch.randn(n, 3, 1, 1, generator=generator)
    offset = 0.08 * torch.randn(n, 3, 1, 1, generator=generator)
    y = y * gain.to(y.device) + offset.to(y.device)
    soft = F.avg_pool2d(F.pad(y, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.lerp(y, soft, torch.rand(n, 1, 1, 1, generator=generator).to(y.device))


def frozen_call(net: AttributesEncoder, x: Tensor) -> list[Tensor]:
    """``net(x)`` whose gradient reaches ``x`` but not the net's parameters.

    The attributes loss is cheapest for an encoder that ignores its input; so it may shape the picture, not the encoder.
    """
    return functional_call(net, {k: v.detach() for k, v in net.named_parameters()}, (x,))  # type: ignore[no-any-return]


class AEITrainer:
    """Networks, optimisers and the two half steps. ``init``: averaged weights to start from, grown to size."""

    def __init__(
        self,
        settings: AEISettings,
        encoder: IdentityEncoder,
        device: torch.device,
        init: tuple[AEIConfig, dict[str, Tensor]] | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.encoder = encoder.to(device)
        if init is None:
            self.net = AEINet(replace(PRESETS[settings.preset], size=settings.size))
        else:
            self.net = AEINet(init[0])
            self.net.load_state_dict(init[1])
            self.net = grow(self.net, settings.size)
        self.net.to(device)
        self.discriminator = MultiScaleDiscriminator(depth=3 if settings.size <= 64 else 4).to(device)
        # torch takes no integer beta here
        self.opt = torch.optim.Adam(self.net.parameters(), settings.lr, betas=(0.0, 0.999), fused=True)
        self.opt_d = torch.optim.Adam(
            self.discriminator.parameters(), settings.lr_discriminator, betas=(0.0, 0.999), fused=True
        )
        self.ema = Ema(self.net, settings.ema)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.step = 0

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One update of generator and, after the warm-up, discriminator; returns the named losses."""
        s = self.settings
        adversarial = self.step >= s.warmup
        y_hat, z_att = self.net(batch.target, batch.z_id)
        terms = {
            "id": losses.identity(self.encoder(jitter(y_hat, self.generator)), batch.z_id),
            "att": losses.attributes(frozen_call(self.net.attributes, y_hat), [z.detach() for z in z_att]),
            "rec": losses.reconstruction(y_hat, batch.target, batch.same),
        }
        if adversarial:
            self.discriminator.requires_grad_(False)
            terms["adv"] = losses.hinge_generator(self.discriminator(y_hat))
        weights = {"id": s.w_id * min(1.0, self.step / max(1, s.ramp)), "att": s.w_att, "rec": s.w_rec, "adv": s.w_adv}
        total = torch.stack([weights[k] * v for k, v in terms.items()]).sum()
        if not torch.isfinite(total):
            raise Diverged(f"the loss is no longer finite at step {self.step}", "start again with a lower lr")
        self.opt.zero_grad(set_to_none=True)
        total.backward()
        self.opt.step()
        if adversarial:
            self.discriminator.requires_grad_(True)
            loss_d = losses.hinge_discriminator(self.discriminator(batch.target), self.discriminator(y_hat.detach()))
            self.opt_d.zero_grad(set_to_none=True)
            loss_d.backward()
            self.opt_d.step()
            terms["d"] = loss_d
        self.ema.update(self.net, self.step)
        self.step += 1
        return {"total": float(total.detach()), **{k: float(v.detach()) for k, v in terms.items()}}

    def state(self) -> dict[str, object]:
        return {
            "step": self.step,
            "settings": asdict(self.settings),
            "config": self.net.config.to_json(),
            "net": self.net.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "opt": self.opt.state_dict(),
            "opt_d": self.opt_d.state_dict(),
            "ema": self.ema.values,
            "generator": self.generator.get_state(),
        }

    def load(self, state: dict[str, object]) -> None:
        self.net.load_state_dict(state["net"])  # type: ignore[arg-type]
        self.discriminator.load_state_dict(state["discriminator"])  # type: ignore[arg-type]
        self.opt.load_state_dict(state["opt"])  # type: ignore[arg-type]
        self.opt_d.load_state_dict(state["opt_d"])  # type: ignore[arg-type]
        self.ema.values = {k: v.to(self.device) for k, v in state["ema"].items()}  # type: ignore[attr-defined]
        self.generator.set_state(state["generator"])  # type: ignore[arg-type]
        self.step = int(state["step"])  # type: ignore[call-overload]

    @torch.no_grad()
    def look(self, batch: Batch) -> tuple[list[Tensor], dict[str, float]]:
        """source | target | y_hat | reconstruction, by the averaged weights, and what can be measured on them.

        Cosine of y_hat to the source; mean |reconstruction - target| in grey levels.
        """
        net = AEINet(self.net.config).to(self.device)
        net.load_state_dict(self.ema.values)
        y_hat, z_att = net(batch.target, batch.z_id)
        again = net.generate(z_att, self.encoder(batch.target))
        found = {
            "look_id": 1 - float(losses.identity(self.encoder(y_hat), batch.z_id)),
            "look_rec": 127.5 * float((again - batch.target).abs().mean()),
        }
        return [batch.source, batch.target, y_hat, again], found
