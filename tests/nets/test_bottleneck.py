"""Bottleneck nets: their layers counted, every size, and that a hundred layers neither vanish nor explode."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zerosum.nets.bottleneck import BottleneckCritic, BottleneckGenerator


def depth_of(net: nn.Module) -> int:
    """Convolutions and linear layers on the way through the branches; shortcuts do not count."""
    layers = [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return sum("shortcut" not in name for name in layers)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 32), (3, 64, 64)])
@pytest.mark.parametrize("depth", [101, 50])
def test_the_depth_is_the_number_of_layers(shape, depth):
    with torch.device("meta"):
        generator = BottleneckGenerator(shape, depth=depth, width=4)
        critic = BottleneckCritic(shape, depth=depth, width=4)
    for net in (generator, critic):
        assert depth_of(net) == depth
        assert 3 * len(net.blocks) + 2 == depth
    assert [m.weight.shape[1] for m in generator.modules() if isinstance(m, nn.Linear)] == [128]


def test_each_size_has_as_many_blocks_and_both_nets_mirror_each_other():
    generator, critic = BottleneckGenerator((1, 16, 16), width=4), BottleneckCritic((1, 16, 16), width=4)
    places: list[tuple[int, int]] = []

    def look(module: nn.Module, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        places.append(
            (out.shape[1], out.shape[2]) if module in of_generator else (given[0].shape[1], given[0].shape[2])
        )

    of_generator = set(generator.blocks)
    for block in (*generator.blocks, *critic.blocks):
        block.register_forward_hook(look)
    critic(generator(torch.randn(2, 128)))
    assert places[:33] == [(16, 4)] * 11 + [(8, 8)] * 11 + [(4, 16)] * 11
    assert places[33:] == places[:33][::-1]


@settings(max_examples=10)
@given(
    st.integers(1, 4),
    st.integers(4, 7),
    st.integers(4, 20),
    st.integers(1, 4),
    st.sampled_from(["batch", "layer", "none"]),
    st.sampled_from([1, 16]),
    st.integers(0, 4),
)
def test_every_size_and_channel_count(channels, short, long, k, norm, growth, more):
    shape = (channels, short << k, max(short, long) << k)
    depth = 3 * (k + 1 + more) + 2
    with torch.device("meta"):
        images = BottleneckGenerator(shape, depth=depth, width=3, growth=growth, norm=norm)(
            torch.empty(3, 128)
        )
        critic = BottleneckCritic(shape, depth=depth, width=3, growth=growth, norm=norm)
        features = critic.features(images)
    assert images.shape == (3, *shape)
    assert features.shape == (3, critic.feature_count)
    assert critic.judge_features(features).shape == (3,)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_a_hundred_layers_neither_vanish_nor_explode(norm):
    x = torch.randn(16, 1, 16, 16, requires_grad=True)
    critic = BottleneckCritic((1, 16, 16), width=8, norm=norm, pooling="mean")
    h = critic.from_image(x)
    out = critic.blocks(h)
    assert 0.3 < out.std() / h.std() < 6
    critic(x).sum().backward()
    sizes = torch.stack([block.conv2.weight.grad.norm() for block in critic.blocks])
    assert sizes.max() < 200 * sizes.min()
    images = BottleneckGenerator((1, 16, 16), width=8, norm=norm)(torch.randn(16, 128))
    assert 0.05 < images.std() < 0.95


def test_what_cannot_be_built_is_refused_with_advice():
    for depth, near in ((100, "98 or 101"), (8, "11"), (0, "11")):
        with pytest.raises(ValueError, match=f"--depth {depth}: .* choose {near}$"):
            BottleneckCritic((1, 16, 16), depth=depth, width=4)
    with pytest.raises(ValueError, match="choose --size 28 or 32"):
        BottleneckGenerator((1, 30, 30))
