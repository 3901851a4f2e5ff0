"""Random measurements: the same numbers stored or not, the right law, orthonormal rows."""

import math

import pytest
import torch

from zerosum.inverse import gaussian as module
from zerosum.inverse.gaussian import Gaussian, subsampled
from zerosum.inverse.operators import matrix

SHAPE = (1, 12, 12)


def test_the_same_numbers_whether_stored_or_not(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 32)
    stored, unstored = (Gaussian(SHAPE, 100, seed=5, store=store) for store in (True, False))
    x = torch.randn(4, 2, *SHAPE, dtype=torch.float64)
    y = stored.forward(x)
    assert torch.allclose(unstored.forward(x), y, atol=1e-12)
    assert torch.allclose(unstored.adjoint(y), stored.adjoint(y), atol=1e-12)
    assert torch.equal(torch.cat([unstored.rows(0, 37), unstored.rows(37, 100)]), stored.rows(0, 100))
    assert not unstored._kept


def test_what_is_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(module, "STORED", 100 * 144 - 1)
    large, small = Gaussian(SHAPE, 100), Gaussian(SHAPE, 99)
    for operator in (large, small):
        operator.forward(torch.zeros(SHAPE))
    assert not large._kept
    assert len(small._kept) == 1


def test_the_law_is_that_of_the_paper():
    rows = Gaussian((1, 40, 40), 400, seed=2).rows(0, 400) * math.sqrt(400)
    assert abs(float(rows.mean())) < 5 / math.sqrt(rows.numel())
    assert abs(float(rows.var()) - 1) < 5 * math.sqrt(2 / rows.numel())
    assert abs(float(rows.pow(4).mean()) - 3) < 5 * math.sqrt(96 / rows.numel())


def test_fewer_measurements_are_the_first_of_more():
    few, many = Gaussian(SHAPE, 25, seed=1), Gaussian(SHAPE, 100, seed=1)
    assert torch.allclose(few.rows(0, 25) / 2, many.rows(0, 25))
    assert not torch.equal(Gaussian(SHAPE, 25, seed=2).rows(0, 25), few.rows(0, 25))


def test_a_derivative_holds_no_matrix(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 32)
    held = []
    operator = Gaussian(SHAPE, 100, store=False)
    x = torch.randn(SHAPE, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t.numel()) or t, lambda t: t):
        y = operator.forward(x).square().sum()
    y.backward()
    assert sum(held) < 1000
    assert torch.allclose(x.grad, 2 * operator.adjoint(operator.forward(x.detach())), atol=1e-5)


@pytest.mark.parametrize("transform", ["dct", "hadamard"])
@pytest.mark.parametrize("signs", [True, False])
def test_rows_of_transforms_are_orthonormal(transform, signs):
    operator = subsampled((3, 4, 8), 40, transform, signs=signs)
    rows = matrix(operator)[0].flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(40).double(), atol=1e-12)
    whole = subsampled((3, 4, 8), 96, transform, signs=signs, seed=3)
    x = torch.randn(2, 3, 4, 8)
    assert torch.allclose(whole.adjoint(whole.forward(x)), x, atol=1e-5)


def test_signs_spread_an_image_over_all_coefficients():
    flat = torch.ones(1, 16, 16)
    plain, spread = (subsampled((1, 16, 16), 256, signs=signs).forward(flat) for signs in (False, True))
    assert float(plain.abs().max()) == pytest.approx(16)
    assert float(spread.abs().max()) < 5


def test_rows_of_the_hadamard_transform_are_signs():
    y = subsampled((1, 8, 8), 20, "hadamard").adjoint(torch.eye(20))
    assert torch.allclose(y.abs(), torch.tensor(1 / 8), atol=1e-6)


@pytest.mark.parametrize("m", [0, -3, 145])
def test_more_measurements_than_pixels_are_refused(m):
    for make in (Gaussian, subsampled):
        with pytest.raises(ValueError, match=f"--measurements {m}: .* 1 to 144"):
            make(SHAPE, m)


def test_hadamard_needs_powers_of_two():
    with pytest.raises(ValueError, match="power of two, not 12"):
        subsampled(SHAPE, 5, "hadamard")
