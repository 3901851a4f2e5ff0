"""Uncertainty: exact for a linear generator with Gaussian latents, whose posterior is known."""

import pytest
import torch
from torch import Tensor

from zerosum.inverse.descent import LevenbergMarquardt
from zerosum.inverse.misfit import Misfit, Prior, Problem
from zerosum.inverse.search import search
from zerosum.inverse.uncertainty import coverage, laplace, restart_spread

VARIANCE = 0.04


class Dense:
    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(-3) @ self.matrix.mT


def problem(images: int = 400) -> tuple[Problem, Tensor, Tensor]:
    """x = W z with z ~ N(0, I₃) in 12 pixels, 8 noisy measurements: the problem, the truth, W."""
    draw = torch.Generator().manual_seed(0)
    basis, matrix = torch.randn(12, 3, generator=draw), torch.randn(8, 12, generator=draw) / 3

    def decode(z: Tensor) -> Tensor:
        return (z @ basis.mT).view(-1, 1, 3, 4)

    truth = decode(torch.randn(images, 3, generator=draw))
    dense = Dense(matrix)
    y = dense.forward(truth) + VARIANCE**0.5 * torch.randn(images, 8, generator=draw)
    return Problem(decode, Misfit(dense, y), Prior(norm=VARIANCE)), truth, basis


def test_it_is_the_posterior_of_a_linear_gaussian_model() -> None:
    given, _, basis = problem(5)
    found = search(
        given.decode, given.misfit, torch.zeros(1, 5, 3), method=LevenbergMarquardt(), prior=given.prior
    )
    slope = given.misfit.operator.matrix @ basis  # type: ignore[attr-defined]
    posterior = torch.linalg.inv(slope.mT @ slope / VARIANCE + torch.eye(3))
    exact = (basis @ posterior @ basis.mT).diagonal().sqrt().view(1, 3, 4)
    assert torch.allclose(laplace(given, found.latent, VARIANCE), exact.expand(5, 1, 3, 4), atol=1e-4)


def test_its_intervals_cover_what_they_claim() -> None:
    given, truth, _ = problem()
    found = search(
        given.decode, given.misfit, torch.zeros(1, 400, 3), method=LevenbergMarquardt(), prior=given.prior
    )
    share = coverage(truth, found.image, laplace(given, found.latent, VARIANCE)).share.mean()
    assert 0.93 < share < 0.97


def test_restarts_that_agree_have_no_spread_and_worse_ones_do_not_count() -> None:
    given, _, _ = problem(4)
    start = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(1))
    found = search(given.decode, given.misfit, start, method=LevenbergMarquardt(), prior=given.prior)
    assert restart_spread(given, found, VARIANCE).max() < 1e-2
    astray = found.latents.clone()
    astray[0] += 3
    worse = type(found)(
        found.latent,
        found.image,
        found.misfit,
        astray,
        found.misfits + torch.tensor([1e3, 0, 0])[:, None],
        found.chosen,
    )
    assert restart_spread(given, worse, VARIANCE).max() < 1e-2


def test_what_cannot_be_told_is_refused() -> None:
    given, _, _ = problem(2)
    loose = Problem(given.decode, Misfit(Dense(torch.zeros(8, 12)), torch.zeros(2, 8)), Prior())
    with pytest.raises(ValueError, match="do not fix 3 latents"):
        laplace(loose, torch.zeros(2, 3), VARIANCE)
    with pytest.raises(ValueError, match="positive"):
        laplace(given, torch.zeros(2, 3), 0.0)
