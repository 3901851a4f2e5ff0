"""Orthonormal bases in which images are sparse: pixels, cosines, wavelets.

`analyse` gives coefficients in an image's own shape, `synthesise` takes them back; each is the other's
transpose and inverse. All are products with small matrices along an axis: differentiable, batched, on any
device.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import torch
from torch import Tensor

from zerosum.inverse.operators import Shape, check_images, extra

__all__ = ["BASES", "DCT", "Basis", "Pixel", "Wavelet", "dct_matrix", "hadamard_matrix"]


class Basis(Protocol):
    """Coefficients of images [..., C, H, W] in an orthonormal basis, in the same shape."""

    def analyse(self, x: Tensor) -> Tensor:
        """Φᵀ x."""

    def synthesise(self, c: Tensor) -> Tensor:
        """Φ c."""


@cache
def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II, [size, size] in float64; row k is the cosine of frequency k.

    >>> torch.allclose(dct_matrix(5) @ dct_matrix(5).T, torch.eye(5).double())
    True
    """
    k = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * k[:, None] * (k + 0.5)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


@cache
def hadamard_matrix(size: int) -> Tensor:
    """Sylvester's Hadamard matrix over √size, [size, size] in float64.

    Raises ValueError where the size is no power of two.

    >>> hadamard_matrix(2) * 2**0.5
    tensor([[ 1.,  1.],
            [ 1., -1.]], dtype=torch.float64)
    """
    if size < 1 or size & (size - 1):
        raise ValueError(f"a Hadamard transform needs sides of a power of two, not {size}: choose dct")
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(size)


@dataclass(frozen=True)
class Pixel:
    """The pixels themselves.

    >>> Pixel((1, 2, 2)).analyse(torch.ones(1, 2, 2)).sum()
    tensor(4.)
    """

    shape: Shape

    def analyse(self, x: Tensor) -> Tensor:
        """x."""
        check_images(self.shape, x)
        return x

    def synthesise(self, c: Tensor) -> Tensor:
        """c."""
        return self.analyse(c)


@dataclass(frozen=True)
class DCT:
    """Cosines over each whole channel: the orthonormal DCT-II along height and width.

    >>> DCT((1, 4, 4)).analyse(torch.ones(1, 4, 4)).flatten()[:2]
    tensor([4., 0.])
    """

    shape: Shape

    def analyse(self, x: Tensor) -> Tensor:
        """Each channel's cosine coefficients, the mean first."""
        check_images(self.shape, x)
        return dct_matrix(self.shape[1]).to(x) @ x @ dct_matrix(self.shape[2]).to(x).mT

    def synthesise(self, c: Tensor) -> Tensor:
        """Each channel from its cosine coefficients."""
        check_images(self.shape, c)
        return dct_matrix(self.shape[1]).to(c).mT @ c @ dct_matrix(self.shape[2]).to(c)


@dataclass(frozen=True)
class Wavelet:
    """Daubechies wavelets over each channel, wrapped round at the borders: orthonormal at any size.

    `name` is PyWavelets' ("db1", Haar's, is the one of Bora et al. 2017's code), `levels` as many as fit
    if None. Coefficients lie as Mallat drew them: the coarsest top left. At an odd size the last row or
    column goes to the coarser level as it is.

    Raises ValueError for an unknown or not orthonormal wavelet, and for more levels than fit.

    >>> round(float(Wavelet((1, 4, 4)).analyse(torch.ones(1, 4, 4))[0, 0, 0]), 6)
    4.0
    """

    shape: Shape
    name: str = "db1"
    levels: int | None = None

    def __post_init__(self) -> None:
        pywt = extra("pywt")
        if self.name not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(self.name).orthogonal:
            raise ValueError(
                f"wavelet {self.name!r} is not orthonormal: choose db1 … db38, sym2 … or coif1 …"
            )
        if self.levels is not None and not 0 <= self.levels <= self._most:
            raise ValueError(
                f"{self.levels} levels of {self.name} do not fit {self.shape[1:]}: 0 to {self._most}"
            )

    @property
    def _most(self) -> int:
        """PyWavelets' rule: while the shorter side is as long as the filter."""
        pywt = extra("pywt")
        return int(pywt.dwt_max_level(min(self.shape[1:]), pywt.Wavelet(self.name).dec_len))

    @cached_property
    def _steps(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """For each level, finest first, the matrices along height and width."""
        height, width = self.shape[1:]
        steps = []
        for _ in range(self._most if self.levels is None else self.levels):
            steps.append((_level(height, self.name), _level(width, self.name)))
            height, width = -(-height // 2), -(-width // 2)
        return tuple(steps)

    def analyse(self, x: Tensor) -> Tensor:
        """Each channel's wavelet coefficients."""
        check_images(self.shape, x)
        for down, across in self._steps:
            x = _in_corner(x, down.to(x), across.to(x))
        return x

    def synthesise(self, c: Tensor) -> Tensor:
        """Each channel from its wavelet coefficients."""
        check_images(self.shape, c)
        for down, across in reversed(self._steps):
            c = _in_corner(c, down.to(c).mT, across.to(c).mT)
        return c


def _in_corner(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """D x Aᵀ on the top left corner that these matrices fit; the rest stays."""
    h, w = len(down), len(across)
    top = torch.cat([down @ x[..., :h, :w] @ across.mT, x[..., :h, w:]], -1)
    return torch.cat([top, x[..., h:, :]], -2)


@cache
def _level(size: int, name: str) -> Tensor:
    """One level along an axis, [size, size]: the coarse half first, with an odd last sample at its end."""
    pywt = extra("pywt")
    even = size - size % 2
    identity = torch.eye(even, dtype=torch.float64).numpy()
    coarse, fine = (torch.from_numpy(part) for part in pywt.dwt(identity, name, "periodization", axis=0))
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix[: even // 2, :even] = coarse
    matrix[size - even // 2 :, :even] = fine
    if size % 2:
        matrix[even // 2, even] = 1
    return matrix


BASES: Mapping[str, Callable[[Shape], Basis]] = {"pixel": Pixel, "dct": DCT, "wavelet": Wavelet}
