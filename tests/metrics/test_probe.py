"""Linear probes: the classifier against scikit-learn's, features against layers gone through by hand."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from zerosum.metrics.probe import balanced, difference, fit, interval, layers, probe
from zerosum.nets.conditional_mlp import ConditionalMLPCritic
from zerosum.nets.dcgan import DCGANCritic
from zerosum.nets.progan import ProGANCritic
from zerosum.nets.resnet import ResNetCritic


@pytest.mark.parametrize(("n", "size"), [(60, 7), (20, 31)])
def test_the_classifier_is_that_of_scikit_learn(n, size):
    x, labels = 3 + 5 * torch.randn(n, size).double(), torch.arange(n) % 3
    x[:, 0] += labels
    for l2, found in zip((1.0, 0.03), fit(x, labels, 3, (1.0, 0.03)), strict=True):
        theirs = LogisticRegression(C=1 / (n * l2), tol=1e-10, max_iter=10_000)
        theirs.fit(((x - found.shift) / found.scale).numpy(), labels.numpy())
        expected = torch.from_numpy(theirs.predict_log_proba(((x - found.shift) / found.scale).numpy()))
        torch.testing.assert_close(found.logits(x).log_softmax(1), expected, atol=1e-3, rtol=0)


def test_scale_and_place_of_features_change_nothing():
    x, labels = torch.randn(40, 5).double(), torch.arange(40) % 2
    (one,), (other,) = fit(x, labels, 2, [0.1]), fit(100 * x - 7, labels, 2, [0.1])
    torch.testing.assert_close(one.logits(x), other.logits(100 * x - 7), atol=1e-3, rtol=1e-3)


def test_the_strength_is_chosen_by_the_validation_samples():
    x, labels = torch.randn(80, 30), torch.arange(80) % 2
    x[:, 0] += 2 * labels  # one feature that tells, 29 that do not: weak L2 learns them by heart
    held = torch.arange(80) < 40
    best = probe((x, labels), (x, labels), 2, validation=held, strengths=(1e-6, 0.3)).l2
    free, strong = fit(x[~held], labels[~held], 2, (1e-6, 0.3))
    costs = [F.cross_entropy(each.logits(x[held]), labels[held]) for each in (free, strong)]
    assert costs[1] < costs[0]
    assert best == 0.3
    with pytest.raises(ValueError, match="some kept to choose"):
        probe((x, labels), (x, labels), 2, validation=torch.zeros(80, dtype=torch.bool))


def test_sureness_counts_in_the_choice_and_not_the_share_told_right_alone():
    x = torch.tensor([-1.0, -1, 1, 1, -1, 1, 1])[:, None]
    labels, held = torch.tensor([0, 0, 1, 1, 0, 1, 0]), torch.arange(7) >= 4
    # Both tell two of three right; the one that is nearly certain is so of the third too, which is wrong.
    assert probe((x, labels), (x, labels), 2, validation=held, strengths=(1e-3, 100.0, 0.3)).l2 == 0.3


def test_layers_are_those_of_the_paper():
    critic = DCGANCritic((1, 32, 32), width=3).eval()
    x = torch.randn(5, 1, 32, 32)
    maps, h = [], x
    for layer in critic.layers:
        h = layer(h)
        if isinstance(layer, torch.nn.LeakyReLU):
            maps.append(F.adaptive_max_pool2d(h, 4).flatten(1))
    assert [m.shape[1] for m in maps] == [48, 96, 192]
    critic.train()
    torch.testing.assert_close(layers(critic, x), torch.cat(maps, 1))
    assert critic.training
    assert not any(module._forward_pre_hooks for module in critic.modules())


@pytest.mark.parametrize(
    "critic",
    [
        DCGANCritic((1, 16, 16), width=2, batch_layer="minibatch-discrimination"),
        ResNetCritic((1, 16, 16), width=2),
        ProGANCritic((1, 16, 16), fmap_max=4),
    ],
    ids=["minibatch discrimination", "residual", "progan"],
)
def test_features_do_not_depend_on_the_other_images(critic):
    x = torch.randn(6, 1, 16, 16)
    whole = layers(critic, x)
    torch.testing.assert_close(whole[2:5], layers(critic, x[2:5]), atol=1e-6, rtol=1e-5)
    assert len(whole[0]) == len(layers(critic, x[:1])[0])


def test_virtual_batch_norms_reference_is_no_sample():
    critic = DCGANCritic((1, 8, 8), width=2, norm="virtual")
    critic.refer_to(torch.randn(70, 1, 8, 8))
    assert len(layers(critic, torch.randn(3, 1, 8, 8))) == 3


def test_a_critic_that_takes_labels_is_told_none():
    critic = ConditionalMLPCritic((1, 8, 8), 3, branches=(5, 2), hidden=(4,), pieces=2)
    found = layers(critic, torch.randn(9, 1, 8, 8))
    assert found.shape == (9, 3 + 7 + 4)  # the label's one-hot, always the same, both branches, the hidden
    assert (found[:, :3] == found[0, :3]).all()


def test_a_net_of_one_layer_is_refused():
    with pytest.raises(ValueError, match="no features of its own"):
        layers(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1)), torch.zeros(2, 1, 8, 8))


def test_choosing_is_balanced_seeded_and_without_repetition():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 4)

    def chosen(seed: int, count: int = 30) -> torch.Tensor:
        return balanced(labels, count, torch.Generator().manual_seed(seed))

    assert labels[chosen(0)].bincount().tolist() == [13, 13, 4]
    assert chosen(0).unique().numel() == 30
    assert torch.equal(chosen(0), chosen(0))
    assert not torch.equal(chosen(0).sort().values, chosen(1).sort().values)


def test_intervals_and_tests_by_known_values():
    low, high = interval(torch.arange(100) < 90)
    assert (low, high) == pytest.approx((0.82563, 0.94477), abs=1e-5)
    none = torch.zeros(8, dtype=torch.bool)
    assert difference(none, none) == 1.0
    assert difference(none, ~none) == difference(~none, none) == pytest.approx(2 / 2**8)
