"""Training AEI-Net: its networks and one step (FaceShifter, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from types import MappingProxyType

import torch
from torch import Tensor
from torch.func import functional_call

from fsvideo.faces.shown import laid
from fsvideo.models.aei import PRESETS, AEINet, AttributesEncoder, grow
from fsvideo.models.discriminator import FeatureDiscriminator, MultiScaleDiscriminator
from fsvideo.models.distances import away, expression, pose, stains, tint
from fsvideo.models.expression import Blendshapes
from fsvideo.models.identity import EncoderEnsemble, IdentityEncoder
from fsvideo.models.jitter import jitter
from fsvideo.models.landmarks import EYELIDS, IRISES, LIPS, POINTS, FaceMesh
from fsvideo.train import losses
from fsvideo.train.descend import autocast, descend
from fsvideo.train.nudge import nudge
from fsvideo.train.pairs import Batch
from fsvideo.train.run import Ema
from fsvideo.train.settings import AEISettings
from fsvideo.train.world import World

_FINE = EYELIDS + IRISES + LIPS  # the mesh's points that show gaze and expression
_WATCHERS = ("id", "second")  # the recognisers whose feature maps discriminators see, too; a third adds cost, not sight
_SLOW_START = 100  # steps over which the learning rate rises: Adam's first ones know no scale yet


def frozen_call(net: AttributesEncoder, x: Tensor) -> list[Tensor]:
    """``net(x)`` whose gradient reaches ``x`` but not the net's parameters.

    The attributes loss is cheapest for an encoder that ignores its input; so it may shape the picture, not the encoder.
    """
    return functional_call(net, {k: v.detach() for k, v in net.named_parameters()}, (x,))  # type: ignore[no-any-return]


class AEITrainer:
    """Networks, optimisers and the two half steps. ``init``: a net to start from, grown to size.

    ``others``: recognisers beside dlib's, the ``encoder``, by name; ``mesh``, ``blendshapes``: the face mesh, and what
    reads expressions off it. Each is used where the settings give it a weight.
    """

    def __init__(
        self,
        settings: AEISettings,
        encoder: IdentityEncoder,
        world: World,
        init: AEINet | None = None,
        others: Mapping[str, IdentityEncoder] = MappingProxyType({}),
        mesh: FaceMesh | None = None,
        blendshapes: Blendshapes | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.world, device = settings, world, world.device
        known = {"id": encoder.to(device)} | {name: e.to(device) for name, e in others.items()}
        self.encoder = EncoderEnsemble([known[name] for name in settings.identity])
        asked = {"id"} | {name for name, w in settings.recognisers.items() if w > 0}
        self.recognisers = {name: e for name, e in known.items() if name in asked}
        self.mesh = mesh.to(device) if mesh is not None and settings.asks_mesh else None
        self.blendshapes = blendshapes.to(device) if blendshapes is not None and settings.w_expression > 0 else None
        if init is None:
            self.net = AEINet(replace(PRESETS[settings.preset], size=settings.size, z_id=self.encoder.length))
        else:
            self.net = grow(init, settings.size)
        self.net.to(device)
        # At 256 pixels the full-size discriminator, which costs most, only looks at texture: half as wide.
        widths = (32, 32, 32) if settings.size <= 128 else (16, 32, 32)
        self.discriminator = MultiScaleDiscriminator(widths, depth=3 if settings.size <= 64 else 4).to(device)
        self.features = FeatureDiscriminator([c for e in self._watchers() for c in e.net.maps]).to(device)
        # torch takes no integer beta here
        self.opt = torch.optim.Adam(self.net.parameters(), settings.lr, betas=(0.0, 0.999), fused=True)
        judges = [*self.discriminator.parameters(), *self.features.parameters()]
        self.opt_d = torch.optim.Adam(judges, settings.lr_discriminator, betas=(0.0, 0.999), fused=True)
        self.ema = Ema(self.net, settings.ema)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.step = 0
        # What the step runs: the nets themselves, or their compiled forms, which share the parameters.
        self._swap: Callable[..., tuple[Tensor, list[Tensor]]] = self.net
        self._judge: Callable[..., list[Tensor]] = self.discriminator
        if settings.compile:
            self._swap, self._judge = torch.compile(self.net), torch.compile(self.discriminator)

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One update of generator and, after the warm-up, discriminators; returns the named losses."""
        s = self.settings
        adversarial = self.step >= s.warmup
        for group in self.opt.param_groups:
            group["lr"] = s.lr * min(1.0, (self.step + 1) / _SLOW_START)
        with autocast(self.world.device, s.precision):
            made, z_att = self._swap(batch.target, batch.z_id)
            y_hat, wanted, seen_faces = self._shown(made, batch.target)
            shown = jitter(y_hat, self.generator, self.world.size, self.world.rows)
            seen = {name: e.look(shown) for name, e in self.recognisers.items()}
            z_att_y = frozen_call(self.net.attributes, y_hat)
            z_y = {name: z.float() for name, (z, _) in seen.items()}
            terms = {name: losses.identity(z, batch.z_source[name], s.enough) for name, z in z_y.items()}
            if s.w_away > 0:
                left = [away(z, batch.z_source[name], batch.z_target[name]) for name, z in z_y.items()]
                terms["away"] = torch.stack(left).mean()
            terms["att"] = losses.attributes([z.float() for z in z_att_y], [z.detach().float() for z in z_att])
            terms["rec"] = losses.reconstruction(made.float(), batch.target, batch.same)
            if self.mesh is not None:
                half = (len(y_hat) + 1) // 2  # of the batch: it costs a fifth of a step, and half is enough
                points, wanted, seen_faces = self.mesh(y_hat[:half]), wanted[:half], seen_faces[:half]
                terms["mesh"] = losses.mesh(points, wanted, seen_faces, _FINE)
                terms["pose"] = pose(points, wanted, seen_faces)
                if self.blendshapes is not None:
                    shapes, wanted_shapes = self.blendshapes(torch.cat([points, wanted])).chunk(2)
                    terms["expression"] = expression(shapes, wanted_shapes, seen_faces)
            if s.w_steady > 0:
                quarter = (len(y_hat) + 3) // 4  # of the batch, as it costs another pass
                moved, wanted_moved = nudge(batch.target[:quarter], made[:quarter].float(), self.generator, self.world)
                terms["steady"] = losses.steady(self._swap(moved, batch.z_id[:quarter])[0].float(), wanted_moved)
            if s.w_texture > 0:
                terms["texture"] = losses.texture(y_hat.float(), batch.target)
            if s.w_stains > 0:
                terms["stains"] = stains(y_hat.float(), batch.target)
            if s.w_tint > 0:
                terms["tint"] = tint(made.float(), batch.target)
            maps = [m for name in _WATCHERS if name in seen for m in seen[name][1]]
            if adversarial:
                self._freeze(True)
                terms["adv"] = losses.hinge_generator(self._judge(y_hat))
                if s.w_feature > 0:
                    terms["feature"] = losses.hinge_generator(self.features(maps))
        risen = min(1.0, self.step / max(1, s.ramp))
        weights = {name: w * risen for name, w in {"id": s.w_id, "away": s.w_away, **s.recognisers}.items()}
        weights |= {"att": s.w_att, "rec": s.w_rec}
        weights |= {"mesh": s.w_mesh, "pose": s.w_pose, "expression": s.w_expression}
        weights |= {
            "texture": s.w_texture,
            "stains": s.w_stains,
            "tint": s.w_tint,
            "steady": s.w_steady,
            "adv": s.w_adv,
            "feature": s.w_feature,
        }
        told = descend(terms, weights, self.opt, self.world, self.step)
        if self.step >= s.warmup - s.lead:
            self._freeze(False)
            told |= self._train_judges(batch.target, y_hat.detach(), [m.detach() for m in maps])
        self.ema.update(self.net, self.step)
        self.step += 1
        return told

    def _shown(self, made: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the losses look at: the result as users see it, or as made; the targets' meshes, and who has one."""
        points, seen = target.new_zeros(len(target), POINTS, 3), target.new_zeros(len(target), dtype=torch.bool)
        if self.mesh is not None:
            with torch.no_grad():
                points, presence = self.mesh.look(target)
            seen = presence > 0
        if not self.settings.as_shown:
            return made, points, seen
        return laid(made, target, points, seen), points, seen

    def _train_judges(self, real: Tensor, fake: Tensor, fake_maps: list[Tensor]) -> dict[str, float]:
        """One update of the discriminators; real crops meet the recognisers as jittered as made ones do."""
        s = self.settings
        with autocast(self.world.device, s.precision):
            terms = {"d": losses.hinge_discriminator(self._judge(real), self._judge(fake))}
            if s.w_feature > 0:
                with torch.no_grad():
                    shown = jitter(real, self.generator, self.world.size, self.world.rows)
                    maps = [m for e in self._watchers() for m in e.look(shown)[1]]
                terms["d_feature"] = losses.hinge_discriminator(self.features(maps), self.features(fake_maps))
        told = descend(terms, dict.fromkeys(terms, 1.0), self.opt_d, self.world, self.step)
        del told["total"]
        return told

    def _watchers(self) -> list[IdentityEncoder]:
        return [self.recognisers[name] for name in _WATCHERS if name in self.recognisers]

    def _freeze(self, frozen: bool) -> None:
        """Whether gradients pass the discriminators without reaching their parameters."""
        self.discriminator.requires_grad_(not frozen)
        self.features.requires_grad_(not frozen)

    def judge_as(self, tensors: Mapping[str, Tensor]) -> bool:
        """Take over these discriminators, named as ``export_judges`` does; those that are not among them begin anew.

        False where there are none, or others than these.
        """
        nets = {"discriminator": self.discriminator, "features": self.features}
        own = {f"{net}.{k}": v for net, module in nets.items() for k, v in module.state_dict().items()}
        if not tensors or any(k not in own or own[k].shape != v.shape for k, v in tensors.items()):
            return False
        for k, v in tensors.items():
            own[k].copy_(v)
        return True

    def state(self) -> dict[str, object]:
        return {
            "step": self.step,
            "settings": asdict(self.settings),
            "config": self.net.config.to_json(),
            "identity": self.encoder.name,
            "net": self.net.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "features": self.features.state_dict(),
            "opt": self.opt.state_dict(),
            "opt_d": self.opt_d.state_dict(),
            "ema": self.ema.values,
            "generator": self.generator.get_state(),
        }

    def load(self, state: dict[str, object]) -> None:
        self.net.load_state_dict(state["net"])  # type: ignore[arg-type]
        self.discriminator.load_state_dict(state["discriminator"])  # type: ignore[arg-type]
        self.features.load_state_dict(state["features"])  # type: ignore[arg-type]
        self.opt.load_state_dict(state["opt"])  # type: ignore[arg-type]
        self.opt_d.load_state_dict(state["opt_d"])  # type: ignore[arg-type]
        self.ema.values = {k: v.to(self.world.device) for k, v in state["ema"].items()}  # type: ignore[attr-defined]
        self.generator.set_state(state["generator"])  # type: ignore[arg-type]
        self.step = int(state["step"])  # type: ignore[call-overload]

    @torch.no_grad()
    def look(self, batch: Batch) -> tuple[list[Tensor], dict[str, float]]:
        """source | target | y_hat | reconstruction, by the averaged weights, and what can be measured on them.

        Cosine of y_hat to the source; mean |reconstruction - target| in grey levels.
        """
        net = AEINet(self.net.config).to(self.world.device)
        net.load_state_dict(self.ema.values)
        y_hat, z_att = net(batch.target, batch.z_id)
        again = net.generate(z_att, self.encoder(batch.target), batch.target)
        found = {
            "look_id": 1 - float(losses.identity(self.encoder(y_hat), batch.z_id)),
            "look_rec": 127.5 * float((again - batch.target).abs().mean()),
        }
        return [batch.source, batch.target, self._shown(y_hat, batch.target)[0], again], found
