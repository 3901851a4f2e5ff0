"""Slow learning under the optimal critic, and two ways to smooth it: instance noise and least squares."""

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from zerosum.lab.densities import integrate, kl, log_normal
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.stack import Stack, train_stack
from zerosum.lab.style import CRITIC, CYCLE, FAKE, INK, REAL, legend_below
from zerosum.objectives import Objective, least_squares, minimax, non_saturating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "SLOW_LEARNING",
    "affine",
    "durations",
    "fitted",
    "least_squares_best",
    "optimal",
    "pearson_game",
    "pull",
]

DATA, START, STD = 2.0, -2.0, 0.5  # p = N(2, ½²), p_g begins as N(−2, ½²)
NOISE = 2.0
PURPLE, ORANGE, SKY = CYCLE[3:6]
X = torch.linspace(-14, 14, 2801, dtype=torch.float64)


class Critic(Protocol):
    """The critic that a generator N(mean, ½²) meets, its outputs at x and their slopes: [n] → [n], [n]."""

    def __call__(self, x: Tensor, mean: float) -> tuple[Tensor, Tensor]: ...


def optimal(x: Tensor, mean: float, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """The logit of D* = p/(p+p_g) and its slope, both laws blurred by N(0, `noise`²): a line in x.

    >>> optimal(torch.tensor([-2.0, 0.0]), -2.0)
    (tensor([-32.,   0.]), tensor([16., 16.]))
    """
    slope = (DATA - mean) / (STD**2 + noise**2)
    return slope * (x - (DATA + mean) / 2), torch.full_like(x, slope)


def least_squares_best(x: Tensor, mean: float) -> tuple[Tensor, Tensor]:
    """The best critic of least squares with targets 0 and 1, and its slope: the same p/(p+p_g)."""
    logit, slope = optimal(x, mean)
    d = torch.sigmoid(logit)
    return d, d * (1 - d) * slope


def affine(x: Tensor, mean: float) -> tuple[Tensor, Tensor]:
    """The best critic α + βx of least squares with targets 0 and 1: β = Δ/(4s² + Δ²), Δ = 2 − mean.

    >>> affine(torch.tensor([0.0]), -2.0)
    (tensor([0.5000]), tensor([0.2353]))
    """
    gap = DATA - mean
    slope = gap / (4 * STD**2 + gap**2)
    return 0.5 + slope * (x - (DATA + mean) / 2), torch.full_like(x, slope)


def pull(critic: Critic, objective: Objective, mean: float, noise: float = 0.0) -> float:
    """−d loss/d mean of a generator N(mean, ½²): how fast gradient descent moves it, by quadrature.

    The gradient goes through the samples alone, as in training: −E loss′(D(x))·D′(x), with x noisy.
    """
    output, slope = critic(X, mean)
    output.requires_grad_()
    (steepness,) = torch.autograd.grad(objective.generator(None, output).sum(), output)
    density = log_normal(mean, math.hypot(STD, noise), X).exp()
    return -integrate(density * steepness * slope, X)


def durations(critic: Critic, objective: Objective, means: Tensor, noise: float = 0.0) -> Tensor:
    """When gradient descent reaches each of `means` (rising, [n]), in learning rate × steps from the first.

    ∫ d mean / pull: each time the generator meets the critic fitted anew, and the steps are small.
    """
    speeds = torch.tensor([pull(critic, objective, mean, noise) for mean in means.tolist()])
    return torch.cat([torch.zeros(1), torch.cumulative_trapezoid(1 / speeds, means.float())])


def fitted(objective: Objective, steps: int, copies: int, random: torch.Generator) -> Stack:
    """Small nets trained on samples of N(2, ½²) and N(−2, ½²) by the objective's critic loss."""
    stack = Stack(copies, (1, 16, 16, 1), random)

    def draw() -> tuple[Tensor, Tensor]:
        noise = STD * torch.randn(2, copies, 64, 1, generator=random)
        return DATA + noise[0], START + noise[1]

    list(train_stack(stack, objective, draw, steps))
    return stack


def pearson_game(log_p: Tensor, log_q: Tensor, a: float = -1.0, b: float = 1.0, c: float = 0.0) -> float:
    """2C: ∫(p+q)(D*−c)² at least squares' best critic D* = (bp+aq)/(p+q) (Mao et al. 2017, eq. 5–8).

    For b−c=1 and b−a=2 it is Pearson's χ² of (p+q)/2 against q, ∫(2q−(p+q))²/(p+q).

    >>> round(pearson_game(log_normal(0.0), log_normal(1.0)), 8)
    0.40810853
    """
    p, q = log_p.exp(), log_q.exp()
    best = torch.sigmoid(log_p - log_q) * (b - a) + a
    return integrate((p + q) * (best - c).square())


# The critic a generator meets, what it minimises, the noise on its samples; then how the line is drawn.
FLOWS: Mapping[str, tuple[Critic, Objective, float, str, str]] = {
    "optimal d": (optimal, minimax(), 0.0, CRITIC, "-"),
    f"optimal d under noise, σ = {NOISE:g}": (partial(optimal, noise=NOISE), minimax(), NOISE, PURPLE, "--"),
    "best line, least squares": (affine, least_squares(), 0.0, INK, "-."),
    "optimal d, least-squares cost": (least_squares_best, least_squares(), 0.0, CRITIC, ":"),
    "optimal d, non-saturating cost": (optimal, non_saturating(), 0.0, FAKE, "-"),
}


def readings(noise: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """d̃ = σ(logit) of the optimal critic of the blurred laws at the start, and |∂d̃/∂x|."""
    logit, slope = optimal(x, START, noise)
    return torch.sigmoid(logit), torch.sigmoid(logit) * torch.sigmoid(-logit) * slope


def _nets(settings: Settings, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """What trained nets say at x, and their slopes, [8, n] each, by objective."""
    found = {}
    for name, objective in (("cross-entropy", minimax()), ("least squares", least_squares())):
        stack = fitted(objective, 400 if settings.quick else 1000, 8, settings.generator("nets", name))
        at = x.float().expand(8, -1)[..., None].clone().requires_grad_()
        said = objective.reading(stack(at))
        (slope,) = torch.autograd.grad(said.sum(), at)
        found[name] = said.detach(), slope[..., 0].detach()
    return found


def _run(settings: Settings) -> Result:
    x = torch.linspace(-4, 4, 321, dtype=torch.float64)
    fake = int((x - START).abs().argmin())
    nets = _nets(settings, x)
    settings.advance(0.5)
    means = START + 3.95 * torch.linspace(0, 1, 80 if settings.quick else 400, dtype=torch.float64) ** 2
    taken = {name: durations(critic, cost, means, noise) for name, (critic, cost, noise, *_) in FLOWS.items()}
    halfway = int((means - (START + DATA) / 2).abs().argmin())
    slopes = {
        "optimal d": readings(0.0, x)[1][fake].item(),
        f"instance noise, σ = {NOISE:g}": readings(NOISE, x)[1][fake].item(),
        "affine least squares": affine(x, START)[1][fake].item(),
        "nets by cross-entropy": nets["cross-entropy"][1][:, fake].tolist(),
        "nets by least squares": nets["least squares"][1][:, fake].tolist(),
    }
    p, q = log_normal(0.0), log_normal(1.0)
    blurred = log_normal(0.0, math.sqrt(2)), log_normal(1.0, math.sqrt(2))
    numbers: dict[str, Any] = {
        "slope at the fakes' mean": slopes,
        "time to come halfway, learning rate × steps": {
            name: time[halfway].item() for name, time in taken.items()
        },
        "pair N(0,1), N(1,1)": {
            "KL": kl(p, q),
            "KL under noise of σ = 1": kl(*blurred),
            "2C of least squares, (a, b, c) = (−1, 1, 0)": pearson_game(p, q),
            "least squares' critic loss at equal laws, targets 0 and 1": 0.5 * pearson_game(p, p, 0, 1, 0),
        },
    }
    return Result(numbers, lambda figure: _draw(figure, x, nets, means, taken), _says(numbers))


def _says(numbers: dict[str, Any]) -> str:
    slopes = list(numbers["slope at the fakes' mean"].values())
    plain, noisy, line, squared, logit = numbers["time to come halfway, learning rate × steps"].values()
    pair = list(numbers["pair N(0,1), N(1,1)"].values())
    entropy, squares = (torch.tensor(values).abs().median().item() for values in slopes[3:])
    right = sum(value > 0 for value in slopes[4])
    return (
        "The lecture's figure: data about 2, fakes about −2, both normal with standard deviation ½. Left, "
        "the optimal d is a step, and flat where the samples are. Middle, its slope: at the fakes' mean it "
        f"is {slopes[0]:.1e}, so the generator learns next to nothing. Noise of σ = {NOISE:g} on real and "
        f"fake alike makes the two laws overlap, and the slope of its optimal d is {slopes[1]:.3f}; on the "
        f"pair N(0,1), N(1,1), noise of σ = 1 halves KL from {pair[0]:.2f} to {pair[1]:.2f}. Least squares "
        "is a subtler matter: with targets 0 and 1 its best critic of all is the same d = p/(p+p_g), as flat "
        "as before. It smooths where the critic's form is limited: the best straight line, which no sigmoid "
        f"flattens, has slope {slopes[2]:.3f} everywhere. Of eight small nets trained by least squares the "
        f"slope at the fakes is {squares:.1g} (median size), by cross-entropy {entropy:.1g}; but it is the "
        f"wiggle of a net that fits the target 0, and {right} of the 8 point to the data. Right, the "
        "generator's mean under gradient descent, against each critic always fitted anew: half of the way "
        f"takes {plain:.0f} (learning rate × steps) with d and minimax, {squared:.0f} with d and least "
        f"squares, but {noisy:.1f} with noise and {line:.1f} with the line. The non-saturating cost, the "
        f"lecture's next remedy, takes {logit:.2f} without any smoothing: it follows the slope of d's logit."
    )


def _draw(
    figure: "Figure",
    x: Tensor,
    nets: dict[str, tuple[Tensor, Tensor]],
    means: Tensor,
    taken: dict[str, Tensor],
) -> None:
    left, middle, right = figure.subplots(1, 3)
    for mean, colour, name in ((DATA, REAL, "data"), (START, FAKE, "fakes")):
        density = log_normal(mean, STD, x).exp()
        left.fill_between(x, 0.5 * density, color=colour, alpha=0.25, linewidth=0, label=name)
        middle.axvspan(mean - 2 * STD, mean + 2 * STD, color=colour, alpha=0.1, linewidth=0)
    drawn = (readings(0.0, x), readings(NOISE, x), affine(x, START))
    for (said, slope), (*_, colour, dash) in zip(drawn, FLOWS.values(), strict=False):
        left.plot(x, said, dash, color=colour)
        middle.plot(x, slope, dash, color=colour)
    for kind, colour in (("least squares", ORANGE), ("cross-entropy", SKY)):
        for k, (said, slope) in enumerate(zip(*nets[kind], strict=True)):
            left.plot(x, said, color=colour, linewidth=0.6, label=None if k else f"8 nets, {kind}")
            middle.plot(x, slope.abs(), color=colour, linewidth=0.6)
    for name, (*_, colour, dash) in FLOWS.items():
        right.plot(taken[name].clamp_min(1e-3), means, dash, color=colour, label=name)
    left.set(title="What the critic says", ylabel="d(x)", ylim=(-0.15, 1.15))
    middle.set(title="Its slope", ylabel="|∂d/∂x|", yscale="log", ylim=(1e-15, 50))
    right.set(title="The fakes' mean under descent", xlabel="learning rate × steps", ylabel="mean of p_g")
    right.set(xscale="log", xlim=(1e-2, None), ylim=(-2.1, 2.1))
    for axes in (left, middle):
        axes.set(xlabel="x", xlim=(-4, 4))
    legend_below(figure)


SLOW_LEARNING = Experiment(
    name="slow-learning",
    number=14,
    title="Slow learning under the optimal critic, smoothed by instance noise and least squares",
    lectures=("lecture 3, lines 77–88", "lecture 2, line 113"),
    slip=(
        "Least squares does not smooth by itself (lecture 3, line 85): with targets 0 and 1 its optimal "
        "critic is the same p/(p+p_g). It helps where the critic's own form is limited."
    ),
    run=_run,
    figsize=(10.5, 4.6),
)
