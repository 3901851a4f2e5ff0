"""Experiment 14: slopes, speeds and least squares in closed form."""

import math
from functools import partial

import pytest
import torch

from zerosum.lab.densities import integrate, jensen_shannon, kl, log_normal
from zerosum.lab.experiment import Settings
from zerosum.lab.smoothing import (
    DATA,
    NOISE,
    SLOW_LEARNING,
    START,
    STD,
    X,
    affine,
    durations,
    fitted,
    least_squares_best,
    optimal,
    pull,
)
from zerosum.objectives import least_squares, minimax, non_saturating


@pytest.fixture(scope="module")
def numbers():
    return SLOW_LEARNING.run(Settings(quick=True)).numbers


def test_smoothed_critics_are_steeper_at_the_fakes(numbers):
    slopes = numbers["slope at the fakes' mean"]
    flat = slopes.pop("optimal d")
    assert flat == pytest.approx(16 * math.exp(-32), rel=1e-6)
    assert slopes[f"instance noise, σ = {NOISE:g}"] > 0.1
    assert slopes["affine least squares"] == pytest.approx(4 / 17)
    for values in slopes.values():
        assert all(abs(value) > 1e6 * flat for value in (values if isinstance(values, list) else [values]))


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_the_optimal_logit_is_the_ratio_of_the_densities(noise):
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    std = math.hypot(STD, noise)
    logit, slope = optimal(x, 0.5, noise)
    torch.testing.assert_close(logit, log_normal(DATA, std, x) - log_normal(0.5, std, x))
    assert slope.tolist() == pytest.approx([1.5 / std**2] * 7)


def test_least_squares_critics_are_the_best_of_their_kind():
    p, q = (log_normal(mean, STD, X).exp() for mean in (DATA, START))

    def loss(d):
        return integrate(p * (d - 1).square() + q * d.square(), X)

    best, slope = least_squares_best(X, START)
    torch.testing.assert_close(best, p / (p + q), atol=1e-9, rtol=0)
    line, steepness = affine(X, START)
    for bump in (0.01, -0.01):
        assert loss(best + bump * torch.cos(X)) > loss(best)
        assert loss(line + bump) > loss(line)
        assert loss(line + bump * X) > loss(line)
    for critic, slopes in ((least_squares_best, slope), (affine, steepness)):
        numeric = (critic(X + 1e-5, START)[0] - critic(X - 1e-5, START)[0]) / 2e-5
        torch.testing.assert_close(numeric, slopes, atol=1e-7, rtol=0)


def test_pulls_are_the_divergences_derivatives():
    # At the optimal critic the minimax gradient is that of 2 JSD, the non-saturating one KL(p_g‖p) − 2 JSD's,
    # of the laws that the critic sees: under noise the blurred ones.
    def derivatives(noise):
        def at(mean):
            laws = [log_normal(place, math.hypot(STD, noise)) for place in (DATA, mean)]
            return 2 * jensen_shannon(*laws), kl(laws[1], laws[0])

        (low, kl_low), (high, kl_high) = at(0.4999), at(0.5001)
        return (high - low) / 2e-4, (kl_high - kl_low) / 2e-4

    for noise in (0.0, NOISE):
        jsd, reverse = derivatives(noise)
        critic = partial(optimal, noise=noise)
        assert pull(critic, minimax(), 0.5, noise) == pytest.approx(-jsd, abs=1e-6)
        assert pull(critic, non_saturating(), 0.5, noise) == pytest.approx(jsd - reverse, abs=1e-6)
    # −E (D−1)β at the line D, whose mean over the fakes is ½ − βΔ/2.
    assert pull(affine, least_squares(), START) == pytest.approx((0.5 + 8 / 17) * 4 / 17, abs=1e-9)


def test_durations_solve_the_descent():
    means = torch.linspace(START, 1.0, 200, dtype=torch.float64)
    times = durations(affine, least_squares(), means)
    mean, step, reached = START, 1e-2, 0
    while mean < 0.0:
        mean += step * pull(affine, least_squares(), mean)
        reached += step
    expected = float(times[int((means - 0.0).abs().argmin())])
    assert reached == pytest.approx(expected, rel=0.01)


def test_the_lectures_numbers(numbers):
    found = list(numbers["pair N(0,1), N(1,1)"].values())
    assert found == pytest.approx([0.5, 0.25, 0.40810853, 0.25], abs=1e-6)
    p, q = (log_normal(mean, 1.0, X) for mean in (0.0, 1.0))
    chi2 = integrate((q.exp() - p.exp()).square() / (p.exp() + q.exp()), X)
    assert chi2 == pytest.approx(0.40810853, abs=1e-6)


def test_trained_nets_come_near_the_best_critic():
    stack = fitted(least_squares(), 200, 2, torch.Generator().manual_seed(0))
    said = stack(torch.tensor([START, DATA]).expand(2, 2)[..., None])
    torch.testing.assert_close(said.detach(), torch.tensor([[0.0, 1.0]] * 2), atol=0.1, rtol=0)


def test_noise_and_a_limited_critic_hasten_learning_and_least_squares_alone_does_not(numbers):
    plain, noisy, line, squared, logit = numbers["time to come halfway, learning rate × steps"].values()
    assert 10 * max(noisy, line, logit) < plain < squared
