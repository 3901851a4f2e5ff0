"""Each operator's adjoint, norm and batching, against definitions and a dense decomposition."""

import math

import pytest
import torch
from torch import Tensor

from tests.inverse.known import centre_mask, left_mask, random_mask
from zerosum.holes import pattern
from zerosum.inverse.filters import Blur, antialiased, block_mean
from zerosum.inverse.fourier import Fourier, coil_sensitivities, equispaced, line_mask, variable_density
from zerosum.inverse.gaussian import Gaussian, subsampled
from zerosum.inverse.masks import Mask, hidden_by
from zerosum.inverse.operators import (
    Sized,
    check_measurements,
    from_physics,
    matrix,
    of_image,
    spectral_norm,
    vector,
)

GREY, RGB, ODD = (1, 8, 8), (3, 6, 6), (1, 5, 7)
PAIR = (2, 5, 6)
KERNEL = torch.tensor([[0.1, 0.3, 0.2, 0.05], [0.0, 0.25, -0.1, 0.4], [0.7, 0.2, 0.1, 0.0]]).double()

OPERATORS: dict[str, Sized] = {
    "centre": Mask(RGB, centre_mask(RGB)),
    "half": Mask(ODD, left_mask(ODD)),
    "random": Mask(RGB, random_mask(RGB, 0.8)),
    "pattern": Mask(GREY, hidden_by(pattern(), GREY)),
    "mask-by-channel": Mask(RGB, torch.arange(108).reshape(RGB) % 3 > 0),
    "gaussian": Gaussian(RGB, 20),
    "gaussian-unstored": Gaussian(RGB, 20, store=False),
    "dct": subsampled(RGB, 31),
    "dct-plain": subsampled(ODD, 10, signs=False),
    "hadamard": subsampled((3, 4, 8), 31, "hadamard"),
    **{
        f"blur-{boundary}": Blur(ODD, KERNEL, boundary)
        for boundary in ("zeros", "reflect", "replicate", "periodic")
    },
    "block-mean": block_mean(RGB, 3),
    "bicubic": antialiased((3, 8, 12), 4),
    "fourier": Fourier(RGB, line_mask(RGB, variable_density(6, 2)[0])),
    "fourier-odd": Fourier(ODD, line_mask(ODD, variable_density(7, 2.4, seed=4)[0])),
    "fourier-half": Fourier(GREY, line_mask(GREY, equispaced(8, 2, offset=1))),
    "fourier-one-side": Fourier(GREY, line_mask(GREY, torch.arange(8) == 5)),
    "fourier-paired": Fourier(PAIR, line_mask(PAIR, equispaced(6, 3, offset=1)), paired=True),
    "coils": Fourier(ODD, line_mask(ODD, equispaced(7, 2)), coil_sensitivities(4, 5, 7)),
    "coils-paired": Fourier(PAIR, line_mask(PAIR, equispaced(6, 2)), coil_sensitivities(3, 5, 6), True),
}
every = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


def dense(operator: Sized) -> Tensor:
    """A as a matrix, from the images of one pixel each: not through the adjoint."""
    pixels = torch.eye(math.prod(operator.shape), dtype=torch.float64)
    return vector(operator, operator.forward(pixels.unflatten(1, operator.shape))).T


@every
def test_the_adjoint_is_one(operator):
    x = torch.randn(operator.shape, dtype=torch.float64)
    y = operator.forward(x)
    assert tuple(y.shape) == operator.measured
    v = torch.randn_like(y)
    back = operator.adjoint(v)
    assert back.shape == x.shape
    assert back.dtype == torch.float64
    assert abs(float((y.conj() * v).sum().real) - float((x * back).sum())) < 1e-10


@every
def test_the_norm_is_that_of_the_matrix(operator):
    largest = float(torch.linalg.matrix_norm(dense(operator), 2))
    slack = 1e-3 if getattr(operator, "store", None) is False else 1e-6
    assert operator.norm == pytest.approx(largest, rel=slack)


@every
def test_rows_from_the_adjoint_are_those_of_the_matrix(operator):
    rows, kept = matrix(operator, block=7)
    whole = dense(operator)
    assert torch.allclose(rows.flatten(1), whole[kept], atol=1e-10)
    assert float(whole[~kept].abs().sum()) < 1e-10


@every
def test_leading_dimensions_are_images_of_their_own(operator):
    x = torch.randn(2, 3, *operator.shape)
    y = operator.forward(x)
    assert tuple(y.shape) == (2, 3, *operator.measured)
    assert torch.allclose(y[1, 2], operator.forward(x[1, 2]), atol=1e-5)
    assert torch.allclose(operator.adjoint(y)[1, 2], operator.adjoint(y[1, 2]), atol=1e-5)
    assert operator.adjoint(y).dtype == torch.float32


@every
def test_other_sizes_are_refused(operator):
    c, h, w = operator.shape
    with pytest.raises(ValueError, match="images of"):
        operator.forward(torch.zeros(2, c, h, w + 1))


@every
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on first use of forward mode
def test_jacobians_by_vmap_and_gradients(operator):
    directions = torch.randn(3, *operator.shape, dtype=torch.float64)

    def measure(z: Tensor) -> Tensor:
        return vector(operator, operator.forward((z[:, None, None, None] * directions).sum(0)))

    z = torch.randn(4, 3, dtype=torch.float64)
    # A matrix made anew draws numbers: the same for every row.
    forward = torch.func.jacfwd(measure, randomness="same")
    jacobian = torch.func.vmap(forward, randomness="same")(z)
    expected = vector(operator, operator.forward(directions)).T
    assert torch.allclose(jacobian, expected.expand_as(jacobian), atol=1e-10)
    z.requires_grad_()
    loss = torch.stack([measure(one).square().sum() for one in z]).sum()
    (slope,) = torch.autograd.grad(loss, z)
    assert torch.allclose(slope, 2 * z @ expected.T @ expected, atol=1e-9)


def test_lanczos_finds_the_top_of_a_dense_spectrum():
    gaussian = Gaussian((1, 20, 20), 200)
    assert spectral_norm(gaussian, gaussian.shape) == pytest.approx(
        float(torch.linalg.matrix_norm(dense(gaussian), 2)), rel=1e-7
    )


class Stand:
    """The interface of a deepinv physics: its call would add noise."""

    def A(self, x: Tensor) -> Tensor:  # noqa: N802
        assert x.dim() == 4
        return 3 * x[:, :, ::2]

    def A_adjoint(self, y: Tensor) -> Tensor:  # noqa: N802
        x = y.new_zeros(*y.shape[:2], 2 * y.shape[2], y.shape[3])
        x[:, :, ::2] = 3 * y
        return x

    def __call__(self, x: Tensor) -> Tensor:
        raise AssertionError("this would add noise")


def test_a_physics_is_an_operator():
    operator = from_physics(Stand(), RGB)
    assert operator.measured == (3, 3, 6)
    assert operator.norm == pytest.approx(3)
    x = torch.randn(2, 5, *RGB)
    y = operator.forward(x)
    assert torch.equal(y, 3 * x[..., ::2, :])
    assert operator.adjoint(y).shape == x.shape


def test_what_is_no_physics_is_refused():
    with pytest.raises(ValueError, match="has no A, A_adjoint"):
        from_physics(object(), RGB)

    class Wrong(Stand):
        def A_adjoint(self, y: Tensor) -> Tensor:  # noqa: N802
            return 2 * super().A_adjoint(y)

    with pytest.raises(ValueError, match="not the adjoint"):
        from_physics(Wrong(), RGB)


def test_bad_measurements_are_refused():
    operator = Gaussian(GREY, 9)
    check_measurements(operator, torch.zeros(4, 9))
    with pytest.raises(ValueError, match=r"\[9\] an image"):
        check_measurements(operator, torch.zeros(4, 8))
    y = torch.zeros(4, 9)
    y[1, 2] = torch.inf
    with pytest.raises(ValueError, match="1 of 36 measurements are not finite"):
        check_measurements(operator, y)


def test_a_mask_for_each_image():
    keep = random_mask(RGB, 0.5, count=4, seed=3)
    operator = Mask(RGB, keep)
    x = torch.randn(2, 4, *RGB)
    y = operator.forward(x)
    for i in range(4):
        assert torch.equal(y[:, i], of_image(operator, i).forward(x[:, i]))
    with pytest.raises(ValueError, match="of_image"):
        matrix(operator)
    gaussian = Gaussian(GREY, 3)
    assert of_image(gaussian, 2) is gaussian
