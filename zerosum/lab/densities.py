"""Densities on the line and what lies between them, by quadrature to about ten digits.

A density is held as its logarithm on `AXIS`: the trapezoid rule on an even grid is accurate beyond any
power of the step for smooth integrands that vanish at both ends, as those of normal densities do.
"""

import math

import torch
from torch import Tensor

__all__ = ["AXIS", "integrate", "jensen_shannon", "kl", "log_mixture", "log_normal", "total_variation"]

AXIS = torch.linspace(-30, 30, 30_001, dtype=torch.float64)


def integrate(values: Tensor, x: Tensor = AXIS) -> float:
    """∫ values dx over the grid `x`, both [n].

    >>> round(integrate(log_normal(2.0, 3.0).exp()), 12)
    1.0
    """
    return float(torch.trapezoid(values, x))


def log_normal(mean: float, std: float = 1.0, x: Tensor = AXIS) -> Tensor:
    """log N(x; mean, std²), [n]."""
    return -0.5 * ((x - mean) / std).square() - math.log(std * math.sqrt(2 * math.pi))


def log_mixture(logs: list[Tensor], weights: list[float] | None = None) -> Tensor:
    """The log density of a mixture, in equal parts if no weights are given."""
    shares = torch.tensor(weights or [1 / len(logs)] * len(logs), dtype=torch.float64)
    return torch.logsumexp(torch.stack(logs) + shares.log()[:, None], 0)


def kl(log_p: Tensor, log_q: Tensor, x: Tensor = AXIS) -> float:
    """KL(p‖q) = ∫ p log(p/q), in nats.

    >>> round(kl(log_normal(0.0), log_normal(1.0)), 10)
    0.5
    """
    return integrate(log_p.exp() * (log_p - log_q), x)


def jensen_shannon(log_p: Tensor, log_q: Tensor, x: Tensor = AXIS, weight: float = 0.5) -> float:
    """π KL(p‖m) + (1−π) KL(q‖m) with m = πp + (1−π)q and π = `weight`: in nats, at most H(π).

    >>> round(jensen_shannon(log_normal(0.0), log_normal(1.0)), 8)
    0.11142148
    """
    middle = log_mixture([log_p, log_q], [weight, 1 - weight])
    return weight * kl(log_p, middle, x) + (1 - weight) * kl(log_q, middle, x)


def total_variation(log_p: Tensor, log_q: Tensor, x: Tensor = AXIS) -> float:
    """½∫|p−q|, in [0, 1].

    >>> round(total_variation(log_normal(0.0), log_normal(1.0)), 6)
    0.382925
    """
    return 0.5 * integrate((log_p.exp() - log_q.exp()).abs(), x)
