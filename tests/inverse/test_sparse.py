"""The Lasso: scikit-learn's optimum and FISTA's, what is chosen on held-out measurements, clipping."""

import pytest
import torch
from torch import Tensor

from tests.inverse.known import random_mask
from zerosum.inverse.bases import DCT, Pixel, Wavelet
from zerosum.inverse.fourier import Fourier, line_mask, variable_density
from zerosum.inverse.gaussian import Gaussian, subsampled
from zerosum.inverse.masks import Mask
from zerosum.inverse.operators import Sized, matrix, of_image, vector
from zerosum.inverse.sparse import fista, held_out_penalty, lasso

SHAPE = (1, 10, 12)


def sparse_images(basis, count: int = 3, few: int = 8, seed: int = 0) -> Tensor:
    """Images of `few` coefficients in a basis, and their mean .2."""
    torch.manual_seed(seed)
    c = torch.zeros(count, 120, dtype=torch.float64)
    for one in c:
        one[torch.randperm(120)[:few]] = torch.randn(few, dtype=torch.float64)
    return 0.2 + basis.synthesise(c.unflatten(1, SHAPE))


def objective(operator: Sized, y: Tensor, basis, c: Tensor, penalty: Tensor, mean: float) -> Tensor:
    residual = vector(operator, operator.forward(mean + basis.synthesise(c)) - y)
    return residual.square().sum(-1) / 2 + penalty * c.abs().sum((-3, -2, -1))


CASES = {
    "gaussian-dct": (Gaussian(SHAPE, 40), DCT(SHAPE)),
    "gaussian-wavelet": (Gaussian(SHAPE, 40), Wavelet(SHAPE)),
    "dct-pixel": (subsampled(SHAPE, 50), Pixel(SHAPE)),
    "mask-dct": (Mask(SHAPE, random_mask(SHAPE, 0.6)), DCT(SHAPE)),
    "masks-dct": (Mask(SHAPE, random_mask(SHAPE, 0.6, count=3)), DCT(SHAPE)),
    "fourier-wavelet": (Fourier(SHAPE, line_mask(SHAPE, variable_density(12, 2)[0])), Wavelet(SHAPE)),
}


@pytest.mark.parametrize(("operator", "basis"), CASES.values(), ids=CASES)
def test_fista_and_coordinate_descent_find_one_optimum(operator, basis):
    y = operator.forward(sparse_images(basis))
    slow = lasso(operator, y, basis, alpha=2e-3, mean=0.2, limits=None)
    fast = fista(operator, y, basis, slow.penalty, mean=0.2, limits=None, tolerance=1e-8, limit=20_000)
    assert slow.settled.all()
    assert fast.settled.all()
    values = [objective(operator, y, basis, x.coefficients, slow.penalty, 0.2) for x in (slow, fast)]
    assert torch.allclose(values[0], values[1], rtol=1e-4)
    assert torch.allclose(slow.image, fast.image, atol=2e-3)


@pytest.mark.parametrize(("operator", "basis"), CASES.values(), ids=CASES)
def test_the_penalty_of_alpha_is_alpha_times_the_measurements(operator, basis):
    y = operator.forward(sparse_images(basis))
    found = lasso(operator, y, basis, alpha=0.5)
    counts = [len(matrix(of_image(operator, index))[0]) for index in range(3)]
    assert found.penalty.tolist() == pytest.approx([0.5 * count for count in counts])


def test_the_optimum_meets_the_conditions_of_the_lasso():
    """|AΦᵀ(y − AΦc)| ≤ λ, and = λ sign(c) where c is not 0."""
    operator, basis = CASES["gaussian-dct"]
    y = operator.forward(sparse_images(basis))
    found = fista(operator, y, basis, 0.05, mean=0.2, limits=None, tolerance=1e-9, limit=20_000)
    slope = basis.analyse(operator.adjoint(y - operator.forward(found.image)))
    assert float(slope.abs().max()) <= 0.05 * (1 + 1e-4)
    on = found.coefficients != 0
    assert torch.allclose(slope[on], 0.05 * found.coefficients[on].sign(), atol=1e-5)


def test_sparse_images_come_back_from_few_measurements():
    operator, basis = CASES["gaussian-dct"]
    x = sparse_images(basis, few=4)
    found = lasso(operator, operator.forward(x), basis, alpha=1e-6, mean=0.2, limits=None)
    assert float((found.image - x).abs().max()) < 1e-3


def test_the_mean_of_training_images_is_what_is_added_to():
    operator, basis = CASES["gaussian-dct"]
    x = sparse_images(basis)
    y = operator.forward(x)
    mean = x.mean(0)
    for found in (lasso(operator, y, basis, alpha=1e9, mean=mean), fista(operator, y, basis, 1e9, mean=mean)):
        assert float(found.coefficients.abs().max()) == 0
        assert torch.allclose(found.image, mean.clamp(-1, 1).expand(3, *SHAPE))


def test_images_are_clipped_to_their_range():
    operator, basis = CASES["gaussian-dct"]
    y = operator.forward(3 * sparse_images(basis))
    for limits, top in (((-1.0, 1.0), 1.0), ((0.0, 0.5), 0.5)):
        for found in (
            lasso(operator, y, basis, alpha=1e-3, limits=limits),
            fista(operator, y, basis, 0.04, limits=limits),
        ):
            assert float(found.image.max()) == top
            assert float(found.image.min()) >= limits[0]


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_alpha_is_chosen_on_held_out_measurements(noise):
    operator, basis = CASES["gaussian-dct"]
    x = sparse_images(basis, count=4)
    y = operator.forward(x)
    y = y + noise * torch.randn_like(y)
    chosen = lasso(operator, y, basis, mean=0.2, limits=None)
    batch = fista(operator, y, basis, held_out_penalty(operator, y, basis, mean=0.2), mean=0.2, limits=None)
    alphas = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    errors = [
        float((lasso(operator, y, basis, alpha=a, mean=0.2, limits=None).image - x).square().mean())
        for a in alphas
    ]
    for found in (chosen, batch):
        assert float((found.image - x).square().mean()) < 1.3 * min(errors)
        assert float((found.image - x).square().mean()) < 0.8 * max(errors)


def test_more_noise_is_answered_by_a_larger_penalty():
    operator, basis = CASES["gaussian-dct"]
    y = operator.forward(sparse_images(basis, count=6))
    noisy = y + 0.5 * torch.randn_like(y)
    for choose in (
        lambda y: lasso(operator, y, basis, mean=0.2).penalty,
        lambda y: held_out_penalty(operator, y, basis, mean=0.2),
    ):
        assert float(choose(noisy).median()) > 3 * float(choose(y).median())


@pytest.mark.parametrize("name", ["masks-dct", "fourier-wavelet"])
def test_a_batch_is_its_images_one_by_one(name):
    operator, basis = CASES[name]
    y = operator.forward(sparse_images(basis)) * torch.tensor([1.0, 0.1, 3.0]).reshape(3, 1, 1, 1)
    penalty = held_out_penalty(operator, y, basis)
    whole = fista(operator, y, basis, penalty)
    for i in range(3):
        one = operator if name != "masks-dct" else Mask(SHAPE, operator.keep[i])
        alone = held_out_penalty(one, y[i : i + 1], basis)
        assert torch.allclose(alone, penalty[i : i + 1])
        assert torch.allclose(fista(one, y[i : i + 1], basis, alone).image, whole.image[i : i + 1], atol=1e-9)


def test_restarts_and_images_are_both_leading():
    operator, basis = CASES["gaussian-dct"]
    y = operator.forward(sparse_images(basis))
    twice = fista(operator, torch.stack([y, 2 * y]), basis, 0.05)
    assert twice.image.shape == (2, 3, *SHAPE)
    assert torch.allclose(twice.image[0], fista(operator, y, basis, 0.05).image, atol=1e-9)
    assert fista(operator, y.float(), basis, 0.05).image.dtype == torch.float32


def test_nothing_to_explain_gives_the_mean():
    operator, basis = CASES["gaussian-dct"]
    y = operator.forward(torch.full((2, *SHAPE), 0.2))
    for found in (
        lasso(operator, y, basis, mean=0.2),
        fista(operator, y, basis, 0.01, mean=0.2),
    ):
        assert torch.allclose(found.image, torch.tensor(0.2), atol=1e-5)


def test_bad_input_is_refused():
    operator, basis = CASES["gaussian-dct"]
    y = torch.zeros(2, 40)
    y[1, 3] = torch.nan
    for solve in (
        lambda y: lasso(operator, y, basis),
        lambda y: fista(operator, y, basis, 1.0),
        lambda y: held_out_penalty(operator, y, basis),
    ):
        with pytest.raises(ValueError, match="1 of 80 measurements are not finite"):
            solve(y)
        with pytest.raises(ValueError, match="an image are needed"):
            solve(y[:, 1:])
    with pytest.raises(ValueError, match="alpha must be above 0"):
        lasso(operator, torch.ones(2, 40), basis, alpha=0.0)
    with pytest.raises(ValueError, match="at least 0"):
        fista(operator, torch.ones(2, 40), basis, -1.0)
    with pytest.raises(ValueError, match="of a batch"):
        lasso(operator, torch.ones(40), basis)
    one = Gaussian(SHAPE, 1)
    with pytest.raises(ValueError, match="give alpha"):
        lasso(one, torch.ones(1, 1), basis)
