"""The nonlinearities against their formulas, and what a net of gates is made of."""

import pytest
import torch
from torch import nn

from zerosum.nets.activations import Gate, activation, maps_for
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator


def test_a_gate_is_tanh_of_one_half_times_sigmoid_of_the_other():
    x = torch.randn(3, 6, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(Gate()(x), x[:, :3].tanh() / (1 + (-x[:, 3:]).exp()))


@pytest.mark.parametrize("name", ["relu", "tanh", "gated"])
def test_nets_have_it_everywhere_and_nothing_else(name):
    kinds = {"relu": (nn.ReLU, nn.LeakyReLU), "tanh": (nn.Tanh, nn.Tanh), "gated": (Gate, Gate)}[name]
    nets = (
        DCGANGenerator((3, 32, 32), width=4, activation=name),
        DCGANCritic((3, 32, 32), width=4, activation=name),
    )
    for net, kind, more in zip(nets, kinds, (name == "tanh", 0), strict=True):
        found = [type(m) for m in net.modules() if isinstance(m, nn.ReLU | nn.LeakyReLU | nn.Tanh | Gate)]
        assert found.count(kind) == 3 + more, "one a hidden layer; the generator's output is tanh besides"
        assert len(found) == 4 - (net is nets[1])
    generator, critic = nets
    maps = maps_for(name)
    ups = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    downs = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in ups] == [(16, 8 * maps), (8, 4 * maps), (4, 3)]
    assert [(m.in_channels, m.out_channels) for m in downs] == [(3, 4 * maps), (4, 8 * maps), (8, 16 * maps)]
    assert [m.num_features for m in generator.modules() if isinstance(m, nn.BatchNorm2d)] == [
        16 * maps,
        8 * maps,
        4 * maps,
    ]
    images = generator(torch.randn(5, 100))
    assert images.shape == (5, 3, 32, 32)
    assert critic(images).shape == (5,)


def test_an_unknown_one_is_refused():
    with pytest.raises(ValueError, match="--activation must be relu, tanh or gated, not 'elu'"):
        activation("elu")
