"""Kantorovich and Rubinstein's duality: the cheapest plan costs what the best 1-Lipschitz function gains."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.style import CRITIC, FAKE, GREY, INK, REAL
from zerosum.transport import Transport, wasserstein

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DUALITY", "Laws", "any_function", "any_plan", "best_function", "extend", "laws"]


class Laws(NamedTuple):
    """Two discrete laws in the plane: points [N, 2] and [M, 2], their weights [N] and [M], float64."""

    real: Tensor
    fake: Tensor
    real_weights: Tensor
    fake_weights: Tensor


def laws(real: int, fake: int, generator: torch.Generator) -> Laws:
    """Real points on a half ring, fakes in a cloud below its centre, of unequal weights."""
    angle, u, v = (torch.rand(real, generator=generator, dtype=torch.float64) for _ in range(3))
    radius, turn = 1.4 + 0.4 * u, math.pi * angle
    ring = torch.stack([radius * turn.cos(), radius * turn.sin()], 1)
    cloud = 0.6 * torch.randn(fake, 2, generator=generator, dtype=torch.float64) - 0.4
    weights = v + 0.2, torch.rand(fake, generator=generator, dtype=torch.float64) + 0.2
    return Laws(ring, cloud, weights[0] / weights[0].sum(), weights[1] / weights[1].sum())


def best_function(both: Laws) -> tuple[float, Tensor]:
    """max E_P f − E_Q f over f with |f(x) − f(y)| ≤ ‖x − y‖, and f on the points, [N + M].

    The dual as Kantorovich and Rubinstein have it, one f on all points, by a linear programme of its own:
    nothing in it is taken from the primal's.
    """
    import numpy as np
    from scipy.optimize import linprog  # type: ignore[import-untyped]

    points = torch.cat([both.real, both.fake])
    excess = torch.cat([both.real_weights, -both.fake_weights])
    count = len(points)
    first, second = np.nonzero(~np.eye(count, dtype=bool))
    steps = np.zeros((len(first), count))
    steps[np.arange(len(first)), first] = 1
    steps[np.arange(len(first)), second] = -1
    limits = (points[first] - points[second]).norm(dim=1).numpy()
    free = [(0, 0), *[(None, None)] * (count - 1)]  # a constant changes nothing: f is 0 at the first point
    found = linprog(-excess.numpy(), A_ub=steps, b_ub=limits, bounds=free, method="highs-ds")
    if not found.success:
        raise RuntimeError(f"the dual programme of {count} points was not solved: {found.message}")
    return -float(found.fun), torch.from_numpy(found.x)


def extend(x: Tensor, points: Tensor, values: Tensor) -> Tensor:
    """f(x) = minⱼ f(xⱼ) + ‖x − xⱼ‖, [..., 2] → [...]: the largest 1-Lipschitz f with these values.

    >>> extend(torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2), torch.tensor([1.0]))
    tensor([3.])
    """
    cones: Tensor = values + (x[..., None, :] - points).norm(dim=-1)
    return cones.amin(-1)


def any_plan(both: Laws, generator: torch.Generator) -> float:
    """The cost of a random plan, a corner of the set of plans: never below W₁.

    The points are put in random orders, and each next one's mass goes to the next with room (the
    north-west corner rule).
    """
    rows = torch.randperm(len(both.real), generator=generator)
    columns = torch.randperm(len(both.fake), generator=generator)
    # Two piles of mass on one line, cut wherever either has a cut.
    ends_real, ends_fake = both.real_weights[rows].cumsum(0), both.fake_weights[columns].cumsum(0)
    cuts = torch.cat([ends_real, ends_fake]).sort().values.clamp_max(min(ends_real[-1], ends_fake[-1]))
    x = both.real[rows][torch.searchsorted(ends_real, cuts).clamp_max(len(rows) - 1)]
    y = both.fake[columns][torch.searchsorted(ends_fake, cuts).clamp_max(len(columns) - 1)]
    return float((cuts.diff(prepend=cuts.new_zeros(1)) * (x - y).norm(dim=1)).sum())


def any_function(both: Laws, generator: torch.Generator) -> float:
    """|E_P f − E_Q f| of a random 1-Lipschitz f, the lowest of a few cones: never above W₁."""
    cones = int(torch.randint(1, 5, (1,), generator=generator))
    centres = 2 * torch.randn(cones, 2, generator=generator, dtype=torch.float64)
    heights = torch.rand(cones, generator=generator, dtype=torch.float64)
    gain = both.real_weights @ extend(both.real, centres, heights)
    return float((gain - both.fake_weights @ extend(both.fake, centres, heights)).abs())


def _run(settings: Settings) -> Result:
    both = laws(18, 14, settings.generator("laws"))
    moved = wasserstein(*both)
    gain, values = best_function(both)
    used = moved.plan > 1e-12
    distance = (both.real[:, None] - both.fake).norm(dim=2)
    drop = values[: len(both.real), None] - values[len(both.real) :]
    random = settings.generator("plans and functions")
    tries = 300 if settings.quick else 1500
    plans = [any_plan(both, random) for _ in range(tries)]
    functions = [any_function(both, random) for _ in range(tries)]
    more = laws(40, 40, settings.generator("more"))
    numbers: dict[str, Any] = {
        "W1 as the cheapest plan's cost": moved.value.item(),
        "W1 as the best function's gain": gain,
        "their gap": abs(moved.value.item() - gain),
        "the plan's own potentials give": moved.dual.item(),
        "on 40 and 40 points": [wasserstein(*more).value.item(), best_function(more)[0]],
        "pairs of points with mass between them": int(used.sum()),
        "largest miss of slope 1 along them": float((drop - distance)[used].abs().max()),
        f"cheapest of {tries} random plans": min(plans),
        f"best of {tries} random functions": max(functions),
    }
    return Result(
        numbers, lambda figure: _draw(figure, both, moved, values, plans, functions), _says(numbers, tries)
    )


def _says(numbers: dict[str, Any], tries: int) -> str:
    cost, gain = numbers["W1 as the cheapest plan's cost"], numbers["W1 as the best function's gain"]
    return (
        "Left, the primal: real points (blue) and fakes (orange), their areas their weights, and the plan "
        "that moves the one law onto the other over the least mean distance; a line's width is the mass it "
        f"carries. It uses {numbers['pairs of points with mass between them']} pairs, and costs {cost:.8f}. "
        "Middle, the dual, by a linear programme of its own: contours of the 1-Lipschitz f with the largest "
        f"E_P f − E_Q f, which is {gain:.8f}, the same to {max(numbers['their gap'], 1e-15):.0e}. f falls "
        "along each line of the plan as steeply as it may, with slope 1, and so tells each fake which way to "
        "go: this f is the critic that WGAN wants. Right, why the two meet: every plan costs at least W1, "
        f"and every 1-Lipschitz f gains at most W1. Of {tries} random ones of each, the cheapest plan costs "
        f"{numbers[f'cheapest of {tries} random plans']:.4f} and the best f gains "
        f"{numbers[f'best of {tries} random functions']:.4f}."
    )


def _draw(
    figure: "Figure", both: Laws, moved: Transport, values: Tensor, plans: list[float], functions: list[float]
) -> None:
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.2, 0.8))
    mass = moved.plan / moved.plan.max()
    for axes in (left, middle):
        for i, j in (moved.plan > 1e-12).nonzero().tolist():
            (x, y), (u, v) = both.real[i].tolist(), both.fake[j].tolist()
            axes.plot([x, u], [y, v], color=INK, alpha=0.75, linewidth=0.4 + 2.6 * float(mass[i, j]))
        for points, weights, colour, name in (
            (both.real, both.real_weights, REAL, "real"),
            (both.fake, both.fake_weights, FAKE, "fake"),
        ):
            axes.scatter(
                *points.T,
                s=900 * weights,
                color=colour,
                zorder=3,
                edgecolors="white",
                linewidths=0.6,
                label=name,
            )
        axes.set(xlabel="x₁", ylabel="x₂", aspect="equal")
        axes.grid(False)
    left.set_title("The cheapest plan")
    points = torch.cat([both.real, both.fake])
    (west, east), (south, north) = left.get_xlim(), left.get_ylim()
    side = [torch.linspace(low, high, 160).double() for low, high in ((west, east), (south, north))]
    grid = torch.stack(torch.meshgrid(*side, indexing="xy"), -1)
    surface = extend(grid, points, values)
    filled = middle.contourf(*side, surface - surface.mean(), levels=14, cmap="cividis", alpha=0.75)
    figure.colorbar(filled, ax=middle, label="f, up to a constant", shrink=0.8)
    middle.set_title("The best 1-Lipschitz function")
    bins = torch.linspace(min(functions), max(plans), 49).tolist()
    right.hist(plans, bins, orientation="horizontal", color=GREY, alpha=0.6, label="plans: cost")
    right.hist(functions, bins, orientation="horizontal", color=CRITIC, alpha=0.6, label="functions: gain")
    right.axhline(moved.value.item(), color=INK, linewidth=1.4, label="W1")
    right.set(title="Random ones of each", xlabel="how many", ylabel="cost or gain")
    right.legend(loc="best")


DUALITY = Experiment(
    name="duality",
    number=11,
    title="Kantorovich–Rubinstein: the cheapest plan and the best 1-Lipschitz function",
    lectures=("lecture 2, lines 195–205", "lecture 2, line 161"),
    slip=(
        "In the game of line 203 the second “=” is a minus: E f(x) − E f(g(z)), as in the dual of line 199."
    ),
    run=_run,
    figsize=(11.0, 3.7),
)
