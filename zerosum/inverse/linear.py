"""The best linear estimate: from the mean and covariance of training images, with its variance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.draws import Draws
from zerosum.inverse.masks import Mask
from zerosum.inverse.operators import Shape, Sized, check_measurements, matrix, of_image, vector

__all__ = ["LinearEstimate", "Spread", "fit_spread", "lmmse", "spread_along"]

WHOLE = 2048  # numbers of an image up to which the covariance is decomposed whole
_BLOCK = 512


@dataclass(frozen=True)
class Spread:
    """Images' mean and covariance C = V diag(λ − ρ) Vᵀ + ρ·1, in float64.

    Probabilistic principal components (Tipping & Bishop 1999, eqs 6–8): `directions` V [r, C, H, W] are
    orthonormal, `variances` λ [r] are along them, and `rest` ρ is the variance along all others.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    rest: float

    @property
    def shape(self) -> Shape:
        """(C, H, W)."""
        channels, height, width = self.mean.shape
        return channels, height, width

    def covariance(self) -> Tensor:
        """C as a matrix, [n, n].

        >>> fit_spread(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)).covariance()
        tensor([[2.]], dtype=torch.float64)
        """
        v = self.directions.flatten(1)
        return v.T @ ((self.variances - self.rest)[:, None] * v) + self.rest * torch.eye(v.shape[1]).double()


def fit_spread(images: Tensor, *, rank: int | None = None, seed: int = 0) -> Spread:
    """The mean and the covariance (over N − 1) of images [N, C, H, W], in float64.

    `rank` r keeps the r largest eigenvectors and spreads the rest of the trace evenly over all other
    directions. None: all of them up to 2048 numbers an image, where the whole covariance is decomposed, and
    512 beyond, where they come from subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4, with
    4 iterations from a seeded start), which reads the images in blocks and holds 2 n (r + 16) numbers: 103
    MB for 64×64×3 at r = 512. Images of half precision or bytes are widened block by block.

    Raises ValueError for fewer than two images, numbers that are not finite, and r outside 1 … n.

    >>> spread = fit_spread(torch.randn(500, 1, 4, 4), rank=3)
    >>> spread.directions.shape
    torch.Size([3, 1, 4, 4])
    """
    shape = tuple(images.shape[1:])
    n = math.prod(shape)
    if images.dim() != 4 or len(images) < 2:
        raise ValueError(f"a covariance takes images [N, C, H, W] of at least 2, not {list(images.shape)}")
    if rank is not None and not 1 <= rank <= n:
        raise ValueError(f"--rank {rank}: an image of {list(shape)} has 1 to {n} directions")
    mean, over = _mean(images), len(images) - 1
    total = sum(float((block - mean).square().sum()) for block in _blocks(images)) / over

    def times(v: Tensor) -> Tensor:
        """C v for [n, r]."""
        product = torch.zeros_like(v)
        for block in _blocks(images):
            product += (block - mean).T @ ((block - mean) @ v)
        return product / over

    if n <= WHOLE:
        variances, v = torch.linalg.eigh(times(torch.eye(n, dtype=torch.float64)))
    else:
        wide = min(n, len(images) - 1, (rank or 512) + 16)
        v = Draws(seed).normal("subspace", n, wide)[0].double()
        for _ in range(5):
            v = torch.linalg.qr(v).Q
            v = times(v)
        v = torch.linalg.qr(v).Q
        variances, turned = torch.linalg.eigh(v.T @ times(v))
        v = v @ turned
    kept = min(len(variances), rank or (n if n <= WHOLE else 512))
    variances, v = variances.flip(0)[:kept].clamp_min(0), v.flip(1)[:, :kept]
    rest = max(total - float(variances.sum()), 0.0) / (n - kept) if kept < n else 0.0
    return Spread(mean.unflatten(0, shape), v.T.unflatten(1, shape), variances.clamp_min(rest), rest)


def spread_along(images: Tensor, directions: Tensor) -> Spread:
    """The mean of images [N, C, H, W], and a covariance that is diagonal along given directions, in float64.

    `directions` [r, C, H, W] are orthonormal, such as the principal ones of other images of the kind: then N
    may be far below the numbers of an image, for only r + 1 variances are told, and not which way they lie.

    Raises ValueError as `fit_spread` does.

    >>> images = torch.tensor([[0.0, 0.0], [2.0, 4.0]]).reshape(2, 1, 1, 2)
    >>> found = spread_along(images, torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2))
    >>> found.variances, found.rest  # 2 along the first pixel, which is less than the rest has
    (tensor([8.], dtype=torch.float64), 8.0)
    """
    if images.dim() != 4 or len(images) < 2 or images.shape[1:] != directions.shape[1:]:
        raise ValueError(f"images {list(images.shape)} have no spread along {list(directions.shape)}")
    mean, over = _mean(images), len(images) - 1
    v = directions.flatten(1).double()
    total, along = 0.0, torch.zeros(len(v), dtype=torch.float64)
    for block in _blocks(images):
        total += float((block - mean).square().sum()) / over
        along += ((block - mean) @ v.T).square().sum(0) / over
    others = v.shape[1] - len(v)
    rest = max(total - float(along.sum()), 0.0) / others if others else 0.0
    return Spread(
        mean.unflatten(0, tuple(images.shape[1:])), directions.double(), along.clamp_min(rest), rest
    )


def _mean(images: Tensor) -> Tensor:
    mean = sum(block.sum(0) for block in _blocks(images)) / len(images)
    assert isinstance(mean, Tensor)
    if not bool(mean.isfinite().all()):
        raise ValueError("some training images are not finite: correct or leave them out")
    return mean


def _blocks(images: Tensor) -> Iterator[Tensor]:
    """[≤ 512, n] at a time, in float64 on the CPU."""
    for block in images.split(_BLOCK):
        yield block.flatten(1).cpu().double()


@dataclass(frozen=True)
class LinearEstimate:
    """Estimates of B images, float64 on the CPU."""

    image: Tensor  # [B, C, H, W], clipped to the range of images
    variance: Tensor  # [B, C, H, W]: of each pixel about the unclipped estimate, the same for all y


def lmmse(
    operator: Sized,
    y: Tensor,
    spread: Spread,
    noise: float,
    *,
    limits: tuple[float, float] | None = (-1.0, 1.0),
) -> LinearEstimate:
    """x̂ = μ + CAᵀ(ACAᵀ + σ²·1)⁻¹(y − Aμ): no linear estimate has less mean squared error.

    Kay 1993, theorem 12.1; if images are Gaussian it is their posterior mean, and the variance
    diag(C − CAᵀ(ACAᵀ + σ²·1)⁻¹AC) is the posterior's. `y` is [B, *measured]; `noise` is σ, the standard
    deviation of each measurement, and of each part of a complex one. `limits` clips the image, as every
    method here is clipped; None leaves it.

    By Cholesky decomposition, in float64: about 8 (m n + 3 m²) bytes, 3.4 GB for m = 10,000 of 64×64×3.
    Behind a mask only r × r matrices are decomposed; for a mask for each image, one for each. Raises
    ValueError for measurements of another shape or not finite, noise below 0, and where noise-free
    measurements determine one another.

    >>> from zerosum.inverse.gaussian import Gaussian
    >>> images = torch.randn(900, 1, 4, 4)
    >>> A = Gaussian((1, 4, 4), 8)
    >>> found = lmmse(A, A.forward(images[:5]), fit_spread(images), 0.1)
    >>> found.image.shape, bool((found.variance < 1.3).all())
    (torch.Size([5, 1, 4, 4]), True)
    """
    check_measurements(operator, y)
    if y.dim() != len(operator.measured) + 1:
        raise ValueError(f"measurements of a batch, [B, *{list(operator.measured)}], not {list(y.shape)}")
    if spread.shape != operator.shape:
        raise ValueError(f"the spread is of images of {list(spread.shape)}, not {list(operator.shape)}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"--noise must be at least 0, not {noise}")
    if of_image(operator, 0) is operator:
        image, variance = _solved(operator, y, spread, noise)
    else:
        parts = [_solved(of_image(operator, i), y[i : i + 1], spread, noise) for i in range(len(y))]
        image, variance = (torch.cat(part) for part in zip(*parts, strict=True))
    return LinearEstimate(image if limits is None else image.clamp(*limits), variance.expand_as(image))


def _solved(operator: Sized, y: Tensor, spread: Spread, noise: float) -> tuple[Tensor, Tensor]:
    """The estimates [B, C, H, W] and their variance [1, C, H, W]."""
    least = spread.rest + noise**2
    if isinstance(operator, Mask) and least > 1e-8 * float(spread.variances.max()):
        return _behind_mask(operator, y, spread, least)
    return _solve(operator, y, spread, noise)


def _behind_mask(mask: Mask, y: Tensor, spread: Spread, least: float) -> tuple[Tensor, Tensor]:
    """As `_solve`, where M C Mᵀ + σ²·1 = s·1 + W Wᵀ on the known pixels: by r × r matrices (Woodbury)."""
    known = mask.keep.expand(mask.shape).flatten().cpu()
    v, rest = spread.directions.flatten(1), spread.rest
    above = spread.variances - rest
    seen = v[:, known]  # (M V)ᵀ
    root = above.sqrt()[:, None] * seen  # Wᵀ
    inner = root @ root.T
    inner.diagonal().add_(least)
    factor = torch.linalg.cholesky(inner)
    values = y.cpu().double().flatten(1)[:, known] - spread.mean.flatten()[known]
    weights = (values - torch.cholesky_solve(root @ values.T, factor).T @ root) / least
    change = (weights @ seen.T * above) @ v
    change[:, known] += rest * weights
    # diag of C − B*S⁻¹B with B = M C, column by column: (‖b‖² − ‖L⁻¹Wᵀb‖²)/s.
    seen_by = above[:, None] * v  # C's part along V
    length = (seen_by * (seen @ seen.T @ seen_by)).sum(0)
    through = root @ seen.T @ seen_by
    length[known] += 2 * rest * (seen_by[:, known] * seen).sum(0) + rest**2
    through[:, known] += rest * root
    explained = length - torch.linalg.solve_triangular(factor, through, upper=False).square().sum(0)
    variance = (above[:, None] * v.square()).sum(0) + rest - explained / least
    return spread.mean + change.unflatten(1, mask.shape), variance.clamp_min(0).reshape(1, *mask.shape)


def _solve(operator: Sized, y: Tensor, spread: Spread, noise: float) -> tuple[Tensor, Tensor]:
    """The estimates [B, C, H, W] and their variance [1, C, H, W]."""
    images, kept = matrix(operator)
    rows, v, rest = images.flatten(1), spread.directions.flatten(1), spread.rest
    above = spread.variances - rest
    seen = rows @ v.T  # AV
    gram = (seen * above) @ seen.T + rest * (rows @ rows.T)
    gram.diagonal().add_(noise**2)
    factor, failed = torch.linalg.cholesky_ex(gram)
    smallest = factor.diagonal().min() / factor.diagonal().max()
    if int(failed) or not bool(smallest > 1e-9):
        raise ValueError("these measurements determine one another: give --noise above 0, or fewer of them")
    values = vector(operator, y.cpu()).double()[:, kept] - rows @ spread.mean.flatten()
    weights = torch.cholesky_solve(values.T, factor).T
    change = (weights @ seen * above) @ v + rest * (weights @ rows)
    variance = (above[:, None] * v.square()).sum(0) + rest
    for start in range(0, rows.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        across = (seen * above) @ v[:, part] + rest * rows[:, part]  # AC
        variance[part] -= torch.linalg.solve_triangular(factor, across, upper=False).square().sum(0)
    shape = operator.shape
    return spread.mean + change.unflatten(1, shape), variance.clamp_min(0).reshape(1, *shape)
