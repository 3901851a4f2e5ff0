"""Kernels against scikit-learn's, MMD against its definition, and both against closed forms for Gaussians."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process.kernels import RationalQuadratic
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
from torch import Tensor

from zerosum import kernels
from zerosum.kernels import Kernel, mmd, mmd2, polynomial, rational_quadratic, rbf

MIXTURES = {
    "one": [1.0],
    "doubling": [1.0, 2.0, 4.0, 8.0, 16.0],
    "root two": [math.sqrt(s) for s in (2, 5, 10, 20, 40, 80)],
    "no chain": [0.7, 1.0, 1.1],
    "twice": [2.0, 1.0, 2.0],
    "long": [0.01, 1.0, 64.0],
}
KERNELS = {
    "rbf": rbf([0.5, 1.0, 3.0]),
    "rational quadratic": rational_quadratic([0.2, 1.0, 5.0]),
    "polynomial": polynomial(),
}
every = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def samples(n: int = 7, m: int = 5, size: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two samples that differ in size, place and scale, float64."""
    made = torch.randn(n + m, size, generator=torch.Generator().manual_seed(seed)).double()
    return made[:n], made[n:] * 1.5 + 0.5


def expected(delta: float, variances: float, size: int = 1, width: float = 1.0) -> float:
    """E k(x, y) for Gaussians whose means are delta apart and whose variances add up to this."""
    total = width**2 + variances
    return float((width**2 / total) ** (size / 2) * math.exp(-(delta**2) / (2 * total)))


PAIR_A = 2 * (expected(0, 2) - expected(1, 2))


def plain(real: Tensor, fake: Tensor, kernel: Kernel, estimate: str) -> float:
    """MMD² by its definition, a pair at a time."""

    def k(x: Tensor, y: Tensor) -> float:
        return kernel(x[None], y[None]).item()

    n, m = len(real), len(fake)
    if estimate == "linear":
        pairs = [(real[i], fake[i], real[i + 1], fake[i + 1]) for i in range(0, n - 1, 2)]
        return float(np.mean([k(x, u) + k(y, v) - k(x, v) - k(u, y) for x, y, u, v in pairs]))

    def within(sample: Tensor) -> float:
        skip = estimate == "unbiased"
        return float(
            np.mean(
                [k(x, y) for i, x in enumerate(sample) for j, y in enumerate(sample) if not skip or i != j]
            )
        )

    return within(real) + within(fake) - 2 * sum(k(x, y) for x in real for y in fake) / (n * m)


@pytest.mark.parametrize("widths", MIXTURES.values(), ids=MIXTURES)
def test_rbf_agrees_with_scikit_learn(widths):
    x, y = samples()
    theirs = sum(rbf_kernel(x, y, gamma=1 / (2 * width**2)) for width in widths)
    np.testing.assert_allclose(rbf(widths)(x, y), theirs, rtol=1e-12)
    np.testing.assert_allclose(rbf(widths)(x.float(), y.float()), theirs, rtol=1e-4, atol=1e-6)


def test_the_other_kernels_agree_with_scikit_learn():
    x, y = samples()
    theirs = sum(RationalQuadratic(alpha=alpha)(x, y) for alpha in (0.2, 1.0, 5.0))
    np.testing.assert_allclose(KERNELS["rational quadratic"](x, y), theirs, rtol=1e-12)
    np.testing.assert_allclose(polynomial()(x, y), polynomial_kernel(x, y), rtol=1e-12)
    theirs = polynomial_kernel(x, y, degree=2, gamma=0.3, coef0=0.5)
    np.testing.assert_allclose(polynomial(2, 0.3, 0.5)(x, y), theirs, rtol=1e-12)


def test_dyadic_widths_share_one_exponential():
    assert kernels._chains([1, 2, 4, 8, 16]) == ((16, (0, 2, 4, 6, 8)),)
    assert kernels._chains(MIXTURES["root two"]) == (
        (math.sqrt(80), (0, 1, 2, 3, 4)),
        (math.sqrt(2), (0,)),
    )
    assert kernels._chains([2, 1, 2]) == ((2, (0, 0, 2)),)
    assert len(kernels._chains([1, 32])) == 2  # 2¹⁰: ten squarings would multiply the rounding by 1024


@every
def test_kernels_take_batches(kernel):
    x, y = torch.randn(4, 3, 2).double(), torch.randn(4, 5, 2).double()
    each = torch.stack([kernel(a, b) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(kernel(x, y), each)


@every
@pytest.mark.parametrize("estimate", ["unbiased", "biased", "linear"])
def test_mmd2_is_its_definition(kernel, estimate):
    real, fake = samples(7, 7 if estimate == "linear" else 5)
    found = mmd2(real, fake, kernel, estimate)
    assert found.item() == pytest.approx(plain(real, fake, kernel, estimate), rel=1e-12)
    assert (found.shape, found.dtype) == ((), torch.float64)
    assert mmd2(real.float(), fake.float(), kernel, estimate).dtype == torch.float32


@every
@pytest.mark.parametrize("estimate", ["unbiased", "biased"])
@pytest.mark.parametrize("held", [0, 2**24])
def test_blocks_and_recomputation_change_nothing(kernel, estimate, held, monkeypatch):
    real, fake = (x.requires_grad_() for x in samples())
    whole = mmd2(real, fake, kernel, estimate)
    slopes = torch.autograd.grad(whole, (real, fake))
    monkeypatch.setattr(kernels, "_ROWS", 2)
    monkeypatch.setattr(kernels, "_HELD", held)
    parts = mmd2(real, fake, kernel, estimate)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad(parts, (real, fake)), slopes)


@every
@pytest.mark.parametrize("estimate", ["unbiased", "biased", "linear"])
def test_gradients_by_finite_differences(kernel, estimate):
    real, fake = (x.requires_grad_() for x in samples(4, 4, 2))

    def cost(real: Tensor, fake: Tensor) -> Tensor:
        return mmd2(real, fake, kernel, estimate)

    assert torch.autograd.gradcheck(cost, (real, fake))
    assert torch.autograd.gradgradcheck(cost, (real, fake))


def test_pair_a_by_quadrature():
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    x, w = torch.from_numpy(nodes)[:, None], torch.from_numpy(weights / weights.sum())
    within, across = (w @ rbf([1.0])(x, x + shift) @ w for shift in (0.0, 1.0))
    assert within.item() == pytest.approx(expected(0, 2), abs=1e-9)
    assert 2 * (within - across).item() == pytest.approx(0.17726763, abs=1e-8)
    assert pytest.approx(0.17726763, abs=1e-8) == PAIR_A


@pytest.mark.parametrize(("estimate", "bias"), [("unbiased", 0.0), ("biased", 0.008453), ("linear", 0.0)])
def test_estimates_have_the_expectations_they_should(estimate, bias):
    made = torch.randn(144, 2, 100, 1, generator=torch.Generator().manual_seed(2))
    kernel = rbf([1.0])
    equal = torch.stack([mmd2(x, y, kernel, estimate) for x, y in made])
    assert abs(equal.mean().item() - bias) < 3 * equal.std().item() / 12
    assert bias == pytest.approx(0.0 if estimate != "biased" else 0.02 * (1 - expected(0, 2)), abs=1e-6)
    apart = torch.stack([mmd2(x, y + 1, kernel, estimate) for x, y in made])
    assert abs(apart.mean().item() - PAIR_A - bias) < 3 * apart.std().item() / 12
    assert equal.min().item() >= 0 if estimate == "biased" else equal.min().item() < 0


def test_closed_form_in_several_dimensions():
    # N(0, I) against N(δ, 4I) in 3 dimensions, δ = (1, 2, 0), width 1.5, two sample sizes.
    draw = torch.Generator().manual_seed(3)
    delta, kernel = torch.tensor([1.0, 2.0, 0.0]), rbf([1.5])
    found = torch.stack(
        [
            mmd2(torch.randn(150, 3, generator=draw), torch.randn(250, 3, generator=draw) * 2 + delta, kernel)
            for _ in range(100)
        ]
    )
    exact = expected(0, 2, 3, 1.5) + expected(0, 8, 3, 1.5) - 2 * expected(math.sqrt(5), 5, 3, 1.5)
    assert abs(found.mean().item() - exact) < 3 * found.std().item() / 10


def test_mmd_is_the_root_and_flat_at_zero():
    real, fake = samples()
    kernel = rbf([1.0])
    assert mmd(real, fake, kernel).item() == pytest.approx(mmd2(real, fake, kernel, "biased").sqrt().item())
    same = real.clone().requires_grad_()
    for other in (real, real.flip(0)):
        mmd(other, same, kernel).backward()
        assert same.grad.isfinite().all()
    near = (real + 1e-9).requires_grad_()
    mmd(real, near, kernel).backward()
    assert near.grad.abs().max() < 10
    fake.requires_grad_()
    assert torch.autograd.gradcheck(lambda fake: mmd(real, fake, kernel), (fake,))


def test_arithmetic_survives_half_precision_and_distance_from_the_origin():
    real, fake = (x.float() for x in samples(40, 30))
    kernel = rbf([0.5, 1.0])
    outside = mmd2(real, fake, kernel)
    with torch.autocast("cpu", torch.bfloat16):
        assert mmd2(real, fake, kernel) == outside
        assert polynomial()(real, fake).equal(polynomial()(real.clone(), fake))
        assert polynomial()(real, fake).dtype == torch.float32
    rounded = mmd2(real.bfloat16(), fake.bfloat16(), kernel)
    torch.testing.assert_close(rounded, mmd2(real.bfloat16().float(), fake.bfloat16().float(), kernel))
    far = [(x + 1000).double() for x in (real, fake)]
    torch.testing.assert_close(
        mmd2(real + 1000, fake + 1000, kernel).double(), mmd2(*far, kernel), rtol=1e-4, atol=1e-6
    )


@every
def test_slopes_are_of_the_samples_own_precision(kernel):
    real, fake = (x.float() for x in samples(40, 30))
    leaf, coarse = fake.clone().requires_grad_(), fake.bfloat16().requires_grad_()
    (outside,) = torch.autograd.grad(mmd2(real, leaf, kernel), leaf)
    with torch.autocast("cpu", torch.bfloat16):
        found = mmd2(real, leaf, kernel)
    assert torch.equal(torch.autograd.grad(found, leaf)[0], outside)
    (slope,) = torch.autograd.grad(mmd2(real, coarse, kernel), coarse)
    assert slope.dtype == torch.bfloat16
    torch.testing.assert_close(slope.float(), outside, rtol=0.1, atol=0.02 * float(outside.abs().max()))


def test_no_point_is_nearer_to_another_than_to_itself():
    x = torch.randn(50, 20)
    assert rbf([1e-3])(x, x.clone()).max() <= 1  # rounding can make ‖x−y‖² negative where it is small


def test_far_points_underflow_to_zero_with_no_gradient():
    far = torch.full((2, 3), 1e15, requires_grad=True)
    found = rbf(MIXTURES["doubling"])(torch.zeros(2, 3), far)
    found.sum().backward()
    assert not found.any()
    assert not far.grad.any()


coordinates = st.lists(st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=2), min_size=2, max_size=6)


@settings(max_examples=30)
@given(coordinates, coordinates, st.floats(-5, 5), st.floats(0.1, 10))
def test_symmetry_translation_scale(real, fake, shift, scale):
    real, fake = torch.tensor(real).double(), torch.tensor(fake).double()
    kernel = rbf([0.5, 1.0])
    found = mmd2(real, fake, kernel)
    for same in (
        mmd2(fake, real, kernel),
        mmd2(real.flip(0), fake, kernel),
        mmd2(real + shift, fake + shift, kernel),
        mmd2(scale * real, scale * fake, rbf([0.5 * scale, scale])),
        mmd2(real[:, None, :, None], fake[:, None, :, None], kernel),
    ):
        torch.testing.assert_close(same, found, rtol=1e-9, atol=1e-12)
    assert mmd2(real, fake, kernel, "biased").item() >= -1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rbf([]), "widths must be one or more positive numbers"),
        (lambda: rbf([1.0, 0.0]), "widths must be"),
        (lambda: rbf([float("nan")]), "widths must be"),
        (lambda: rational_quadratic([-1.0]), "alphas must be"),
        (lambda: polynomial(degree=0), "degree ≥ 1"),
        (lambda: polynomial(gamma=0.0), "gamma > 0"),
        (lambda: mmd2(torch.zeros(1, 2), torch.zeros(3, 2), rbf([1.0])), "at least 2 samples of each, not 1"),
        (lambda: mmd(torch.zeros(0, 2), torch.zeros(3, 2), rbf([1.0])), "at least 1 samples"),
        (lambda: mmd2(torch.zeros(3, 2), torch.zeros(3, 1), rbf([1.0])), "have 2 numbers each, fake ones 1"),
        (lambda: mmd2(torch.zeros(3, 2), torch.zeros(4, 2), rbf([1.0]), "linear"), "as many fake as real"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
