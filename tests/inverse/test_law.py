"""The law of latents: its moments, its shrinkage, and what a search that knows it finds."""

import numpy as np
import pytest
import torch
from torch import Tensor

from zerosum.inverse.beyond import gaussian_residual, whitened
from zerosum.inverse.descent import LevenbergMarquardt
from zerosum.inverse.gaussian import Gaussian
from zerosum.inverse.law import Law, fit_law
from zerosum.inverse.linear import Spread, fit_spread, lmmse
from zerosum.inverse.misfit import Prior
from zerosum.inverse.search import search

SHAPE = (1, 6, 6)
BASIS = torch.randn(36, 3, generator=torch.Generator().manual_seed(0)).double()
FACTOR = torch.tensor([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [-0.3, 0.2, 0.4]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_of_many_latents_it_is_their_moments() -> None:
    z = MEAN + normal(20_000, 3) @ FACTOR.mT
    law = fit_law(z.float())
    assert torch.allclose(law.mean, z.mean(0), atol=1e-5)
    expected = torch.from_numpy(np.cov(z.numpy(), rowvar=False))
    assert torch.allclose(law.factor @ law.factor.mT, expected, atol=2e-3)
    drawn = law.latents(normal(50_000, 3, seed=2))
    assert torch.allclose(drawn.mean(0), MEAN, atol=0.05)
    assert torch.allclose(drawn.T.cov(), FACTOR @ FACTOR.mT, atol=0.1)


def test_of_few_it_is_shrunk_and_nearer_to_the_truth() -> None:
    z = normal(20, 40)
    law = fit_law(z)
    covariance = law.factor @ law.factor.mT
    assert covariance.trace() == pytest.approx(float((z - z.mean(0)).square().sum()) / 20)
    truth = torch.eye(40).double()
    assert (covariance - truth).norm() < 0.5 * (z.T.cov() - truth).norm()


def test_a_search_that_knows_the_law_is_the_best_linear_estimate() -> None:
    """x = W(m + Lu) + e, all normal: the answer is LMMSE's for W L Lᵀ Wᵀ + C about Wm + μ."""
    residual = fit_spread(0.3 * normal(2000, *SHAPE, seed=3) + 0.1)
    operator = Gaussian(SHAPE, 12, seed=4)
    law = Law(MEAN, FACTOR)

    def decode(z: Tensor) -> Tensor:
        return (z @ BASIS.mT).view(-1, *SHAPE)

    truth = decode(law.latents(normal(5, 3, seed=5))) + 0.3 * normal(5, *SHAPE, seed=6) + 0.1
    y = operator.forward(truth) + 0.05 * normal(5, 12, seed=7)
    known = law.decode(decode)
    found = search(
        known,
        whitened(operator, y, residual, 0.05),
        torch.zeros(1, 5, 3).double(),
        method=LevenbergMarquardt(steps=40, tolerance=0.0, patience=40),
        prior=Prior(norm=1.0),
    )
    assert torch.allclose(known(found.latent), found.image)
    ours = gaussian_residual(operator, y, found.image, residual, 0.05).image
    wide = BASIS @ FACTOR
    variances, v = torch.linalg.eigh(residual.covariance() + wide @ wide.mT)
    middle = residual.mean + decode(MEAN[None])[0]
    whole = Spread(middle, v.mT.reshape(36, *SHAPE), variances, 0.0)
    assert torch.allclose(ours, lmmse(operator, y, whole, 0.05, limits=None).image, atol=1e-5)


@pytest.mark.parametrize(
    ("latents", "says"),
    [
        (torch.zeros(1, 3), "at least 2"),
        (torch.zeros(3), "at least 2"),
        (torch.tensor([[0.0], [torch.nan]]), "finite"),
        (torch.ones(5, 2), "all alike"),
    ],
)
def test_what_has_no_law_is_refused(latents: Tensor, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fit_law(latents)
