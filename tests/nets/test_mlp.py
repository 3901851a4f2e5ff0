"""Perceptrons against brute force and the paper's sizes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zerosum.nets.mlp import Maxout, MLPCritic, MLPGenerator


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4))
def test_maxout_is_the_largest_of_its_pieces(inputs, units, pieces, batch):
    layer = Maxout(inputs, units, pieces).double()
    x = torch.randn(batch, inputs, dtype=torch.float64)
    found = layer(x).detach()
    weight, bias = layer.affine.weight.detach(), layer.affine.bias.detach()
    assert found.shape == (batch, units)
    for b in range(batch):
        for unit in range(units):
            rows = range(unit * pieces, (unit + 1) * pieces)
            values = [float(weight[k] @ x[b] + bias[k]) for k in rows]
            assert float(found[b, unit]) == pytest.approx(max(values), abs=1e-12)


def test_default_nets_are_the_papers():
    generator, critic = MLPGenerator((1, 28, 28)), MLPCritic((1, 28, 28), dropout=(0.2, 0.5))
    widths = [layer.out_features for layer in generator.modules() if isinstance(layer, nn.Linear)]
    assert widths == [1200, 1200, 784]
    maxouts = [layer for layer in critic.modules() if isinstance(layer, Maxout)]
    assert [(layer.units, layer.pieces) for layer in maxouts] == [(240, 5), (240, 5)]
    rates = [layer.p for layer in critic.modules() if isinstance(layer, nn.Dropout)]
    assert rates == [0.2, 0.5, 0.5]
    assert isinstance(critic.layers[0], nn.Dropout), "the first is at the input"


@pytest.mark.parametrize(("net", "bound"), [(MLPGenerator((1, 28, 28)), 0.05), (MLPCritic((2,)), 0.005)])
def test_weights_start_uniform_within_the_bound(net, bound):
    weights = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.Linear)])
    assert 0.98 * bound < weights.abs().max() <= bound
    assert abs(weights.std() - bound / 3**0.5) < 0.05 * bound
    assert all(not m.bias.any() for m in net.modules() if isinstance(m, nn.Linear))


def test_images_end_in_the_papers_sigmoid_moved_to_minus_one_and_one():
    net = MLPGenerator((1, 8, 8), latent=5, hidden=(6,), bound=None)
    z = torch.randn(4, 5)
    torch.testing.assert_close(net(z).flatten(1), 2 * torch.sigmoid(net.layers(z)) - 1)
    assert net(1000 * z).abs().max() <= 1


def test_points_may_lie_anywhere():
    net = MLPGenerator((2,), latent=5, hidden=(6,), bound=None)
    assert net(1000 * torch.randn(40, 5)).abs().max() > 1


@given(st.integers(1, 8), st.integers(8, 40), st.integers(8, 40), st.sampled_from([1, 3]))
@settings(max_examples=20)
def test_shapes(channels, height, width, pieces):
    shape = (channels, height, width)
    images = MLPGenerator(shape, latent=5, hidden=(6,))(torch.randn(3, 5))
    assert images.shape == (3, *shape)
    assert MLPCritic(shape, hidden=(4, 3), pieces=pieces)(images).shape == (3,)


def test_one_piece_is_a_leaky_relu():
    net = MLPCritic((2,), hidden=(3,), pieces=1, bound=None)
    x = torch.randn(5, 2)
    hidden = x @ net.layers[0].weight.T + net.layers[0].bias
    last = net.layers[-1]
    expected = torch.where(hidden > 0, hidden, 0.2 * hidden) @ last.weight.T + last.bias
    torch.testing.assert_close(net(x), expected.squeeze(1))


def test_dropout_acts_in_training_alone():
    net = MLPCritic((4,), hidden=(8,), dropout=(0.2, 0.5), bound=None)
    x = torch.randn(6, 4)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_a_generator_begins_at_the_mean_of_the_data():
    generator = MLPGenerator((1, 8, 8), latent=5, hidden=(7,))
    real = torch.rand(500, 1, 8, 8) * 1.8 - 0.9
    generator.begin_at(real)
    with torch.no_grad():
        generator.layers[-1].weight.zero_()
        made = generator(torch.randn(3, 5))
    torch.testing.assert_close(made, real.mean(0).expand(3, -1, -1, -1), atol=1e-5, rtol=0)
    generator.begin_at(-torch.ones(4, 1, 8, 8))  # a black border must keep a slope
    assert generator.layers[-1].bias.isfinite().all()
