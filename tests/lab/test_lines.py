"""Experiment 9: the closed forms, and estimates that keep to their side of them."""

import math

import pytest
import torch

from zerosum.lab.experiment import Settings
from zerosum.lab.lines import CONSTANT_DIVERGENCES, THETAS, bounds, distances, transported


@pytest.fixture(scope="module")
def numbers():
    return CONSTANT_DIVERGENCES.run(Settings(quick=True)).numbers


def test_the_closed_forms():
    for theta in (-0.3, 1e-9, 2.0):
        assert distances(theta) == {"JSD": math.log(2), "KL": math.inf, "TV": 1.0, "W1": abs(theta)}
    assert set(distances(0.0).values()) == {0.0}


def test_the_bounds_are_exact_at_the_best_critic_of_pair_a():
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    x = torch.special.ndtri(u)  # N(0,1) in equal parts; its logit against N(1,1) is ½ − x
    found = bounds((0.5 - x)[None], (0.5 - (x + 1))[None])
    assert found["JSD"].item() == pytest.approx(0.11142148, abs=1e-5)
    assert found["KL"].item() == pytest.approx(0.5, abs=1e-4)
    assert found["TV"].item() == pytest.approx(0.38292492, abs=1e-5)


def test_trained_critics_bound_from_below(numbers):
    log2 = math.log(2)
    found = list(numbers["critic's bounds"].values())
    for k, theta in enumerate(THETAS):
        assert found[-1]["JSD"][k] <= log2
        assert found[-1]["JSD"][k] == pytest.approx(log2 if theta else 0, abs=0.01)
        assert found[-1]["TV"][k] == pytest.approx(1 if theta else 0, abs=0.02)
        if theta:
            assert found[0]["KL"][k] < found[1]["KL"][k] < found[2]["KL"][k]
    one, tenth = THETAS.index(1.0), THETAS.index(0.1)
    assert found[0]["JSD"][one] > 2 * found[0]["JSD"][tenth]  # stopped early, it does feel distance


def test_transport_between_samples_follows_theta(numbers):
    random = torch.Generator().manual_seed(1)
    for theta in (-1.0, 0.25):
        value, slope = transported(theta, 60, random)
        assert abs(theta) <= value < abs(theta) + 0.05
        assert slope == pytest.approx(math.copysign(1, theta), abs=0.1)
    assert transported(0.0, 60, random)[0] > 0
    assert numbers["exact"]["W1"] == [abs(theta) for theta in THETAS]
    assert numbers["exact"]["KL"] == ["infinite" if theta else 0.0 for theta in THETAS]
