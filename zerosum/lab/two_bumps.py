"""Fitting one normal law to two bumps: the forward KL covers both, the reverse KL picks one."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from zerosum.lab.densities import AXIS, log_mixture, log_normal
from zerosum.lab.experiment import Experiment, Result, Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORWARD_AND_REVERSE", "TARGET", "Fit", "fit", "forward", "landscape", "reverse"]

X = AXIS[::15]  # a step of .03 is still exact to 1e-12 for laws no narrower than .1
TARGET = log_mixture([log_normal(-3.0, x=X), log_normal(3.0, x=X)])  # ½N(−3,1) + ½N(3,1)


class Fit(NamedTuple):
    """A normal law N(mean, std²) and the divergence that it leaves, in nats."""

    mean: float
    std: float
    divergence: float


def forward(mean: Tensor, std: Tensor) -> Tensor:
    """KL(p‖N(mean, std²)) for p the target; mean and std broadcast, float64.

    >>> one = torch.ones((), dtype=torch.float64)
    >>> round(float(forward(3 * one, one)), 4)
    8.3107
    """
    log_q = _log_normal(mean, std)
    return torch.trapezoid(TARGET.exp() * (TARGET - log_q), X)


def reverse(mean: Tensor, std: Tensor) -> Tensor:
    """KL(N(mean, std²)‖p) for p the target; mean and std broadcast, float64.

    >>> zero = torch.zeros((), dtype=torch.float64)
    >>> round(float(reverse(zero, zero + 10**0.5)), 6)
    0.93798
    """
    log_q = _log_normal(mean, std)
    return torch.trapezoid(log_q.exp() * (log_q - TARGET), X)


def _log_normal(mean: Tensor, std: Tensor) -> Tensor:
    mean, std = mean[..., None], std[..., None]
    return -0.5 * ((X - mean) / std).square() - (std * math.sqrt(2 * math.pi)).log()


def fit(divergence: Callable[[Tensor, Tensor], Tensor], mean: float, std: float = 1.0) -> Fit:
    """The stationary point that L-BFGS reaches from N(mean, std²), over the mean and log std."""
    place = torch.tensor([mean, math.log(std)], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [place], max_iter=200, tolerance_grad=1e-11, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = divergence(place[0], place[1].exp())
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return Fit(float(place[0]), float(place[1].exp()), float(divergence(place[0], place[1].exp())))


def landscape(divergence: Callable[[Tensor, Tensor], Tensor], size: int) -> tuple[Tensor, ...]:
    """(means [n], stds [m], divergence [m, n]) over means −5 … 5 and stds .5 … 5, n = 2·size, m = size."""
    means = torch.linspace(-5, 5, 2 * size, dtype=torch.float64)
    stds = torch.linspace(0.5, 5, size, dtype=torch.float64)
    rows = [divergence(means, std.expand_as(means)) for std in stds]
    return means, stds, torch.stack(rows)


def _run(settings: Settings) -> Result:
    covering = fit(forward, 1.0)
    right, left = fit(reverse, 2.0), fit(reverse, -2.0)
    between = fit(reverse, 0.5, 3.0)
    zero, one = torch.tensor([0.0, 1.0], dtype=torch.float64)
    crossed = {
        "forward KL at N(3,1)": float(forward(3 * one, one)),
        "reverse KL at N(0,10)": float(reverse(zero, 10**0.5 * one)),
    }
    numbers = {
        "forward optimum": {**covering._asdict(), "variance": covering.std**2},
        "reverse optimum, right": right._asdict(),
        "reverse optimum, left": left._asdict(),
        "reverse, a third and shallow minimum": between._asdict(),
        **crossed,
    }
    says = (
        "One normal law q is fitted to the target p = ½N(−3,1) + ½N(3,1). KL(p‖q), which maximum likelihood "
        "minimises, pays for every place where p has mass and q has none: its only optimum has the target's "
        f"mean {abs(covering.mean):.2f} and variance {covering.std**2:.2f}, covers both bumps, leaves "
        f"{covering.divergence:.6f} nats and puts its peak where there are no data (the blur). KL(q‖p) pays "
        "for every place where q has mass and p has none: it is least on either bump alone, at means "
        f"±{right.mean:.5f} with σ = {right.std:.5f}, leaving {right.divergence:.6f} nats, a little under "
        "log 2, for the half that is ignored (the dropped mode). Each is poor by the other's measure: the "
        f"forward KL of N(3,1) is {crossed['forward KL at N(3,1)']:.4f}, the reverse KL of N(0,10) is "
        f"{crossed['reverse KL at N(0,10)']:.6f}. The maps show both divergences over all means and spreads, "
        "on a logarithmic scale. The reverse one holds more than the slide tells: a third, shallow minimum "
        f"(hollow), N(0, {between.std:.4f}²) with {between.divergence:.4f} nats, covers both bumps, so that "
        "what a descent finds depends on where it starts."
    )
    maps = [landscape(divergence, 30 if settings.quick else 80) for divergence in (forward, reverse)]

    def draw(figure: "Figure") -> None:
        _draw(figure, maps, covering, [left, right, between])

    return Result(numbers, draw, says)


def _draw(figure: "Figure", maps: list[tuple[Tensor, ...]], covering: Fit, picking: list[Fit]) -> None:
    from matplotlib.colors import LogNorm

    from zerosum.lab.style import CRITIC, FAKE, INK

    densities, *grounds = figure.subplots(1, 3, width_ratios=(1.1, 1, 1))
    shown = X.abs() < 9
    x = X[shown]
    densities.fill_between(x, TARGET.exp()[shown], color=INK, alpha=0.13, label="target p")
    densities.plot(x, log_normal(covering.mean, covering.std, x).exp(), color=FAKE, label="argmin KL(p‖q)")
    for number, one in enumerate(picking[:2]):
        label = "argmin KL(q‖p), either" if number == 0 else None
        densities.plot(x, log_normal(one.mean, one.std, x).exp(), "--", color=CRITIC, label=label)
    densities.set(title="One normal for two bumps", xlabel="x", ylabel="density", ylim=(0, 0.56))
    densities.legend(loc="upper left")
    names = ("KL(p‖q): one minimum", "KL(q‖p): two, and a shallow third")
    for axes, (means, stds, values), title, best in zip(
        grounds, maps, names, ([covering], picking), strict=True
    ):
        levels = torch.logspace(math.log10(0.45), math.log10(12), 25).tolist()
        drawn = axes.contourf(means, stds, values, levels=levels, norm=LogNorm(), extend="max")
        drawn.set_edgecolor("face")  # no seams in the SVG
        for number, one in enumerate(best):
            face = "white" if number < 2 else "none"
            edge = "black" if number < 2 else "white"
            axes.plot(one.mean, one.std, "o", color=face, markeredgecolor=edge, markersize=7)
        axes.set(title=title, xlabel="mean of q", ylabel="standard deviation of q")
        axes.grid(visible=False)
    figure.colorbar(drawn, ax=grounds, label="nats", ticks=[0.5, 1, 2, 5, 10], format="%g")


FORWARD_AND_REVERSE = Experiment(
    name="forward-and-reverse-kl",
    number=6,
    title="KL(p‖q) covers both bumps, KL(q‖p) picks one",
    lectures=("lecture 2, lines 115–127", "lecture 4, lines 97–111"),
    slip="",
    run=_run,
    figsize=(10.5, 3.8),
)
