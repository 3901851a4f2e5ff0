"""Past the range of a generator: exact where everything is Gaussian and linear."""

import pytest
import torch
from torch import Tensor

from zerosum.inverse.bases import DCT
from zerosum.inverse.beyond import choose_by_held_out, gaussian_residual, sparse_residual, whitened
from zerosum.inverse.descent import LevenbergMarquardt
from zerosum.inverse.gaussian import Gaussian
from zerosum.inverse.linear import Spread, fit_spread, lmmse
from zerosum.inverse.misfit import Misfit, Prior
from zerosum.inverse.operators import Shown, Sized
from zerosum.inverse.search import search

SHAPE = (1, 6, 6)
DRAW = torch.Generator().manual_seed(0)
BASIS = torch.randn(36, 4, generator=DRAW).double()


def decode(z: Tensor) -> Tensor:
    return (z @ BASIS.mT).view(-1, *SHAPE)


def residuals(count: int = 2000) -> Tensor:
    """Smooth noise about a mean that is not 0."""
    draw = torch.Generator().manual_seed(1)
    fine = torch.randn(count, *SHAPE, generator=draw).double()
    return 0.4 * (fine + fine.roll(1, 2) + fine.roll(1, 3)) + 0.2


def scene(m: int = 18, noise: float = 0.05) -> tuple[Gaussian, Tensor, Tensor]:
    truth = decode(torch.randn(6, 4, generator=torch.Generator().manual_seed(2)).double()) + residuals()[:6]
    operator = Gaussian(SHAPE, m, seed=3)
    y = operator.forward(truth)
    return (
        operator,
        truth,
        y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(4)).double(),
    )


def test_linear_and_gaussian_it_is_the_best_linear_estimate() -> None:
    """x = Wz + e with z ~ N(0, 1), e ~ N(μ, C): the answer is LMMSE's for the covariance WWᵀ + C."""
    operator, _, y = scene()
    residual = fit_spread(residuals())
    found = search(
        decode,
        whitened(operator, y, residual, 0.05),
        torch.zeros(1, 6, 4).double(),
        method=LevenbergMarquardt(steps=40, tolerance=0.0, patience=40),
        prior=Prior(norm=1.0),
    )
    ours = gaussian_residual(operator, y, found.image, residual, 0.05).image
    total = residual.covariance() + BASIS @ BASIS.mT
    variances, v = torch.linalg.eigh(total)
    whole = Spread(residual.mean, v.mT.reshape(36, *SHAPE), variances, 0.0)
    assert torch.allclose(ours, lmmse(operator, y, whole, 0.05, limits=None).image, atol=1e-5)


def test_a_sparse_residual_is_found() -> None:
    basis = DCT(SHAPE)
    coefficients = torch.zeros(3, *SHAPE)
    coefficients[:, 0, 2, 3], coefficients[:, 0, 0, 4] = 3.0, -2.0
    drawn = torch.zeros(3, *SHAPE)
    truth = basis.synthesise(coefficients)
    operator = Gaussian(SHAPE, 24, seed=5)
    found = sparse_residual(operator, operator.forward(truth), drawn, basis)
    assert (found - truth).norm() < 0.2 * (drawn - truth).norm()


def test_held_out_measurements_choose_the_better_estimate() -> None:
    operator, truth, y = scene(m=30)
    seen: list[Tensor] = []

    def blind(part: Sized, told: Tensor) -> Tensor:
        seen.append(told)
        return torch.zeros_like(truth)

    def near(part: Sized, told: Tensor) -> Tensor:
        return truth + 0.01

    chosen = choose_by_held_out(operator, y, {"blind": blind, "near": near})
    assert chosen.names == ["near"] * 6
    assert chosen.errors.shape == (2, 6)
    assert (seen[0] == 0).sum() == 6 * 6  # a fifth was hidden
    with pytest.raises(ValueError, match="too few"):
        choose_by_held_out(Gaussian(SHAPE, 2), y[:, :2], {"blind": blind})


def test_hidden_measurements_have_no_part() -> None:
    operator, _, y = scene()
    shown = torch.arange(18) % 3 > 0
    part, residual = Shown(operator, shown), fit_spread(residuals())
    spoilt = torch.where(shown, y, 99.0) * shown
    zero = torch.zeros(6, *SHAPE).double()
    first = gaussian_residual(part, y * shown, zero, residual, 0.05).image
    assert torch.equal(first, gaussian_residual(part, spoilt, zero, residual, 0.05).image)
    misfit = whitened(part, y * shown, residual, 0.05)
    assert misfit.measured.shape == (6, 12)
    assert isinstance(misfit, Misfit)
