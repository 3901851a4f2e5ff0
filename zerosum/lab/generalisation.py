"""What a critic of bounded size sees of a finite sample: a distance of 1/√m, where JSD is log 2 for ever."""

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.mixtures import SHARES, MixtureGame, X, log_generated, log_target, play, regrets, shares
from zerosum.lab.stack import Stack, train_stack
from zerosum.lab.style import CRITIC, CYCLE, FAKE, GREY, REAL
from zerosum.objectives import minimax

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GENERALISATION", "linear_distance", "memorised", "net_distance", "tanh_mean", "transport_floor"]

SIZES = (32, 128, 512)  # of the samples that critics try to tell from fresh draws
GAMES = {  # how many generators, how many critics
    "one generator, one critic": (1, 1),
    "three and three": (3, 3),
    "eight and three": (8, 3),
}
SLOPE = 2.0  # the norm of each unit's weights is at most this
DIMENSIONS = (2, 10, 50)


def tanh_mean(slope: Tensor, bias: Tensor) -> Tensor:
    """E tanh(s·t + b), t~N(0, 1), by quadrature; differentiable. For x~N(0, I), w·x is ‖w‖·t.

    >>> tanh_mean(torch.tensor([1.0]), torch.tensor([0.0])).abs() < 1e-6
    tensor([True])
    """
    t = torch.linspace(-8, 8, 161, dtype=slope.dtype)
    mass = torch.exp(-t.square() / 2) / math.sqrt(2 * math.pi) * (t[1] - t[0])
    return torch.tanh(slope[..., None] * t + bias[..., None]) @ mass


def net_distance(x: Tensor, restarts: int, steps: int, random: torch.Generator) -> float:
    """sup |E_μ f − mean f(xᵢ)| over two-layer nets f = Σ aₖ tanh(wₖ·x + bₖ), Σ|aₖ| ≤ 1, ‖wₖ‖ ≤ 2.

    μ = N(0, I), of which x [m, d] is a sample (Arora et al. 2017, definition 2). A sum with such weights
    is an average, so one unit attains the supremum; it is sought by Adam from random starts, which can
    only fall short. The expectation over μ is exact.
    """
    directions = torch.randn(restarts, x.shape[1], generator=random, dtype=x.dtype)
    weight = SLOPE * directions / directions.norm(dim=1, keepdim=True)
    bias = torch.randn(restarts, generator=random, dtype=x.dtype)
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimiser = torch.optim.Adam(parameters, 0.1)
    best = 0.0
    for _ in range(steps + 1):
        gap = (tanh_mean(weight.norm(dim=1), bias) - torch.tanh(x @ weight.T + bias).mean(0)).abs()
        best = max(best, gap.max().item())
        optimiser.zero_grad()
        (-gap.sum()).backward()
        optimiser.step()
        with torch.no_grad():
            weight *= (SLOPE / weight.norm(dim=1, keepdim=True)).clamp_max(1)
    return best


def linear_distance(x: Tensor) -> float:
    """sup over f(x) = w·x, ‖w‖ ≤ 1, of |E_μ f − mean f(xᵢ)| = ‖mean xᵢ‖; its square has mean d/m."""
    return float(x.mean(0).norm())


def transport_floor(x: Tensor, fresh: Tensor) -> float:
    """E over μ of the distance to the nearest xᵢ, by `fresh` draws of μ: W₁(μ, sample) is at least this."""
    return float(torch.cdist(fresh, x).amin(1).mean())


def memorised(
    sizes: tuple[int, ...], width: int, steps: int, random: torch.Generator, dimension: int = 10
) -> tuple[int, list[float]]:
    """What critics of two hidden layers learn of samples of μ = N(0, I), one sample of each size.

    Each is trained to tell fresh draws of μ from its sample. Returns how many parameters one has, and
    log 2 − ½ its loss, over fresh draws and the whole sample: a lower bound of JSD(μ, sample) = log 2.
    """
    samples = [torch.randn(size, dimension, generator=random) for size in sizes]
    critics = Stack(len(sizes), (dimension, width, width, 1), random)

    def draw() -> tuple[Tensor, Tensor]:
        chosen = [sample[torch.randint(len(sample), (128,), generator=random)] for sample in samples]
        return torch.randn(len(sizes), 128, dimension, generator=random), torch.stack(chosen)

    list(train_stack(critics, minimax(), draw, steps))
    with torch.no_grad():
        fresh = critics(torch.randn(4000, dimension, generator=random).expand(len(sizes), -1, -1))
        losses = [
            F.softplus(-fresh[k]).mean() + F.softplus(critics(sample.expand(len(sizes), -1, -1))[k]).mean()
            for k, sample in enumerate(samples)
        ]
    count = sum(parameter[0].numel() for parameter in critics.parameters())
    return count, [math.log(2) - loss.item() / 2 for loss in losses]


def _distances(settings: Settings) -> dict[str, Any]:
    """The distances between μ and its samples, by size, means over a few samples."""
    random = settings.generator("samples")
    sizes, repeats = ([16, 64, 256, 1024], 4) if settings.quick else ([16, 64, 256, 1024, 4096], 5)
    nets: dict[str, list[float]] = {}
    linear, floor = [], []
    for dimension in DIMENSIONS:
        row = []
        for size in sizes:
            samples = [torch.randn(size, dimension, generator=random) for _ in range(repeats)]
            row.append(sum(net_distance(x, 8, 40, random) for x in samples) / repeats)
            if dimension == DIMENSIONS[-1]:
                linear.append(sum(linear_distance(x) ** 2 for x in samples) / repeats)
                fresh = torch.randn(1000, dimension, generator=random)
                floor.append(transport_floor(samples[0], fresh) / math.sqrt(2 * dimension))
        nets[f"{dimension} dimensions"] = row
    slopes = {name: math.log(row[-1] / row[0]) / math.log(sizes[-1] / sizes[0]) for name, row in nets.items()}
    return {
        "m": sizes,
        "net distance": nets,
        "its slope in log m": slopes,
        "linear distance squared × m/d, 50 dimensions": [
            value * size / DIMENSIONS[-1] for value, size in zip(linear, sizes, strict=True)
        ],
        "W1 at least, over √(2d), 50 dimensions": floor,
    }


def _run(settings: Settings) -> Result:
    numbers = _distances(settings)
    settings.advance(0.2)
    widths, steps = ((4, 16, 64), 300) if settings.quick else ((4, 16, 64, 128), 600)
    random = settings.generator("memorised")
    learnt = [memorised(SIZES, width, steps, random) for width in widths]
    numbers["JSD is log 2; critics find"] = {
        "parameters": [count for count, _ in learnt],
        **{f"of {size} samples": [found[k] for _, found in learnt] for k, size in enumerate(SIZES)},
    }
    settings.advance(0.5)
    rounds = 240 if settings.quick else 450
    played: dict[str, MixtureGame] = {}
    history: dict[str, list[float]] = {}
    times = list(range(10, rounds + 1, 10))
    for k, (name, (generators, critics)) in enumerate(GAMES.items()):
        gaps: list[float] = []

        def look(step: int, game: MixtureGame, gaps: list[float] = gaps) -> None:
            if step % 10 == 0:
                gaps.append(regrets(game).gap)

        played[name] = play(generators, critics, rounds, settings.seed, look)
        history[name] = gaps
        settings.advance(0.5 + 0.5 * (k + 1) / len(GAMES))
    found = {name: regrets(game) for name, game in played.items()}
    numbers["step"] = times
    numbers["duality gap"] = history
    numbers["at the end"] = {
        name: {
            "value": one.value,
            "gap": one.gap,
            "JSD": one.jsd,
            "share at each mode": shares(played[name]),
        }
        for name, one in found.items()
    }
    return Result(numbers, lambda figure: _draw(figure, numbers, played), _says(numbers))


def _says(numbers: dict[str, Any]) -> str:
    nets, slopes = numbers["net distance"], numbers["its slope in log m"]
    last, widest = numbers["m"][-1], DIMENSIONS[-1]
    learnt, ends = numbers["JSD is log 2; critics find"], numbers["at the end"]
    one, many = ends["one generator, one critic"], ends["eight and three"]
    floor = numbers["W1 at least, over √(2d), 50 dimensions"]
    return (
        "A normal law μ against m samples of it: what can a critic see? Above left: JSD is log 2 for any m, "
        "as the sample has no density, and W1 hardly falls in 50 dimensions: its lower bound by nearest "
        f"neighbours goes from {floor[0]:.2f} to {floor[-1]:.2f}, the distance of two draws being 1. But the "
        "largest difference that a net of two layers and bounded weights can see falls as 1/√m, with slopes "
        f"in log m of {', '.join(f'{value:.2f}' for value in slopes.values())} for d = 2, 10, 50; at m = "
        f"{last} and d = {widest} it is {nets[f'{widest} dimensions'][-1]:.3f}. So training on samples does "
        "say something of the law; and so, to such a critic, a generator that memorised m samples is nearly "
        "as good as the law. Above right: JSD as trained nets find it, never above log 2. Of "
        f"{SIZES[-1]} samples {learnt['parameters'][0]} parameters find "
        f"{learnt[f'of {SIZES[-1]} samples'][0]:.3f} and {learnt['parameters'][-1]} find "
        f"{learnt[f'of {SIZES[-1]} samples'][-1]:.3f}; of {SIZES[0]} samples the latter find "
        f"{learnt[f'of {SIZES[0]} samples'][-1]:.3f}. The larger the critic, the more samples it takes. "
        "Below, equilibrium. A generator here can make one bump only, and the target has three. Alone it has "
        "no equilibrium to reach: the duality gap, what both players could still gain by their best answers, "
        f"ends at {one['gap']:.2f} nats. Eight generators and three critics with learned weights, as in "
        f"MIX+GAN, end at {many['gap']:.3f}, with V = {many['value']:.4f} (−log 4 = {-math.log(4):.4f}), and "
        f"give {', '.join(f'{share:.2f}' for share in many['share at each mode'])} of their weight to the "
        f"modes of shares {', '.join(map(str, SHARES))}. Three generators, the fewest that could, end at "
        f"{ends['three and three']['gap']:.3f}: they need a start from which each finds a mode of its own."
    )


def _draw(figure: "Figure", numbers: dict[str, Any], played: dict[str, MixtureGame]) -> None:
    (first, second), (third, fourth) = figure.subplots(2, 2)
    sizes = torch.tensor(numbers["m"], dtype=torch.float64)
    first.axhline(math.log(2), color=REAL, label="JSD = log 2")
    floor = numbers["W1 at least, over √(2d), 50 dimensions"]
    first.plot(sizes, floor, "s--", color=CRITIC, label="W1 ≥, over √(2d), d = 50")
    colours = (CYCLE[4], FAKE, CYCLE[3])
    for (name, row), colour in zip(numbers["net distance"].items(), colours, strict=True):
        first.plot(sizes, row, "o", color=colour, label=f"net distance, d = {name.split()[0]}")
        first.plot(sizes, row[0] * (sizes[0] / sizes).sqrt(), color=colour, linewidth=1)
    first.set(title="A law and m samples of it", xlabel="m (lines: slope −½)", ylabel="distance")
    first.set(xscale="log", yscale="log")
    first.legend(loc="lower left", fontsize=8)
    learnt = numbers["JSD is log 2; critics find"]
    second.axhline(math.log(2), color=REAL)
    second.annotate("log 2", (learnt["parameters"][0], math.log(2)), (0, 4), textcoords="offset points")
    for size, dash in zip(SIZES, ("o-", "o--", "o:"), strict=True):
        bounds = learnt[f"of {size} samples"]
        second.plot(learnt["parameters"], bounds, dash, color=CRITIC)
        place = learnt["parameters"][1], bounds[1]
        second.annotate(f"m = {size}", place, (-5, 6), textcoords="offset points", ha="right")
    second.set(title="JSD as a trained critic finds it, d = 10", xlabel="the critic's parameters")
    second.set(ylabel="JSD ≥, nats", xscale="log", ylim=(0, 0.77))
    third.fill_between(X, log_target().exp(), color=REAL, alpha=0.25, linewidth=0, label="target")
    looks = dict(zip(played, (GREY, CYCLE[4], FAKE), strict=True))
    for name, game in played.items():
        third.plot(X, log_generated(game).exp(), color=looks[name], label=name, linewidth=1.5)
        fourth.plot(numbers["step"], numbers["duality gap"][name], color=looks[name], label=name)
    third.set(title="What the mixtures make", xlabel="x", ylabel="density", xlim=(-3.5, 3.5))
    third.legend(loc="upper right", fontsize=8)
    fourth.set(title="How far from equilibrium", xlabel="step", ylabel="duality gap, nats", yscale="log")
    fourth.legend(loc="best", fontsize=8)


GENERALISATION = Experiment(
    name="generalisation",
    number=20,
    title="Generalisation and equilibrium: what bounded critics see, and mixtures of players",
    lectures=("lecture 1, line 265",),
    slip="",
    run=_run,
    figsize=(11.0, 7.4),
)
