"""What training runs are made of: every number that a config file can change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AEISettings:
    """What a run is made of. The loss weights' defaults are those the shipped weights were trained with."""

    preset: str = "compact"
    size: int = 64
    identity: tuple[str, ...] = ("id", "third")  # recognisers whose embeddings, end to end, are z_id
    batch: int = 8
    lr: float = 3e-4
    lr_discriminator: float = 3e-4
    w_adv: float = 3.2
    w_feature: float = 1.5  # of the adversarial loss on the recognisers' feature maps; 0: without it
    w_mesh: float = 6.0  # of the face mesh's points where the target's are; 0: without it
    w_expression: float = 24.0  # of the expression that is read off the face mesh
    w_pose: float = 20.0  # of the face mesh as a whole turned, moved and enlarged
    w_texture: float = 2.0  # of fine detail as strong as the target's; 0: without it
    w_stains: float = 3.0  # of light and dark that varies no more than in the target nearby; 0: without it
    w_tint: float = 40.0  # of the target's colour differences; 0: without it
    w_steady: float = 80.0  # of the same result, moved, for a target that moved by parts of a pixel; 0: without it
    w_att: float = 6.0
    w_id: float = 9.0
    w_second: float = 22.0  # of the identity loss by a second recogniser; 0: without it
    w_third: float = 30.0  # by a third one
    w_away: float = 44.0  # of what is left of the target's own identity, the mean over the recognisers
    enough: float = 0.9  # cosine beyond which the identity losses ask for no more
    w_rec: float = 60.0
    as_shown: bool = True  # losses look at results as a swap shows them, coloured and laid in the face; rec does not
    sharp: float = 0.3  # share of targets among the sharpest quarter: footage is sharper than most photos of people
    footage: float = 0.35  # share of targets made dark, smeared, small, grainy, compressed, as in poor footage
    turned: float = 0.2  # share of targets whose face is turned aside: photos show few profiles
    same: float = 0.25  # share of pairs whose source is the target
    ramp: int = 1000  # steps over which w_id rises from 0, and the share of same pairs falls from a half
    warmup: int = 1000  # steps without the adversarial terms
    lead: int = 100  # steps that the discriminators learn before the generator heeds them
    ema: float = 0.998
    precision: str = "auto"  # of the networks' arithmetic: float32, bfloat16; auto: bfloat16 where the hardware has it
    compile: bool = False  # torch.compile: worth its minutes on a GPU, not on a CPU
    seed: int = 0
    steps: int = 1_000_000
    max_minutes: float = 0.0  # 0: no limit
    save_minutes: float = 3.0
    sample_every: int = 250

    @property
    def recognisers(self) -> dict[str, float]:
        """The weight of each recogniser beside the identity encoder, by its name."""
        return {"second": self.w_second, "third": self.w_third}

    @property
    def others(self) -> tuple[str, ...]:
        """The recognisers beside the first one that a run needs."""
        return tuple(name for name, w in self.recognisers.items() if w > 0 or name in self.identity)

    @property
    def asks_mesh(self) -> bool:
        """Whether any loss needs the face mesh."""
        return max(self.w_mesh, self.w_expression, self.w_pose) > 0


# What --losses takes. The shipped weights' own are the defaults above; the others are FaceShifter's terms alone.
_PLAIN = {"w_adv": 1.0, "w_second": 0.0, "w_third": 0.0, "enough": 1.0, "w_feature": 0.0, "w_texture": 0.0}
_PLAIN |= {"w_stains": 0.0, "w_tint": 0.0, "w_away": 0.0, "w_mesh": 0.0, "w_expression": 0.0, "w_pose": 0.0}
_PLAIN |= {"w_steady": 0.0, "as_shown": False}
LOSSES: dict[str, dict[str, object]] = {
    "shipped": {},
    "brief": {"identity": ("id",), "w_att": 10.0, "w_id": 10.0, "w_rec": 5.0, **_PLAIN},
    "paper": {"identity": ("id",), "w_att": 10.0, "w_id": 5.0, "w_rec": 10.0, **_PLAIN},
}


@dataclass(frozen=True)
class HEARSettings:
    """What a run is made of."""

    preset: str = "compact"
    batch: int = 8
    lr: float = 8e-4
    w_id: float = 1.5
    enough: float = 0.85  # as AEISettings has it: identity is to be kept here, not to be gained
    w_change: float = 10.0
    w_rec: float = 30.0
    w_occ: float = 40.0
    same: float = 0.2  # share of pairs whose source is the target
    occluded: float = 0.7  # share of targets that something is pasted on
    footage: float = 0.35  # as AEISettings has it; occluders lie in the same footage
    known: float = 0.6  # share of targets whose identity is known from pictures without the occluder
    hard: float = 0.4  # share of targets among those of the largest heuristic error
    hardest: float = 0.1  # which part of the ranked crops these are
    ranked: int = 10_000  # crops whose heuristic error is measured before the first step
    held_out: tuple[str, ...] = ("microphone",)  # what occluders for validation are called, or how their names begin
    ema: float = 0.999
    precision: str = "auto"  # as AEISettings has it
    seed: int = 0
    steps: int = 1_000_000
    max_minutes: float = 0.0  # 0: no limit
    save_minutes: float = 3.0
    sample_every: int = 250
