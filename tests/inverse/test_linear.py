"""The linear estimate against its closed form, its variance against errors, its place beside the Lasso."""

import math

import pytest
import torch
from torch import Tensor

from tests.inverse.known import random_mask
from zerosum.inverse import linear as module
from zerosum.inverse.bases import DCT, Pixel
from zerosum.inverse.fourier import Fourier, coil_sensitivities, equispaced, line_mask
from zerosum.inverse.gaussian import Gaussian, subsampled
from zerosum.inverse.linear import Spread, fit_spread, lmmse, spread_along
from zerosum.inverse.masks import Mask
from zerosum.inverse.operators import matrix, vector
from zerosum.inverse.sparse import lasso

SHAPE = (1, 6, 7)
N = 42


def law(seed: int = 0, decay: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """A mean, a covariance whose correlation falls with the distance, and its root."""
    places = torch.cartesian_prod(torch.arange(6.0), torch.arange(7.0)).double()
    covariance = 0.09 * torch.exp(-torch.cdist(places, places) / (3 * decay))
    mean = 0.3 * torch.sin(places[:, 0]) * torch.cos(places[:, 1])
    return mean, covariance, torch.linalg.cholesky(covariance)


def draw(count: int, seed: int = 0) -> Tensor:
    mean, _, root = law()
    torch.manual_seed(seed)
    return (mean + torch.randn(count, N, dtype=torch.float64) @ root.T).unflatten(1, SHAPE)


def exact() -> Spread:
    mean, covariance, _ = law()
    variances, vectors = torch.linalg.eigh(covariance)
    return Spread(mean.unflatten(0, SHAPE), vectors.T.unflatten(1, SHAPE), variances, 0.0)


OPERATORS = {
    "gaussian": Gaussian(SHAPE, 12),
    "dct": subsampled(SHAPE, 12),
    "mask": Mask(SHAPE, random_mask(SHAPE, 0.7)),
    "fourier": Fourier(SHAPE, line_mask(SHAPE, equispaced(7, 3))),
    "coils": Fourier(SHAPE, line_mask(SHAPE, equispaced(7, 3)), coil_sensitivities(3, 6, 7)),
}
every = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


def posterior(operator, y: Tensor, noise: float, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Of a Gaussian, in the information form, which inverts other matrices: (C⁻¹ + AᵀA/σ²)⁻¹."""
    rows, kept = matrix(operator)
    a = rows.flatten(1)
    inverse = torch.linalg.inv(torch.linalg.inv(covariance) + a.T @ a / noise**2)
    shift = (vector(operator, y)[:, kept] - a @ mean) @ a @ inverse / noise**2
    return (mean + shift).unflatten(1, SHAPE), inverse.diagonal().unflatten(0, SHAPE)


@every
def test_it_is_the_posterior_of_a_gaussian(operator):
    mean, covariance, _ = law()
    y = operator.forward(draw(4))
    y = y + 0.1 * torch.randn_like(y)
    found = lmmse(operator, y, exact(), 0.1, limits=None)
    image, variance = posterior(operator, y, 0.1, mean, covariance)
    assert torch.allclose(found.image, image, atol=1e-9)
    assert torch.allclose(found.variance, variance.expand(4, *SHAPE), atol=1e-9)


@every
@pytest.mark.parametrize("noise", [0.1, 1e-3])
def test_directions_and_a_rest_are_their_covariance(operator, noise):
    spread = fit_spread(draw(300), rank=5)
    y = operator.forward(draw(2, 1))
    found = lmmse(operator, y, spread, noise, limits=None)
    image, variance = posterior(operator, y, noise, spread.mean.flatten(), spread.covariance())
    assert torch.allclose(found.image, image, atol=1e-8)
    assert torch.allclose(found.variance[1], variance, atol=1e-8)


def test_the_spread_is_the_sample_covariance():
    images = draw(500)
    spread = fit_spread(images.float())
    assert torch.allclose(spread.mean, images.mean(0), atol=1e-6)
    assert torch.allclose(spread.covariance(), images.flatten(1).T.cov(), atol=1e-7)
    few = fit_spread(images, rank=6)
    assert torch.allclose(few.variances, spread.variances[:6], atol=1e-7)
    assert few.rest == pytest.approx(float(spread.variances[6:].mean()), rel=1e-6)
    assert float(few.covariance().trace()) == pytest.approx(float(images.flatten(1).T.cov().trace()))


def test_large_images_by_subspace_iteration(monkeypatch):
    images = draw(400)
    whole = fit_spread(images, rank=4)
    monkeypatch.setattr(module, "WHOLE", 10)
    monkeypatch.setattr(module, "_BLOCK", 64)
    few = fit_spread(images, rank=4)
    assert torch.allclose(few.variances, whole.variances, rtol=1e-6)
    assert few.rest == pytest.approx(whole.rest, rel=1e-6)
    overlap = few.directions.flatten(1) @ whole.directions.flatten(1).T
    assert torch.allclose(overlap.abs(), torch.eye(4).double(), atol=1e-3)


def test_fewer_images_than_numbers(monkeypatch):
    images = draw(20)
    whole = fit_spread(images)
    monkeypatch.setattr(module, "WHOLE", 10)
    few = fit_spread(images)
    assert torch.allclose(few.covariance(), whole.covariance(), atol=1e-9)


def test_along_given_directions_only_variances_are_told():
    images = draw(300)
    spread = fit_spread(images)
    own = spread_along(images.float(), spread.directions)
    assert torch.allclose(own.variances, spread.variances, atol=1e-6)
    turned = torch.linalg.qr(torch.randn(math.prod(SHAPE), 5).double()).Q.T.reshape(5, *SHAPE)
    found, whole = spread_along(images, turned), images.flatten(1).T.cov()
    v = turned.flatten(1)
    expected = (v @ whole @ v.T).diagonal()
    rest = (whole.trace() - expected.sum()) / (math.prod(SHAPE) - 5)
    assert found.rest == pytest.approx(float(rest))
    assert torch.allclose(found.variances, expected.clamp_min(rest))
    with pytest.raises(ValueError, match="no spread along"):
        spread_along(images, torch.zeros(2, 1, 3, 3))


@every
def test_it_is_unbiased_and_its_variance_is_that_of_its_errors(operator):
    images = draw(2000, 3)
    y = operator.forward(images)
    y = y + 0.1 * torch.randn_like(y) * (math.sqrt(2) if y.is_complex() else 1)
    found = lmmse(operator, y, exact(), 0.1, limits=None)
    wrong = found.image - images
    assert float((wrong.mean(0) / (found.variance[0] / 2000).sqrt()).abs().max()) < 4.5
    ratio = wrong.square().mean(0) / found.variance[0]
    assert float((ratio - 1).abs().max()) < 4.5 * math.sqrt(2 / 2000)


def test_no_other_shrinkage_is_better():
    operator, images = OPERATORS["gaussian"], draw(3000, 4)
    y = operator.forward(images)
    y = y + 0.1 * torch.randn_like(y)
    errors = [
        float((lmmse(operator, y, exact(), noise, limits=None).image - images).square().mean())
        for noise in (0.05, 0.1, 0.2)
    ]
    assert errors[1] == min(errors)


def test_it_beats_the_lasso_on_correlated_images():
    operator, images, training = Gaussian(SHAPE, 20), draw(12, 5), draw(2000, 6)
    y = operator.forward(images)
    y = y + 0.1 / math.sqrt(20) * torch.randn_like(y)
    ours = lmmse(operator, y, fit_spread(training), 0.1 / math.sqrt(20))
    error = float((ours.image - images).square().mean())
    for basis in (DCT(SHAPE), Pixel(SHAPE)):
        theirs = lasso(operator, y, basis, mean=training.mean(0))
        assert float((theirs.image - images).square().mean()) > 1.2 * error


def test_a_mask_for_each_image():
    keep = random_mask(SHAPE, 0.5, count=3)
    images = draw(3)
    whole = lmmse(Mask(SHAPE, keep), Mask(SHAPE, keep).forward(images), exact(), 0.05)
    for i in range(3):
        one = Mask(SHAPE, keep[i])
        alone = lmmse(one, one.forward(images[i : i + 1]), exact(), 0.05)
        assert torch.allclose(alone.image[0], whole.image[i])
        assert torch.allclose(alone.variance[0], whole.variance[i])


def test_known_pixels_without_noise_stay():
    operator = OPERATORS["mask"]
    images = draw(2).clamp(-0.9, 0.9)
    found = lmmse(operator, operator.forward(images), exact(), 0.0)
    keep = operator.keep.expand(SHAPE)
    assert torch.allclose(found.image[:, keep], images[:, keep], atol=1e-9)
    assert float(found.variance[:, keep].max()) < 1e-9


def test_bad_input_is_refused():
    images = draw(8)
    with pytest.raises(ValueError, match="not finite"):
        fit_spread(torch.where(torch.arange(7) == 3, torch.nan, images))
    with pytest.raises(ValueError, match="at least 2"):
        fit_spread(images[:1])
    with pytest.raises(ValueError, match="--rank 43"):
        fit_spread(images, rank=43)
    operator = OPERATORS["gaussian"]
    y = operator.forward(images)
    with pytest.raises(ValueError, match="not finite"):
        lmmse(operator, y / 0, exact(), 0.1)
    with pytest.raises(ValueError, match="--noise"):
        lmmse(operator, y, exact(), -0.1)
    with pytest.raises(ValueError, match="spread is of images"):
        lmmse(Gaussian((1, 7, 6), 12), y, exact(), 0.1)
    with pytest.raises(ValueError, match="of a batch"):
        lmmse(operator, y[0], exact(), 0.1)
    with pytest.raises(ValueError, match="--noise above 0"):
        lmmse(operator, y, fit_spread(images), 0.0)
