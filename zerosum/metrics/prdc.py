"""Precision, recall, density and coverage: fidelity and diversity told apart, by nearest neighbours.

A side's support is the union of balls about its samples, each reaching to the k-th neighbour in the same
sample (Kynkäänniemi et al. 2019; density and coverage, Naeem et al. 2020).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.objectives import widened

__all__ = ["PRDC", "prdc", "radii"]

_ROWS = 512


class PRDC(NamedTuple):
    """Precision, recall, coverage: shares; density: 1 where fakes lie as reals do, and may be more."""

    precision: float
    recall: float
    density: float
    coverage: float


def _lifted(x: Tensor, centre: Tensor | float = 0.0) -> Tensor:
    """[x, 1, −‖x‖²/2] of x − centre, [N, D+2]; by `_turned` ones they give −½ squared distances."""
    out = x.new_ones(len(x), x.shape[1] + 2)
    torch.sub(x, centre, out=out[:, :-2])
    out[:, -1] = out[:, :-2].square().sum(1) / -2
    return out


def _turned(lifted: Tensor) -> Tensor:
    """[x, −‖x‖²/2, 1]."""
    return torch.cat([lifted[:, :-2], lifted[:, -2:].flip(1)], 1)


def _nearest(held: Tensor, closeness: Tensor, dim: int) -> Tensor:
    """The k greatest of those held [n, k] and of new ones along `dim`, [n, k]."""
    few = closeness.topk(min(held.shape[1], closeness.shape[dim]), dim, sorted=False).values
    return torch.cat([held, few if dim else few.T], 1).topk(held.shape[1], sorted=False).values


def _edges(lifted: Tensor, k: int) -> Tensor:
    """−½ the squared distance of each to its k-th nearest other, [N]; each pair of blocks is made once."""
    held = lifted.new_full((len(lifted), k), -torch.inf)
    for start in range(0, len(lifted), _ROWS):
        stop = min(start + _ROWS, len(lifted))
        closeness = _turned(lifted[start:stop]) @ lifted[start:].T
        closeness.fill_diagonal_(-torch.inf)
        held[start:stop] = _nearest(held[start:stop], closeness, 1)
        if stop < len(lifted):
            held[stop:] = _nearest(held[stop:], closeness[:, stop - start :], 0)
    return held.amin(1).clamp_max_(0)


def radii(x: Tensor, k: int = 5) -> Tensor:
    """The distance of each of N samples [N, …] to its k-th nearest other, [N].

    >>> radii(torch.tensor([[0.0], [1.0], [3.0]]), k=1)
    tensor([1., 1., 2.])

    Raises ValueError where there are no k others.
    """
    return (-2 * _edges(_lifted(_flat(x, k, "there are")), k)).sqrt()


def _flat(x: Tensor, k: int, which: str) -> Tensor:
    if k < 1 or len(x) <= k:
        raise ValueError(
            f"{which} {len(x)} samples, and each needs {k} neighbours: give more, or a smaller k"
        )
    x = widened(x.detach().flatten(1))
    if not bool(torch.stack(x.aminmax()).isfinite().all()):
        raise ValueError("some features are not finite (NaN or infinity)")
    return x


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> PRDC:
    """Precision, recall, density and coverage of fakes [M, D] for reals [N, D].

    With B(x) the open ball about x that reaches to its k-th neighbour on its own side:
    precision = share of fakes in some B(real), recall = share of reals in some B(fake),
    density = Σ over fakes of how many B(real) hold it / (kM), coverage = share of B(real) that hold a fake.
    Distances are made in blocks of 512 rows, in the features' own precision (float32 at least), so
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
    real, fake = _lifted(real, centre), _lifted(fake, centre)
    # A ball of radius 0 is open, so empty, whatever rounding says of distances.
    of_real, of_fake = (edges.where(edges < 0, torch.inf) for edges in (_edges(real, k), _edges(fake, k)))
    holds = torch.zeros(len(fake), dtype=torch.int32, device=fake.device)
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool, device=real.device)
    for start in range(0, len(real), _ROWS):
        rows = slice(start, start + _ROWS)
        closeness = _turned(real[rows]) @ fake.T
        holds += (closeness > of_real[rows, None]).sum(0, dtype=torch.int32)
        covered[rows] = closeness.amax(1) > of_real[rows]
        recalled[rows] = (closeness > of_fake).any(1)
    return PRDC(
        float((holds > 0).double().mean()),
        float(recalled.double().mean()),
        float(holds.double().mean()) / k,
        float(covered.double().mean()),
    )
