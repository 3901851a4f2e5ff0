"""Small critics side by side: as many as wished trained at the cost of about one."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from zerosum.objectives import Objective

__all__ = ["Stack", "train_stack"]


class Stack(nn.Module):
    """`copies` MLPs with tanh between layers, each with weights of its own: [K, B, n] → logits [K, B].

    Weights and biases start uniform in ±1/√inputs, as PyTorch's do.

    >>> Stack(3, (2, 8, 1), torch.Generator())(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5])
    """

    def __init__(self, copies: int, widths: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            for held, shape in ((self.weights, (inputs, outputs)), (self.biases, (1, outputs))):
                start = 2 * torch.rand(copies, *shape, generator=generator) - 1
                held.append(nn.Parameter(start / inputs**0.5))

    def forward(self, x: Tensor) -> Tensor:
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x.tanh() if layer else x, weight)
        return x.squeeze(2)


class Draw(Protocol):
    """Gives a new batch, (real, fake), each [K, B, n]."""

    def __call__(self) -> tuple[Tensor, Tensor]: ...


def train_stack(
    stack: Stack, objective: Objective, draw: Draw, steps: int, lr: float = 3e-3
) -> Iterator[int]:
    """Adam on each critic's own loss; yields how many steps were made, from 0, before each and at the end."""
    optimiser = torch.optim.Adam(stack.parameters(), lr)
    for step in range(steps):
        yield step
        real, fake = draw()
        loss = objective.critic(stack(real), stack(fake)).mean(1).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    yield steps
