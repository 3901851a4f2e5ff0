"""Means over what is possible: exact for linear models, and between two answers where there are two."""

import pytest
import torch
from torch import Tensor

from zerosum.inverse.misfit import Misfit, Prior, Problem
from zerosum.inverse.posterior import posterior_mean

PRIOR = Prior(norm=1.0)


class Dense:
    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(-3) @ self.matrix.mT


def linear(count: int = 3) -> tuple[Problem, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    basis, matrix = torch.randn(12, 3, generator=draw), torch.randn(5, 12, generator=draw) / 2
    y = torch.randn(count, 5, generator=draw)
    slope = matrix @ basis
    spread = torch.linalg.inv(slope.mT @ slope + torch.eye(3))
    problem = Problem(lambda z: (z @ basis.mT).view(-1, 1, 3, 4), Misfit(Dense(matrix), y), PRIOR)
    return problem, (spread @ slope.mT @ y.mT).mT, basis @ spread @ basis.mT


def test_linear_and_gaussian_it_is_exact() -> None:
    problem, mean, covariance = linear()
    found = posterior_mean(problem, mean[None], samples=4000)
    assert torch.allclose(found.image, problem.decode(mean), atol=0.06)
    exact = covariance.diagonal().sqrt().view(1, 3, 4).expand(3, 1, 3, 4)
    assert torch.allclose(found.deviation, exact, rtol=0.06)
    assert torch.allclose(found.effective, torch.full((3,), 4000.0), rtol=1e-3)  # the proposal is the target


def test_a_restart_astray_does_no_harm() -> None:
    problem, mean, _ = linear()
    found = posterior_mean(problem, torch.stack([mean, mean + 2]), samples=4000)
    assert torch.allclose(found.image, problem.decode(mean), atol=0.08)


def test_between_two_answers_lies_their_mean() -> None:
    """x = |z|·1 measured exactly: z = ±1 are as good, and a second pixel z tells them apart."""

    def decode(z: Tensor) -> Tensor:
        return torch.cat([z.abs(), z], 1).view(-1, 1, 1, 2)

    first = torch.tensor([[10.0, 0.0]])
    problem = Problem(decode, Misfit(Dense(first), torch.tensor([[10.0]])), PRIOR)
    found = posterior_mean(problem, torch.tensor([[[1.0]], [[-1.0]]]), samples=2000)
    assert found.image.flatten().tolist() == pytest.approx([0.99, 0.0], abs=0.03)
    assert found.deviation.flatten()[1] == pytest.approx(1.0, abs=0.05)


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    problem, mean, _ = linear()
    alone = Problem(problem.decode, problem.misfit.of(slice(1, 2)), PRIOR)
    together = posterior_mean(problem, mean[None], samples=8)
    assert torch.allclose(
        posterior_mean(alone, mean[None, 1:2], samples=8).image[0], together.image[1], atol=1e-5
    )


def test_what_has_no_spread_is_refused() -> None:
    problem, mean, _ = linear()
    with pytest.raises(ValueError, match="prior on them"):
        posterior_mean(Problem(problem.decode, problem.misfit, Prior()), mean[None])
    with pytest.raises(ValueError, match="at least one sample"):
        posterior_mean(problem, mean[None], samples=0)
