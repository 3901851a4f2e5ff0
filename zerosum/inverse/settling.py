"""Iterations over a batch in which each image stops by itself."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Settled", "settle"]

State = tuple[Tensor, ...]


class Settled(NamedTuple):
    """Where an iteration ended; `state` as it was given."""

    state: State
    steps: Tensor  # [...]: how many steps each image took
    settled: Tensor  # [...], bool: False where the limit ended it


def settle(
    step: Callable[[State], State], start: State, *, tolerance: float, limit: int, watched: int = 1
) -> Settled:
    """Repeat `step` until ‖s⁺ − s‖ ≤ tolerance·‖s⁺‖ for each of the first `watched` parts of the state.

    The first part is [..., C, H, W]; its leading dimensions are images, and every part has them. Each image
    is frozen once it has settled, so what it comes to does not depend on those beside it. A primal-dual
    method has two parts to watch: one may rest while the other moves. Raises ValueError where the numbers
    stop being finite, as steps too long for the operator make them.

    >>> done = settle(lambda s: (s[0] / 2 + 1,), (torch.zeros(2, 1, 1, 1),), tolerance=1e-4, limit=99)
    >>> done.state[0].flatten(), done.steps.tolist()
    (tensor([1.9999, 1.9999]), [14, 14])
    """
    state = start
    lead = start[0].shape[:-3]
    active = torch.ones(lead, dtype=torch.bool, device=start[0].device)
    steps = torch.zeros(lead, dtype=torch.long, device=start[0].device)

    def length(x: Tensor) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(x.reshape(*lead, -1), dim=-1)
        return norms

    for _ in range(limit):
        new = step(state)
        sizes = [length(part) for part in new[:watched]]
        if not bool(sizes[0].isfinite().all()):
            raise ValueError("the iteration diverged: the operator's norm is below its true one")
        moved = torch.zeros_like(active)
        for part, before, size in zip(new, state, sizes, strict=False):
            moved |= length(part - before) > tolerance * size
        if not bool(active.all()):
            new = tuple(
                torch.where(active.reshape(*lead, *[1] * (part.dim() - len(lead))), part, before)
                for part, before in zip(new, state, strict=True)
            )
        state = new
        steps += active
        active &= moved
        if not bool(active.any()):
            break
    return Settled(state, steps, ~active)
