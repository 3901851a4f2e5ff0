"""Layers that see the whole batch, against their papers' formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from zerosum.games.fitting import has_batch_norm, mixes_batch
from zerosum.nets.dcgan import DCGANCritic
from zerosum.nets.minibatch import BATCH_LAYERS, MinibatchDiscrimination, MinibatchStd, batch_layer
from zerosum.nets.mlp import MLPCritic

NAMES = ["minibatch-discrimination:kernels=5,size=2", "minibatch-stddev:group=3"]


def test_discrimination_is_the_papers_sum_without_the_sample_itself():
    layer = MinibatchDiscrimination(4, kernels=3, size=2).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    found = layer(x).detach()
    assert torch.equal(found[:, :4], x)
    matrices = layer.project(x).detach().unflatten(1, (3, 2))  # [B, kernels, size]
    for i in range(5):
        for b in range(3):
            apart = [(matrices[i, b] - matrices[j, b]).abs().sum() for j in range(5) if j != i]
            assert found[i, 4 + b].item() == pytest.approx(sum(math.exp(-d) for d in apart), abs=1e-12)


def test_discrimination_counts_who_is_alike():
    layer = MinibatchDiscrimination(4, kernels=6)
    alike = torch.randn(1, 4).expand(7, -1)
    torch.testing.assert_close(layer(alike)[:, 4:], torch.full((7, 6), 6.0))
    assert layer(1000 * torch.randn(7, 4))[:, 4:].max() < 0.1
    torch.testing.assert_close(layer(alike[:1])[:, 4:], torch.zeros(1, 6))


def published_std(x: Tensor, group: int) -> Tensor:
    """As in Karras et al.'s code, for a batch that the group divides: [group, M] and a mean over features."""
    y = x.reshape(group, -1, x.shape[1])
    y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean(1)
    return y.repeat(group)


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (12, 3), (4, 4), (6, 2)])
def test_stddev_is_the_papers_where_the_group_divides_the_batch(batch, group):
    x = torch.randn(batch, 5, dtype=torch.float64)
    found = MinibatchStd(group)(x)
    assert torch.equal(found[:, :5], x)
    torch.testing.assert_close(found[:, 5], published_std(x, group))


@given(st.integers(1, 40), st.integers(2, 8))
def test_stddev_of_any_batch_is_that_of_groups_of_at_least_the_size_asked_for(batch, group):
    x = torch.randn(batch, 3, dtype=torch.float64)
    found = MinibatchStd(group)(x)[:, 3]
    count = max(1, batch // group)
    for first in range(count):
        members = x[first::count]
        assert min(batch, group) <= len(members) < 2 * group
        expected = (members.var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[first::count], expected.expand(len(members)))


def test_an_identical_batch_has_stddev_a_ten_thousandth():
    x = torch.randn(1, 6).expand(8, -1).clone().requires_grad_()
    found = MinibatchStd()(x)[:, 6]
    torch.testing.assert_close(found, torch.full((8,), 1e-4))
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("layer", [MinibatchDiscrimination(3, 2, 2), MinibatchStd(2)])
def test_a_gradient_penalty_can_be_taken_through_them(layer):
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.double(), x)
    assert torch.autograd.gradgradcheck(layer, x)
    # With and without a graph of its own the gradient is the same.
    plain, kept = (torch.autograd.grad(layer(x)[:, 3:].square().sum(), x, create_graph=g)[0] for g in (0, 1))
    torch.testing.assert_close(plain, kept)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [DCGANCritic, MLPCritic])
def test_in_a_critic_between_features_and_judgement(make, name):
    torch.manual_seed(1)
    critic = make(
        (1, 8, 8), batch_layer=name, **({"norm": "none", "width": 4} if make is DCGANCritic else {})
    )
    assert mixes_batch(critic)
    assert not has_batch_norm(critic)
    x = torch.randn(6, 1, 8, 8)
    judge = critic.judge if make is DCGANCritic else critic.layers[-1]
    features = critic.features(x)
    mixed = critic.batch_layer(features)
    assert mixed.shape[1] == features.shape[1] + critic.batch_layer.extra
    torch.testing.assert_close(critic(x), judge(mixed).squeeze(1))
    with torch.no_grad():
        judge.weight[:, features.shape[1] :] = 1.0
    same = x[:1].expand(6, -1, -1, -1)
    alone, lost = critic(x)[0].detach(), critic(same)[0].detach()
    torch.testing.assert_close(critic.features(same)[0], critic.features(x)[0])
    assert (lost - alone).abs() > 1e-4  # the same image, in a collapsed batch, is judged otherwise


@pytest.mark.parametrize("make", [DCGANCritic, MLPCritic])
def test_kernels_begin_with_rows_of_length_one_in_every_net(make):
    layer = make((1, 16, 16), batch_layer="minibatch-discrimination").batch_layer
    lengths = layer.project.weight.norm(dim=1)
    assert layer.extra == 100
    assert 0.7 < lengths.min() < lengths.max() < 1.4


@pytest.mark.parametrize("make", [DCGANCritic, MLPCritic])
def test_none_is_the_critic_without(make):
    critic = make((1, 8, 8))
    assert not mixes_batch(critic) or has_batch_norm(critic)
    assert not any("batch_layer" in name for name in critic.state_dict())
    layer, features = batch_layer("none", 7)
    assert isinstance(layer, nn.Identity)
    assert features == 7


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("minibatch-discrimination:kernels=0", "kernels"),
        ("minibatch-stddev:group=1", "at least 2"),
        ("minibatch-std", "did you mean 'minibatch-stddev'"),
        ("minibatch-stddev:size=3", "size"),
    ],
)
def test_wrong_layers_are_refused(text, what):
    with pytest.raises(ValueError, match=what):
        batch_layer(text, 4)


def test_half_precision_comes_back_as_it_went_in():
    for name in BATCH_LAYERS:
        layer, features = batch_layer(name, 4)
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(torch.randn(8, 4).bfloat16())
        assert out.shape == (8, features)
        assert out.dtype == torch.bfloat16
