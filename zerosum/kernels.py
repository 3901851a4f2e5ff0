"""Kernels, and the maximum mean discrepancy between two samples.

A kernel is a function k(x [..., N, D], y [..., M, D]) → [..., N, M], symmetric and positive definite;
dimensions before the last two are batches. Any function of that form may be given. The ones made here
compute in float32 or wider, also under autocast: distances between near points do not survive bfloat16.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from zerosum.objectives import widened

__all__ = ["Estimate", "Kernel", "mmd", "mmd2", "polynomial", "rational_quadratic", "rbf"]

Kernel = Callable[[Tensor, Tensor], Tensor]
Estimate = Literal["unbiased", "biased", "linear"]

_ROWS = 256  # rows of a kernel matrix that are made at once: they stay in the processor's cache
_HELD = 2**24  # pairs above which a block is computed again in backward instead of being held
_SQUARINGS = 8  # each doubles the relative rounding: 2⁸ · 2⁻²⁴ of a kernel's value is let in


def _products(x: Tensor, y: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return widened(x) @ widened(y).mT


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    x, y = widened(x), widened(y)
    centre = y.detach().mean(-2, keepdim=True)  # a common shift changes nothing but the rounding
    x, y = x - centre, y - centre
    norms = x.square().sum(-1).unsqueeze(-1) + y.square().sum(-1).unsqueeze(-2)
    return (norms - 2 * _products(x, y)).clamp_min(0)


def _positive(name: str, values: Sequence[float]) -> tuple[float, ...]:
    if not values or not all(0 < value < math.inf for value in values):
        raise ValueError(f"{name} must be one or more positive numbers, not {tuple(values)}")
    return tuple(values)


def _chains(widths: Sequence[float]) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """Each chain's widest σ, and the squarings k that lead from it to its other widths: (σ/σ′)² = 2ᵏ."""
    left, chains = sorted(widths, reverse=True), []
    while left:
        steps = [2 * math.log2(left[0] / width) for width in left]
        near = [abs(step - round(step)) < 1e-9 and step < _SQUARINGS + 0.5 for step in steps]
        chains.append(
            (left[0], tuple(round(step) for step, is_near in zip(steps, near, strict=True) if is_near))
        )
        left = [width for width, is_near in zip(left, near, strict=True) if not is_near]
    return tuple(chains)


def _mixture(distances: Tensor, chains: Any, *orders: int) -> list[Tensor]:
    """Σ_σ sᵒʳᵈᵉʳ exp(s d²) of squared distances d², with s = −1/(2σ²), for each order."""
    totals = [torch.zeros_like(distances) for _ in orders]
    for widest, squarings in chains:
        slope = -0.5 / widest**2
        # exp2, as exp takes ten times as long where it underflows.
        power = (distances * (slope * math.log2(math.e))).exp2_()
        for k in range(max(squarings) + 1):
            if k > 0:
                power.mul_(power)
            if k in squarings:
                for total, order in zip(totals, orders, strict=True):
                    total.add_(power, alpha=squarings.count(k) * (slope * 2**k) ** order)
    return totals


class _Mixture(torch.autograd.Function):
    """`_mixture` of one order.

    Its derivative is the same sum of one order more, so backward needs nothing but the distances, and
    may itself be differentiated.
    """

    @staticmethod
    def forward(ctx: Any, distances: Tensor, chains: Any, order: int) -> Tensor:
        ctx.save_for_backward(distances)
        ctx.chains, ctx.order = chains, order
        return _mixture(distances, chains, order)[0]

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (distances,) = ctx.saved_tensors
        return outer[0] * _Mixture.apply(distances, ctx.chains, ctx.order + 1), None, None


@dataclass(frozen=True)
class _Radial:
    """k(x, y) = f(‖x−y‖²): `value` is f, differentiable; `both` gives f and f′ beside, in one go."""

    value: Callable[[Tensor], Tensor]
    both: Callable[[Tensor], Sequence[Tensor]]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return self.value(_squared_distances(x, y))


def rbf(widths: Sequence[float]) -> Kernel:
    """Σ_σ exp(−‖x−y‖²/(2σ²)), a mixture of Gaussian kernels (Li, Swersky & Zemel 2015).

    `widths` are the σ, standard deviations; papers that write exp(−‖x−y‖²/(2σ)) mean √σ here. Widths
    whose ratios are powers of √2, such as 1, 2, 4, 8, 16, cost one exponential for all and a squaring
    each. Raises ValueError for widths that are not positive.

    >>> rbf([1.0])(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]))  # 1 and e⁻²
    tensor([[1.0000, 0.1353]])
    """
    chains = _chains(_positive("widths", widths))

    def value(distances: Tensor) -> Tensor:
        found: Tensor = _Mixture.apply(distances, chains, 0)
        return found

    return _Radial(value, lambda distances: _mixture(distances, chains, 0, 1))


def rational_quadratic(alphas: Sequence[float]) -> Kernel:
    """Σ_α (1 + ‖x−y‖²/(2α))^−α (Bińkowski et al. 2018): tails heavier than the Gaussian's.

    Raises ValueError for alphas that are not positive.

    >>> rational_quadratic([1.0])(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]))  # 1 and 1/3
    tensor([[1.0000, 0.3333]])
    """
    alphas = _positive("alphas", alphas)

    def total(distances: Tensor, order: int) -> Tensor:
        parts = ((1 + distances / (2 * alpha)).pow(-alpha - order) * (-0.5) ** order for alpha in alphas)
        return sum(parts, torch.zeros_like(distances))

    return _Radial(lambda d: total(d, 0), lambda d: [total(d, 0), total(d, 1)])


def polynomial(degree: int = 3, gamma: float | None = None, coef: float = 1.0) -> Kernel:
    """(γ x·y + c)^degree, γ = 1/D unless given; the defaults are KID's (Bińkowski et al. 2018).

    Raises ValueError for a degree below 1, a γ that is not positive, or a negative c: such are no kernels.

    >>> polynomial()(torch.ones(1, 4), torch.ones(1, 4))
    tensor([[8.]])
    """
    if degree < 1 or coef < 0 or (gamma is not None and gamma <= 0):
        raise ValueError(f"a kernel needs degree ≥ 1, gamma > 0 and coef ≥ 0, not {degree}, {gamma}, {coef}")

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (_products(x, y) * (1 / x.shape[-1] if gamma is None else gamma) + coef).pow(degree)

    return kernel


class _Sum(torch.autograd.Function):
    """Σ f(‖xᵢ−yⱼ‖²) over all pairs, float64, 0-d; over those of x with itself where y is None.

    Its slope, 2 Σⱼ f′(‖xᵢ−yⱼ‖²)(xᵢ−yⱼ) in xᵢ, comes of the same blocks, which are not held. Where a graph
    of it is wanted, `plain` gives the sum again, of operations that have one.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor | None, kernel: _Radial, diagonal: bool, plain: Callable[..., Tensor]
    ) -> Tensor:
        ctx.plain = plain
        with torch.autocast(x.device.type, enabled=False):
            value, slopes = _swept(x, y, kernel, diagonal, ctx.needs_input_grad[:2])
        ctx.save_for_backward(x, y, *slopes)
        return value

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        *given, of_x, of_y = ctx.saved_tensors
        slopes = [None if slope is None else (outer[0] * slope).to(slope.dtype) for slope in (of_x, of_y)]
        if torch.is_grad_enabled():
            moved = [sample for sample, slope in zip(given, slopes, strict=True) if slope is not None]
            again = list(torch.autograd.grad(ctx.plain(*given), moved, outer[0], create_graph=True))
            slopes = [None if slope is None else again.pop(0) for slope in slopes]
        return *slopes, None, None, None


def _swept(
    x: Tensor, y: Tensor | None, kernel: _Radial, diagonal: bool, wanted: Sequence[bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """The sum of `_Sum`, and its slopes in x and in y where they are wanted."""
    other, within = (x, True) if y is None else (y, False)
    centre = widened(other).mean(0)
    mine, theirs = (widened(sample) - centre for sample in (x, other))
    norms, their_norms = (sample.square().sum(1) for sample in (mine, theirs))
    # Σ w(x−y) is x Σw − Σ wy: the weights' sums, and their products with the other sample.
    sums, their_sums = torch.zeros_like(norms), torch.zeros_like(their_norms)
    products, their_products = torch.zeros_like(mine), torch.zeros_like(theirs)
    if within:
        their_sums, their_products = sums, products
    value = x.new_zeros((), dtype=torch.float64)
    for start in range(0, len(x), _ROWS):
        rows = mine[start : start + _ROWS]
        stop = start + len(rows)
        first, rest = (start, stop) if within else (0, 0)
        distances = torch.addmm(their_norms[first:], rows, theirs[first:].T, alpha=-2)
        distances.add_(norms[start:stop, None]).clamp_min_(0)
        if within:
            distances.fill_diagonal_(0 if diagonal else torch.inf)
        if not any(wanted):
            found = kernel.value(distances)
        else:
            found, slope = kernel.both(distances)
            if wanted[0]:
                sums[start:stop] += slope.sum(1)
                products[start:stop].addmm_(slope, theirs[first:])
            if within or wanted[1]:
                slope = slope[:, rest - first :]
                their_sums[rest:] += slope.sum(0)
                their_products[rest:].addmm_(slope.T, rows)
        value += found.sum(1).double().sum()
        if within:
            value += found[:, len(rows) :].sum(1).double().sum()
    times = 4 if within else 2  # within, a pair comes twice

    def slope_of(like: Tensor, sample: Tensor, sums: Tensor, products: Tensor) -> Tensor:
        return (times * (sums[:, None] * sample - products)).to(like.dtype)

    return value, [
        slope_of(x, mine, sums, products) if wanted[0] else None,
        slope_of(other, theirs, their_sums, their_products) if wanted[1] else None,
    ]


def _sum(x: Tensor, y: Tensor, kernel: Kernel, hold: bool) -> Tensor:
    """Σ k(xᵢ, yⱼ), float64: rows are summed as they are, their sums in double."""

    def total(x: Tensor, y: Tensor) -> Tensor:
        return kernel(x, y).sum(-1).double().sum()

    if hold:
        return total(x, y)
    again: Tensor = checkpoint(total, x, y, use_reentrant=False, preserve_rng_state=False)
    return again


def _across(x: Tensor, y: Tensor, kernel: Kernel, plain: bool = False) -> Tensor:
    """Σ over all pairs of one sample with the other."""
    if isinstance(kernel, _Radial) and not plain:
        swept: Tensor = _Sum.apply(x, y, kernel, True, lambda x, y: _across(x, y, kernel, plain=True))
        return swept
    hold = len(x) * len(y) <= _HELD
    return torch.stack([_sum(rows, y, kernel, hold) for rows in x.split(_ROWS)]).sum()


def _within(x: Tensor, kernel: Kernel, diagonal: bool, plain: bool = False) -> Tensor:
    """Σ over all pairs of a sample with itself, i = j only if `diagonal`; half of them are computed."""
    if isinstance(kernel, _Radial) and not plain:
        swept: Tensor = _Sum.apply(
            x, None, kernel, diagonal, lambda x, _: _within(x, kernel, diagonal, plain=True)
        )
        return swept
    hold, sums = len(x) ** 2 <= _HELD, []
    for start in range(0, len(x), _ROWS):
        rows, rest = x[start : start + _ROWS], x[start + _ROWS :]
        own = kernel(rows, rows)
        sums.append((own if diagonal else own - own.diagonal().diag()).sum(-1).double().sum())
        if len(rest):
            sums.append(2 * _sum(rows, rest, kernel, hold))
    return torch.stack(sums).sum()


def _linear(real: Tensor, fake: Tensor, kernel: Kernel) -> Tensor:
    """The mean of h over disjoint pairs: each pair is a batch of the kernel's."""
    pairs = len(real) // 2
    (x, x_other), (y, y_other) = (
        sample[: 2 * pairs].unflatten(0, (pairs, 2)).unsqueeze(2).unbind(1) for sample in (real, fake)
    )
    h = kernel(x, x_other) + kernel(y, y_other) - kernel(x, y_other) - kernel(x_other, y)
    return h.double().mean()


def mmd2(real: Tensor, fake: Tensor, kernel: Kernel, estimate: Estimate = "unbiased") -> Tensor:
    """MMD²(P, Q) = E k(x,x′) + E k(y,y′) − 2 E k(x,y), 0-d (Gretton et al. 2012, lemma 6).

    `real` [N, …] and `fake` [M, …] are flattened. "unbiased" (their eq. 3) leaves out i = j, has mean
    0 at P = Q and may be negative; "biased" (eq. 5) is the squared distance of the two samples' mean
    embeddings, never negative beyond rounding; "linear" (lemma 14) averages over ⌊N/2⌋ disjoint pairs
    of samples, in time linear in N, unbiased but noisier.

    Differentiable in both samples, twice too. Kernel matrices are made in blocks of rows, so memory
    grows with N. The slopes of `rbf` and `rational_quadratic` come with the value, of the same blocks; for
    other kernels backward holds the blocks of up to 16 million pairs and makes those of more again.
    With several processes, gather the samples first: a mean of the parts' MMD² is another number.

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> mmd2(x, x, rbf([1.0]), "biased")
    tensor(0.)

    Raises ValueError for samples of different sizes D, for fewer than two samples ("biased" takes one),
    and, if linear, for N ≠ M.
    """
    n, m, least = len(real), len(fake), 1 if estimate == "biased" else 2
    if min(n, m) < least:
        raise ValueError(f"the {estimate} MMD² needs at least {least} samples of each, not {n} and {m}")
    real, fake = real.reshape(n, -1), fake.reshape(m, -1)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real samples have {real.shape[1]} numbers each, fake ones {fake.shape[1]}")
    if estimate == "linear":
        if n != m:
            raise ValueError(f"the linear MMD² needs as many fake as real samples, not {m} and {n}")
        value = _linear(real, fake, kernel)
    else:
        biased = estimate == "biased"
        within_real = _within(real, kernel, biased) / (n * (n if biased else n - 1))
        within_fake = _within(fake, kernel, biased) / (m * (m if biased else m - 1))
        value = within_real + within_fake - 2 * _across(real, fake, kernel) / (n * m)
    return value.to(widened(fake).dtype)


def mmd(real: Tensor, fake: Tensor, kernel: Kernel) -> Tensor:
    """√ of the biased MMD², 0-d: what GMMN trains on (Li, Swersky & Zemel 2015).

    Where MMD² is 0, or below it by rounding, the value and its gradient are 0.

    >>> mmd(torch.zeros(3, 1), torch.zeros(5, 1), rbf([1.0]))
    tensor(0.)
    """
    squared = mmd2(real, fake, kernel, "biased")
    positive = squared > 0
    return torch.where(positive, squared, 1).sqrt() * positive
