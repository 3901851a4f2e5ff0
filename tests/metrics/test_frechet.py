"""The Fréchet distance against SciPy, closed forms and itself."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zerosum.metrics.frechet import (
    BLOCKS,
    STUDENT,
    Moments,
    dealt,
    frechet_distance,
    frechet_infinity,
    frechet_jackknife,
)


def draws(count: int, size: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=draw) / size**0.5
    return (torch.randn(count, size, generator=draw) @ mix) * scale + shift


def by_sqrtm(real: Tensor, fake: Tensor) -> float:
    from scipy.linalg import sqrtm

    x, y = real.double().numpy(), fake.double().numpy()
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    apart = np.square(x.mean(0) - y.mean(0)).sum()
    return float(apart + np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b)).real)


@pytest.mark.parametrize(("size", "n", "m"), [(2, 30, 50), (16, 200, 100), (64, 500, 1000)])
def test_equals_scipys_square_root(size, n, m):
    real, fake = draws(n, size, 1), draws(m, size, 2, 1.3, 0.2)
    found = frechet_distance(Moments.of(real), Moments.of(fake))
    assert found == pytest.approx(by_sqrtm(real, fake), rel=1e-6)
    assert found == pytest.approx(frechet_distance(Moments.of(fake), Moments.of(real)), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(10, 300), (300, 10), (10, 12), (40, 41)])
def test_fewer_samples_than_dimensions(n, m):
    """√ of the singular product by an independent route: the nuclear norm of X₁ᶜ(X₂ᶜ)ᵀ."""
    real, fake = draws(n, 40, 3), draws(m, 40, 4, 0.7)
    x, y = ((s.double() - s.double().mean(0)) / (len(s) - 1) ** 0.5 for s in (real, fake))
    root = torch.linalg.svdvals(x @ y.T).sum()
    apart = (real.double().mean(0) - fake.double().mean(0)).square().sum()
    exact = float(apart + x.square().sum() + y.square().sum() - 2 * root)
    assert frechet_distance(Moments.of(real), Moments.of(fake)) == pytest.approx(exact, rel=1e-9)


def test_normal_laws_in_closed_form():
    """Diagonal covariances: ‖μ₁−μ₂‖² + Σ(σ₁−σ₂)²."""
    standard = draws(4000, 3, 5)
    centred = standard.double() - standard.double().mean(0)
    factor = torch.linalg.cholesky(Moments.of(centred).covariance)
    white = torch.linalg.solve_triangular(factor, centred.T, upper=False).T
    scale, shift = torch.tensor([2.0, 0.5, 3.0]).double(), torch.tensor([1.0, 0.0, -2.0]).double()
    found = frechet_distance(Moments.of(white), Moments.of(white * scale + shift))
    assert found == pytest.approx(float((scale - 1).square().sum() + 5), rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_a_set_with_itself_is_nought(shift):
    same = draws(500, 32, 6, shift=shift)
    assert frechet_distance(Moments.of(same), Moments.of(same.flip(0))) < 1e-6


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 99), max_size=6), seed=st.integers(0, 3))
def test_moments_do_not_depend_on_batches_or_order(cuts, seed):
    x = draws(100, 5, 7, shift=100.0).double()
    edges = [0, *sorted(set(cuts)), 100]
    order = torch.randperm(100, generator=torch.Generator().manual_seed(seed))
    found = Moments.of(*(x[order][a:b] for a, b in pairwise(edges)))
    assert found.count == 100
    torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.covariance, torch.cov(x.T), rtol=1e-8, atol=1e-10)


def test_blocks_together_are_the_whole_and_do_not_depend_on_batches():
    x = draws(101, 5, 7, shift=3.0)
    blocks = dealt([x], 101, seed=2)
    whole = Moments.merged(blocks)
    torch.testing.assert_close(whole.covariance, torch.cov(x.double().T), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(whole.mean, x.double().mean(0), rtol=1e-12, atol=0)
    for block, again in zip(blocks, dealt(x.split(9), 101, seed=2), strict=True):
        assert block.count == again.count in (10, 11)
        torch.testing.assert_close(block.mean, again.mean, rtol=1e-12, atol=0)
    assert not torch.allclose(blocks[0].mean, dealt([x], 101, seed=3)[0].mean)
    with pytest.raises(ValueError, match="102 samples were to come, and 101 did"):
        dealt([x], 102)


def test_leaving_a_block_out_is_leaving_its_samples_out():
    real, fake = Moments.of(draws(300, 4, 1)), draws(50, 4, 2, 1.2, 0.3)
    distance, error = frechet_jackknife(real, dealt([fake], 50))
    block = torch.randperm(50, generator=torch.Generator().manual_seed(0)) % BLOCKS
    without = [frechet_distance(real, Moments.of(fake[block != j])) for j in range(BLOCKS)]
    exact = (BLOCKS - 1) ** 0.5 * float(np.std(without))
    assert (distance, error) == (
        pytest.approx(frechet_distance(real, Moments.of(fake))),
        pytest.approx(exact, rel=1e-6),
    )
    assert frechet_jackknife(real, dealt([fake[:15]], 15))[1] is None


def test_its_interval_holds_the_mean_over_draws_about_as_often_as_it_says():
    """Of 120 draws 95 % should, give or take 2 %."""
    real = Moments.of(draws(1000, 3, 1))

    def fake(seed: int) -> Tensor:
        return torch.randn(200, 3, generator=torch.Generator().manual_seed(seed)) * 1.2 + 0.5

    mean = np.mean([frechet_distance(real, Moments.of(fake(1000 + seed))) for seed in range(600)])
    held = 0
    for seed in range(120):
        distance, error = frechet_jackknife(real, dealt([fake(seed)], 200, seed))
        assert error is not None
        held += abs(distance - mean) <= STUDENT * error
    assert 0.89 <= held / 120 < 1


def test_infinity_takes_the_bias_of_small_samples_away():
    """Between samples of one law the distance is about c/N; extrapolated it is about 0."""
    real, fake = draws(20_000, 16, 8), draws(23_000, 16, 8)[20_000:]
    finite = frechet_distance(Moments.of(real), Moments.of(fake[:300]))
    value, error = frechet_infinity(Moments.of(real), fake)
    assert abs(value) < 0.1 * finite
    assert 0 < error < 0.1 * finite


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Moments.of(torch.full((3, 2), torch.nan)), "not finite"),
        (lambda: Moments(2).update(torch.zeros(3, 4)), r"\[n, 2\] are needed, not \[3, 4\]"),
        (lambda: Moments.of(torch.zeros(1, 2)).covariance, "at least 2 samples, not 1"),
        (
            lambda: frechet_distance(Moments.of(torch.eye(2)), Moments.of(torch.eye(3))),
            "real features have 2 numbers each, fake ones 3",
        ),
        (lambda: frechet_infinity(Moments.of(torch.eye(2)), torch.eye(2)), "three sizes"),
    ],
)
def test_what_cannot_be_measured_is_said(call, says):
    with pytest.raises(ValueError, match=says):
        call()
