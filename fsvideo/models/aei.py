"""AEI-Net, the Adaptive Embedding Integration Network (FaceShifter, section 3.1).

A U-Net reads the target's attributes at every scale, ``z_att``; a generator of AAD residual blocks (Adaptive
Attentional Denormalization) grows the result from the source's identity ``z_id``, deciding at each place and level
which of the two to follow.

Three departures from the paper. Two let a network grow from 64 to 256 pixels with its function unchanged: the output
is a sum over the levels of 64 pixels and up, and a network smaller than 256 reads its attributes from the picture
enlarged twofold, so that every generator level but the 256 one has an attribute map of its own size. The third carries
the AAD layer's own equation to the pixels: the generator paints a picture and a mask M, and the result is
(1 - M) target + M painted. What is not the face is then the target's to the last grain, from the first step on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsvideo.models.enlarge import enlarged, in_quarters

_FIRST_PAINT = 64  # the smallest level that paints


@dataclass(frozen=True)
class AEIConfig:
    """The sizes of an AEI-Net. ``att``/``gen``: channels of the map of 2, 4, 8 ... pixels, as wide as needed for 256.

    ``size``: side of the crop it makes, a power of two from 64 (16 for tests), at most twice that of the generator's
    last level, which then paints four pixels at each place; ``z_id``: length of the embedding.
    """

    size: int = 256
    z_id: int = 128
    att: tuple[int, ...] = (256, 192, 128, 64, 32, 16, 8)
    gen: tuple[int, ...] = (256, 256, 256, 128, 64, 32, 24)

    @property
    def levels(self) -> int:
        """Number of generator levels: 2 pixels to ``size``, or to half of it where ``gen`` ends there."""
        return min(self.size.bit_length() - 1, len(self.gen))

    @property
    def att_size(self) -> int:
        """Side of the picture that the attributes encoder reads: twice the output's, at most what ``att`` reaches."""
        return min(2 * self.size, 2 ** (len(self.att) + 1))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> AEIConfig:
        """Raises ValueError for anything but the sizes of an AEI-Net that fits in memory."""
        try:
            raw = json.loads(text)
            att, gen = (tuple(map(int, raw[name])) for name in ("att", "gen"))
            config = AEIConfig(int(raw["size"]), int(raw["z_id"]), att, gen)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError("not the sizes of an AEI-Net") from error
        widths = (*config.att, *config.gen, config.z_id)
        good_size = config.size in (16, 32, 64, 128, 256, 512) and max(len(att), len(gen)) <= 9
        if not good_size or not all(1 <= w <= 4096 for w in widths) or config.size > 2 ** (len(config.gen) + 1):
            raise ValueError(f"not the sizes of an AEI-Net: {text}")
        return config


PRESETS = {
    "compact": AEIConfig(),
    "aei-256": AEIConfig(att=(1024, 1024, 512, 256, 128, 64, 32), gen=(1024, 1024, 1024, 1024, 512, 256, 128, 64)),
    "tiny": AEIConfig(size=64, att=(16, 16, 16, 8, 8, 8, 8), gen=(16, 16, 16, 16, 8, 8, 8, 8)),
}


class AttributesEncoder(nn.Module):
    """Multi-level attributes encoder: a U-Net whose decoder maps are ``z_att`` (paper, figure 3b).

    Each step down is a strided 4x4 convolution, each step up a transposed one beside the skip. Group norm keeps a
    sample's result independent of its batch; the first step has none, so that absolute brightness reaches the skip.
    """

    def __init__(self, config: AEIConfig) -> None:
        super().__init__()
        self.size = config.att_size
        count = self.size.bit_length() - 2  # maps of 2 ... size/2 pixels
        widths = config.att[:count]  # from the coarsest
        self.down = nn.ModuleList()
        for k in reversed(range(count)):
            fan_in = 3 if k == count - 1 else widths[k + 1]
            self.down.append(nn.Conv2d(fan_in, widths[k], 4, 2, 1))
        self.down_norm = nn.ModuleList([nn.Identity(), *(_norm(widths[k]) for k in reversed(range(count - 1)))])
        self.up = nn.ModuleList()
        self.up_norm = nn.ModuleList()
        for k in range(1, count):
            fan_in = widths[0] if k == 1 else 2 * widths[k - 1]
            self.up.append(nn.ConvTranspose2d(fan_in, widths[k], 4, 2, 1))
            self.up_norm.append(_norm(widths[k]))
        self.channels = (widths[0], *(2 * w for w in widths[1:]))

    def forward(self, target: Tensor) -> list[Tensor]:
        """(N, 3, S, S) in [-1, 1] -> z_att, coarsest first: (N, channels[k], 2^(k+1), 2^(k+1))."""
        if target.shape[-1] != self.size:
            target = F.interpolate(target, size=(self.size, self.size), mode="bilinear", align_corners=False)
        skips = []
        h = target
        for conv, norm in zip(self.down, self.down_norm, strict=True):
            h = F.leaky_relu(norm(conv(h)), 0.1)
            skips.append(h)
        z_att = [skips.pop()]
        for conv, norm in zip(self.up, self.up_norm, strict=True):
            h = F.leaky_relu(norm(conv(z_att[-1])), 0.1)
            z_att.append(torch.cat([h, skips.pop()], 1))
        return z_att


class AAD(nn.Module):
    """Adaptive Attentional Denormalization of an already instance-normalised map (paper, equations 2 to 4)."""

    def __init__(self, channels: int, z_att: int, z_id: int) -> None:
        super().__init__()
        self.att = nn.Conv2d(z_att, 2 * channels, 1)  # gamma_att, beta_att
        self.id = nn.Linear(z_id, 2 * channels)  # gamma_id, beta_id
        self.mask = nn.Conv2d(channels, 1, 1)
        for modulation in (self.att, self.id):  # start as the plain normalised map
            nn.init.ones_(modulation.get_parameter("bias")[:channels])
            nn.init.zeros_(modulation.get_parameter("bias")[channels:])

    def forward(self, h_bar: Tensor, z_att: Tensor, z_id: Tensor) -> Tensor:
        gamma_att, beta_att = self.modulation(z_att, h_bar.shape[-1])
        gamma_id, beta_id = self.id(z_id)[..., None, None].chunk(2, 1)
        m = torch.sigmoid(self.mask(h_bar))
        a = torch.addcmul(beta_att, gamma_att, h_bar)
        i = torch.addcmul(beta_id, gamma_id, h_bar)
        return torch.lerp(a, i, m)  # (1 - M) A + M I

    def modulation(self, z_att: Tensor, size: int) -> tuple[Tensor, ...]:
        """gamma_att and beta_att; a 1x1 convolution commutes with enlarging, so the small map is convolved.

        One convolution for each: to take one map apart costs a copy in other runtimes.
        """
        halves = zip(self.att.weight.chunk(2), self.att.get_parameter("bias").chunk(2), strict=True)
        return tuple(enlarged(F.conv2d(z_att, weight, bias), size) for weight, bias in halves)


class AADResBlk(nn.Module):
    """Two times AAD, ReLU, 3x3 convolution; AAD, ReLU, 1x1 convolution on the skip where widths differ."""

    def __init__(self, c_in: int, c_out: int, z_att: int, z_id: int) -> None:
        super().__init__()
        self.aad1 = AAD(c_in, z_att, z_id)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, 1, 1)
        self.aad2 = AAD(c_out, z_att, z_id)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1)
        self.aad3 = AAD(c_in, z_att, z_id) if c_in != c_out else None
        self.aads = 2 if self.aad3 is None else 3
        self.conv3 = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else None

    def forward(self, h: Tensor, z_att: Tensor, z_id: Sequence[Tensor]) -> Tensor:
        """``z_id``: (N, D) for each of its AAD layers."""
        h_bar = F.instance_norm(h)
        x = self.conv1(F.relu(self.aad1(h_bar, z_att, z_id[0])))
        x = self.conv2(F.relu(self.aad2(F.instance_norm(x), z_att, z_id[1])))
        if self.aad3 is not None and self.conv3 is not None:
            h = self.conv3(F.relu(self.aad3(h_bar, z_att, z_id[2])))
        return x + h


class AEINet(nn.Module):
    """Attributes encoder and AAD generator: ``y_hat, z_att = net(target, z_id)``."""

    def __init__(self, config: AEIConfig) -> None:
        super().__init__()
        self.config = config
        self.attributes = AttributesEncoder(config)
        gen, levels = config.gen, config.levels
        self.start = nn.Linear(config.z_id, gen[0] * 4)
        self.blocks = nn.ModuleList()
        self.aads: list[int] = []  # AAD layers of each block
        self.paint = nn.ModuleDict()  # by side: RGB before the tanh and M before the sigmoid
        for k in range(levels):
            z_att = self.attributes.channels[min(k, len(self.attributes.channels) - 1)]
            block = AADResBlk(gen[max(k - 1, 0)], gen[k], z_att, config.z_id)
            self.blocks.append(block)
            self.aads.append(block.aads)
            if 2 ** (k + 1) >= min(_FIRST_PAINT, config.size):
                self.paint[str(2 ** (k + 1))] = nn.Conv2d(gen[k], 4, 3, 1, 1)
        if str(config.size) not in self.paint:
            four = nn.Conv2d(gen[levels - 1], 16, 3, 1, 1)
            self.paint[str(config.size)] = nn.Sequential(four, nn.PixelShuffle(2))
        self.apply(_init)
        for parameter in self.paint.parameters():  # start grey, not saturated, and half the target
            parameter.data.mul_(0.2)

    def forward(self, target: Tensor, z_id: Tensor) -> tuple[Tensor, list[Tensor]]:
        """target (N, 3, S, S) in [-1, 1], z_id (N, D) unit length -> y_hat (N, 3, S, S) in [-1, 1], z_att.

        z_id may be (N, A, D), too: what each of the ``layers`` AAD layers is asked for.
        """
        z_att = self.attributes(target)
        return self.generate(z_att, z_id, target), z_att

    @property
    def layers(self) -> int:
        """Number of AAD layers."""
        return sum(self.aads)

    def generate(self, z_att: list[Tensor], z_id: Tensor, target: Tensor) -> Tensor:
        """Attributes, identity and the target itself -> y_hat (N, 3, S, S) in [-1, 1]."""
        z_id = z_id * z_id.shape[-1] ** 0.5  # a unit vector's components are small: bring them to unit variance
        asked = z_id.unbind(1) if z_id.dim() == 3 else [z_id] * self.layers
        h = self.start(asked[0]).unflatten(1, (-1, 2, 2))
        canvas: Tensor | None = None
        for k, (block, count) in enumerate(zip(self.blocks, self.aads, strict=True)):
            if k > 0:
                h = F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)
            h = block(h, z_att[min(k, len(z_att) - 1)], asked[:count])
            asked = asked[count:]
            sides = (2 ** (k + 1), self.config.size) if k + 1 == len(self.blocks) else (2 ** (k + 1),)
            for side in dict.fromkeys(sides):
                if str(side) in self.paint:
                    canvas = _add(canvas, self.paint[str(side)], F.leaky_relu(h, 0.1))
        assert canvas is not None
        # Rows end to end, or other runtimes keep the three colours of a pixel together: too few for their instructions.
        canvas = canvas.flatten(2).to(target.dtype)  # under autocast it came in half precision
        painted = 2 * torch.sigmoid(2 * canvas[:, :3]) - 1  # tanh, in a form they are faster at
        y_hat = torch.lerp(target.flatten(2), painted, torch.sigmoid(canvas[:, 3:]))
        return y_hat.unflatten(2, target.shape[2:])


def _add(canvas: Tensor | None, paint: nn.Module, h: Tensor) -> Tensor:
    """What is painted of ``h`` on top of the smaller canvas."""
    if canvas is None:
        return paint(h)
    if isinstance(paint, nn.Sequential):
        four, shuffle = paint
        return shuffle(four(h) + in_quarters(canvas))
    return enlarged(canvas, h.shape[-1]) + paint(h)


def grow(net: AEINet, size: int) -> AEINet:
    """A net for crops of ``size`` that at first paints what ``net`` paints, enlarged. Raises ValueError if it cannot.

    New output layers start at zero. The attributes encoder gets one more step down in front, at 128 pixels: it hands
    the picture on at half size and the old first step reads that.
    """
    if net.config.size < _FIRST_PAINT or size > 2 ** (len(net.config.gen) + 1):
        raise ValueError(
            f"an AEI-Net of {net.config.size} pixels and {len(net.config.gen)} levels does not grow to {size}"
        )
    while net.config.size < size:
        net = _grow_once(net)
    return net


def widen(net: AEINet, z_id: int, scale: float) -> AEINet:
    """A net for embeddings of length ``z_id`` that does what ``net`` did.

    They begin with those that ``net`` knows, times ``scale``; what follows is not heeded until training weighs it.
    """
    wide = AEINet(replace(net.config, z_id=z_id))
    before, ratio = net.state_dict(), scale * (z_id / net.config.z_id) ** 0.5
    with torch.no_grad():
        for name, now in wide.state_dict().items():
            if now.shape == before[name].shape:
                now.copy_(before[name])
            else:
                now.zero_()
                now[:, : net.config.z_id] = before[name] / ratio
    return wide


def _grow_once(old: AEINet) -> AEINet:
    config = AEIConfig(old.config.size * 2, old.config.z_id, old.config.att, old.config.gen)
    new = AEINet(config)
    state = dict(old.state_dict())
    deeper = new.attributes.size > old.attributes.size
    if deeper:  # the steps down are listed from the finest: make room for one in front
        state = {_shift(k): v for k, v in state.items()}
        del state["attributes.down.1.weight"], state["attributes.down.1.bias"]
    new.load_state_dict({**new.state_dict(), **state})
    with torch.no_grad():
        if deeper:
            _read_through(old.attributes.down[0], new.attributes)
        for p in new.paint[str(config.size)].parameters():
            nn.init.zeros_(p)
    return new


def _read_through(first: nn.Module, attributes: AttributesEncoder) -> None:
    """Make the two first steps down of ``attributes`` do what ``first``, the smaller net's first step, did.

    Six channels of the new step carry the halved picture and its negative: leaky ReLU keeps their difference. The
    second step has a group norm that the old first one had not. Offsets of plus and minus 8 in alternate channels
    outweigh the signal (a standard deviation of 0.1 to 0.4) in the norm's statistics, which then hardly depend on the
    picture, and its weight and bias undo them. Only the mean over a group's channels, which no group norm lets
    through, is lost.
    """
    half, then, norm = attributes.down[0], attributes.down[1], attributes.down_norm[1]
    assert isinstance(first, nn.Conv2d) and isinstance(half, nn.Conv2d) and isinstance(then, nn.Conv2d)
    assert isinstance(norm, nn.GroupNorm) and first.bias is not None and half.bias is not None and then.bias is not None
    if half.out_channels < 6:
        raise ValueError(f"growing needs 6 channels in the attributes encoder's first step, not {half.out_channels}")
    half.weight[:6] = 0
    half.bias[:6] = 0
    for c in range(3):  # the middle 2x2 of 4x4 taps: the mean of each square of four pixels
        half.weight[c, c, 1:3, 1:3] = 0.25
        half.weight[3 + c, c, 1:3, 1:3] = -0.25
    then.weight[:] = 0
    then.weight[:, :3] = first.weight / 1.1  # leaky_relu(x) - leaky_relu(-x) = 1.1 x at a slope of 0.1
    then.weight[:, 3:6] = -first.weight / 1.1
    offset = torch.full_like(first.bias, 8.0)
    offset[1::2] *= -1
    then.bias[:] = first.bias + offset
    groups = then.bias.unflatten(0, (norm.num_groups, -1))
    mean, std = groups.mean(1, keepdim=True), (groups.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    norm.weight[:] = std.expand_as(groups).flatten()
    norm.bias[:] = mean.expand_as(groups).flatten() - offset


def _shift(key: str) -> str:
    for part in ("attributes.down.", "attributes.down_norm."):
        if key.startswith(part):
            index, rest = key[len(part) :].split(".", 1)
            return f"{part}{int(index) + 1}.{rest}"
    return key


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // 16), channels)


def _init(module: nn.Module) -> None:
    # On the meta device there is nothing to fill, and torch would import a second's worth of packages for it.
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and not module.weight.is_meta:
        nn.init.xavier_normal_(module.weight)
