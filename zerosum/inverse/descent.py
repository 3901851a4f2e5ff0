"""Ways to make an objective small, for many rows at once and each row as if it were alone.

A method is called with a problem and latents [R, B, k], and returns the best latents it met, by the objective
of each row. `tell(iteration, of, best)` hears the best objective of every row, [R, B], as it goes. A row that
gets no better rests, and costs nothing from then on.
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
    """The best latents met, row by row, and which rows still get better. Rows are [R, B] or [R·B]."""

    def __init__(self, z: Tensor, patience: int, tolerance: float) -> None:
        self.z = z.clone()
        self.value = torch.full(z.shape[:-1], torch.inf, dtype=z.dtype, device=z.device)
        self.mark = self.value.clone()
        self.idle = torch.zeros(z.shape[:-1], dtype=torch.long, device=z.device)
        self.patience, self.tolerance = patience, tolerance

    def see(self, z: Tensor, value: Tensor, some: Tensor | slice = slice(None)) -> Tensor:
        """Take what is better, of all rows or of `some`; returns which of all are still going."""
        held, best, mark = self.z[some], self.value[some], self.mark[some]
        better = value < best
        self.z[some] = torch.where(better[..., None], z, held)
        best = torch.where(better, value, best)
        self.value = self.value.clone()  # whoever was told the one before keeps it
        self.value[some] = best
        much = best < mark - self.tolerance * mark.abs()
        much |= torch.isinf(mark) & torch.isfinite(best)
        self.mark[some] = torch.where(much, best, mark)
        self.idle[some] = torch.where(much, 0, self.idle[some] + 1)
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


def _part(problem: Problem, some: Tensor) -> Problem:
    """The problem of some rows, in order; of all of them it is the problem itself."""
    return problem if len(some) == len(problem.misfit.measured) else problem.of(some)


def _leaders(value: Tensor, going: Tensor, restarts: int) -> Tensor:
    """Of each image's rows that still go the better half, rounded up, and all near its best. All [R·B].

    Near is within twice the best objective, for such a row may yet win. Two go on at least.
    """
    values = value.view(restarts, -1)
    best = values.amin(0)
    rows = going.view(restarts, -1)
    places = torch.where(rows, values, torch.inf).argsort(dim=0, stable=True).argsort(0)
    ahead = places < ((rows.sum(0) + 1) // 2).clamp_min(2)
    return going & (ahead | (values < best + best.abs())).flatten()


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS, each row with a memory and a line search of its own (Nocedal & Wright 2006, 7.4).

    The line search brackets a step with enough descent and enough change of slope by doubling and halving
    (weak Wolfe conditions, c₁ 1e-4, c₂ .9), which also serves objectives with kinks, as of ReLU nets
    (Lewis & Overton 2013). For k of some hundred latents it needs a fraction of Adam's evaluations.

    With a `race`, after every so many steps the worse half of an image's restarts stays where it is, but for
    those near its best (see `_leaders`): the best restart comes sooner, and is seldom another one.
    """

    steps: int = 100
    memory: int = 10
    trials: int = 12
    patience: int = 5
    tolerance: float = 1e-5
    race: int = 0

    def __call__(self, problem: Problem, z: Tensor, tell: Tell | None = None) -> Tensor:
        restarts, problem = len(z), problem.rows(len(z))
        shape, z = z.shape, problem.prior.keep(z.flatten(0, 1).clone())
        value, slope = problem.graded(z)
        best = _Best(z, self.patience, self.tolerance)
        pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        going = best.see(z, value)
        some = torch.arange(len(z), device=z.device)  # which rows still go: all below is of these alone
        for step in range(1, self.steps + 1):
            left = going[some]
            if not bool(left.all()):
                some, z, value, slope = some[left], z[left], value[left], slope[left]
                pairs = [(moved[left], turned[left], scale[left]) for moved, turned, scale in pairs]
            along = -_two_loops(pairs, slope)
            down = (along * slope).sum(-1)
            # Where the memory misleads, straight down.
            astray = down >= 0
            along = torch.where(astray[:, None], -slope, along)
            down = torch.where(astray, -slope.square().sum(-1), down)
            length = torch.ones_like(value) if pairs else 1 / slope.norm(dim=-1).clamp_min(1e-12)
            new, new_value, new_slope = self._line(_part(problem, some), z, value, slope, along, down, length)
            moved, turned = new - z, new_slope - slope
            curved = (moved * turned).sum(-1)
            good = curved > 1e-10 * turned.square().sum(-1)
            pairs = [*pairs[-(self.memory - 1) :], (moved, turned, torch.where(good, 1 / curved, 0))]
            z, value, slope = new, new_value, new_slope
            going = going & best.see(z, value, some)
            if self.race and step % self.race == 0:
                going = _leaders(best.value, going, restarts)
            if tell:
                tell(step, self.steps, best.value.view(shape[:2]))
            if not bool(going.any()):
                break
        return best.z.view(shape)

    def _line(
        self,
        problem: Problem,
        z: Tensor,
        value: Tensor,
        slope: Tensor,
        along: Tensor,
        down: Tensor,
        length: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        low, high = torch.zeros_like(value), torch.full_like(value, torch.inf)
        kept = z.clone(), value.clone(), slope.clone()
        some = torch.arange(len(z), device=z.device)  # the rows whose step is not found
        for _ in range(self.trials):
            tried = problem.prior.keep(z[some] + length[some, None] * along[some])
            new, rise = _part(problem, some).graded(tried)
            far = ~(new <= value[some] + 1e-4 * length[some] * down[some])  # also where it is NaN
            near = ~far & ((rise * along[some]).sum(-1) < 0.9 * down[some])
            # The best step with enough descent is kept, even where the bracket is not closed.
            take = ~far & (new <= kept[1][some])
            for to, what in zip(kept, (tried, new, rise), strict=True):
                to[some[take]] = what[take]
            low[some[near]], high[some[far]] = length[some[near]], length[some[far]]
            some = some[far | near]
            if not len(some):
                break
            middle = (low[some] + high[some]) / 2
            length[some] = torch.where(torch.isinf(high[some]), 2 * length[some], middle)
        return kept


def _two_loops(pairs: list[tuple[Tensor, Tensor, Tensor]], slope: Tensor) -> Tensor:
    """The inverse Hessian's product with the slope, rows [N, k] (Nocedal & Wright, algorithm 7.4)."""
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
    divided by √(|r| + 1e-3 of their mean), whose squares sum to about Σ|r|. `race` as L-BFGS has it. Raises
    ValueError for a prior that asks the critic, whose log-likelihood is no sum of squares.
    """

    steps: int = 25
    trials: int = 4
    patience: int = 4
    tolerance: float = 1e-5
    race: int = 0

    def __call__(self, problem: Problem, z: Tensor, tell: Tell | None = None) -> Tensor:
        if problem.prior.realism:
            raise ValueError(
                "Levenberg–Marquardt needs sums of squares: search with lbfgs or adam for realism"
            )
        restarts, problem = len(z), problem.rows(len(z))
        shape, z = z.shape, problem.prior.keep(z.flatten(0, 1).clone())
        value = problem.objective(z).detach()
        best = _Best(z, self.patience, self.tolerance)
        going = best.see(z, value)
        damping, faster = torch.full_like(value, 1e-2, dtype=torch.float64), torch.full_like(value, 2.0)
        for step in range(1, self.steps + 1):
            some = going.nonzero().flatten()
            part = _part(problem, some)
            normal, slope = self._system(part, z[some])
            size = normal.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30)
            waiting = torch.arange(len(some), device=z.device)  # of some: those whose step is not taken
            for _ in range(self.trials):
                row, n, g = some[waiting], normal[waiting], slope[waiting]
                held = damping[row] * size[waiting]
                move = -torch.linalg.solve(n + torch.diag_embed(held[:, None].expand_as(g)), g[..., None])
                move = move.squeeze(-1)
                tried = problem.prior.keep(z[row] + move.to(z))
                new = _part(part, waiting).objective(tried).detach()
                foreseen = -2 * (g * move).sum(-1) - (move * (n @ move[..., None]).squeeze(-1)).sum(-1)
                gain = (value[row] - new).double() / foreseen.clamp_min(1e-30)
                taken = new < value[row]
                eased = damping[row] * (1 - (2 * gain - 1) ** 3).clamp(1 / 3, 2)
                damping[row] = torch.where(taken, eased, damping[row] * faster[row]).clamp(1e-9, 1e9)
                faster[row] = torch.where(taken, 2.0, 2 * faster[row])
                z[row[taken]], value[row[taken]] = tried[taken], new[taken]
                waiting = waiting[~taken]
                if not len(waiting):
                    break
            going[some] = best.see(z[some], value[some], some)[some]
            if self.race and step % self.race == 0:
                going = _leaders(best.value, going, restarts)
            if tell:
                tell(step, self.steps, best.value.view(shape[:2]))
            if not bool(going.any()):
                break
        return best.z.view(shape)

    def _system(self, problem: Problem, z: Tensor) -> tuple[Tensor, Tensor]:
        """JᵀJ + λI and Jᵀr + λz of each row, in float64: half the objective's Hessian, nearly, and slope."""
        residual, slopes = problem.linearised(z)
        if problem.misfit.power == 1:
            floor = 1e-3 * residual.abs().mean(-1, keepdim=True) + 1e-12
            scale = (residual.abs() + floor).rsqrt()
            residual, slopes = residual * scale, slopes * scale[..., None]
        normal = (slopes.mT @ slopes).double()
        normal.diagonal(dim1=-2, dim2=-1).add_(problem.prior.norm)
        slope = (slopes.mT @ residual[..., None]).squeeze(-1).double()
        return normal, slope + problem.prior.norm * z.double()
