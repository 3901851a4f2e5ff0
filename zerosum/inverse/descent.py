"""Ways to make an objective small, for many rows at once and each row as if it were alone.

A method is called with a problem and latents [R, B, k], and returns the best latents it met, by the objective
of each row. `tell(iteration, of, best)` hears the best objective of every row, [R, B], as it goes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from zerosum.inverse.misfit import Problem

__all__ = ["LBFGS", "Adam", "LevenbergMarquardt", "Method", "Momentum", "Tell"]

Tell = Callable[[int, int, Tensor], None]


class Method(Protocol):
    """How a search descends."""

    def __call__(self, problem: Problem, z: Tensor, tell: Tell | None = None) -> Tensor:
        """Latents [R, B, k] → the best met, [R, B, k]."""
        ...


class _Best:
    """The best latents met, row by row, and which rows still get better."""

    def __init__(self, z: Tensor, patience: int, tolerance: float) -> None:
        self.z = z.clone()
        self.value = torch.full(z.shape[:2], torch.inf, device=z.device)
        self.mark = self.value.clone()
        self.idle = torch.zeros(z.shape[:2], dtype=torch.long, device=z.device)
        self.patience, self.tolerance = patience, tolerance

    def see(self, z: Tensor, value: Tensor) -> Tensor:
        """Take what is better; returns which rows are still going, [R, B]."""
        better = value < self.value
        self.z = torch.where(better[..., None], z, self.z)
        self.value = torch.where(better, value, self.value)
        much = self.value < self.mark - self.tolerance * self.mark.abs()
        much |= torch.isinf(self.mark) & torch.isfinite(self.value)
        self.mark = torch.where(much, self.value, self.mark)
        self.idle = torch.where(much, 0, self.idle + 1)
        return self.idle < self.patience


@dataclass(frozen=True)
class Adam:
    """Adam on each row, as Bora et al. 2017 search (rate .1 for DCGAN's 100 latents, .01 for the VAE's 20).

    A row rests once its objective has not fallen by a share `tolerance` within `patience` steps; 0 patience
    takes every step, as published.
    """

    rate: float = 0.1
    steps: int = 500
    betas: tuple[float, float] = (0.9, 0.999)
    patience: int = 0
    tolerance: float = 1e-4

    def __call__(self, problem: Problem, z: Tensor, tell: Tell | None = None) -> Tensor:
        z, (b1, b2) = problem.prior.keep(z.clone()), self.betas
        first, second = torch.zeros_like(z), torch.zeros_like(z)
        best = _Best(z, self.patience or self.steps + 1, self.tolerance)
        for step in range(1, self.steps + 1):
            value, slope = problem.graded(z)
            going = best.see(z, value)
            if tell:
                tell(step, self.steps, best.value)
            if not bool(going.any()):
                break
            first = b1 * first + (1 - b1) * slope
            second = b2 * second + (1 - b2) * slope.square()
            move = (first / (1 - b1**step)) / ((second / (1 - b2**step)).sqrt() + 1e-8)
            z = torch.where(going[..., None], problem.prior.keep(z - self.rate * move), z)
        best.see(z, problem.graded(z)[0])
        return best.z


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum, as Yeh et al.'s code searches.

    v ← .9 v − rate·∇F, then z ← z − .9 v_old + 1.9 v, Nesterov's form. Theirs keeps z in [−1, 1] after
    each step, which here the prior's `within` does.
    """

    rate: float = 0.01
    momentum: float = 0.9
    steps: int = 1000

    def __call__(self, problem: Problem, z: Tensor, tell: Tell | None = None) -> Tensor:
        z, speed = problem.prior.keep(z.clone()), torch.zeros_like(z)
        best = _Best(z, self.steps + 1, 0.0)
        for step in range(1, self.steps + 1):
            value, slope = problem.graded(z)
            best.see(z, value)
            if tell:
                tell(step, self.steps, best.value)
            before = speed
            speed = self.momentum * speed - self.rate * slope
            z = problem.prior.keep(z - self.momentum * before + (1 + self.momentum) * speed)
        best.see(z, problem.graded(z)[0])
        return best.z


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS, each row with a memory and a line search of its own (Nocedal & Wright 2006, 7.4).

    The line search brackets a step with enough descent and enough change of slope by doubling and halving
    (weak Wolfe conditions, c₁ 1e-4, c₂ .9), which also serves objectives with kinks, as of ReLU nets
    (Lewis & Overton 2013). For k of some hundred latents it needs a fraction of Adam's evaluations.
    """

    steps: int = 100
    memory: int = 10
    trials: int = 12
    patience: int = 5
    tolerance: float = 1e-5

    def __call__(self, problem: Problem, z: Tensor, tell: Tell | None = None) -> Tensor:
        z = problem.prior.keep(z.clone())
        value, slope = problem.graded(z)
        best = _Best(z, self.patience, self.tolerance)
        pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        going = best.see(z, value)
        for step in range(1, self.steps + 1):
            along = -_two_loops(pairs, slope)
            down = (along * slope).sum(-1)
            # Where the memory misleads, straight down.
            astray = down >= 0
            along = torch.where(astray[..., None], -slope, along)
            down = torch.where(astray, -slope.square().sum(-1), down)
            length = torch.ones_like(value) if pairs else 1 / slope.norm(dim=-1).clamp_min(1e-12)
            new, new_value, new_slope = self._line(problem, z, value, slope, along, down, length, going)
            moved, turned = new - z, new_slope - slope
            curved = (moved * turned).sum(-1)
            good = curved > 1e-10 * turned.square().sum(-1)
            pairs = [*pairs[-(self.memory - 1) :], (moved, turned, torch.where(good, 1 / curved, 0))]
            z, value, slope = new, new_value, new_slope
            going = going & best.see(z, value)
            if tell:
                tell(step, self.steps, best.value)
            if not bool(going.any()):
                break
        return best.z

    def _line(
        self,
        problem: Problem,
        z: Tensor,
        value: Tensor,
        slope: Tensor,
        along: Tensor,
        down: Tensor,
        length: Tensor,
        going: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        low, high = torch.zeros_like(value), torch.full_like(value, torch.inf)
        done, kept = ~going, (z, value, slope)
        for _ in range(self.trials):
            tried = problem.prior.keep(z + length[..., None] * along)
            new, rise = problem.graded(tried)
            far = ~(new <= value + 1e-4 * length * down)  # also where it is NaN
            near = ~far & ((rise * along).sum(-1) < 0.9 * down)
            # The best step with enough descent is kept, even where the bracket is not closed.
            take = ~done & ~far & (new <= kept[1])
            kept = (
                torch.where(take[..., None], tried, kept[0]),
                torch.where(take, new, kept[1]),
                torch.where(take[..., None], rise, kept[2]),
            )
            done = done | ~(far | near)
            if bool(done.all()):
                break
            low, high = torch.where(near, length, low), torch.where(far, length, high)
            length = torch.where(torch.isinf(high), 2 * length, (low + high) / 2)
        return kept


def _two_loops(pairs: list[tuple[Tensor, Tensor, Tensor]], slope: Tensor) -> Tensor:
    """The inverse Hessian's product with the slope, rows [R, B, k] (Nocedal & Wright, algorithm 7.4)."""
    q, shares = slope, []
    for moved, turned, scale in reversed(pairs):
        share = scale * (moved * q).sum(-1)
        q = q - share[..., None] * turned
        shares.append(share)
    if pairs:
        moved, turned, scale = pairs[-1]
        gamma = (moved * turned).sum(-1) / turned.square().sum(-1).clamp_min(1e-30)
        q = q * torch.where(scale > 0, gamma, 1)[..., None]
    for (moved, turned, scale), share in zip(pairs, reversed(shares), strict=True):
        q = q + (share - scale * (turned * q).sum(-1))[..., None] * moved
    return q


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Levenberg–Marquardt for up to some 100 latents: few steps, each with the whole Jacobian.

    (JᵀJ + λI + μI) d = −(Jᵀr + λz), the step taken where the objective falls, μ by the gain ratio (Nielsen
    1999). λ is the prior's weight of ‖z‖². A misfit of power 1 is met by iterated reweighting: residuals are
    divided by √(|r| + 1e-3 of their mean), whose squares sum to about Σ|r|. Raises ValueError for a prior
    that asks the critic, whose log-likelihood is no sum of squares.
    """

    steps: int = 25
    trials: int = 4
    patience: int = 4
    tolerance: float = 1e-5

    def __call__(self, problem: Problem, z: Tensor, tell: Tell | None = None) -> Tensor:
        if problem.prior.realism:
            raise ValueError(
                "Levenberg–Marquardt needs sums of squares: search with lbfgs or adam for realism"
            )
        z = problem.prior.keep(z.clone())
        value = problem.objective(z).detach()
        best, weight = _Best(z, self.patience, self.tolerance), problem.prior.norm
        going = best.see(z, value)
        damping, faster = torch.full_like(value, 1e-2, dtype=torch.float64), torch.full_like(value, 2.0)
        eye = torch.eye(z.shape[-1], dtype=torch.float64, device=z.device)
        for step in range(1, self.steps + 1):
            residual, slopes = problem.linearised(z)
            if problem.misfit.power == 1:
                floor = 1e-3 * residual.abs().mean(-1, keepdim=True) + 1e-12
                scale = (residual.abs() + floor).rsqrt()
                residual, slopes = residual * scale, slopes * scale[..., None]
            normal = (slopes.mT @ slopes).double() + weight * eye
            slope = (slopes.mT @ residual[..., None]).squeeze(-1).double() + weight * z.double()
            size = normal.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30)
            waiting = going
            for _ in range(self.trials):
                system = normal + (damping * size)[..., None, None] * eye
                move = -torch.linalg.solve(system, slope[..., None]).squeeze(-1)
                tried = problem.prior.keep(z + move.to(z))
                new = problem.objective(tried).detach()
                foreseen = -2 * (slope * move).sum(-1) - (move * (normal @ move[..., None]).squeeze(-1)).sum(
                    -1
                )
                gain = (value - new).double() / foreseen.clamp_min(1e-30)
                taken = waiting & (new < value)
                eased = damping * (1 - (2 * gain - 1) ** 3).clamp(1 / 3, 2)
                harder = torch.where(waiting, damping * faster, damping)
                damping = torch.where(taken, eased, harder).clamp(1e-9, 1e9)
                faster = torch.where(taken, 2.0, torch.where(waiting, 2 * faster, faster))
                z, value = torch.where(taken[..., None], tried, z), torch.where(taken, new, value)
                waiting = waiting & ~taken
                if not bool(waiting.any()):
                    break
            going = going & best.see(z, value)
            if tell:
                tell(step, self.steps, best.value)
            if not bool(going.any()):
                break
        return best.z
