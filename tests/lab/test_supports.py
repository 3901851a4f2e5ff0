"""Experiment 8: what is known of perfect critics holds of the trained ones."""

import math

import pytest
import torch

from zerosum.lab.experiment import Settings
from zerosum.lab.stack import Stack
from zerosum.lab.supports import (
    PERFECT_DISCRIMINATOR,
    cauchy_tail,
    crossing,
    noisy_gradients,
    parallel,
    watch,
)


@pytest.fixture(scope="module")
def numbers():
    return PERFECT_DISCRIMINATOR.run(Settings(quick=True)).numbers


def test_the_lines_are_where_they_should_be():
    z = torch.tensor([0.0, 0.25])
    assert parallel(z, 0.5).tolist() == [[0.5, 0.0], [0.5, 0.25]]
    assert crossing(z).tolist() == [[-0.5, 0.5], [-0.25, 0.5]]
    assert parallel(z.expand(2, 2), torch.tensor([[1.0], [2.0]]))[..., 0].tolist() == [[1, 1], [2, 2]]


def test_accuracy_goes_to_one(numbers):
    for name, values in numbers["accuracy"].items():
        assert values[0] < 0.6
        assert values[-1] == pytest.approx(1, abs=0.06 if "cross" in name else 1e-6)
    loss = numbers["lines 1 apart"]["critic's loss"]
    assert loss[0] == pytest.approx(2 * math.log(2), abs=0.1)
    assert loss[-1] < 0.01


def test_the_minimax_gradient_vanishes_within_its_bound_and_the_other_does_not(numbers):
    unit = numbers["lines 1 apart"]
    flat = unit["size of the minimax gradient"]
    assert flat[-1] < 0.01 * max(flat)
    for gradient, distance in zip(flat, unit["distance to the perfect critic"], strict=True):
        assert distance >= 1 or gradient < distance / (1 - distance)
    assert unit["distance to the perfect critic"][-1] < 0.02  # so the bound was put to the test
    assert unit["non-saturating gradient"][-1] > 1


def test_gradients_of_a_critic_known_in_closed_form():
    critic = Stack(1, (2, 1), torch.Generator())
    with torch.no_grad():
        critic.weights[0].copy_(torch.tensor([[[-3.0], [0.0]]]))
        critic.biases[0].fill_(2.0)  # the logit is 2 − 3x: D(0) = σ(2), D(1) = σ(−1)
    z = torch.linspace(0, 1, 5)[None]
    seen = watch(critic, parallel(z, 0.0), parallel(z, 1.0))
    d = 1 / (1 + math.e)
    assert seen.accuracy.tolist() == [1]
    assert seen.minimax.item() == pytest.approx(3 * d)  # d/dθ log(1−D) = −D·l′
    assert seen.non_saturating.item() == pytest.approx(3 * (1 - d))
    assert seen.distance.item() == pytest.approx(d + 3 * d * (1 - d))
    assert seen.loss.item() == pytest.approx(math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)))


def test_the_noisy_gradient_is_cauchy():
    count, scale = 100_000, 2.0
    minimax, strong = noisy_gradients(0.05, 0.05 * scale, torch.Generator().manual_seed(0), count)
    for t in (0.1, 2.0, 30.0):
        share = (strong.abs() > t).double().mean().item()
        expected = cauchy_tail(torch.tensor(t), scale).item()
        assert share == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / count))
    assert minimax.std().item() == pytest.approx(0.1, rel=0.02)
    assert cauchy_tail(torch.tensor(1e3, dtype=torch.float64), 1.0).item() == pytest.approx(
        2 / (math.pi * 1e3), rel=1e-3
    )
