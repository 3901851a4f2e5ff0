"""What an inverse problem's measurements y = A x are: linear operators, their adjoints and norms.

Images are [..., C, H, W], real; an operator acts on the last three dimensions and broadcasts over all
leading ones. The adjoint is that of the real inner product Re⟨·,·⟩, also where y is complex.
"""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from zerosum.draws import Draws

__all__ = [
    "Operator",
    "Physics",
    "Shown",
    "Sized",
    "check_measurements",
    "extra",
    "from_physics",
    "matrix",
    "of_image",
    "spectral_norm",
    "vector",
]

Shape = tuple[int, int, int]
T = TypeVar("T")


class Operator(Protocol):
    """y = A x and its adjoint: [..., C, H, W] to [..., *measured] and back."""

    def forward(self, x: Tensor) -> Tensor:
        """A x."""

    def adjoint(self, y: Tensor) -> Tensor:
        """A* y, with Re⟨Ax, y⟩ = ⟨x, A*y⟩."""


class Sized(Operator, Protocol):
    """An operator that knows its sizes; all of this package's do."""

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""

    @property
    def measured(self) -> tuple[int, ...]:
        """The shape of one image's measurements."""

    @property
    def norm(self) -> float:
        """The spectral norm: the largest ‖Ax‖/‖x‖."""


def extra(module: str) -> Any:
    """A module of the optional extra `inverse`, imported now.

    Raises ValueError that says how to install it.

    >>> extra("scipy.fft").__name__
    'scipy.fft'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"this method needs {module.split('.')[0]} ({error}): pip install 'zerosum[inverse]'"
        ) from error


def check_images(shape: Shape, x: Tensor) -> None:
    """Raises ValueError where x is not [..., C, H, W] of this shape."""
    if x.shape[-3:] != torch.Size(shape):
        raise ValueError(f"images of {list(shape)} are measured here, not of {list(x.shape[-3:])}")


def check_measurements(operator: Sized, y: Tensor) -> None:
    """Raises ValueError where y is not [..., *measured] or not finite.

    >>> from zerosum.inverse.gaussian import Gaussian
    >>> check_measurements(Gaussian((1, 2, 2), 3), torch.full((3,), math.nan))
    Traceback (most recent call last):
    ValueError: 3 of 3 measurements are not finite: correct or leave them out
    """
    size = len(operator.measured)
    if y.shape[y.dim() - size :] != torch.Size(operator.measured):
        raise ValueError(
            f"measurements of {list(operator.measured)} an image are needed, not {list(y.shape)}"
        )
    wrong = int((~y.isfinite()).sum())
    if wrong:
        raise ValueError(f"{wrong} of {y.numel()} measurements are not finite: correct or leave them out")


def check_count(m: int, shape: Shape) -> None:
    """Raises ValueError for fewer measurements than 1 or more than the numbers of an image."""
    if not 1 <= m <= math.prod(shape):
        raise ValueError(
            f"--measurements {m}: an image of {list(shape)} takes 1 to {math.prod(shape)} measurements"
        )


def spectral_norm(operator: Operator, shape: Shape, *, tolerance: float = 1e-8, limit: int = 200) -> float:
    """The largest ‖Ax‖/‖x‖, by Lanczos steps on A*A from a seeded start, in float64.

    Power iteration with memory (Golub & Van Loan, section 10.1): the largest eigenvalue over all that the
    powers span. Stops when a step changes it by less than `tolerance` of itself, or after `limit`.
    """
    v = Draws(0).normal("spectral norm", *shape)[0].double()
    v /= v.norm()
    span: list[Tensor] = []
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    largest = 0.0
    for _ in range(min(limit, math.prod(shape))):
        span.append(v.flatten())
        w = operator.adjoint(operator.forward(v)).flatten()
        diagonal.append(span[-1] @ w)
        basis = torch.stack(span)
        for _ in range(2):  # once is not enough in rounded numbers
            w = w - basis.T @ (basis @ w)
        small = torch.diag(torch.stack(diagonal))
        if beside:
            small += torch.diag(torch.stack(beside), 1) + torch.diag(torch.stack(beside), -1)
        before, largest = largest, float(torch.linalg.eigvalsh(small)[-1])
        length = w.norm()
        if length <= 1e-12 * max(largest, 1e-300) or abs(largest - before) <= tolerance * largest:
            break
        beside.append(length)
        v = (w / length).reshape(shape)
    return math.sqrt(max(largest, 0.0))


def vector(operator: Sized, y: Tensor) -> Tensor:
    """Measurements [..., *measured] as real numbers in a row [..., m]; complex ones as real, then imaginary.

    >>> from zerosum.inverse.masks import Mask
    >>> vector(Mask((1, 2, 2), torch.eye(2) > 0), torch.zeros(5, 1, 2, 2)).shape
    torch.Size([5, 4])
    """
    flat = y.flatten(-len(operator.measured))
    return torch.cat([flat.real, flat.imag], -1) if flat.is_complex() else flat


def matrix(operator: Sized, *, block: int = 512) -> tuple[Tensor, Tensor]:
    """A's rows as images, [m, C, H, W] in float64 on the CPU, and which of `vector`'s numbers they are, [M].

    Rows of zeros (what a mask hides) are left out: `vector(y)[..., kept]` belongs to the rows. Takes 8 m n
    bytes. Raises ValueError for an operator with a mask for each image; see `of_image`.

    >>> from zerosum.inverse.masks import Mask
    >>> rows, kept = matrix(Mask((1, 2, 2), torch.eye(2) > 0))
    >>> rows.shape, kept.tolist()
    (torch.Size([2, 1, 2, 2]), [True, False, False, True])
    """
    zero = operator.forward(torch.zeros(operator.shape, dtype=torch.float64))
    if zero.dim() > len(operator.measured):
        raise ValueError("this operator has a mask for each image: take them one at a time by of_image")
    size = math.prod(operator.measured)
    found, kept = [], []
    for unit in torch.tensor([1, 1j] if zero.is_complex() else [1], dtype=zero.dtype):
        for start in range(0, size, block):
            stop = min(start + block, size)
            y = torch.zeros(stop - start, size, dtype=zero.dtype)
            y[torch.arange(stop - start), torch.arange(start, stop)] = unit
            rows = operator.adjoint(y.unflatten(1, operator.measured))
            nonzero = rows.flatten(1).abs().amax(1) > 1e-14
            found.append(rows[nonzero])
            kept.append(nonzero)
    return torch.cat(found), torch.cat(kept)


def of_image(operator: Sized, index: int) -> Sized:
    """The operator of one image of a batch: where a mask is [B, …], the mask of that image.

    >>> from zerosum.inverse.masks import Mask
    >>> mask = Mask((3, 8, 8), torch.rand(4, 1, 8, 8) < 0.5)
    >>> of_image(mask, 2).keep.shape
    torch.Size([1, 8, 8])
    """
    keep = getattr(operator, "keep", None)
    if keep is None or keep.dim() <= 3:
        return operator
    return replace(operator, keep=keep[index if len(keep) > 1 else 0])  # type: ignore[type-var]


@dataclass(frozen=True)
class Shown:
    """An operator of which only the measurements `shown`, bool [..., *measured], are made; the others are 0.

    >>> from zerosum.inverse.masks import Mask
    >>> whole = Mask((1, 1, 2), torch.tensor([[[True, False]]]))
    >>> Shown(whole, torch.tensor([[[False, True]]])).forward(torch.ones(1, 1, 2))
    tensor([[[0., 0.]]])
    """

    operator: Sized
    shown: Tensor

    @property
    def shape(self) -> Shape:
        """(C, H, W)."""
        return self.operator.shape

    @property
    def measured(self) -> tuple[int, ...]:
        """The whole operator's."""
        return self.operator.measured

    @property
    def norm(self) -> float:
        """At most that of the whole."""
        return self.operator.norm

    def forward(self, x: Tensor) -> Tensor:
        """A x where shown, 0 elsewhere."""
        return self.operator.forward(x) * self.shown

    def adjoint(self, y: Tensor) -> Tensor:
        """A* of what is shown."""
        return self.operator.adjoint(y * self.shown)


def leading(function: Callable[[Tensor], Tensor], x: Tensor, dims: int) -> Tensor:
    """A function of [N, …] applied where there are any leading dimensions before the last `dims`."""
    lead = x.shape[: x.dim() - dims]
    y = function(x.reshape(-1, *x.shape[x.dim() - dims :]))
    return y.reshape(*lead, *y.shape[1:])


class _DeepinvPhysics(Protocol):
    def A(self, x: Tensor) -> Tensor: ...  # noqa: N802
    def A_adjoint(self, y: Tensor) -> Tensor: ...  # noqa: N802


@dataclass(frozen=True)
class Physics:
    """An operator from an object with `A` and `A_adjoint` on [B, C, H, W]; see `from_physics`."""

    physics: _DeepinvPhysics
    shape: Shape
    measured: tuple[int, ...] = field(default=(), compare=False)

    @cached_property
    def norm(self) -> float:
        """By `spectral_norm`, in the number format that the physics take."""
        return spectral_norm(self, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """`A`, without noise."""
        check_images(self.shape, x)
        return leading(self.physics.A, x, 3)

    def adjoint(self, y: Tensor) -> Tensor:
        """`A_adjoint`."""
        return leading(self.physics.A_adjoint, y, len(self.measured))


def from_physics(physics: Any, shape: Shape, *, dtype: torch.dtype = torch.float64) -> Physics:
    """A linear `deepinv` physics, or any object with its `A(x)` and `A_adjoint(y)` on [B, C, H, W].

    Only `A` is used, not the noise that calling a physics adds. `shape` is (C, H, W); `dtype` what a trial
    image has. Raises ValueError for an object without them, or whose two functions are not adjoint on a
    trial pair.

    >>> class Half:
    ...     def A(self, x): return x / 2
    ...     def A_adjoint(self, y): return y / 2
    >>> from_physics(Half(), (1, 4, 4)).forward(torch.ones(1, 4, 4)).max()
    tensor(0.5000)
    """
    missing = [name for name in ("A", "A_adjoint") if not callable(getattr(physics, name, None))]
    if missing:
        raise ValueError(f"a physics has the methods A and A_adjoint; this has no {', '.join(missing)}")
    draw = Draws(0)
    x = draw.normal("physics", *shape).to(dtype)
    y = physics.A(x)
    if y.shape[0] != 1:
        raise ValueError(f"A must keep the batch: of one image it made {list(y.shape)}")
    back = physics.A_adjoint(y)
    one, other = float(y.abs().square().sum()), float((back * x).real.sum())
    if back.shape != x.shape or abs(one - other) > 1e-3 * max(one, 1e-12):
        raise ValueError("A_adjoint is not the adjoint of A: ⟨Ax, Ax⟩ and ⟨x, A*Ax⟩ differ")
    return Physics(physics, shape, tuple(y.shape[1:]))
