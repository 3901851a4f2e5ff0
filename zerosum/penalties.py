"""Penalties: terms that hold the critic's slope, added to the critic's loss.

A penalty is called `penalty(critic, real, fake, draw)` and gives one number per sample, [B]. `critic`
is a closure x → logits [B] into which any labels are bound, so penalties never see them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.draws import Draws
from zerosum.objectives import widened

__all__ = ["Critic", "Penalty", "input_gradient", "r1", "wgan_gp"]

Critic = Callable[[Tensor], Tensor]
_TINY = 1e-24  # below this squared norm the slope of √ is cut to 0, where it would be infinite


@dataclass(frozen=True)
class Penalty:
    """A measure per sample, its weight, and how often it is taken.

    Lazy penalties (Karras et al. 2020, appendix B) are taken at each `every`-th step only, `every`
    times as heavy: the same pull on average, for less work.

    >>> wgan_gp().weight
    10.0
    """

    name: str
    measure: Callable[[Critic, Tensor, Tensor, Draws], Tensor]
    weight: float
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"{self.name}: every must be at least 1 step, not {self.every}")
        if self.weight < 0:
            raise ValueError(f"{self.name}: weight must not be negative, and {self.weight} is")

    def due(self, step: int) -> bool:
        """Whether the penalty is taken at this step."""
        return step % self.every == 0

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        """weight · every · measure, [B]."""
        return self.weight * self.every * self.measure(critic, real, fake, draw)


def input_gradient(critic: Critic, x: Tensor) -> Tensor:
    """∇ₓ f(x), per sample and flat: [B, …] → [B, D] float32; differentiable in the critic's weights.

    The critic must judge each sample alone: with batch norm a sample's gradient reaches its
    neighbours, and the number means nothing.

    >>> input_gradient(lambda x: (3 * x).sum(1), torch.zeros(2, 1))
    tensor([[3.],
            [3.]])
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = critic(x)
        (gradient,) = torch.autograd.grad(widened(logits).sum(), x, create_graph=True)
    return widened(gradient.flatten(1))


def _norm(gradient: Tensor) -> Tensor:
    return gradient.square().sum(1).clamp_min(_TINY).sqrt()


def wgan_gp(weight: float = 10.0, target: float = 1.0, every: int = 1) -> Penalty:
    """(‖∇f(x̂)‖₂ − target)², x̂ = εx + (1−ε)x̃, ε~U(0,1) a sample (Gulrajani et al. 2017, eq. 3).

    >>> x = torch.randn(5, 1)
    >>> unit_slope = wgan_gp()(lambda x: x.sum(1), x, -x, Draws(stop=5))
    >>> unit_slope.tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def measure(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        epsilon = draw.uniform("interpolate", *([1] * (real.dim() - 1))).to(real.dtype)
        between = epsilon * real + (1 - epsilon) * fake.to(real.dtype)
        return (_norm(input_gradient(critic, between)) - target).square()

    return Penalty("wgan-gp", measure, weight, every)


def r1(weight: float = 10.0, every: int = 1) -> Penalty:
    """½‖∇f(x)‖² at real samples, weight γ (Mescheder, Geiger & Nowozin 2018, eq. 9).

    >>> r1(weight=2.0)(lambda x: 3 * x.sum(1), torch.zeros(1, 1), torch.zeros(1, 1), Draws())
    tensor([9.])
    """

    def measure(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        return 0.5 * input_gradient(critic, real).square().sum(1)

    return Penalty("r1", measure, weight, every)
