"""A small smooth critic for points, and its training against samplers that stand still."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from zerosum.objectives import Objective

__all__ = ["smooth_net", "train_critic"]


def smooth_net(*widths: int, generator: torch.Generator) -> nn.Sequential:
    """An MLP with tanh between its layers, [B, widths[0]] → [B, widths[-1]], Glorot's start.

    >>> smooth_net(1, 8, 1, generator=torch.Generator())(torch.zeros(3, 1)).shape
    torch.Size([3, 1])
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        affine = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(affine.weight, generator=generator)
        nn.init.zeros_(affine.bias)
        layers += [affine, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def train_critic(
    critic: nn.Module,
    objective: Objective,
    draw: Callable[[], tuple[Tensor, Tensor]],
    steps: int,
    lr: float = 5e-3,
) -> Iterator[tuple[int, Tensor]]:
    """Adam on the critic's loss, the rate falling to 0 as a cosine; yields (steps done, mean loss).

    `draw` gives (real, fake), each [B, n]; the critic gives logits [B, 1]. Nothing else moves.
    """
    optimiser = torch.optim.Adam(critic.parameters(), lr)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        real, fake = draw()
        loss = objective.critic(critic(real).squeeze(1), critic(fake).squeeze(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield step + 1, loss.detach()
