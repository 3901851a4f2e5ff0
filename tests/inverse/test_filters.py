"""Blur and down-sampling against scipy and definitions."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from zerosum.inverse.filters import Blur, antialiased, block_mean, gaussian_kernel

MODES = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "periodic": "wrap"}
SHAPE = (2, 9, 10)


@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize("sizes", [(3, 3), (5, 2), (4, 7), (1, 1), (8, 8)])
def test_blur_is_the_convolution_of_scipy(boundary, sizes):
    kernel = torch.randn(sizes, dtype=torch.float64)
    x = torch.randn(SHAPE, dtype=torch.float64)
    y = Blur(SHAPE, kernel, boundary).forward(x)
    for one, other in zip(x, y, strict=True):
        expected = ndimage.convolve(one.numpy(), kernel.numpy(), mode=MODES[boundary])
        assert np.allclose(other.numpy(), expected, atol=1e-12)


def test_a_gaussian_kernel_is_scipys():
    point = np.zeros((9, 9))
    point[4, 4] = 1
    expected = ndimage.gaussian_filter(point, 1.5, radius=4)
    assert np.allclose(gaussian_kernel(9, 1.5).numpy(), expected, atol=1e-12)


def test_block_means_and_their_transpose():
    operator = block_mean((1, 6, 9), 3)
    x = torch.randn(1, 6, 9, dtype=torch.float64)
    y = operator.forward(x)
    assert y.shape == (1, 2, 3)
    assert float(y[0, 1, 2]) == pytest.approx(float(x[0, 3:, 6:].mean()))
    assert torch.allclose(operator.adjoint(y), y.repeat_interleave(3, 1).repeat_interleave(3, 2) / 9)
    assert operator.norm == pytest.approx(1 / 3)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_antialiased_is_torchs(mode):
    x = torch.randn(2, 3, 16, 24, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(x, (4, 6), mode=mode, antialias=True)
    assert torch.allclose(antialiased((3, 16, 24), 4, mode).forward(x), expected, atol=1e-12)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="--factor 4"):
        block_mean((1, 28, 30), 4)
    with pytest.raises(ValueError, match="--factor 0"):
        antialiased((1, 28, 30), 0)
    with pytest.raises(ValueError, match="does not fit"):
        Blur((1, 4, 4), torch.ones(5, 5))
    with pytest.raises(ValueError, match="finite"):
        Blur((1, 4, 4), torch.full((3, 3), torch.nan))
    with pytest.raises(ValueError, match="unknown"):
        Blur((1, 4, 4), torch.ones(3, 3), "mirror")
    with pytest.raises(ValueError, match="sigma above 0"):
        gaussian_kernel(3, 0.0)
