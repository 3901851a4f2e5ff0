"""The three generator costs: the lecture's figure, and gradients in the generator's mean."""

import pytest
import torch

from zerosum.lab.costs import COSTS, cost, pull, pull_on_pair
from zerosum.lab.densities import jensen_shannon, kl, log_normal

ENDS = torch.tensor([0.01, 0.99], dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("minimax", -0.0050252, -2.3025851),
        ("non-saturating", 2.3025851, 0.0050252),
        ("maximum likelihood", -0.0050505, -49.5),
    ],
)
def test_costs_at_both_ends(name, low, high):
    assert cost(name, ENDS).tolist() == pytest.approx([low, high], abs=1e-6)


def test_pulls_are_the_closed_forms():
    d = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    for name, expected in (
        ("minimax", d / 2),
        ("non-saturating", (1 - d) / 2),
        ("maximum likelihood", d / (1 - d) / 2),
    ):
        assert torch.allclose(pull(name, d), expected, atol=1e-12, rtol=0)


def test_gradients_in_the_mean_at_the_optimal_critic():
    expected = {"minimax": 0.39797287, "non-saturating": 0.60202713, "maximum likelihood": 1.0}
    assert {name: pull_on_pair(name) for name in COSTS} == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("theta", [0.5, 1.0, 2.5])
def test_they_are_the_derivatives_of_divergences(theta):
    def jsd(t: float) -> float:
        return jensen_shannon(log_normal(0.0), log_normal(t))

    def slope(function):
        return (function(theta + 1e-4) - function(theta - 1e-4)) / 2e-4

    twice = slope(lambda t: 2 * jsd(t))
    assert pull_on_pair("minimax", theta) == pytest.approx(twice, abs=1e-6)
    reverse = slope(lambda t: kl(log_normal(t), log_normal(0.0)))
    assert pull_on_pair("non-saturating", theta) == pytest.approx(reverse - twice, abs=1e-6)
    forward = slope(lambda t: kl(log_normal(0.0), log_normal(t)))
    assert pull_on_pair("maximum likelihood", theta) == pytest.approx(forward, abs=1e-6)
