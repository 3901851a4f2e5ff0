"""Unrolling: the generator's loss against the critic as it will be after some more steps."""

from dataclasses import dataclass

from torch.optim import Optimizer

__all__ = ["Unroll"]


@dataclass(frozen=True)
class Unroll:
    """How far the critic is unrolled, and the optimiser that would move it; that one is never changed."""

    steps: int
    optimiser: Optimizer
