"""What fits together in a two-player game, and what is refused."""

import pytest
from torch import nn

from zerosum.games.fitting import (
    has_batch_norm,
    mixes_batch,
    refuse_batch_norm,
    refuse_sigmoid,
    refuse_twice,
)
from zerosum.nets.minibatch import MinibatchDiscrimination, MinibatchStd
from zerosum.penalties import drift, r1, wgan_gp
from zerosum.processes import share_batch_norm


def net(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.Sequential(*layers), nn.Linear(4, 1))


@pytest.mark.parametrize(
    ("layers", "norm", "mixes"),
    [
        ([], False, False),
        ([nn.GroupNorm(1, 4), nn.LayerNorm(4), nn.InstanceNorm1d(4)], False, False),
        ([nn.BatchNorm1d(4)], True, True),
        ([share_batch_norm(nn.BatchNorm2d(4))], True, True),
        ([MinibatchStd()], False, True),
        ([MinibatchDiscrimination(4, 2)], False, True),
    ],
)
def test_which_nets_mix_the_batch(layers, norm, mixes):
    assert has_batch_norm(net(*layers)) == norm
    assert mixes_batch(net(*layers)) == mixes


def test_a_penalty_on_each_samples_slope_and_batch_norm_do_not_fit():
    with pytest.raises(ValueError, match=r"r1 needs .* batch norm: choose --critic-norm layer or none"):
        refuse_batch_norm(net(nn.BatchNorm1d(4)), [drift(), r1()])
    refuse_batch_norm(net(nn.BatchNorm1d(4)), [drift()])
    refuse_batch_norm(net(MinibatchStd()), [wgan_gp(), drift()])


@pytest.mark.parametrize(
    "end",
    [
        [nn.Sigmoid()],
        [nn.Sigmoid(), nn.Flatten(0)],
        [nn.Sequential(nn.Sigmoid())],
        [nn.LogSigmoid(), nn.Identity()],
    ],
)
def test_a_critic_that_ends_in_a_sigmoid_is_refused(end):
    with pytest.raises(ValueError, match="must give logits: remove that layer"):
        refuse_sigmoid(nn.Sequential(nn.Linear(2, 1), *end))


@pytest.mark.parametrize("layers", [[nn.Sigmoid(), nn.Linear(1, 1)], [nn.Tanh()], []])
def test_a_sigmoid_inside_may_stay(layers):
    refuse_sigmoid(nn.Sequential(nn.Linear(2, 1), *layers, nn.Flatten(0)))
    refuse_sigmoid(nn.Flatten(0))


def test_two_terms_of_one_name_are_refused():
    with pytest.raises(ValueError, match="r1 is given twice"):
        refuse_twice(["r1", "drift", "r1"])
