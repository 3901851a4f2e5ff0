"""Integral probability metrics: γ_F(P, Q) = sup over f in F of |E_P f − E_Q f| (Müller 1997).

One family (Sriperumbudur et al. 2012): the class F makes the metric, and the f that attains the
supremum, the witness, is what a critic of that class would learn. An `IPM` gives both, exactly, for two
discrete laws on common points; two samples are such laws, each point with its share. All in float64 and
outside autograd: to train on MMD see `zerosum.kernels`, on W₁ `zerosum.transport`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum import transport
from zerosum.kernels import Kernel

__all__ = ["IPM", "IPMS", "Discrepancy", "kolmogorov", "mmd", "total_variation", "wasserstein"]

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Discrepancy:
    """γ_F(P, Q), 0-d, and a witness f: points [N, D] or [N] → [N] with E_P f − E_Q f = γ_F(P, Q)."""

    value: Tensor
    witness: Function


@dataclass(frozen=True)
class IPM:
    """The metric of one class of functions; `functions` says which.

    `solve(points [K, D], excess [K])` finds the supremum of Σ excess · f(points) over the class: the
    points are distinct and sorted, the excess is P − Q.

    >>> found = wasserstein()(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 4.0]))
    >>> found.value, found.witness(torch.tensor([0.0, 2.0]))
    (tensor(3., dtype=torch.float64), tensor([ 0., -2.], dtype=torch.float64))
    """

    functions: str
    solve: Callable[[Tensor, Tensor], tuple[Tensor, Function]]

    def __call__(self, real: Tensor, fake: Tensor) -> Discrepancy:
        """Between two samples, [N, …] and [M, …]: the plug-in estimate of γ_F between their laws."""
        n, m = len(real), len(fake)
        if min(n, m) == 0 or real[0].numel() != fake[0].numel():
            raise ValueError(f"no metric between samples of {tuple(real.shape)} and {tuple(fake.shape)}")
        points = torch.cat([_rows(real), _rows(fake)])
        shares = torch.tensor([1 / n, -1 / m], device=points.device, dtype=torch.float64)
        return self._between(shares.repeat_interleave(torch.tensor([n, m], device=points.device)), points)

    def between(self, p: Tensor, q: Tensor, points: Tensor) -> Discrepancy:
        """Between two laws on the same points: probabilities `p` and `q` [K], `points` [K, …]."""
        for name, law in (("p", p), ("q", q)):
            if law.shape != (len(points),) or not bool((law >= 0).all() and (law.sum() - 1).abs() < 1e-6):
                raise ValueError(f"{name} must be {len(points)} numbers of at least 0 that sum to 1")
        p, q = (law.detach().double() / law.detach().double().sum() for law in (p, q))
        return self._between(p - q, _rows(points))

    def _between(self, excess: Tensor, points: Tensor) -> Discrepancy:
        if not points.isfinite().all():
            raise ValueError("no metric between points that are not finite numbers")
        distinct, which = points.unique(dim=0, return_inverse=True)
        value, witness = self.solve(distinct, excess.new_zeros(len(distinct)).index_add(0, which, excess))
        return Discrepancy(value, lambda x: witness(_rows(x)))


def _rows(x: Tensor) -> Tensor:
    return x.detach().reshape(len(x), -1).double()


def _line(points: Tensor, name: str) -> Tensor:
    if points.shape[1] != 1:
        raise ValueError(f"{name} is defined on the line, and these points have {points.shape[1]} numbers")
    return points[:, 0]


def wasserstein() -> IPM:
    """F: 1-Lipschitz functions. Kantorovich and Rubinstein: γ_F = W₁.

    On the line f′ = sign(F_Q − F_P) and γ_F = ∫|F_P − F_Q|; otherwise by `transport.wasserstein`, whose
    limits of size it has. The witness is 1-Lipschitz everywhere, not only on the points.
    """

    def solve(points: Tensor, excess: Tensor) -> tuple[Tensor, Function]:
        return (_on_the_line if points.shape[1] == 1 else _by_transport)(points, excess)

    return IPM("1-Lipschitz functions", solve)


def _on_the_line(points: Tensor, excess: Tensor) -> tuple[Tensor, Function]:
    knots = points[:, 0]
    lead = excess.cumsum(0)[:-1]  # F_P − F_Q between one knot and the next
    zero = lead.new_zeros(1)
    slopes = torch.cat([zero, -lead.sign(), zero])  # constant beyond the outer knots
    heights = torch.cat([zero, (slopes[1:-1] * knots.diff()).cumsum(0)])

    def witness(x: Tensor) -> Tensor:
        after = torch.searchsorted(knots, x[:, 0].contiguous())
        left = (after - 1).clamp_min(0)
        return heights[left] + slopes[after] * (x[:, 0] - knots[left])

    return (lead.abs() * knots.diff()).sum(), witness


def _by_transport(points: Tensor, excess: Tensor) -> tuple[Tensor, Function]:
    more, less = excess > 0, excess < 0
    mass = excess[more].sum()
    if not mass > 0:
        return mass, lambda x: x.new_zeros(len(x))
    # What P and Q share stays where it is: only the excess moves.
    moved = transport.wasserstein(points[more], points[less], excess[more] / mass, -excess[less] / mass)
    targets, potential = points[less], moved.fake_potential

    def witness(x: Tensor) -> Tensor:
        distances = torch.cdist(x, targets, compute_mode="donot_use_mm_for_euclid_dist")
        return (distances - potential).amin(1)

    return mass * moved.value, witness


def total_variation(edges: Tensor | None = None) -> IPM:
    """F: ‖f‖∞ ≤ 1. γ_F = Σ|p − q|, **twice** the total variation distance sup_A |P(A) − Q(A)|.

    f is the sign of p − q. Without `edges` each distinct point is an event of its own: exact for
    discrete laws, but two samples of densities share no point, and γ_F = 2 whatever their laws are: the
    plug-in estimate is not consistent (Sriperumbudur et al. 2012, section 3). With `edges` [E], rising,
    the events are the E + 1 bins they cut the line into (each with its right edge): γ_F of the binned
    laws, a lower bound that samples estimate, upwards of it by the noise of each bin.
    """
    if edges is not None and (edges.dim() != 1 or not (edges.diff() > 0).all()):
        raise ValueError("total_variation: edges must be one row of rising numbers")

    def solve(points: Tensor, excess: Tensor) -> tuple[Tensor, Function]:
        if edges is None:
            return excess.abs().sum(), _signs_at(points, excess.sign())
        line = _line(points, "total variation on bins")
        cuts = edges.to(line)
        bins = excess.new_zeros(len(cuts) + 1).index_add(0, torch.bucketize(line, cuts), excess)
        return bins.abs().sum(), lambda x: bins.sign()[torch.bucketize(x[:, 0].contiguous(), cuts)]

    return IPM("functions between −1 and 1", solve)


def _signs_at(points: Tensor, signs: Tensor) -> Function:
    """The function that is `signs` at the points and 0 elsewhere."""

    def witness(x: Tensor) -> Tensor:
        distinct, which = torch.cat([points, x]).unique(dim=0, return_inverse=True)
        known = len(points)
        return signs.new_zeros(len(distinct)).index_copy(0, which[:known], signs)[which[known:]]

    return witness


def kolmogorov() -> IPM:
    """F: indicators of half-lines (−∞, t], with either sign. γ_F = sup_t |F_P(t) − F_Q(t)|."""

    def solve(points: Tensor, excess: Tensor) -> tuple[Tensor, Function]:
        line, lead = _line(points, "the Kolmogorov distance"), excess.cumsum(0)
        widest = lead.abs().argmax()
        return lead[widest].abs(), lambda x: lead[widest].sign() * (x[:, 0] <= line[widest])

    return IPM("indicators of half-lines", solve)


def mmd(kernel: Kernel) -> IPM:
    """F: the unit ball of the kernel's Hilbert space. γ_F = ‖μ_P − μ_Q‖, not squared; f ∝ μ_P − μ_Q.

    Of two samples it is the root of the biased estimate (Gretton et al. 2012, eq. 5), which lies above
    0 at P = Q; `kernels.mmd2` has the unbiased one.
    """

    def solve(points: Tensor, excess: Tensor) -> tuple[Tensor, Function]:
        def gap(x: Tensor) -> Tensor:
            return torch.cat([kernel(rows, points) @ excess for rows in x.split(256)])

        value = (excess @ gap(points)).clamp_min(0).sqrt()
        return value, lambda x: gap(x) / value if value > 0 else x.new_zeros(len(x))

    return IPM("the unit ball of a kernel's Hilbert space", solve)


IPMS: Mapping[str, Callable[..., IPM]] = {
    "wasserstein": wasserstein,
    "total-variation": total_variation,
    "kolmogorov": kolmogorov,
    "mmd": mmd,
}
