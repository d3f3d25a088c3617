"""AEI-Net: the paper's equations re-derived in numpy, shapes, sizes, and growth from 64 to 256 pixels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from fsvideo.models.aei import AAD, PRESETS, AADResBlk, AEIConfig, AEINet, grow, widen
from fsvideo.models.enlarge import enlarged, in_quarters

Array = npt.NDArray[np.float64]
TINY = PRESETS["tiny"]


def weights(module: torch.nn.Module) -> dict[str, Array]:
    """The module's parameters, drawn at random so that no term hides behind an initial 0 or 1."""
    generator = torch.Generator().manual_seed(5)
    for p in module.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.4
    return {k: v.detach().numpy() for k, v in module.double().state_dict().items()}


def conv(x: Array, weight: Array, bias: Array) -> Array:
    """Cross-correlation of (N, C, H, W) at stride 1, zero padded to keep the size."""
    pad = weight.shape[-1] // 2
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((x.shape[0], weight.shape[0], height, width))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            out += np.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + height, j : j + width])
    return out + bias[None, :, None, None]


def test_quarters_put_together_are_the_enlarged_map() -> None:
    h = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(F.pixel_shuffle(in_quarters(h), 2), wanted)
    torch.testing.assert_close(enlarged(h, 14), wanted)
    assert enlarged(h, 7) is h


def normalised(h: Array) -> Array:
    """Instance normalisation: each sample's each channel to zero mean and unit variance."""
    mean, variance = h.mean((2, 3), keepdims=True), h.var((2, 3), keepdims=True)
    return (h - mean) / np.sqrt(variance + 1e-5)


def aad(w: dict[str, Array], at: str, h_bar: Array, z_att: Array, z_id: Array) -> Array:
    """Equations 2 to 4: A = gamma_att h + beta_att, I = gamma_id h + beta_id, (1 - M) A + M I."""
    c = h_bar.shape[1]
    spatial = conv(z_att, w[f"{at}att.weight"], w[f"{at}att.bias"])
    vector = (z_id @ w[f"{at}id.weight"].T + w[f"{at}id.bias"])[:, :, None, None]
    a = spatial[:, :c] * h_bar + spatial[:, c:]
    i = vector[:, :c] * h_bar + vector[:, c:]
    m = 1 / (1 + np.exp(-conv(h_bar, w[f"{at}mask.weight"], w[f"{at}mask.bias"])))
    return (1 - m) * a + m * i


def inputs(channels: int, att: int = 5, z: int = 7, side: int = 6) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(3)
    return rng.normal(2, 3, (2, channels, side, side)), rng.normal(size=(2, att, side, side)), rng.normal(size=(2, z))


def tensors(*arrays: Array) -> list[torch.Tensor]:
    return [torch.from_numpy(a) for a in arrays]


def test_aad_layer_is_the_papers() -> None:
    h, z_att, z_id = inputs(4)
    layer = AAD(4, 5, 7)
    expected = aad(weights(layer), "", normalised(h), z_att, z_id)
    with torch.no_grad():
        got = layer(*tensors(normalised(h), z_att, z_id)).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_aad_layer_starts_as_the_plain_normalised_map() -> None:
    layer = AAD(4, 5, 7)
    for modulation in (layer.att, layer.id):
        torch.nn.init.zeros_(modulation.weight)
    h_bar = torch.randn(2, 4, 6, 6)
    assert torch.allclose(layer(h_bar, torch.randn(2, 5, 6, 6), torch.randn(2, 7)), h_bar, atol=1e-6)


def test_modulation_from_a_smaller_map_is_the_enlarged_maps() -> None:
    """At the 256 level z_att is at half size: convolving before enlarging must equal convolving after."""
    layer = AAD(4, 5, 7).double()
    z_att = torch.randn(2, 5, 8, 8, dtype=torch.float64)
    after = layer.att(F.interpolate(z_att, size=(16, 16), mode="bilinear", align_corners=False))
    assert torch.allclose(torch.cat(layer.modulation(z_att, 16), 1), after, atol=1e-12)


@pytest.mark.parametrize("c_out", [4, 6])
def test_aad_res_block_is_the_papers(c_out: int) -> None:
    """AAD, ReLU, 3x3 convolution, twice; a third on the skip exactly where the widths differ."""
    h, z_att, z_id = inputs(4)
    block = AADResBlk(4, c_out, 5, 7)
    w = weights(block)
    x = conv(np.maximum(aad(w, "aad1.", normalised(h), z_att, z_id), 0), w["conv1.weight"], w["conv1.bias"])
    x = conv(np.maximum(aad(w, "aad2.", normalised(x), z_att, z_id), 0), w["conv2.weight"], w["conv2.bias"])
    skip = h
    if c_out != 4:
        skip = conv(np.maximum(aad(w, "aad3.", normalised(h), z_att, z_id), 0), w["conv3.weight"], w["conv3.bias"])
    assert any(k.startswith("aad3") for k in w) == (c_out != 4)
    with torch.no_grad():
        x_h, x_att, x_id = tensors(h, z_att, z_id)
        got = block(x_h, x_att, [x_id] * 3).numpy()
    np.testing.assert_allclose(got, x + skip, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("size", "maps"), [(64, 6), (128, 7), (256, 7)])
def test_shapes(size: int, maps: int) -> None:
    net = AEINet(AEIConfig(size, 128, TINY.att, TINY.gen)).eval()
    with torch.no_grad():
        y_hat, z_att = net(torch.rand(2, 3, size, size) * 2 - 1, F.normalize(torch.randn(2, 128)))
    assert y_hat.shape == (2, 3, size, size)
    assert float(y_hat.abs().max()) <= 1
    assert [a.shape[-1] for a in z_att] == [2 ** (k + 1) for k in range(maps)]
    assert [a.shape[1] for a in z_att] == list(net.attributes.channels)
    assert len(net.blocks) == size.bit_length() - 1  # the paper's 8 levels at 256


def test_a_samples_result_does_not_depend_on_its_batch() -> None:
    net = AEINet(TINY).double().eval()
    target, z_id = torch.rand(3, 3, 64, 64, dtype=torch.float64) * 2 - 1, F.normalize(torch.randn(3, 128).double())
    with torch.no_grad():
        assert torch.allclose(net(target, z_id)[0][1:2], net(target[1:2], z_id[1:2])[0], atol=1e-10)


def test_identity_and_attributes_both_reach_the_picture() -> None:
    net = AEINet(TINY)
    target = (torch.rand(1, 3, 64, 64) * 2 - 1).requires_grad_()
    z_id = F.normalize(torch.randn(1, 128)).requires_grad_()
    net(target, z_id)[0].square().sum().backward()
    assert target.grad is not None and z_id.grad is not None
    assert float(target.grad.abs().sum()) > 0 and float(z_id.grad.abs().sum()) > 0
    missing = [name for name, p in net.named_parameters() if p.grad is None]
    assert missing == []


def cost(config: AEIConfig) -> tuple[float, float]:
    """GMAC of one forward pass, millions of parameters."""
    with torch.device("meta"):
        net = AEINet(config)
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, 3, config.size, config.size), torch.zeros(1, config.z_id))
    return counter.get_total_flops() / 2e9, sum(p.numel() for p in net.parameters()) / 1e6


def test_what_the_presets_cost() -> None:
    macs, millions = cost(PRESETS["compact"])
    assert macs < 2.2 and millions < 20
    assert cost(AEIConfig(size=128))[0] < macs
    macs, millions = cost(PRESETS["aei-256"])
    assert 20 < macs < 200 and 50 < millions < 200  # of the paper's order
    assert cost(TINY)[1] < 0.5


def faces(count: int, side: int) -> torch.Tensor:
    """Smooth pictures: a few cosines a channel, in [-1, 1]."""
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 2 - 1
    return F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False).clamp(-1, 1)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(10 * torch.log10(4 / (a - b).square().mean()))


@pytest.mark.parametrize("preset", ["tiny", "compact"])
@pytest.mark.parametrize(
    ("brightness", "floor"), [(0.0, 37), (1.0, 27)]
)  # a group norm cannot hand on all of the latter
def test_growing_leaves_the_picture_nearly_as_it_was(preset: str, brightness: float, floor: float) -> None:
    torch.manual_seed(4)
    sizes = PRESETS[preset]
    net = AEINet(AEIConfig(64, 128, sizes.att, sizes.gen)).eval()
    z_id = F.normalize(torch.randn(4, 128))
    with torch.no_grad():
        for paint in net.paint.values():  # a strong picture (what is nearly grey would stay grey anyhow) and no target
            paint.get_parameter("weight").mul_(2)
            paint.get_parameter("bias")[3] = 20
        away = (1 - brightness) * faces(4, 64).mean((2, 3), keepdim=True)
        expected, _ = net(faces(4, 64) - away, z_id)
        assert float(expected.std()) > 0.2
        for size in (128, 256):
            # The painted maps are enlarged before the tanh.
            expected = F.interpolate(torch.atanh(expected), scale_factor=2.0, mode="bilinear").tanh()
            big = grow(net, size).eval()
            got, _ = big(faces(4, size) - away, z_id)
            assert big.config.size == size and got.shape[-1] == size
            assert psnr(got, expected) > floor


@pytest.mark.parametrize("size", [64, 256])
def test_the_last_mask_decides_at_each_pixel_between_target_and_painted(size: int) -> None:
    torch.manual_seed(5)
    net = AEINet(AEIConfig(size, 128, TINY.att, TINY.gen[:7])).eval()  # at 256, four pixels at a place
    target, z_id = faces(2, size), F.normalize(torch.randn(2, 128))
    masks = [p for name, p in net.named_parameters() if name.startswith("paint") and name.endswith("bias")]
    with torch.no_grad():
        for bias in masks:
            bias.view(4, -1)[3] = -60
        assert torch.equal(net(target, z_id)[0], target)
        for bias in masks:
            bias.view(4, -1)[3] = 60
        painted = net(target, z_id)[0]
        other = net.generate(net.attributes(target), z_id, torch.zeros_like(target))
        assert torch.equal(painted, other) and not torch.allclose(painted, target, atol=0.1)
        for bias in masks:
            bias.view(4, -1)[3] = 0
        between = net(target, z_id)[0]
        low, high = torch.minimum(target, painted), torch.maximum(target, painted)
        assert bool(((between >= low - 1e-5) & (between <= high + 1e-5)).all())
        assert not torch.allclose(between, target, atol=0.05) and not torch.allclose(between, painted, atol=0.05)


def test_grown_in_one_go_or_two_is_the_same_kind_of_net() -> None:
    big = grow(AEINet(AEIConfig(64, 128, TINY.att, TINY.gen)), 256)
    direct = AEINet(AEIConfig(256, 128, TINY.att, TINY.gen))
    assert {k: v.shape for k, v in big.state_dict().items()} == {k: v.shape for k, v in direct.state_dict().items()}
    assert big.config == direct.config


def test_a_net_for_longer_embeddings_heeds_the_old_part_alone_at_first() -> None:
    torch.manual_seed(0)
    old = AEINet(replace(PRESETS["tiny"], z_id=12))
    new = widen(old, 20, 0.6)
    target, z = torch.rand(2, 3, 64, 64) * 2 - 1, F.normalize(torch.randn(2, 12), dim=1)
    longer = torch.cat([0.6 * z, torch.randn(2, 8)], 1)
    with torch.no_grad():
        torch.testing.assert_close(new(target, longer)[0], old(target, z)[0], atol=1e-5, rtol=0)
    new(target, longer)[0].sum().backward()
    gradient = new.start.weight.grad
    assert gradient is not None and bool(gradient[:, 12:].any())  # training can weigh the rest


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (AEIConfig(16, 128, TINY.att, TINY.gen), 64),  # paints at 16 only: its picture would be lost
        (AEIConfig(64, 128, TINY.att, TINY.gen[:7]), 512),  # has no widths for that
        (AEIConfig(64, 128, (16, 16, 16, 8, 8, 8, 4), TINY.gen), 128),  # no room to hand the picture on
    ],
)
def test_growing_refuses_what_would_not_keep_the_picture(config: AEIConfig, size: int) -> None:
    with pytest.raises(ValueError, match="grow"):
        grow(AEINet(config), size)


def test_sizes_survive_a_round_trip() -> None:
    for config in PRESETS.values():
        assert AEIConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("change", [{"size": 100}, {"size": 1 << 20}, {"att": [0]}, {"gen": [8]}, {"z_id": 10**9}])
def test_sizes_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    raw = {**json.loads(TINY.to_json()), **change}
    with pytest.raises(ValueError, match="not the sizes"):
        AEIConfig.from_json(json.dumps(raw))
