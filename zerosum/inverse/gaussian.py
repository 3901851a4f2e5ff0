"""Random measurements: Gaussian matrices, which need not be stored, and rows of fast transforms."""

import math
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any, Literal

import torch
from torch import Tensor

from zerosum.draws import Draws
from zerosum.inverse.bases import dct_matrix, hadamard_matrix
from zerosum.inverse.operators import Shape, check_count, check_images, spectral_norm

__all__ = ["Gaussian", "Subsampled", "subsampled"]

STORED = 2**27  # numbers: 512 MiB of float32
BLOCK = 256  # rows made at a time, a multiple of what shares a generator


@dataclass(frozen=True)
class Gaussian:
    """y = A x with m independent rows, A_ij ~ N(0, 1/m) (Bora et al. 2017, section 4): [..., m].

    Row i is made from (seed, i) alone: of one seed, fewer measurements are the first of more, up to the
    factor 1/√m. `store` keeps the matrix; False makes it anew in blocks of rows at each use, from the same
    numbers, so that memory is bounded and backward passes hold none of it. None: kept below 512 MiB.

    Raises ValueError for fewer measurements than 1 or more than the numbers of an image.

    >>> Gaussian((1, 28, 28), 25).forward(torch.ones(10, 4, 1, 28, 28)).shape
    torch.Size([10, 4, 25])
    """

    shape: Shape
    m: int
    seed: int = 0
    store: bool | None = None
    _kept: dict[Any, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_count(self.m, self.shape)

    @property
    def measured(self) -> tuple[int, ...]:
        """(m,)."""
        return (self.m,)

    @cached_property
    def norm(self) -> float:
        """By Lanczos steps; near 1 + √(n/m) (Davidson & Szarek 2001)."""
        return spectral_norm(self, self.shape, tolerance=1e-6 if self._stores else 1e-4)

    @property
    def _stores(self) -> bool:
        return self.m * math.prod(self.shape) <= STORED if self.store is None else self.store

    def rows(self, start: int, stop: int, like: Tensor | None = None) -> Tensor:
        """Rows `start` … `stop`−1, [stop−start, n], in the format and on the device of `like`."""
        made = Draws(self.seed, start=start, stop=stop).normal("gaussian", math.prod(self.shape))
        made = made if like is None else made.to(like.device, like.dtype)
        scaled: Tensor = made / math.sqrt(self.m)
        return scaled

    def _stored(self, like: Tensor) -> Tensor:
        key = (like.device, like.dtype)
        if key not in self._kept:
            self._kept.clear()
            self._kept[key] = self.rows(0, self.m, like)
        return self._kept[key]

    def forward(self, x: Tensor) -> Tensor:
        """A x: [..., C, H, W] → [..., m]."""
        check_images(self.shape, x)
        flat = x.flatten(-3)
        return flat @ self._stored(x).mT if self._stores else _apply(flat, self, False)

    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀ y: [..., m] → [..., C, H, W]."""
        flat = y @ self._stored(y) if self._stores else _apply(y, self, True)
        return flat.reshape(*y.shape[:-1], *self.shape)


class _Blockwise(torch.autograd.Function):
    """x Aᵀ, or x A if `transposed`, by blocks of rows; its derivatives make the rows again."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gaussian: Gaussian, transposed: bool) -> Tensor:
        spans = [(i, min(i + BLOCK, gaussian.m)) for i in range(0, gaussian.m, BLOCK)]
        if not transposed:
            return torch.cat([x @ gaussian.rows(i, j, x).mT for i, j in spans], -1)
        return reduce(torch.add, (x[..., i:j] @ gaussian.rows(i, j, x) for i, j in spans))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        _, ctx.gaussian, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _apply(grads[0], ctx.gaussian, not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _apply(tangents[0], ctx.gaussian, ctx.transposed)


def _apply(x: Tensor, gaussian: Gaussian, transposed: bool) -> Tensor:
    y: Tensor = _Blockwise.apply(x, gaussian, transposed)
    return y


@dataclass(frozen=True)
class Subsampled:
    """y = S T D x: signs D, a separable orthonormal transform T, and `rows` S of its C·H·W coefficients.

    `matrices` are T's along channels, height and width, each orthonormal; `rows` [m] are indices without
    repetition; `signs` is [C, H, W] of ±1. So A Aᵀ = 1 and ‖A‖ = 1. Made by `subsampled`.
    """

    shape: Shape
    matrices: tuple[Tensor, Tensor, Tensor]
    rows: Tensor
    signs: Tensor
    norm: float = 1.0

    @property
    def measured(self) -> tuple[int, ...]:
        """(m,)."""
        return (len(self.rows),)

    def forward(self, x: Tensor) -> Tensor:
        """A x: [..., C, H, W] → [..., m]."""
        check_images(self.shape, x)
        c, h, w = (matrix.to(x) for matrix in self.matrices)
        x = h @ (self.signs.to(x) * x) @ w.mT
        x = (c @ x.flatten(-2)).flatten(-2)
        return x.index_select(-1, self.rows.to(x.device))

    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀ y: [..., m] → [..., C, H, W]."""
        c, h, w = (matrix.to(y) for matrix in self.matrices)
        full = y.new_zeros(*y.shape[:-1], math.prod(self.shape))
        full = full.index_add(-1, self.rows.to(y.device), y)
        x = (c.mT @ full.reshape(*y.shape[:-1], self.shape[0], -1)).reshape(*y.shape[:-1], *self.shape)
        return self.signs.to(y) * (h.mT @ x @ w)


def subsampled(
    shape: Shape,
    m: int,
    transform: Literal["dct", "hadamard"] = "dct",
    *,
    signs: bool = True,
    seed: int = 0,
) -> Subsampled:
    """m rows, drawn without repetition, of an orthonormal DCT or Hadamard transform of the image.

    With `signs` the pixels' signs are flipped at random first, which spreads an image over all coefficients
    (Tropp 2011); without, rows are frequencies of the image itself. The DCT also mixes the channels;
    Hadamard's leaves them apart and needs height and width to be powers of two. To have E‖Ax‖² = ‖x‖², as
    Gaussian measurements do, multiply by √(n/m).

    Raises ValueError for m outside 1 … n, and for sizes without a Hadamard matrix.

    >>> subsampled((3, 8, 8), 20).forward(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 20])
    """
    check_count(m, shape)
    channels, height, width = shape
    if transform == "dct":
        matrices = dct_matrix(channels), dct_matrix(height), dct_matrix(width)
    else:
        matrices = (torch.eye(channels, dtype=torch.float64), hadamard_matrix(height), hadamard_matrix(width))
    draw = Draws(seed)
    rows = draw.uniform("rows", math.prod(shape))[0].double().argsort(stable=True)[:m]
    sign = (draw.uniform("signs", *shape)[0] < 0.5).double() * 2 - 1
    return Subsampled(shape, matrices, rows, sign if signs else torch.ones_like(sign))
