"""Wasserstein distances between two samples, or between two discrete laws."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from zerosum.draws import Draws
from zerosum.objectives import widened

__all__ = ["Transport", "coarse", "sliced_wasserstein", "wasserstein", "wasserstein_1d"]

_Numbers = NDArray[np.float64]


def sliced_wasserstein(real: Tensor, fake: Tensor, projections: int = 256, seed: int = 0) -> float:
    """E over unit directions θ of W₁(θ·x, θ·y) (Rabin et al. 2011, with W₁ for W₂).

    `real` and `fake` are [N, …] with the same N and shape; on the line W₁ is the mean distance of the
    sorted samples. The directions are drawn from `seed`. Raises ValueError for unequal shapes.

    >>> import torch
    >>> x = torch.zeros(4, 1)
    >>> sliced_wasserstein(x, x + 3)
    3.0
    """
    if real.shape != fake.shape:
        raise ValueError(f"both samples must have one shape, not {tuple(real.shape)}, {tuple(fake.shape)}")
    real, fake = real.flatten(1).float(), fake.flatten(1).float()
    directions = Draws(seed, stop=projections, device=real.device).normal("directions", real.shape[1])
    directions /= directions.norm(dim=1, keepdim=True)
    along_real, along_fake = ((x @ directions.T).sort(dim=0).values for x in (real, fake))
    return float((along_real - along_fake).abs().mean())


def wasserstein_1d(real: Tensor, fake: Tensor, order: float = 1.0) -> Tensor:
    """W_p = (∫₀¹ |F⁻¹(u) − G⁻¹(u)|ᵖ du)^(1/p) of two samples on the line, exact, 0-d.

    `real` [N] and `fake` [M] may differ in size: both quantile functions are steps, and the integral is
    a sum over the pieces where neither jumps (Peyré & Cuturi 2019, section 2.6). `order` is p.
    Differentiable in both; where the samples coincide the gradient is 0. Raises ValueError for more
    than one number a sample, an empty sample, or p < 1.

    >>> wasserstein_1d(torch.tensor([0.0, 1.0]), torch.tensor([2.0]))
    tensor(1.5000)
    """
    n, m = real.numel(), fake.numel()
    if min(n, m) == 0 or len(real) != n or len(fake) != m:
        raise ValueError(f"wasserstein_1d takes [N] and [M], not {tuple(real.shape)}, {tuple(fake.shape)}")
    if not 1 <= order < math.inf:
        raise ValueError(f"the order must be a number of at least 1, not {order}")
    real, fake = widened(real.flatten()), widened(fake.flatten())
    # u in units of 1/(nm), so that the jumps at i/n and j/m are compared as whole numbers.
    ends_real = torch.arange(1, n + 1, device=real.device) * m
    ends_fake = torch.arange(1, m + 1, device=real.device) * n
    ends = torch.cat([ends_real, ends_fake]).sort().values
    lengths = ends.diff(prepend=ends.new_zeros(1)).to(real.dtype) / (n * m)
    quantiles_real = real.sort().values[torch.searchsorted(ends_real, ends)]
    quantiles_fake = fake.sort().values[torch.searchsorted(ends_fake, ends)]
    total = (lengths * (quantiles_real - quantiles_fake).abs().pow(order)).sum()
    apart = total > 0  # at 0 the root's slope is infinite
    return torch.where(apart, total, 1).pow(1 / order) * apart


@dataclass(frozen=True)
class Transport:
    """An optimal plan between two discrete laws, and the potentials that prove it so.

    `value`: W₁, 0-d, differentiable in the points. `plan` [N, M]: the mass that goes from each real
    point to each fake one; its rows sum to the real weights and its columns to the fake ones. The
    potentials φ [N] and ψ [M] satisfy φᵢ + ψⱼ ≤ ‖xᵢ − yⱼ‖. All in float64.
    """

    value: Tensor
    plan: Tensor
    real_potential: Tensor
    fake_potential: Tensor

    @property
    def dual(self) -> Tensor:
        """Σ aᵢφᵢ + Σ bⱼψⱼ: by duality never above `value`, and equal to it where both are optimal."""
        return self.plan.sum(1) @ self.real_potential + self.plan.sum(0) @ self.fake_potential


def wasserstein(
    real: Tensor, fake: Tensor, real_weights: Tensor | None = None, fake_weights: Tensor | None = None
) -> Transport:
    """W₁ = min over plans γ with marginals a and b of Σ γᵢⱼ ‖xᵢ − yⱼ‖, exact.

    `real` [N, …] and `fake` [M, …] are flattened; the weights a [N] and b [M] each sum to 1, and are
    equal unless given. Equal weights of as many points are an assignment (Jonker & Volgenant's: a few
    seconds for 1,000 points), anything else a linear programme (HiGHS: a few seconds for 200 and 300).
    Kantorovich and Rubinstein's dual is max E_P f − E_Q f over 1-Lipschitz f: f(x) = minⱼ ‖x − yⱼ‖ − ψⱼ
    attains it. Raises ValueError for points or weights that do not fit, RuntimeError where HiGHS fails.

    >>> moved = wasserstein(torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    >>> moved.value
    tensor(2.5000, dtype=torch.float64)
    """
    n, m = len(real), len(fake)
    if min(n, m) == 0 or real[0].numel() != fake[0].numel():
        raise ValueError(f"no transport between points of {tuple(real.shape)} and {tuple(fake.shape)}")
    x, y = real.reshape(n, -1).double(), fake.reshape(m, -1).double()
    a, b = _weights(real_weights, n, "real"), _weights(fake_weights, m, "fake")
    # Not by matrix products, which lose the distances of near points.
    distances = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    cost = distances.detach().cpu().numpy()
    if not np.isfinite(cost).all():
        raise ValueError("no transport between points that are not finite numbers")
    flat = n == m and np.ptp(a) == 0 and np.ptp(b) == 0
    plan, real_potential = _assign(cost) if flat else _programme(cost, a, b)
    # The c-transform leaves no constraint violated, and the dual no lower.
    fake_potential = (cost - real_potential[:, None]).min(0)
    gamma, phi, psi = (torch.from_numpy(each).to(x.device) for each in (plan, real_potential, fake_potential))
    # A minimum's gradient is that of its objective at the minimiser, which is held fixed.
    return Transport((gamma * distances).sum(), gamma, phi, psi)


def _weights(given: Tensor | None, count: int, name: str) -> _Numbers:
    if given is None:
        return np.full(count, 1 / count)
    weights = given.detach().cpu().double().numpy()
    if weights.shape != (count,) or not (weights >= 0).all() or not abs(weights.sum() - 1) < 1e-6:
        raise ValueError(f"{name}_weights must be {count} numbers of at least 0 that sum to 1")
    normalised: _Numbers = weights / weights.sum()
    return normalised


def _assign(cost: _Numbers) -> tuple[_Numbers, _Numbers]:
    """The best permutation's plan, and a real potential φ."""
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    count = len(cost)
    rows, columns = linear_sum_assignment(cost)
    plan = np.zeros_like(cost)
    plan[rows, columns] = 1 / count
    # φᵢ + ψⱼ ≤ cᵢⱼ, with equality along the plan, says φᵢ − φₖ ≤ cᵢⱼ − cₖⱼ where k goes to j: shortest
    # paths solve it, by Bellman and Ford's rounds, and optimality means that no cycle is negative.
    steps = cost[:, columns] - cost[rows, columns]
    potential = np.zeros(count)
    for _ in range(count):
        nearer = np.minimum(potential, (potential + steps).min(1))
        if np.abs(nearer - potential).max() <= 1e-14 * cost.max():
            break
        potential = nearer
    return plan, potential


def _programme(cost: _Numbers, a: _Numbers, b: _Numbers) -> tuple[_Numbers, _Numbers]:
    """The same by linear programming, for any weights."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack  # type: ignore[import-untyped]

    n, m = cost.shape
    marginals = vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))]).tocsc()
    scale = cost.max() or 1.0  # HiGHS' tolerances are absolute
    found = linprog(
        cost.ravel() / scale,
        A_eq=marginals,
        b_eq=np.concatenate([a, b]),
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if not found.success:
        raise RuntimeError(f"the linear programme of {n}×{m} points was not solved: {found.message}")
    return np.maximum(found.x, 0).reshape(n, m), scale * found.eqlin.marginals[:n]


def coarse(samples: Tensor, side: int = 64) -> Tensor:
    """Images [N, C, H, W] averaged down to at most `side` a side, to be compared cheaply; points as they are.

    >>> coarse(torch.zeros(2, 3, 128, 32)).shape
    torch.Size([2, 3, 64, 32])
    """
    if samples.dim() < 4:
        return samples
    height, width = samples.shape[2:]
    return F.adaptive_avg_pool2d(samples, (min(side, height), min(side, width)))
