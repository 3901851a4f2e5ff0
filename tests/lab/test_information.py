"""Mutual information between a sample and whether it is real, and its bound by a critic."""

import math

import pytest
import torch

from zerosum.lab.densities import AXIS, jensen_shannon, kl, log_normal
from zerosum.lab.experiment import Settings
from zerosum.lab.information import MUTUAL_INFORMATION, best_logit, bound, entropy, estimate, information

P, Q = log_normal(0.0), log_normal(1.0)


def test_known_values():
    assert information(P, Q, 0.3) == pytest.approx(0.09491047, abs=1e-8)
    assert information(P, Q, 0.5) == pytest.approx(jensen_shannon(P, Q), abs=1e-12)
    assert information(P, P, 0.3) == pytest.approx(0, abs=1e-12)
    assert entropy(0.3) == pytest.approx(-0.3 * math.log(0.3) - 0.7 * math.log(0.7), abs=1e-12)


@pytest.mark.parametrize("pi", [0.1, 0.3, 0.8])
def test_disjoint_laws_tell_all(pi):
    far = information(log_normal(-15.0), log_normal(15.0), pi)
    assert far == pytest.approx(entropy(pi), abs=1e-9)


@pytest.mark.parametrize("pi", [0.1, 0.3, 0.5, 0.9])
def test_the_bound_is_tight_at_the_posterior_and_nowhere_else(pi):
    best = best_logit(P, Q, pi)
    assert bound(best, P, Q, pi) == pytest.approx(information(P, Q, pi), abs=1e-9)
    for other in (best + 0.1, best * 0.9, best + 0.1 * AXIS.cos()):
        assert bound(other, P, Q, pi) < information(P, Q, pi) - 1e-5


def test_the_ends_have_the_slopes_of_both_divergences():
    wide, step = log_normal(0.0, 1.2), 1e-5
    assert information(P, wide, step) / step == pytest.approx(kl(P, wide), abs=1e-5)
    assert information(P, wide, 1 - step) / step == pytest.approx(kl(wide, P), abs=1e-5)
    assert kl(wide, P) - kl(P, wide) > 1e-3


def test_an_estimate_of_the_best_critic_is_within_its_error():
    generator = torch.Generator().manual_seed(5)
    real, fake = torch.randn(2, 100_000, generator=generator, dtype=torch.float64)
    shift = math.log(0.3 / 0.7)
    mean, error = estimate(0.5 - real + shift, 0.5 - (1 + fake) + shift, 0.3)
    assert 0 < error < 2e-3
    assert mean == pytest.approx(0.09491047, abs=3 * error)


def test_a_trained_critic_stays_below_and_a_stale_one_misleads():
    numbers = MUTUAL_INFORMATION.run(Settings(quick=True, seed=2)).numbers
    exact = numbers["I at pi = .3, N(0,1) and N(1,1)"]
    assert exact - 0.004 < numbers["bound by the trained critic"] < exact
    held_out = numbers["the same on held-out samples"]
    assert held_out["mean"] == pytest.approx(
        numbers["bound by the trained critic"], abs=3 * held_out["standard error"]
    )
    pairs = list(
        zip(numbers["I of the moved generator"], numbers["bound by the critic of mean 1"], strict=True)
    )
    assert all(stale <= true + 1e-9 for true, stale in pairs)
    assert pairs[0][1] < -1 < 0 < pairs[0][0]
