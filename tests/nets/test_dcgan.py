"""DCGAN against its paper, and for every size that is served."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.nets.norms import norm_layer

sides = st.integers(8, 512)
NORMS = ["batch", "layer", "virtual", "none"]


def of(net: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in net.modules() if isinstance(layer, kinds)]


@settings(max_examples=60)
@given(st.integers(1, 8), sides, sides, st.sampled_from([3, 4, 5]), st.sampled_from(NORMS))
def test_every_size_and_channel_count(channels, height, width, kernel, norm):
    shape = (channels, height, width)
    with torch.device("meta"):  # shapes alone: no numbers are computed
        images = DCGANGenerator(shape, latent=7, width=2, kernel=kernel, norm=norm)(torch.empty(3, 7))
        logits = DCGANCritic(shape, width=2, kernel=kernel, norm=norm)(images)
    assert images.shape == (3, *shape)
    assert logits.shape == (3,)


@settings(max_examples=10)
@given(st.integers(1, 8), st.integers(8, 70), st.integers(8, 70), st.sampled_from(["batch", "layer", "none"]))
def test_images_lie_between_minus_one_and_one(channels, height, width, norm):
    shape = (channels, height, width)
    generator = DCGANGenerator(shape, latent=7, width=2, norm=norm)
    with torch.no_grad():
        images = generator(50 * torch.randn(3, 7))
        logits = DCGANCritic(shape, width=2, norm=norm)(images)
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    assert logits.isfinite().all()


def test_generator_is_the_papers_at_64():
    net = DCGANGenerator((3, 64, 64))
    assert net.project.weight.shape == (4 * 4 * 1024, 100)
    ups = of(net, nn.ConvTranspose2d)
    assert [up.in_channels for up in ups] + [ups[-1].out_channels] == [1024, 512, 256, 128, 3]
    assert {(up.kernel_size, up.stride) for up in ups} == {((5, 5), (2, 2))}
    assert [norm.num_features for norm in of(net, nn.BatchNorm2d)] == [1024, 512, 256, 128]
    assert isinstance(net.layers[-1], nn.Tanh)
    assert isinstance(net.layers[-2], nn.ConvTranspose2d), "no batch norm at the output"
    assert len(of(net, nn.ReLU)) == 4


def test_critic_is_the_papers_at_64():
    net = DCGANCritic((3, 64, 64))
    downs = of(net, nn.Conv2d)
    assert [down.in_channels for down in downs] + [downs[-1].out_channels] == [3, 128, 256, 512, 1024]
    assert {(down.kernel_size, down.stride) for down in downs} == {((5, 5), (2, 2))}
    assert [norm.num_features for norm in of(net, nn.BatchNorm2d)] == [256, 512, 1024]
    assert isinstance(net.layers[1], nn.LeakyReLU), "no batch norm at the input"
    assert {layer.negative_slope for layer in of(net, nn.LeakyReLU)} == {0.2}
    assert not of(net, nn.Sigmoid, nn.MaxPool2d, nn.AvgPool2d)
    assert net.judge.in_features == 1024 * 4 * 4


@pytest.mark.parametrize("make", [DCGANGenerator, DCGANCritic])
def test_weights_start_normal_with_deviation_two_hundredths(make):
    net = make((3, 64, 64), width=32)
    for layer in of(net, nn.Conv2d, nn.ConvTranspose2d, nn.Linear):
        n = layer.weight.numel()
        assert abs(layer.weight.mean()) < 4 * 0.02 / n**0.5
        assert abs(layer.weight.std() - 0.02) < 4 * 0.02 / (2 * n) ** 0.5
        assert layer.bias is None or not layer.bias.any()
    gammas = torch.cat([norm.weight for norm in of(net, nn.BatchNorm2d)])
    assert abs(gammas.mean() - 1) < 4 * 0.02 / len(gammas) ** 0.5
    assert abs(gammas.std() - 0.02) < 4 * 0.02 / (2 * len(gammas)) ** 0.5


@pytest.mark.parametrize("norm", NORMS)
def test_no_bias_before_batch_norm_and_one_elsewhere(norm):
    critic = DCGANCritic((1, 32, 32), width=4, norm=norm)
    first, *others = of(critic, nn.Conv2d)
    assert first.bias is not None
    assert all((conv.bias is None) == (norm in ("batch", "virtual")) for conv in others)
    assert len(of(critic, nn.BatchNorm2d)) == (2 if norm == "batch" else 0)
    assert len(of(critic, nn.GroupNorm)) == (2 if norm == "layer" else 0)


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_without_batch_norm_each_image_is_judged_alone(norm):
    critic = DCGANCritic((2, 16, 16), width=4, norm=norm)
    x = torch.randn(5, 2, 16, 16)
    torch.testing.assert_close(torch.cat([critic(x[i : i + 1]) for i in range(5)]), critic(x))


def test_layer_norm_is_over_channels_and_places():
    x = 3 + 2 * torch.randn(4, 6, 5, 5)
    y = norm_layer("layer", 6)(x)
    expected = (x - x.mean((1, 2, 3), keepdim=True)) / x.var((1, 2, 3), correction=0, keepdim=True).sqrt()
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_memory_format_changes_nothing_but_speed():
    critic = DCGANCritic((3, 32, 32), width=4)
    x = torch.randn(4, 3, 32, 32)
    plain = critic(x)
    critic.to(memory_format=torch.channels_last)
    torch.testing.assert_close(critic(x.contiguous(memory_format=torch.channels_last)), plain)


def test_filters_may_be_constant():
    """As in the generator of the WGAN papers' second row: no doubling inwards."""
    generator, critic = (make((3, 64, 64), width=4, growth=1) for make in (DCGANGenerator, DCGANCritic))
    assert [up.in_channels for up in of(generator, nn.ConvTranspose2d)] == [4, 4, 4, 4]
    assert [down.out_channels for down in of(critic, nn.Conv2d)] == [4, 4, 4, 4]
    assert critic.judge.in_features == 4 * 4 * 4
    with pytest.raises(ValueError, match="--growth must be at least 1, not width=4, growth=0"):
        DCGANCritic((3, 64, 64), width=4, growth=0)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="batch, layer, virtual or none"):
        DCGANCritic((3, 32, 32), width=4, norm="instance")
