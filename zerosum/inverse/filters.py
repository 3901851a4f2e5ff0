"""Blur and down-sampling."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.inverse.operators import Shape, check_images, leading, spectral_norm

__all__ = ["Blur", "Separable", "antialiased", "block_mean", "gaussian_kernel"]

Boundary = Literal["zeros", "reflect", "replicate", "periodic"]
_PAD = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "periodic": "circular"}


def gaussian_kernel(size: int, sigma: float) -> Tensor:
    """A Gaussian of `sigma` pixels on size × size, with sum 1, in float64.

    >>> round(float(gaussian_kernel(5, 1.0).sum()), 6)
    1.0
    """
    if size < 1 or not sigma > 0:
        raise ValueError(f"a kernel needs a size of at least 1 and a sigma above 0, not {size}, {sigma}")
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    line = torch.exp(-(x**2) / (2 * sigma**2))
    return torch.outer(line, line) / line.sum() ** 2


@dataclass(frozen=True)
class Blur:
    """y = k ∗ x, each channel by itself, in the image's own size.

    y[i] = Σ_j k[j] x[i + c − j] with c = size // 2 along both axes: the kernel [h, w] is turned over, as in
    a convolution. `boundary` says what x is outside: 0, mirrored about the border pixels ("reflect"), the
    border pixel ("replicate") or the image again ("periodic").

    Raises ValueError for a kernel that is not a finite [h, w], or does not fit the image.

    >>> y = Blur((1, 3, 3), torch.ones(3, 3) / 9, "periodic").forward(torch.eye(3)[None])
    >>> bool((y - 1 / 3).abs().max() < 1e-6)
    True
    """

    shape: Shape
    kernel: Tensor
    boundary: Boundary = "reflect"

    def __post_init__(self) -> None:
        sizes = self.kernel.shape
        if len(sizes) != 2 or not bool(self.kernel.isfinite().all()):
            raise ValueError(f"a blur's kernel is finite and [h, w], not {list(sizes)}")
        if any(k > n for k, n in zip(sizes, self.shape[1:], strict=True)):
            raise ValueError(f"a kernel of {list(sizes)} does not fit images of {list(self.shape)}")
        if self.boundary not in _PAD:
            raise ValueError(f"boundary {self.boundary!r} is unknown: choose {', '.join(_PAD)}")

    @property
    def measured(self) -> tuple[int, ...]:
        """An image's shape."""
        return self.shape

    @cached_property
    def norm(self) -> float:
        """For a periodic image the largest |k̂|, exactly; else by Lanczos steps."""
        if self.boundary == "periodic":
            return float(torch.fft.fft2(self.kernel.double(), s=self.shape[1:]).abs().max())
        return spectral_norm(self, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """The blurred image."""
        check_images(self.shape, x)
        return leading(self._planes, x, 2)

    @cached_property
    def _padded(self) -> tuple[Tensor, Tensor]:
        """The matrices that pad the height and the width, [padded, size]."""
        return tuple(  # type: ignore[return-value]
            F.pad(torch.eye(n, dtype=torch.float64)[None], (k - 1 - k // 2, k // 2), _PAD[self.boundary])[0].T
            for n, k in zip(self.shape[1:], self.kernel.shape, strict=True)
        )

    def _planes(self, x: Tensor) -> Tensor:
        down, across = self._padded
        padded = down.to(x) @ x[:, None] @ across.to(x).mT
        return F.conv2d(padded, self.kernel.to(x).flip(0, 1)[None, None])[:, 0]

    def _transposed(self, y: Tensor) -> Tensor:
        down, across = self._padded
        padded = F.conv_transpose2d(y[:, None], self.kernel.to(y).flip(0, 1)[None, None])
        return (down.to(y).mT @ padded @ across.to(y))[:, 0]

    def adjoint(self, y: Tensor) -> Tensor:
        """The transpose: what fell outside comes back to the pixels it was taken from."""
        check_images(self.shape, y)
        return leading(self._transposed, y, 2)


@dataclass(frozen=True)
class Separable:
    """y = R x Cᵀ for each channel: `rows` R [h, H] along the height, `columns` C [w, W] along the width.

    ‖A‖ = ‖R‖ ‖C‖. Made by `block_mean` and `antialiased`.
    """

    shape: Shape
    rows: Tensor
    columns: Tensor

    @property
    def measured(self) -> tuple[int, ...]:
        """(C, h, w)."""
        return (self.shape[0], len(self.rows), len(self.columns))

    @cached_property
    def norm(self) -> float:
        """Exact, from the two matrices."""
        one, other = (float(torch.linalg.matrix_norm(m.double(), 2)) for m in (self.rows, self.columns))
        return one * other

    def forward(self, x: Tensor) -> Tensor:
        """The smaller image."""
        check_images(self.shape, x)
        return self.rows.to(x) @ x @ self.columns.to(x).mT

    def adjoint(self, y: Tensor) -> Tensor:
        """The transpose."""
        return self.rows.to(y).mT @ y @ self.columns.to(y)


def block_mean(shape: Shape, factor: int) -> Separable:
    """Down-sampling by the mean of factor × factor pixels; ‖A‖ = 1/factor.

    Raises ValueError where the factor does not divide height and width.

    >>> block_mean((1, 2, 2), 2).forward(torch.arange(4.0).reshape(1, 2, 2))
    tensor([[[1.5000]]])
    """
    _check_factor(shape, factor)

    def line(size: int) -> Tensor:
        return torch.eye(size // factor, dtype=torch.float64).repeat_interleave(factor, 1) / factor

    return Separable(shape, line(shape[1]), line(shape[2]))


def antialiased(shape: Shape, factor: int, mode: Literal["bicubic", "bilinear"] = "bicubic") -> Separable:
    """Down-sampling by a cubic or linear kernel widened by the factor, as Pillow and MATLAB do.

    Raises ValueError where the factor does not divide height and width.

    >>> antialiased((3, 64, 64), 4).measured
    (3, 16, 16)
    """
    _check_factor(shape, factor)

    def line(size: int) -> Tensor:
        identity = torch.eye(size, dtype=torch.float64)[None, None]
        out = F.interpolate(identity, (size // factor, size), mode=mode, antialias=True)
        return out[0, 0]

    return Separable(shape, line(shape[1]), line(shape[2]))


def _check_factor(shape: Shape, factor: int) -> None:
    if factor < 1 or math.gcd(*shape[1:]) % factor:
        raise ValueError(f"--factor {factor} does not divide images of {shape[1]}x{shape[2]}")
