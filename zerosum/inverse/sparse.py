"""Sparse recovery: the Lasso in an orthonormal basis, by coordinate descent or in a batch by FISTA."""

import math
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zerosum.draws import Draws, mix
from zerosum.inverse.bases import Basis
from zerosum.inverse.operators import (
    Operator,
    Shown,
    Sized,
    check_measurements,
    extra,
    matrix,
    of_image,
    vector,
)
from zerosum.inverse.settling import State, settle

__all__ = ["Sparse", "fista", "held_out_penalty", "lasso"]

LIMITS = (-1.0, 1.0)
_SHARES = tuple(10 ** (-i / 8) for i in range(25))  # penalties tried, of the least that gives 0
_MOST = 20_000  # rounds of coordinate descent


@dataclass(frozen=True)
class Sparse:
    """Estimates x = mean + Φ c of B images."""

    image: Tensor  # [B, C, H, W], clipped to the range of images
    coefficients: Tensor  # [B, C, H, W]: c, of the image before clipping
    penalty: Tensor  # [B]: λ of ½‖A(mean + Φc) − y‖² + λ‖c‖₁
    settled: Tensor  # [B], bool: whether the solver met its tolerance


def lasso(
    operator: Sized,
    y: Tensor,
    basis: Basis,
    *,
    alpha: float | None = None,
    mean: Tensor | float = 0.0,
    limits: tuple[float, float] | None = LIMITS,
    folds: int = 5,
    seed: int = 0,
) -> Sparse:
    """min over c of 1/(2m) ‖A(mean + Φc) − y‖² + α‖c‖₁ for each image, by coordinate descent.

    Tibshirani 1996, as scikit-learn has it: because of its 1/(2m) the penalty on ½‖·‖² is λ = αm. `y` is
    [B, *measured]; complex measurements count as two numbers each. `mean` is what the coefficients are
    added to: the mean of training images [C, H, W], or a number. `alpha` None takes, for each image, the
    value of 25 whose error on held-out *measurements* is least (`folds`-fold cross-validation, the folds
    drawn from `seed`); the truth plays no part. `limits` clips the image, as every method here is clipped;
    None leaves it.

    Takes 8 m n bytes for the matrix AΦ, whose rows are A's analysed in the basis, and as much again while
    cross-validating. Raises ValueError for measurements of another shape or not finite, α not above 0, and
    fewer than 2 measurements where α is to be found.

    >>> from zerosum.inverse.bases import DCT
    >>> from zerosum.inverse.gaussian import Gaussian
    >>> A = Gaussian((1, 8, 8), 32)
    >>> found = lasso(A, A.forward(torch.full((1, 1, 8, 8), 0.5)), DCT((1, 8, 8)), alpha=1e-4)
    >>> round(float(found.image.mean()), 2)
    0.5
    """
    check_measurements(operator, y)
    _check_batch(operator, y)
    if alpha is not None and not 0 < alpha < math.inf:
        raise ValueError(f"alpha must be above 0, not {alpha}")
    found = []
    shared: _Design | None = None
    for index in range(len(y)):
        one = of_image(operator, index)
        if shared is None or one is not operator:
            rows, kept = matrix(one)
            columns = basis.analyse(rows).flatten(1).T.contiguous()  # coordinate descent runs along them
            base = one.forward(torch.zeros(one.shape, dtype=torch.float64) + torch.as_tensor(mean).cpu())
            shared = _Design(columns.numpy().T, vector(one, base)[kept], kept)
        values = vector(one, y[index].cpu())[shared.kept].double() - shared.base
        found.append(_descend(shared.matrix, values.numpy(), alpha, folds, seed))
    coefficients = torch.stack([torch.from_numpy(c) for c, _, _ in found]).unflatten(1, operator.shape)
    coefficients = coefficients.to(y.device, y.real.dtype)
    penalty = torch.tensor([weight for _, weight, _ in found], device=y.device)
    settled = torch.tensor([met for _, _, met in found], device=y.device)
    return Sparse(_image(basis, coefficients, mean, limits), coefficients, penalty, settled)


class _Design(NamedTuple):
    matrix: Any  # AΦ [m, n]
    base: Tensor  # A mean, [m]
    kept: Tensor  # which measurements are not always 0


def _descend(design: Any, values: Any, alpha: float | None, folds: int, seed: int) -> tuple[Any, float, bool]:
    """One image's coefficients [n], its λ, and whether coordinate descent met its tolerance."""
    linear, m = extra("sklearn.linear_model"), len(values)
    settings = {"fit_intercept": False, "max_iter": _MOST}
    with warnings.catch_warnings():
        # Told by `settled`, and in cross-validation of no weight.
        warnings.simplefilter("ignore", extra("sklearn.exceptions").ConvergenceWarning)
        if alpha is None:
            if m < 2:
                raise ValueError("alpha is chosen on held-out measurements, which takes 2: give alpha")
            split = extra("sklearn.model_selection").KFold(min(folds, m), shuffle=True, random_state=seed)
            top = max(float(abs(design.T @ values).max()) / m, 1e-12)
            tried = linear.LassoCV(alphas=[top * share for share in _SHARES], cv=split, **settings)
            alpha = float(tried.fit(design, values).alpha_)
        model = linear.Lasso(alpha=alpha, tol=1e-6, **settings).fit(design, values)
    return model.coef_, alpha * m, model.n_iter_ < _MOST


def fista(
    operator: Sized,
    y: Tensor,
    basis: Basis,
    penalty: Tensor | float,
    *,
    mean: Tensor | float = 0.0,
    limits: tuple[float, float] | None = LIMITS,
    tolerance: float = 1e-5,
    limit: int = 2000,
) -> Sparse:
    """min over c of ½‖A(mean + Φc) − y‖² + λ‖c‖₁ for all images at once.

    FISTA (Beck & Teboulle 2009) with steps of 1/‖A‖² and its momentum dropped for an image whenever it
    points uphill (O'Donoghue & Candès 2015, the gradient scheme). `y` is [..., *measured]; `penalty` is
    λ, one or [...]: `lasso` reports it for its α. An image stops when a step changes it by less than
    `tolerance` of itself, or after `limit`, and does not depend on those beside it.

    Raises ValueError for measurements of another shape or not finite, and λ below 0.

    >>> from zerosum.inverse.bases import Pixel
    >>> from zerosum.inverse.gaussian import subsampled
    >>> A = subsampled((1, 2, 2), 4)
    >>> y = A.forward(torch.tensor([[[0.9, -0.5], [0.1, 0.0]]]))
    >>> fista(A, y, Pixel((1, 2, 2)), 0.2).image
    tensor([[[ 0.7000, -0.3000],
             [ 0.0000,  0.0000]]])
    """
    check_measurements(operator, y)
    zero = torch.zeros_like(operator.adjoint(y))
    c, settled = _fista(operator, y, basis, penalty, mean, zero, operator.norm, tolerance, limit)
    weights = torch.as_tensor(penalty, device=y.device).expand(zero.shape[:-3])
    return Sparse(_image(basis, c, mean, limits), c, weights, settled)


def _fista(
    operator: Operator,
    y: Tensor,
    basis: Basis,
    penalty: Tensor | float,
    mean: Tensor | float,
    start: Tensor,
    norm: float,
    tolerance: float,
    limit: int,
) -> tuple[Tensor, Tensor]:
    """Coefficients, and whether each image settled."""
    weight = torch.as_tensor(penalty, dtype=start.dtype, device=start.device)
    if not bool((weight >= 0).all()):
        raise ValueError(f"the penalty must be at least 0, not {penalty}")
    length = 1 / max(norm, 1e-12) ** 2
    cut = (length * weight)[..., None, None, None]
    base = torch.as_tensor(mean, dtype=start.dtype, device=start.device)

    def step(state: State) -> State:
        c, ahead, t = state
        residual = operator.forward(base + basis.synthesise(ahead)) - y
        new = _soft(ahead - length * basis.analyse(operator.adjoint(residual)), cut)
        moved = new - c
        slope = (ahead - new).flatten(-3).unsqueeze(-2) @ moved.flatten(-3).unsqueeze(-1)
        uphill = slope.unsqueeze(-1) > 0
        later = torch.where(uphill, 1.0, (1 + (1 + 4 * t**2).sqrt()) / 2)
        momentum = torch.where(uphill, 0.0, (t - 1) / later)
        return new, torch.addcmul(new, momentum, moved), later

    one = torch.ones_like(start[..., :1, :1, :1])
    done = settle(step, (start, start, one), tolerance=tolerance, limit=limit)
    return done.state[0], done.settled


def held_out_penalty(
    operator: Sized,
    y: Tensor,
    basis: Basis,
    *,
    mean: Tensor | float = 0.0,
    folds: int = 5,
    seed: int = 0,
    tolerance: float = 1e-3,
    limit: int = 300,
) -> Tensor:
    """λ for `fista`, for each image the best on held-out measurements: y [B, *measured] → [B].

    All folds and images go through one batch, each penalty starting from what the larger one found. The
    25 penalties fall from the least that gives 0 to a thousandth of it. Raises as `fista`.
    """
    check_measurements(operator, y)
    draw = Draws(mix(seed, "folds")).uniform("measurement", *operator.measured)[0].double()
    fold = draw.flatten().argsort().argsort().reshape(draw.shape).to(y.device) % folds
    number = torch.arange(folds, device=y.device).reshape(-1, *[1] * y.dim())
    part = Shown(operator, fold != number)
    base = torch.as_tensor(mean, dtype=y.real.dtype, device=y.device)
    target = y - operator.forward(base.expand(operator.shape))
    top = basis.analyse(operator.adjoint(target)).abs().amax((-3, -2, -1)).clamp_min(1e-12)
    c = torch.zeros_like(operator.adjoint(y)).expand(folds, *y.shape[: y.dim() - fold.dim()], *operator.shape)
    errors = []
    for share in _SHARES:
        weight = (top * share * (folds - 1) / folds).expand(c.shape[:-3])
        c, _ = _fista(part, y * part.shown, basis, weight, mean, c, operator.norm, tolerance, limit)
        wrong = (operator.forward(base + basis.synthesise(c)) - y) * (fold == number)
        errors.append(wrong.abs().square().flatten(-fold.dim()).sum(-1).sum(0))
    return top * torch.tensor(_SHARES, device=y.device, dtype=top.dtype)[torch.stack(errors).argmin(0)]


def _soft(x: Tensor, cut: Tensor) -> Tensor:
    return x - x.clamp(-cut, cut)


def _image(
    basis: Basis, coefficients: Tensor, mean: Tensor | float, limits: tuple[float, float] | None
) -> Tensor:
    x = basis.synthesise(coefficients)
    x = x + torch.as_tensor(mean, dtype=x.dtype, device=x.device)
    return x if limits is None else x.clamp(*limits)


def _check_batch(operator: Sized, y: Tensor) -> None:
    if y.dim() != len(operator.measured) + 1:
        raise ValueError(f"measurements of a batch, [B, *{list(operator.measured)}], not {list(y.shape)}")
