"""Mixtures and Langevin chains against closed forms; nothing here depends on how fast the machine is."""

import math

import pytest
import torch

from zerosum.lab.experiment import Settings
from zerosum.lab.sampling import SAMPLING, STEP, TARGET, Mixture, langevin, stationary_variance


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_score_is_the_gradient_of_the_log_density():
    x = torch.randn(50, 2, generator=random()).requires_grad_()
    (gradient,) = torch.autograd.grad(TARGET.log_density(x).sum(), x)
    assert torch.allclose(TARGET.score(x.detach()), gradient, atol=1e-4)


def test_the_density_is_normalised_but_for_its_constant():
    line = torch.linspace(-4, 4, 401, dtype=torch.float64)
    target = Mixture(TARGET.centres.double(), TARGET.weights.double(), TARGET.std)
    mass = target.log_density(torch.cartesian_prod(line, line)).exp().sum() * (line[1] - line[0]) ** 2
    assert mass.item() == pytest.approx(2 * math.pi * TARGET.std**2, rel=1e-6)


def test_samples_have_the_shares_and_the_spread():
    x = TARGET.sample(100_000, random())
    assert TARGET.shares(x).tolist() == pytest.approx(TARGET.weights.tolist(), abs=0.006)
    assert x.mean(0).tolist() == pytest.approx((TARGET.weights @ TARGET.centres).tolist(), abs=0.015)
    variance = (
        TARGET.std**2 + TARGET.centres.var(0, correction=0)[0] - x.mean(0).square()
    )  # |centre| is 1 here
    assert x.var(0).tolist() == pytest.approx(variance.tolist(), abs=0.02)


@pytest.mark.parametrize(("std", "step"), [(1.0, 0.5), (2.0, 0.5), (0.3, 0.02)])
def test_chains_forget_their_start_and_settle_at_the_closed_variance(std, step):
    normal = Mixture(torch.zeros(1, 1), torch.ones(1), std)
    chains = langevin(normal.score, torch.full((100_000, 1), 3.0), step, random())
    keep = 1 - step / (2 * std**2)
    first, second = next(chains), next(chains)
    assert first.mean().item() == pytest.approx(3 * keep, abs=0.02)
    assert second.mean().item() == pytest.approx(3 * keep**2, abs=0.02)
    assert second.var().item() == pytest.approx(step * (1 + keep**2), rel=0.03)
    for _ in range(math.ceil(8 / -math.log(keep))):
        last = next(chains)
    assert last.mean().item() == pytest.approx(0, abs=0.03)
    assert last.var().item() == pytest.approx(stationary_variance(std, step), rel=0.02)
    assert stationary_variance(std, step) > std**2


def test_chains_move_only_between_near_modes_and_slowly():
    start = TARGET.centres[:1].expand(2000, 2)
    chains = langevin(TARGET.score, start, STEP, random())
    for _ in range(50):
        x = next(chains)
    shares = TARGET.shares(x)
    assert shares[0] > 0.9
    assert shares[2] < 0.01  # the opposite corner


def test_the_experiment():
    numbers = SAMPLING.run(Settings(quick=True, seed=1)).numbers
    apart, near = numbers["sliced W1 of the chains"], numbers["sliced W1 of the GAN"]
    floor = numbers["sliced W1 of two samples of the target"]
    assert numbers["steps of the chains"][0] == 0
    assert apart[-1] < 0.5 * apart[0]
    assert 0 < floor < near < 0.5 * apart[0]
    caught = numbers["steps until the chains are as near as the GAN"]
    assert caught is None or caught > 100
    shares = numbers["shares of the modes"]
    assert shares["GAN"] == pytest.approx(shares["target"], abs=0.1)
    variances = numbers["variance in a mode"]
    assert variances["chains"] == pytest.approx(variances["chains, in closed form"], rel=0.1)
    assert numbers["the GAN's samples a second"] > 0
