"""Past the range of a generator: x = G(z) + e, where e is what the generator cannot draw.

A search of z alone ends at the range error however much is measured (Bora et al. 2017, figure 1); with a
residual the estimate goes on. Two kinds: sparse in a basis (after Dhar et al. 2018, Sparse-Gen), and
Gaussian with the covariance of training images' residuals, in which z is searched knowing what e may be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.draws import Draws, mix
from zerosum.inverse.bases import Basis
from zerosum.inverse.linear import LinearEstimate, Spread, lmmse
from zerosum.inverse.misfit import Misfit
from zerosum.inverse.operators import Shown, Sized, matrix, vector
from zerosum.inverse.sparse import fista, held_out_penalty

__all__ = ["Choice", "choose_by_held_out", "gaussian_residual", "sparse_residual", "whitened"]

Estimate = Callable[[Sized, Tensor], Tensor]


def sparse_residual(operator: Sized, y: Tensor, drawn: Tensor, basis: Basis, *, seed: int = 0) -> Tensor:
    """G(z) + Φc, c the Lasso's for y − A G(z), its penalty chosen on held-out measurements: [B, C, H, W].

    `drawn` G(z) [B, C, H, W] stays as it was found. Raises ValueError as `fista` does.
    """
    left = y - operator.forward(drawn)
    penalty = held_out_penalty(operator, left, basis, seed=seed)
    return drawn + fista(operator, left, basis, penalty, limits=None).image


def whitened(operator: Sized, y: Tensor, residual: Spread, noise: float) -> Misfit:
    """−2 log p(y | z) up to a constant, where x = G(z) + e, e ~ N(μ, C) and the noise is N(0, σ²·1).

    y − A G(z) ~ N(Aμ, S), S = ACAᵀ + σ²·1 = LLᵀ, so the misfit is ‖L⁻¹(y − Aμ − A G(z))‖²: what the
    generator cannot draw counts little. With normal latents and the prior ‖z‖² of weight 1 the search finds
    the most probable z. `operator` is the same for all images; `noise` is σ, as `lmmse`'s.

    Raises ValueError where noise-free measurements repeat themselves.
    """
    images, kept = matrix(operator)
    rows = images.flatten(1)
    seen = rows @ residual.directions.flatten(1).T
    gram = (seen * (residual.variances - residual.rest)) @ seen.T + residual.rest * (rows @ rows.T)
    gram.diagonal().add_(noise**2)
    factor, failed = torch.linalg.cholesky_ex(gram)
    if int(failed):
        raise ValueError("these measurements determine one another: give --noise above 0, or fewer of them")
    eye = torch.eye(len(rows), dtype=torch.float64)
    whiten = torch.linalg.solve_triangular(factor, eye, upper=False).to(y)
    target = vector(operator, y)[:, kept.to(y.device)] - (rows @ residual.mean.flatten()).to(y)
    return Misfit(_Rows(rows.to(y)), target, whiten=whiten)


@dataclass(frozen=True)
class _Rows:
    """A matrix [m, n] on flattened images."""

    rows: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(-3) @ self.rows.mT


def gaussian_residual(
    operator: Sized, y: Tensor, drawn: Tensor, residual: Spread, noise: float
) -> LinearEstimate:
    """G(z) + E[e | y − A G(z)], μ + CAᵀS⁻¹(y − A G(z) − Aμ), and e's variance; see `whitened`."""
    left = lmmse(operator, y - operator.forward(drawn), residual, noise, limits=None)
    return LinearEstimate(drawn + left.image.to(drawn), left.variance.to(drawn))


class Choice(NamedTuple):
    """`names` [B] of the estimate chosen for each image, and the held-out errors of all, [E, B]."""

    names: list[str]
    errors: Tensor


def choose_by_held_out(
    operator: Sized, y: Tensor, estimates: Mapping[str, Estimate], *, share: float = 0.2, seed: int = 0
) -> Choice:
    """Which estimate foretells measurements that it was not shown best, for each image.

    A `share` of the measurements, the same for all, is hidden; each estimate is made from the rest and
    judged by ‖A x̂ − y‖² on what was hidden: the truth plays no part. Raises ValueError where that would
    hide none or all.
    """
    count = operator.measured[0]
    hidden = round(share * count)
    if not 0 < hidden < count:
        raise ValueError(f"{count} measurements: too few to hold {share:.0%} of them out")
    order = Draws(mix(seed, "held out")).uniform("measurement", count)[0].argsort()
    shown = torch.ones(count, dtype=torch.bool, device=y.device)
    shown[order[:hidden]] = False
    part = Shown(operator, shown)
    errors = []
    for estimate in estimates.values():
        wrong = (operator.forward(estimate(part, y * shown)) - y)[:, ~shown]
        errors.append(wrong.square().sum(1))
    told = torch.stack(errors)
    names = list(estimates)
    return Choice([names[int(i)] for i in told.argmin(0)], told)
