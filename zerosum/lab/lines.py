"""Two parallel lines: divergences say only that they differ, W₁ says how far apart they are."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.stack import Stack, train_stack
from zerosum.lab.style import CRITIC, FAKE, GREY, INK, REAL
from zerosum.lab.supports import parallel
from zerosum.objectives import minimax
from zerosum.transport import wasserstein

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CONSTANT_DIVERGENCES", "bounds", "distances", "transported"]

EARLY = 20  # steps: the critic has begun to learn
THETAS = (-1.0, -0.75, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


def distances(theta: float) -> dict[str, float]:
    """What lies between the laws of (0, z) and (θ, z), z uniform on [0, 1] (Arjovsky et al. 2017, example 1).

    JSD and KL in nats, TV in [0, 1], W1 in units of θ.

    >>> distances(0.5)["W1"], distances(0.5)["TV"], distances(0.0)["TV"]
    (0.5, 1.0, 0.0)
    """
    apart = theta != 0
    return {
        "JSD": math.log(2) if apart else 0.0,
        "KL": math.inf if apart else 0.0,
        "TV": 1.0 if apart else 0.0,
        "W1": abs(theta),
    }


def bounds(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Lower bounds of JSD, KL and TV from a critic's logits on real and fake points, [K, n] each → [K].

    JSD ≥ log 2 − ½ loss of `minimax`; KL(p‖p_g) ≥ E l + 1 − E_g eˡ, the f-GAN's bound with T = 1 + l;
    TV ≥ the mass that D > ½ holds of p, less what it holds of p_g. They are exact at l = log p/p_g.

    >>> bounds(torch.full((1, 4), 9.0), torch.full((1, 4), -9.0))["TV"]
    tensor([1.])
    """
    return {
        "JSD": math.log(2) - minimax().critic(real, fake).mean(1) / 2,
        "KL": real.mean(1) + 1 - fake.exp().mean(1),
        "TV": (real > 0).float().mean(1) - (fake > 0).float().mean(1),
    }


def transported(theta: float, count: int, generator: torch.Generator) -> tuple[float, float]:
    """W₁ between `count` points of each line, exact for the samples, and its derivative in θ.

    Never below |θ|; above it by about what the heights z differ in.
    """
    z = torch.rand(2, count, generator=generator, dtype=torch.float64)
    shift = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    value = wasserstein(parallel(z[0], 0.0), parallel(z[1], shift)).value
    (slope,) = torch.autograd.grad(value, shift)
    return value.item(), slope.item()


def _run(settings: Settings) -> Result:
    steps, points = (300, 100) if settings.quick else (1200, 400)
    random = settings.generator("constant-divergences")
    theta = torch.tensor(THETAS)[:, None]

    def draw() -> tuple[Tensor, Tensor]:
        z = torch.rand(2, len(THETAS), 64, generator=random)
        return parallel(z[0], 0.0), parallel(z[1], theta)

    critics = Stack(len(THETAS), (2, 32, 32, 1), random)
    whole = ((torch.arange(200) + 0.5) / 200).expand(len(THETAS), -1)
    at = [EARLY, steps // 4, steps]
    estimates = {}
    for step in train_stack(critics, minimax(), draw, steps):
        if step in at:
            with torch.no_grad():
                found = bounds(critics(parallel(whole, 0.0)), critics(parallel(whole, theta)))
            estimates[step] = {name: values.tolist() for name, values in found.items()}
        settings.advance(step / steps)
    moved = [transported(one, points, random) for one in THETAS]
    exact = {name: [_finite(distances(one)[name]) for one in THETAS] for name in distances(1.0)}
    numbers: dict[str, Any] = {
        "theta": list(THETAS),
        "exact": exact,
        "critic's bounds": {f"after {step} steps": found for step, found in estimates.items()},
        f"W1 of {points} points": [value for value, _ in moved],
        "its derivative in theta": [slope for _, slope in moved],
    }
    return Result(numbers, lambda figure: _draw(figure, numbers, at), _says(numbers, at, points))


def _finite(value: float) -> float | str:
    return "infinite" if math.isinf(value) else value


def _says(numbers: dict[str, Any], at: list[int], points: int) -> str:
    early, last = (numbers["critic's bounds"][f"after {step} steps"] for step in (at[0], at[-1]))
    near, far, zero = (THETAS.index(theta) for theta in (0.1, 1.0, 0.0))
    kl = [numbers["critic's bounds"][f"after {step} steps"]["KL"][far] for step in at]
    w, slope = numbers[f"W1 of {points} points"], numbers["its derivative in theta"]
    return (
        "The real law is uniform on a vertical line at 0, the generated one on a line at θ. Left: however "
        "near the lines are, JSD = log 2 and TV = 1, and both drop to 0 at θ = 0 alone: constant, so without "
        "a gradient, and not continuous. The crosses are what a trained critic finds, never more than the "
        f"truth: JSD ≥ {last['JSD'][far]:.4f} at θ = 1 and {last['JSD'][near]:.4f} at θ = 0.1; log 2 is "
        f"{math.log(2):.4f}. The dots are the same critics after {at[0]} steps: one that is stopped early "
        f"does tell far lines from near ones ({early['JSD'][far]:.3f} and {early['JSD'][near]:.3f}), and "
        "loses that as it becomes optimal. Middle: KL is infinite, and a critic's bound on it grows for as "
        f"long as one trains, at θ = 1 from {kl[0]:.1f} to {kl[1]:.1f} and {kl[2]:.1f}. Right: W1 = |θ|, and "
        f"the optimal transport between {points} points of each line gives {w[far]:.4f} at θ = 1, with a "
        f"slope in θ of {slope[far]:.4f}; at θ = 0 it gives {w[zero]:.4f}, since two samples are never alike."
    )


def _draw(figure: "Figure", numbers: dict[str, Any], at: list[int]) -> None:
    left, middle, right = figure.subplots(1, 3)
    estimates = list(numbers["critic's bounds"].values())
    for name, height, colour in (("TV", 1.0, FAKE), ("JSD", math.log(2), REAL)):
        left.plot([-1.1, 0, float("nan"), 0, 1.1], [height] * 5, color=colour, label=name)
        left.plot(0, height, "o", color=colour, markerfacecolor="white", markersize=6)
        left.plot(THETAS, estimates[-1][name], "x", color=colour, markersize=6)
        left.plot(THETAS, estimates[0][name], ".", color=colour, markersize=5)
    left.plot(0, 0, "o", color=INK, markersize=6)
    left.plot([], [], "x", color=INK, markersize=6, label=f"critic, {at[-1]} steps")
    left.plot([], [], ".", color=INK, markersize=5, label=f"critic, {at[0]} steps")
    left.set(title="Constant but at θ = 0", ylabel="JSD in nats, TV", ylim=(-0.07, 1.5))
    left.legend(loc="upper center", ncols=2)
    middle.plot(0, 0, "o", color=INK, markersize=6)
    for found, step, shade in zip(estimates, at, (0.35, 0.6, 1.0), strict=True):
        middle.plot(THETAS, found["KL"], "x:", color=CRITIC, alpha=shade, markersize=6, label=f"{step} steps")
    top = 1.35 * max(estimates[-1]["KL"])
    middle.annotate("KL = ∞ for every θ ≠ 0", (0.03, 0.97), xycoords="axes fraction", va="top", color=GREY)
    middle.set(
        title="A bound on KL keeps growing", ylabel="critic's bound on KL, nats", ylim=(-0.07 * top, top)
    )
    middle.legend(loc="center right", title="critic after", bbox_to_anchor=(1, 0.4))
    right.plot([-1.1, 0, 1.1], [1.1, 0, 1.1], color=CRITIC, label="W1 = |θ|")
    values = next(found for name, found in numbers.items() if name.startswith("W1 of"))
    right.plot(THETAS, values, "x", color=INK, markersize=6, label="between samples")
    right.set(title="W1 follows the distance", ylabel="W1", ylim=(-0.07, 1.2))
    right.legend(loc="upper center")
    for axes in (left, middle, right):
        axes.set(xlabel="θ", xlim=(-1.1, 1.1))


CONSTANT_DIVERGENCES = Experiment(
    name="constant-divergences",
    number=9,
    title="JSD, KL and TV stay constant while W1 follows |θ|",
    lectures=("lecture 2, lines 140–151", "lecture 2, lines 161–166"),
    slip="",
    run=_run,
    figsize=(10.5, 3.8),
)
