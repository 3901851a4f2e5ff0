"""Unrolled GAN: the generator plays against the critic as it will be some steps from now.

Metz et al. 2017: f_K(θ_G, θ_D) = f(θ_G, θ_D^K(θ_G, θ_D)), where θ_D^K is K steps of the critic's own
optimiser from θ_D, on one batch. The gradient in θ_G flows through those steps too: a generator that
gathers on one mode is told that the critic will follow it there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import SGD, Adam, Optimizer, RMSprop

from zerosum.games.pooled import pooled

__all__ = ["Unroll"]

Judge = Callable[..., Tensor]  # samples, and labels where it is told them, to logits
Group = Mapping[str, Any]  # of an optimiser: its parameters and settings
Memory = Mapping[str, Tensor]  # what it remembers of them, in one row [n] as they are here
Step = tuple[Tensor, Memory]


def _root(x: Tensor) -> Tensor:
    """√x with slope 0 at 0, where it is infinite and the gradient would be NaN."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).sqrt(), 0.0)


def _sgd(group: Group, memory: Memory, g: Tensor, t: int) -> Step:
    velocity = group["momentum"] * memory["momentum_buffer"] + g
    return group["lr"] * velocity, {"momentum_buffer": velocity}


def _rmsprop(group: Group, memory: Memory, g: Tensor, t: int) -> Step:
    square = group["alpha"] * memory["square_avg"] + (1 - group["alpha"]) * g.square()
    return group["lr"] * g / (_root(square) + group["eps"]), {"square_avg": square}


def _adam(group: Group, memory: Memory, g: Tensor, t: int) -> Step:
    b1, b2 = group["betas"]
    mean = b1 * memory["exp_avg"] + (1 - b1) * g
    square = b2 * memory["exp_avg_sq"] + (1 - b2) * g.square()
    size = _root(square) / sqrt(1 - b2**t) + group["eps"]
    return group["lr"] / (1 - b1**t) * mean / size, {"exp_avg": mean, "exp_avg_sq": square}


@dataclass(frozen=True)
class _Law:
    """An optimiser as a function of its memory and a gradient: what to subtract, the memory after."""

    step: Callable[[Group, Memory, Tensor, int], Step]
    remembers: tuple[str, ...]
    lacks: tuple[str, ...]  # settings that this form of it does not have


_LAWS: Mapping[type[Optimizer], _Law] = {
    SGD: _Law(_sgd, ("momentum_buffer",), ("dampening", "nesterov", "weight_decay", "maximize")),
    RMSprop: _Law(_rmsprop, ("square_avg",), ("momentum", "centered", "weight_decay", "maximize")),
    Adam: _Law(_adam, ("exp_avg", "exp_avg_sq"), ("amsgrad", "weight_decay", "maximize")),
}


@dataclass(frozen=True)
class Unroll:
    """The critic `steps` steps ahead by `optimiser`, whose settings and memory are read, never changed.

    >>> critic = nn.Linear(1, 1, bias=False)
    >>> unroll = Unroll(2, SGD(critic.parameters(), lr=0.5))
    >>> ahead = unroll.ahead(critic, lambda judge: judge(torch.ones(1, 1)).sum(), count=1)
    >>> bool((ahead(torch.ones(1, 1)) - critic.weight + 1.0).abs() < 1e-6)  # two steps of .5 · 1
    True

    Raises ValueError for other optimisers than SGD, RMSProp and Adam, and for settings of theirs that
    are not unrolled (weight decay, Nesterov's momentum, …).
    """

    steps: int
    optimiser: Optimizer

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"--unroll must be at least 0 steps, not {self.steps}")
        kind = type(self.optimiser)
        if kind not in _LAWS:
            known = ", ".join(law.__name__ for law in _LAWS)
            raise ValueError(
                f"--unroll cannot differentiate {kind.__name__}: choose --optimiser among {known}"
            )
        for setting in _LAWS[kind].lacks:
            if any(group.get(setting) for group in self.optimiser.param_groups):
                raise ValueError(
                    f"--unroll cannot differentiate {kind.__name__} with {setting}: leave it out"
                )

    def ahead(self, critic: nn.Module, loss: Callable[[Judge], Tensor], count: int) -> Judge:
        """The critic after its steps, x → logits, differentiable in all that `loss` depends on.

        `loss(judge)` is the critic's loss where `judge` is its present function, summed over this
        process's `count` samples; steps go down its mean over all processes. Weights and buffers of
        the critic stay as they are: batch norm's statistics move in a copy.
        """
        if not self.steps:
            return critic
        names = {p: name for name, p in critic.named_parameters()}
        buffers = {name: buffer.clone() for name, buffer in critic.named_buffers()}
        groups = self.optimiser.param_groups
        if any(p not in names for group in groups for p in group["params"]):
            raise ValueError("--unroll needs an optimiser that holds the critic's parameters alone")

        def at(rows: Sequence[Tensor]) -> Judge:
            tensors = dict(buffers)
            for group, row in zip(groups, rows, strict=True):
                held = group["params"]
                for p, part in zip(held, row.split([p.numel() for p in held]), strict=True):
                    tensors[names[p]] = part.view(p.shape)
            return lambda *inputs: functional_call(critic, tensors, inputs)

        law = _LAWS[type(self.optimiser)]
        # All parameters of a group in one row: a step is then few operations, whatever their number.
        rows = [_row(group["params"]).requires_grad_() for group in groups]
        memories = [self._memory(group["params"], law) for group in groups]
        taken = [self._taken(group["params"]) for group in groups]
        for k in range(1, self.steps + 1):
            gradients = torch.autograd.grad(loss(at(rows)), rows, create_graph=True)
            for i, gradient in enumerate(gradients):
                step, memories[i] = law.step(groups[i], memories[i], pooled(gradient, count), taken[i] + k)
                rows[i] = rows[i] - step
        return at(rows)

    def _memory(self, held: Sequence[Tensor], law: _Law) -> Memory:
        of = [self.optimiser.state.get(p, {}) for p in held]  # [] would make an entry
        return {
            key: _row(
                [
                    p.new_zeros(p.shape) if m.get(key) is None else m[key]
                    for p, m in zip(held, of, strict=True)
                ]
            )
            for key in law.remembers
        }

    def _taken(self, held: Sequence[Tensor]) -> int:
        """Steps taken so far; 0 where the optimiser does not count."""
        return max((int(self.optimiser.state.get(p, {}).get("step", 0)) for p in held), default=0)


def _row(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors])
