"""The residual family against its papers, and for every size that halves evenly."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zerosum.constraints import spectral_norm
from zerosum.nets.folding import ConvPool2d, UpConv2d
from zerosum.nets.resnet import ResNetCritic, ResNetGenerator, up_block

NORMS = ["batch", "layer", "none"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@settings(max_examples=30)
@given(
    st.integers(1, 8),
    st.integers(4, 7),
    st.integers(4, 40),
    st.integers(1, 6),
    st.sampled_from(NORMS),
    st.sampled_from([1, 3, 16]),
    st.integers(1, 9),
)
def test_every_size_and_channel_count(channels, short, long, k, norm, growth, flat):
    shape = (channels, short << k, min(max(short, long) << k, 512 >> k << k))
    with torch.device("meta"):  # shapes alone: no numbers are computed
        images = ResNetGenerator(shape, latent=7, width=2, growth=growth, norm=norm)(torch.empty(3, 7))
        critic = ResNetCritic(shape, width=2, growth=growth, flat=flat, norm=norm)
        logits = critic(images)
    assert images.shape == (3, *shape)
    assert logits.shape == (3,)
    assert len(critic.blocks) == k + 1
    assert sum(isinstance(block.conv2, ConvPool2d) for block in critic.blocks) == max(1, k + 1 - flat)


@pytest.mark.parametrize("norm", NORMS)
def test_images_lie_between_minus_one_and_one(norm):
    shape = (2, 24, 40)
    images = ResNetGenerator(shape, latent=7, width=4, norm=norm)(50 * torch.randn(3, 7))
    assert images.abs().max() <= 1
    assert ResNetCritic(shape, width=4, norm=norm)(images).isfinite().all()


def widths(net: nn.Module) -> list[tuple[int, int, int]]:
    """Each block's feature maps in, between, out."""
    return [(b.conv1.in_channels, b.conv1.out_channels, b.conv2.out_channels) for b in net.blocks]


def test_on_cifar_they_are_the_papers():
    generator, critic = ResNetGenerator((3, 32, 32)), ResNetCritic((3, 32, 32))
    assert generator.project.weight.shape == (4 * 4 * 256, 128)
    assert widths(generator) == [(256, 256, 256)] * 3
    assert all(isinstance(b.conv1, UpConv2d) and isinstance(b.shortcut, UpConv2d) for b in generator.blocks)
    assert [type(m) for m in (generator.norm, generator.to_image)] == [nn.BatchNorm2d, nn.Conv2d]
    assert widths(critic) == [(3, 128, 128)] + [(128, 128, 128)] * 3
    assert [type(b.conv2) for b in critic.blocks] == [ConvPool2d] * 2 + [nn.Conv2d] * 2
    assert [type(b.shortcut) for b in critic.blocks] == [ConvPool2d] * 2 + [nn.Identity] * 2
    assert critic.blocks[0].norm1 is None, "no ReLU before the image"
    assert critic.blocks(torch.zeros(1, 3, 32, 32)).shape == (1, 128, 8, 8)
    assert critic.judge.weight.shape == (1, 128)
    assert not [m for m in critic.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]


def test_larger_nets_double_as_the_papers():
    with torch.device("meta"):
        generators = [ResNetGenerator((3, n, n), width=64, growth=16) for n in (48, 128)]
        critic = ResNetCritic((3, 128, 128), width=64, growth=16, flat=1)
    assert generators[0].base == (512, 6, 6)
    assert [out for *_, out in widths(generators[0])] == [256, 128, 64]
    assert generators[1].base == (1024, 4, 4)
    assert [out for *_, out in widths(generators[1])] == [1024, 512, 256, 128, 64]
    assert [out for *_, out in widths(critic)] == [64, 128, 256, 512, 1024, 1024]
    assert [type(b.conv2) for b in critic.blocks] == [ConvPool2d] * 5 + [nn.Conv2d]


def test_a_block_is_what_the_paper_draws():
    x = torch.randn(2, 4, 5, 3)
    block = up_block(4, 6, nn.BatchNorm2d, bias=False)
    big = nn.Upsample(scale_factor=2)
    h = nn.functional.conv2d(big(block.norm1(x).relu()), block.conv1.weight, padding=1)
    expected = block.conv2(block.norm2(h).relu()) + block.shortcut(x)
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)
    critic = ResNetCritic((3, 16, 16), width=4)
    x = torch.randn(2, 3, 16, 16)
    stem, down, flat = critic.blocks[0], *critic.blocks[1:]
    h = stem.conv2(stem.conv1(x).relu()) + stem.shortcut(x)
    for block in (down, flat):
        h = block.conv2(block.conv1(h.relu()).relu()) + block.shortcut(h)
    torch.testing.assert_close(critic(x), critic.judge(h.relu().sum((2, 3)))[:, 0], rtol=1e-5, atol=1e-5)


def test_pooling_is_a_sum_or_a_mean():
    by_sum, by_mean = (ResNetCritic((1, 16, 16), width=4, pooling=name) for name in ("sum", "mean"))
    by_mean.load_state_dict(by_sum.state_dict())
    x = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(by_sum.features(x), 8 * 8 * by_mean.features(x))
    assert by_sum.features(x).shape == (3, 4)


@pytest.mark.parametrize("make", [ResNetGenerator, partial(ResNetCritic, growth=2)])
def test_weights_start_by_glorots_law_with_room_for_relu(make):
    net = make((3, 32, 32), width=32)
    branches = {conv for block in net.blocks for conv in (block.conv1, block.conv2)}
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            places = layer.weight[0, 0].numel() if layer.weight.dim() > 2 else 1
            fans = places * (layer.weight.shape[0] + layer.weight.shape[1])
            bound = ((12 if layer in branches else 6) / fans) ** 0.5
            n = layer.weight.numel()
            assert layer.weight.abs().max() <= bound
            assert abs(layer.weight.std() / bound - 3**-0.5) < 4 / (2 * n) ** 0.5
            assert layer.bias is None or not layer.bias.any()


def test_biases_that_batch_norm_would_take_off_are_left_out():
    generator = ResNetGenerator((1, 16, 16), width=4)
    assert all(conv.bias is None for conv in generator.blocks.modules() if isinstance(conv, nn.Conv2d))
    blocks = nn.Sequential(up_block(4, 4, nn.BatchNorm2d), up_block(4, 4, nn.BatchNorm2d), nn.BatchNorm2d(4))
    x = torch.randn(5, 4, 4, 4, dtype=torch.float64)
    biases = [conv.bias for conv in blocks.modules() if isinstance(conv, nn.Conv2d)]
    assert len(biases) == 6
    y = blocks.double()(x)
    with torch.no_grad():
        for bias in biases:
            bias += torch.randn_like(bias)
    torch.testing.assert_close(blocks(x), y)
    critic = ResNetCritic((1, 16, 16), width=4, norm="batch")
    assert [block.conv1.bias is None for block in critic.blocks] == [False, True, True]
    assert all(block.conv2.bias is not None for block in critic.blocks)


def gradients(net: nn.Module, x: Tensor) -> list[Tensor]:
    net.zero_grad()
    y = net(x)
    (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
    return [y.detach(), *(p.grad for p in net.parameters())]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 20, 28)])
def test_folded_nets_are_the_plain_ones(shape, norm):
    for make, x in (
        (partial(ResNetGenerator, latent=9), torch.randn(4, 9)),
        (partial(ResNetCritic, pooling="mean"), torch.randn(4, *shape)),
    ):
        folded, plain = (make(shape, width=6, norm=norm, folded=way) for way in (True, False))
        plain.load_state_dict(folded.state_dict())
        for net in (folded, plain):
            torch.manual_seed(0)
            spectral_norm().prepare(net)
            net.to(memory_format=torch.channels_last)
        ours, theirs = gradients(folded, x), gradients(plain, x)
        torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
        for a, b in zip(ours[1:], theirs[1:], strict=True):
            assert (a - b).norm() <= 1e-4 * b.norm() + 1e-6


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_without_batch_norm_each_image_is_judged_alone(norm):
    critic = ResNetCritic((2, 16, 16), width=4, norm=norm)
    x = torch.randn(5, 2, 16, 16)
    torch.testing.assert_close(torch.cat([critic(x[i : i + 1]) for i in range(5)]), critic(x))


def test_channels_last_goes_through():
    generator = ResNetGenerator((3, 16, 16), width=4).to(memory_format=torch.channels_last)
    images = generator(torch.randn(2, 128))
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("make", [ResNetGenerator, ResNetCritic])
def test_what_cannot_be_built_is_refused_with_advice(make):
    for shape, message in (
        ((3, 30, 30), "30×30 do not halve evenly 2 times: choose --size 28 or 32"),
        ((3, 9, 17), "9×17 do not halve evenly 1 times: choose --size 8x16 or 10x18"),
        ((3, 6, 64), "height must be 8 to 512"),
    ):
        with pytest.raises(ValueError, match=message):
            make(shape)
    for setting, message in (
        ({"norm": "virtual"}, "no virtual batch norm: choose batch, layer or none"),
        ({"norm": "instance"}, "batch, layer, virtual or none"),
        ({"growth": 0}, "--growth must be at least 1, not width=.*, growth=0"),
    ):
        with pytest.raises(ValueError, match=message):
            make((3, 32, 32), **setting)
    with pytest.raises(ValueError, match="--flat must be at least 1"):
        ResNetCritic((3, 32, 32), flat=0)
    with pytest.raises(ValueError, match="--pooling must be sum or mean, not 'max'"):
        ResNetCritic((3, 32, 32), pooling="max")
