"""Integrals over the line by Gauss–Legendre on panels, and the two pairs of normal laws that tests use."""

from math import log, pi, sqrt

import numpy as np
import torch
from torch import Tensor


def panels(*edges: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [−13, 14], float64; with an edge wherever an integrand has a corner, exact."""
    cuts = np.unique(np.concatenate([np.linspace(-13, 14, 41), edges]))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    middle, half = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts) / 2
    x, weight = middle[:, None] + half[:, None] * nodes, half[:, None] * weights
    return torch.from_numpy(x.ravel()), torch.from_numpy(weight.ravel())


def normal(x: Tensor, mean: float, deviation: float) -> Tensor:
    return torch.exp(-(((x - mean) / deviation) ** 2) / 2) / (deviation * sqrt(2 * pi))


def pair(mean: float, deviation: float, *edges: float) -> tuple[Tensor, Tensor]:
    """N(0, 1) and another normal law as discrete laws on the quadrature's nodes."""
    x, weight = panels(*edges)
    return weight * normal(x, 0, 1), weight * normal(x, mean, deviation)


CROSSING = sqrt(2 * log(1.2) / (1 - 1 / 1.44))
PAIRS = {"A": pair(1, 1, 0.5), "B": pair(0, 1.2, -CROSSING, CROSSING)}
