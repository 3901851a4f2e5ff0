"""The conditional perceptrons, against their layers by hand."""

import pytest
import torch
from torch import Tensor, nn

from zerosum.nets.conditional_mlp import ConditionalMLPCritic, ConditionalMLPGenerator

CLASSES, SHAPE = 3, (1, 4, 4)
LABELS = torch.tensor([2, 0, 1, 2, 2])


def shapes(net: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in net.parameters() if p.dim() == 2]


def affine(layer: nn.Module, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def maxout(layer: nn.Module, x: Tensor) -> Tensor:
    return affine(layer.affine, x).reshape(len(x), layer.units, layer.pieces).max(2).values


def test_the_papers_layers():
    """Mirza & Osindero 2014, section 4.1: 200 and 1000, then 1200; maxout 240×5 and 50×5, then 240×4."""
    assert shapes(ConditionalMLPGenerator((1, 28, 28), 10)) == [
        (200, 100), (1000, 10), (1200, 1200), (784, 1200)
    ]  # fmt: skip
    assert shapes(ConditionalMLPCritic((1, 28, 28), 10)) == [
        (240 * 5, 784), (50 * 5, 10), (240 * 4, 290), (1, 240)
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [SHAPE, (2,)])
def test_the_generator_joins_what_latent_and_label_are_mapped_to(shape):
    net = ConditionalMLPGenerator(shape, CLASSES, latent=5, branches=(4, 3), hidden=(6,)).eval()
    z = torch.randn(5, 5)
    one_hot = torch.eye(CLASSES)[LABELS]
    joint = torch.cat([affine(net.of_latent, z).relu(), affine(net.of_label, one_hot).relu()], 1)
    first, _, last = net.joint.layers
    h = affine(last, affine(first, joint).relu())
    expected = 2 * h.sigmoid() - 1 if len(shape) > 1 else h
    torch.testing.assert_close(net(z, LABELS), expected.reshape(5, *shape))


@pytest.mark.parametrize("shape", [SHAPE, (2,)])
def test_the_critic_joins_what_sample_and_label_are_mapped_to(shape):
    net = ConditionalMLPCritic(shape, CLASSES, branches=(4, 3), hidden=(6,), pieces=2, joint_pieces=3).eval()
    x = torch.rand(5, *shape) * 2 - 1
    seen = (x.flatten(1) + 1) / 2 if len(shape) > 1 else x
    one_hot = torch.eye(CLASSES)[LABELS]
    joint = torch.cat([maxout(net.of_sample, seen), maxout(net.of_label, one_hot)], 1)
    hidden, judge = net.joint.layers
    torch.testing.assert_close(net(x, LABELS), affine(judge, maxout(hidden, joint))[:, 0])


def test_dropout_is_for_training_alone_and_at_every_layer_named():
    generator = ConditionalMLPGenerator(SHAPE, CLASSES, latent=5, hidden=(6,), dropout=0.5)
    critic = ConditionalMLPCritic(SHAPE, CLASSES, hidden=(6,), dropout=(0.2, 0.4))
    z, x = torch.randn(5, 5), torch.randn(5, *SHAPE)
    for net, inputs, rates in ((generator, z, [0.5, 0.5]), (critic, x, [0.2, 0.4, 0.4])):
        assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == rates
        assert not torch.equal(net(inputs, LABELS), net(inputs, LABELS))
        net.eval()
        assert torch.equal(net(inputs, LABELS), net(inputs, LABELS))


def test_generation_starts_at_the_mean_of_the_data_whatever_the_label():
    net = ConditionalMLPGenerator(SHAPE, CLASSES, latent=5).eval()
    torch.nn.init.zeros_(net.joint.layers[-1].weight)
    real = torch.rand(50, *SHAPE) * 1.6 - 0.8
    net.begin_at(real)
    for each in net(torch.randn(5, 5), LABELS):
        torch.testing.assert_close(each, real.mean(0))
