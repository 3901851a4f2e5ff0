"""Holding a critic's slope: by clipping its weights, or by a gradient penalty."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from zerosum.constraints import Constraint, clip, weight_matrices
from zerosum.data.toys import ring_modes
from zerosum.draws import Draws, mix
from zerosum.lab.critic import smooth_net
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.spectral import steepest
from zerosum.nets.mlp import MLPCritic
from zerosum.objectives import wasserstein
from zerosum.penalties import Penalty, wgan_gp
from zerosum.transport import Transport
from zerosum.transport import wasserstein as transport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CLIPPING", "clipped", "fit", "penalised", "potential", "slide_slope", "slope"]

BOUND = 0.01  # of each weight, as published
WEIGHT = 10.0  # of the penalty, as published
GAPS = (0.25, 0.5, 1.0, 2.0)
WEIGHTS = (1.0, 3.0, 10.0)
POINTS = 256
LINE = torch.linspace(-3.5, 3.5, 61)
GRID = torch.cartesian_prod(LINE, LINE)


def slope(gap: float, weight: float) -> float:
    """1 + Δ/2λ: of the best critic where the data are Δ from the fakes, both points, under WGAN-GP.

    sΔ − λ(s−1)² is greatest there, so that the estimate of W₁ = Δ is Δ²/2λ too high.

    >>> slope(1.0, 10.0)
    1.05
    """
    return 1 + gap / (2 * weight)


def slide_slope(gap: float, weight: float) -> float:
    """The same under the slide's (s²−1)²: where Δ = 4λs(s²−1), s > 1, by Newton's method.

    >>> round(slide_slope(1.0, 10.0), 6)
    1.012273
    """
    s = 1 + gap / (8 * weight)  # the curve is convex, and above Δ here, so Newton's steps only descend
    for _ in range(50):
        s -= (4 * weight * s * (s * s - 1) - gap) / (4 * weight * (3 * s * s - 1))
    return s


def penalised(gap: Tensor, weight: float) -> Tensor:
    """The weights [n] of the linear critic that minimises the library's loss, data at Δ [n], fakes at 0."""
    w = torch.zeros(len(gap), dtype=torch.float64, requires_grad=True)
    real, fake = gap.double()[None], torch.zeros(1, len(gap), dtype=torch.float64)
    w.data.copy_(real[0])  # any start but 0, where the norm has no slope

    def critic(x: Tensor) -> Tensor:
        return x @ w

    optimiser = torch.optim.LBFGS([w], max_iter=100, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = wasserstein().critic(critic(real), critic(fake))
        total = (loss + wgan_gp(weight)(critic, real, fake, Draws())).sum()
        total.backward()
        return total

    optimiser.step(closure)
    return w.detach()


def clipped(gap: Tensor, bound: float, steps: int = 20) -> Tensor:
    """The weights [n] of a linear critic after gradient steps, each followed by the library's clipping.

    Its optimum is c·sign Δ, and the estimate c‖Δ‖₁: W₁ = ‖Δ‖₂ up to a factor that depends on the direction.

    >>> clipped(torch.tensor([2.0, -0.5]), 0.25)
    tensor([ 0.2500, -0.2500])
    """
    critic = nn.Linear(len(gap), 1, bias=False)
    nn.init.zeros_(critic.weight)
    constraint, optimiser = clip(bound), torch.optim.SGD(critic.parameters(), bound)
    for _ in range(steps):
        optimiser.zero_grad()
        wasserstein().critic(critic(gap[None]), critic(torch.zeros(1, len(gap)))).sum().backward()
        optimiser.step()
        constraint.after(critic)
    return critic.weight.detach()[0]


def fit(
    critic: nn.Module,
    real: Tensor,
    fake: Tensor,
    steps: int,
    lr: float,
    *,
    penalty: Penalty | None = None,
    constraint: Constraint | None = None,
    seed: int = 0,
) -> nn.Module:
    """Train a critic [B, n] → [B] on real and fake points [B, n] that stand still, all at each step.

    Adam (.5, .9), as WGAN-GP was published on toys; the rate falls to 0 as a cosine.
    """
    if constraint:
        constraint.prepare(critic)
    optimiser = torch.optim.Adam(critic.parameters(), lr, (0.5, 0.9))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = wasserstein().critic(critic(real), critic(fake)).mean()
        if penalty:
            loss = loss + penalty(critic, real, fake, Draws(seed, step, stop=len(real))).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if constraint:
            constraint.after(critic)
    return critic


def potential(moved: Transport, fake: Tensor, points: Tensor) -> Tensor:
    """The best 1-Lipschitz critic at points [N, n]: f(x) = minⱼ ‖x − yⱼ‖ − ψⱼ, from the exact transport."""
    return (torch.cdist(points.double(), fake.double()) - moved.fake_potential).amin(1)


class Shown(NamedTuple):
    """A critic on the grid, its weights over the largest of them, and what it makes of W₁."""

    surface: Tensor
    weights: Tensor
    estimate: float
    slope: float
    share: float

    @property
    def numbers(self) -> dict[str, float]:
        """The scalars, by the names of the gallery."""
        return {
            "estimate of W1": self.estimate,
            "steepest slope": self.slope,
            "estimate over slope and W1": self.share,
            "share of weights within 1 % of the largest": float((self.weights.abs() > 0.99).float().mean()),
        }


def _shown(critic: nn.Module, real: Tensor, fake: Tensor, distance: float) -> Shown:
    critic.requires_grad_(False)
    weights = torch.cat([matrix.flatten() for matrix in weight_matrices(critic)])
    steep = steepest(critic, torch.cat([GRID, real, fake]))
    estimate = float(critic(real).mean() - critic(fake).mean())
    return Shown(critic(GRID), weights / weights.abs().max(), estimate, steep, estimate / (steep * distance))


def _surfaces(settings: Settings) -> tuple[dict[str, Shown], Tensor, float, Tensor]:
    """The critics, the exact potential on the grid, W₁, and the real points."""
    random = settings.generator("eight gaussians")
    real = torch.from_numpy(ring_modes(radius=2.0)).repeat(POINTS // 8, 1)
    real = real + 0.02 * torch.randn(real.shape, generator=random)
    fake = real + torch.randn(real.shape, generator=random)
    moved = transport(real, fake)
    shown = {}
    for name, lr, steps, penalty, constraint in (
        (f"clipped at {BOUND:g}", 2e-4, 300, None, clip(BOUND)),
        ("clipped at 0.1", 2e-3, 300, None, clip(0.1)),
        ("gradient penalty", 4e-3, 700 if settings.quick else 2000, wgan_gp(WEIGHT), None),
    ):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(settings.seed, "critic"))
            critic = MLPCritic((2,), hidden=(64, 64, 64), pieces=1, bound=None)
        fit(critic, real, fake, steps, lr, penalty=penalty, constraint=constraint, seed=settings.seed)
        shown[name] = _shown(critic, real, fake, float(moved.value))
        settings.advance(len(shown) / 4)
    return shown, potential(moved, fake, GRID), float(moved.value), real


def _run(settings: Settings) -> Result:
    shown, best, distance, real = _surfaces(settings)
    gaps = torch.tensor(GAPS, dtype=torch.float64)
    slopes = {weight: [float(penalised(gap[None], weight)[0]) for gap in gaps] for weight in WEIGHTS}
    net = fit(
        nn.Sequential(*smooth_net(1, 32, 1, generator=settings.generator("net")), nn.Flatten(0)),
        torch.ones(64, 1),
        torch.zeros(64, 1),
        150 if settings.quick else 600,
        1e-2,
        penalty=wgan_gp(1.0),
        seed=settings.seed,
    )
    with torch.no_grad():
        net_slope = float(net(torch.ones(1, 1)) - net(torch.zeros(1, 1)))
    angles = torch.linspace(0, math.pi / 2, 13)
    ways = torch.stack([angles.cos(), angles.sin()], 1)
    by_way = {
        "clipped": [float(clipped(way, BOUND) @ way) / BOUND for way in ways],
        "gradient penalty": [float(penalised(way, WEIGHT) @ way.double()) for way in ways],
    }
    numbers: dict[str, Any] = {
        "W1 of the points": distance,
        **{name: one.numbers for name, one in shown.items()},
        "gap of two points": list(GAPS),
        "slope of the best linear critic, by weight": {f"{weight:g}": slopes[weight] for weight in WEIGHTS},
        "the same by 1 + gap/(2 weight)": {f"{w:g}": [slope(gap, w) for gap in GAPS] for w in WEIGHTS},
        "by the slide's squared norm": {f"{w:g}": [slide_slope(gap, w) for gap in GAPS] for w in WEIGHTS},
        "mean slope of a small net, gap 1, weight 1": net_slope,
        "angle, degrees": (angles * 180 / math.pi).tolist(),
        "estimate at a gap of length 1, by its direction (clipped: over the bound)": by_way,
    }

    def draw(figure: "Figure") -> None:
        _draw(figure, shown, best, real, slopes, net_slope, angles, by_way)

    return Result(numbers, draw, _says(numbers, shown))


def _says(numbers: dict[str, Any], shown: dict[str, Shown]) -> str:
    tight, wide, penalty = shown.values()
    pushed = tight.numbers["share of weights within 1 % of the largest"]
    return (
        "Above, critics of three hidden layers are trained to tell eight Gaussians (dots) from the same "
        "points with unit noise; colours are heights of f. Right, the best of all 1-Lipschitz functions, "
        f"from the exact transport, attains W₁ = {numbers['W1 of the points']:.4f} with a peak at each mode. "
        f"Clipping every weight to ±{BOUND:g} leaves one blunt hill: divided by its steepest slope, which "
        f"is {tight.slope:.1e}, it finds {100 * tight.share:.0f} % of W₁ ({100 * wide.share:.0f} % with a "
        f"bound of 0.1, whose slope is {wide.slope:.1f}: the scale is arbitrary). The gradient penalty's "
        f"critic is drawn to the modes, finds {100 * penalty.share:.0f} %, and estimates "
        f"{penalty.estimate:.4f}. Below left, why: "
        f"{100 * pushed:.0f} % of the clipped weights lie at the bound, so that the net has hardly more to "
        "choose than signs. Middle, the penalty's bias: on two points a distance Δ apart the best slope is "
        "1 + Δ/2λ, not 1 (dots are trained linear critics, the cross a net), so that the published λ = 10 "
        f"estimates {slope(1.0, 10.0):.2f} at Δ = 1, 5 % too much. Dotted, the penalty as the slide has it, "
        "with the norm squared, which is stiffer. Right, for a linear critic clipping is not even fair: its "
        "optimum is c‖Δ‖₁ where W₁ = ‖Δ‖₂, so that a gap along the diagonal counts √2 times one along an "
        "axis; the penalty knows no directions."
    )


def _draw(
    figure: "Figure",
    shown: dict[str, Shown],
    best: Tensor,
    real: Tensor,
    slopes: dict[float, list[float]],
    net_slope: float,
    angles: Tensor,
    by_way: dict[str, list[float]],
) -> None:
    from zerosum.lab.style import CRITIC, CYCLE, FAKE, GREY, INK

    top, (weights, middle, right) = figure.subplots(2, 3, height_ratios=(1.15, 1))
    names = (f"clipped at {BOUND:g}", "gradient penalty")
    for axes, name in zip(top, names, strict=False):
        _heights(axes, shown[name].surface, real, f"{name}: {100 * shown[name].share:.0f} % of W₁")
    _heights(top[2], best, real, "the best 1-Lipschitz f: all of W₁")
    edges = torch.linspace(-1, 1, 42).tolist()
    for name, colour in zip(names, (FAKE, CRITIC), strict=True):
        weights.hist(shown[name].weights, edges, color=colour, alpha=0.6, label=name)
    weights.set(title="Weights over the largest", xlabel="w / max |w|", ylabel="weights", yscale="log")
    weights.legend(loc="upper center")
    gaps = torch.linspace(0, 2, 81).tolist()
    for weight, colour in zip(WEIGHTS, CYCLE, strict=False):
        middle.plot(gaps, [slope(gap, weight) for gap in gaps], color=colour, label=f"λ = {weight:g}")
        middle.plot(gaps, [slide_slope(gap, weight) for gap in gaps], ":", color=colour, linewidth=1.2)
        middle.plot(GAPS, slopes[weight], "o", color=colour)
    middle.plot(1, net_slope, "x", color=INK, markersize=8)
    middle.set(title="Slope at the penalty's optimum: 1 + Δ/2λ", xlabel="gap Δ", ylim=(0.97, 2.03))
    middle.legend(loc="upper left")
    degrees = (angles * 180 / math.pi).tolist()
    right.plot(degrees, angles.cos() + angles.sin(), color=FAKE, label="c‖Δ‖₁ / c")
    right.plot(degrees, by_way["clipped"], "o", color=FAKE, label="clipped")
    right.axhline(slope(1.0, WEIGHT), color=CRITIC, label="1 + 1/2λ")
    right.plot(degrees, by_way["gradient penalty"], "o", color=CRITIC, label="gradient penalty")
    right.axhline(1, color=GREY, linewidth=0.8)
    right.set(
        title="Estimate of W₁ = 1 by a linear critic", xlabel="direction of Δ, degrees", ylim=(0.97, 1.6)
    )
    right.legend(loc="upper center", ncols=2)


def _heights(axes: "Axes", surface: Tensor, real: Tensor, title: str) -> None:
    x = LINE.tolist()
    axes.contourf(x, x, surface.view(len(x), len(x)).T, levels=24)
    axes.plot(*real.T, ".", color="white", markersize=2)
    axes.set(title=title, aspect="equal", xticks=[], yticks=[])
    axes.grid(visible=False)


CLIPPING = Experiment(
    name="clipping-and-penalty",
    number=12,
    title="Weight clipping against the gradient penalty",
    lectures=("lecture 2, lines 213–225", "lecture 3, lines 103–106"),
    slip=(
        "The penalty is (‖∇f(x̂)‖₂ − 1)², and is subtracted where the critic maximises; the slide squares the "
        "norm and adds (lecture 2, line 219), so that its maximum would be unbounded."
    ),
    run=_run,
    figsize=(10.5, 7.0),
)
