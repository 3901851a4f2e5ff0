"""Precision, recall, density and coverage: fidelity and diversity told apart, by nearest neighbours.

A side's support is the union of balls about its samples, each reaching to the k-th neighbour in the same
sample (Kynkäänniemi et al. 2019; density and coverage, Naeem et al. 2020).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.objectives import widened

__all__ = ["PRDC", "prdc", "radii"]

_ROWS = 2048


class PRDC(NamedTuple):
    """Precision, recall, coverage: shares; density: 1 where fakes lie as reals do, and may be more."""

    precision: float
    recall: float
    density: float
    coverage: float


def _squared(x: Tensor, y: Tensor) -> Tensor:
    """‖x−y‖² of all pairs [n, m], by products: both are centred alike beforehand."""
    return (
        torch.addmm(y.square().sum(1), x, y.T, alpha=-2).add_(x.square().sum(1, keepdim=True)).clamp_min_(0)
    )


def _nearest(held: Tensor, distances: Tensor) -> Tensor:
    """The k least of each row, among those held [n, k] and new ones [n, m]."""
    k = held.shape[1]
    few = distances.topk(min(k, distances.shape[1]), dim=1, largest=False, sorted=False).values
    return torch.cat([held, few], 1).topk(k, dim=1, largest=False).values


def _squared_radii(x: Tensor, k: int) -> Tensor:
    """The squared distance of each x to its k-th nearest other, [N]; each pair of blocks is made once."""
    blocks = x.split(_ROWS)
    held = [x.new_full((len(block), k), torch.inf) for block in blocks]
    for i, rows in enumerate(blocks):
        own = _squared(rows, rows)
        own.fill_diagonal_(torch.inf)
        held[i] = _nearest(held[i], own)
        for j in range(i + 1, len(blocks)):
            across = _squared(rows, blocks[j])
            held[i] = _nearest(held[i], across)
            held[j] = _nearest(held[j], across.T.contiguous())
    return torch.cat(held)[:, -1]


def radii(x: Tensor, k: int = 5) -> Tensor:
    """The distance of each of N samples [N, …] to its k-th nearest other, [N].

    >>> radii(torch.tensor([[0.0], [1.0], [3.0]]), k=1)
    tensor([1., 1., 2.])

    Raises ValueError where there are no k others.
    """
    return _squared_radii(_flat(x, k, "there are"), k).sqrt()


def _flat(x: Tensor, k: int, which: str) -> Tensor:
    if k < 1 or len(x) <= k:
        raise ValueError(
            f"{which} {len(x)} samples, and each needs {k} neighbours: give more, or a smaller k"
        )
    if not bool(torch.isfinite(x).all()):
        raise ValueError("some features are not finite (NaN or infinity)")
    return widened(x.detach().flatten(1))


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> PRDC:
    """Precision, recall, density and coverage of fakes [M, D] for reals [N, D].

    With B(x) the open ball about x that reaches to its k-th neighbour on its own side:
    precision = share of fakes in some B(real), recall = share of reals in some B(fake),
    density = Σ over fakes of how many B(real) hold it / (kM), coverage = share of B(real) that hold a fake.
    Distances are made in blocks of 2,048 rows, in the features' own precision (float32 at least), so
    memory grows with N + M. k is 3 in Kynkäänniemi et al. 2019, 5 in Naeem et al. 2020.

    >>> points = torch.arange(8.0)[:, None]
    >>> prdc(points, points[:4], k=1)  # fakes are right, but half is missing
    PRDC(precision=1.0, recall=0.5, density=1.0, coverage=0.5)

    Raises ValueError for features of different sizes, for values that are not finite, and where a side
    has no more than k samples.
    """
    real, fake = _flat(real, k, "real: there are"), _flat(fake, k, "fake: there are")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real features have {real.shape[1]} numbers each, fake ones {fake.shape[1]}")
    centre = real.mean(0)  # a common shift changes no distance, but what rounding takes of it
    real, fake = real - centre, fake - centre
    of_real, of_fake = _squared_radii(real, k), _squared_radii(fake, k)
    holds = torch.zeros(len(fake), dtype=torch.int64, device=fake.device)
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool, device=real.device)
    for start in range(0, len(real), _ROWS):
        rows = slice(start, start + _ROWS)
        for first in range(0, len(fake), _ROWS):
            columns = slice(first, first + _ROWS)
            distances = _squared(real[rows], fake[columns])
            inside = distances < of_real[rows, None]
            holds[columns] += inside.sum(0)
            covered[rows] |= inside.any(1)
            recalled[rows] |= (distances < of_fake[columns]).any(1)
    return PRDC(
        float((holds > 0).double().mean()),
        float(recalled.double().mean()),
        float(holds.double().mean()) / k,
        float(covered.double().mean()),
    )
