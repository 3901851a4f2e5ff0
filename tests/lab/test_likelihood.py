"""Maximum likelihood on normal data, and a sampler fitted without a density."""

import math

import pytest
import torch

from zerosum.lab.densities import kl, log_normal
from zerosum.lab.experiment import Settings
from zerosum.lab.likelihood import (
    ENTROPY,
    MAXIMUM_LIKELIHOOD,
    expected_likelihood,
    fit_sampler,
    mean_likelihood,
    sample,
    transport,
)


def examples(count: int) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def test_the_likelihood_by_moments_is_the_mean_log_density():
    x = examples(50)
    for mean, std in ((0.0, 1.0), (1.0, 2.0), (-0.3, 0.4)):
        direct = log_normal(mean, std, x).mean()
        assert float(mean_likelihood(x, mean, std)) == pytest.approx(float(direct), abs=1e-12)


def test_the_examples_own_moments_are_likeliest():
    x = examples(50)
    mean, std = x.mean(), x.std(correction=0)
    best = float(mean_likelihood(x, mean, std))
    for other in ((mean + 0.01, std), (mean - 0.01, std), (mean, std * 1.01), (mean, std * 0.99)):
        assert float(mean_likelihood(x, *other)) < best


def test_the_expectation_is_minus_entropy_minus_kl():
    assert kl(log_normal(0.0), log_normal(1.0, 2.0)) == pytest.approx(0.443147, abs=1e-6)
    x = examples(100_000)
    terms = log_normal(1.0, 2.0, x)
    error = float(terms.std()) / math.sqrt(len(x))
    assert expected_likelihood(1.0, 2.0) == pytest.approx(float(terms.mean()), abs=3 * error)
    assert expected_likelihood(0.0, 1.0) == -ENTROPY


def test_transport_of_a_shift_is_the_shift():
    x = examples(100)
    assert float(transport(x, x.flip(0) + 0.7)) == pytest.approx(0.7, abs=1e-12)
    wide = float(transport(examples(100_000), 2 * examples(100_000)))
    assert wide == pytest.approx(0.797885, abs=0.01)  # N(0,1) against N(0,4)


def test_a_sampler_learns_where_the_examples_are():
    random = torch.Generator().manual_seed(2)
    x = 3 + 0.5 * torch.randn(500, generator=random)
    net = fit_sampler(x, 300, random)
    with torch.no_grad():
        made = sample(net, 500, random)
    assert float(transport(made, x)) < 0.1


def test_both_ways_reach_the_data():
    numbers = MAXIMUM_LIKELIHOOD.run(Settings(quick=True, seed=1)).numbers
    assert numbers["KL from N(0,1) to the fit"] < 0.005
    seen = numbers["mean log-likelihood at N(1, 4)"]
    assert seen["mean"] == pytest.approx(numbers["expected at N(1, 4)"], abs=3 * seen["standard error"])
    assert numbers["mean log-likelihood there"] > seen["mean"]
    distances = numbers["W1 to fresh data"]
    assert distances["samples of the sampler"] < 0.08
    assert distances["samples of the fitted density"] < 0.08
