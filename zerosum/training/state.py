"""What training carries from step to step, beside the game and its optimisers."""

from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from zerosum.constraints import advance_all
from zerosum.games.game import Clock

__all__ = ["Average", "State"]


class Average:
    """An exponential moving average of a module, parameters and buffers alike.

    θ̄ ← dθ̄ + (1−d)θ with d = min(decay, (1+t)/(10+t)) at the t-th update, so that an average over a
    thousand steps is not mostly the initialisation when only a hundred were made. Integer buffers
    (counts) are copied. Spectral norm divides by the averaged weight's own σ: averages of its vectors
    are not of length 1, nor that weight's.

    >>> average = Average(nn.Linear(1, 1), decay=0.999)
    >>> average.update(nn.Linear(1, 1), 0)

    Raises ValueError unless 0 ≤ decay < 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the average's decay must be at least 0 and below 1, not {decay}")
        self.decay = decay
        self.module = deepcopy(module).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the module as it is after the step-th step (from 0) of a run, or of one of its phases."""
        d = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = _tensors(self.module), _tensors(module)
        floats = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - d)
        for a, b in zip(mine, theirs, strict=True):
            if not a.is_floating_point():
                a.copy_(b)
        advance_all(self.module)


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*(p.data for p in module.parameters()), *module.buffers()]


@dataclass
class State:
    """The clock, the seed, the averages and, in fp16, one loss scaler a player.

    `phase` counts how often the optimisers were begun anew.

    >>> State(seed=1).clock
    Clock(step=0, images=0)
    """

    seed: int = 0
    clock: Clock = field(default_factory=Clock)
    averages: dict[str, Average] = field(default_factory=dict)
    scalers: dict[str, GradScaler] = field(default_factory=dict)
    seconds: float = 0.0
    phase: int = 0
