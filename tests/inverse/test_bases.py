"""The bases are orthonormal at any size, and are scipy's and PyWavelets'."""

import sys

import pytest
import pywt
import torch
from scipy.fft import dctn
from scipy.linalg import hadamard

from zerosum.inverse.bases import BASES, DCT, Basis, Wavelet, hadamard_matrix

SHAPES = [(1, 8, 8), (3, 4, 6), (1, 7, 10), (2, 5, 9), (1, 1, 3)]


def check(basis: Basis, shape: tuple[int, int, int]) -> None:
    pixels = torch.eye(shape[0] * shape[1] * shape[2], dtype=torch.float64)
    c = basis.analyse(pixels.unflatten(1, shape))
    assert c.shape == (len(pixels), *shape)
    assert torch.allclose(c.flatten(1) @ c.flatten(1).T, pixels, atol=1e-12)
    assert torch.allclose(basis.synthesise(c).flatten(1), pixels, atol=1e-12)


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_bases_are_orthonormal(name, shape):
    check(BASES[name](shape), shape)


@pytest.mark.parametrize("name", ["db2", "db4", "sym4", "coif1"])
@pytest.mark.parametrize("size", [(16, 16), (15, 18)])
def test_wavelets_are_orthonormal(name, size):
    basis = Wavelet((1, *size), name)
    assert len(basis._steps) >= 1
    check(basis, (1, *size))


def test_cosines_are_scipys_for_each_channel():
    x = torch.randn(4, 3, 5, 8, dtype=torch.float64)
    expected = dctn(x.numpy(), axes=(2, 3), norm="ortho")
    assert torch.allclose(DCT((3, 5, 8)).analyse(x), torch.from_numpy(expected), atol=1e-12)


@pytest.mark.parametrize("name", ["db1", "db4"])
def test_wavelets_are_pywaveletss(name):
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    basis = Wavelet((3, 32, 32), name)
    parts = pywt.wavedec2(x.numpy(), name, "periodization", len(basis._steps), axes=(-2, -1))
    expected, _ = pywt.coeffs_to_array(parts, axes=(-2, -1))
    assert torch.allclose(basis.analyse(x), torch.from_numpy(expected), atol=1e-12)


def test_haar_goes_down_to_one_number_as_the_papers_code_does():
    assert len(Wavelet((1, 64, 64))._steps) == 6
    c = Wavelet((1, 64, 64)).analyse(torch.ones(1, 64, 64, dtype=torch.float64))
    assert float(c[0, 0, 0]) == pytest.approx(64)
    assert float(c.abs().sum()) == pytest.approx(64)


def test_bases_take_any_leading_dimensions_and_have_gradients():
    for make in BASES.values():
        basis = make((1, 6, 5))
        x = torch.randn(2, 3, 1, 6, 5, requires_grad=True)
        c = basis.analyse(x)
        (slope,) = torch.autograd.grad((c * c.detach()).sum(), x)
        assert torch.allclose(slope, x, atol=1e-5)


def test_hadamard_is_scipys():
    assert torch.allclose(hadamard_matrix(8) * 8**0.5, torch.from_numpy(hadamard(8)).double())


def test_bad_wavelets_are_refused():
    with pytest.raises(ValueError, match="not orthonormal"):
        Wavelet((1, 8, 8), "bior2.2")
    with pytest.raises(ValueError, match="not orthonormal"):
        Wavelet((1, 8, 8), "daub4")
    with pytest.raises(ValueError, match="0 to 3"):
        Wavelet((1, 8, 8), "db1", 4)
    with pytest.raises(ValueError, match="images of"):
        DCT((1, 8, 8)).analyse(torch.zeros(1, 8, 9))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(ValueError, match=r"pip install 'zerosum\[inverse\]'"):
        Wavelet((1, 8, 8))
