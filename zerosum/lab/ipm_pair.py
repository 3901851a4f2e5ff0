"""Four integral probability metrics on one pair of laws: in closed form, and from samples."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.ipms import IPM, kolmogorov, mmd, total_variation, wasserstein
from zerosum.kernels import rbf
from zerosum.lab.densities import log_normal
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.style import CRITIC, CYCLE, FAKE, GREY, INK, REAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BINNED", "CROSSING", "EDGES", "INTEGRAL_METRICS", "METRICS", "Exact", "samples"]

ORANGE = CYCLE[4]
FAKE_STD = 2.0  # p = N(0, 1), p_g = N(0, 2²)
# p and p_g are equal at ±CROSSING.
CROSSING = math.sqrt(2 * FAKE_STD**2 * math.log(FAKE_STD) / (FAKE_STD**2 - 1))
EDGES = torch.linspace(-3, 3, 7, dtype=torch.float64)  # bins for total variation from samples


def _below(x: Tensor | float, std: float = 1.0) -> Tensor:
    """P(X ≤ x) for X~N(0, std²)."""
    share: Tensor = torch.special.ndtr(torch.as_tensor(x, dtype=torch.float64) / std)
    return share


@dataclass(frozen=True)
class Exact:
    """γ_F(p, p_g) and the f that attains it, of a class; `metric` estimates it from samples."""

    functions: str
    value: float
    witness: Callable[[Tensor], Tensor]
    metric: IPM


def _metrics() -> dict[str, Exact]:
    lead = float(_below(CROSSING) - _below(CROSSING, FAKE_STD))  # what p has more of below the crossing

    def embedding(std: float) -> tuple[float, float]:
        """E k(x, ·) = a exp(−x²/(2v)) for x~N(0, std²) and k of σ = 1: a and v."""
        return 1 / math.sqrt(1 + std**2), 1 + std**2

    def within(a: float, b: float) -> float:
        return 1 / math.sqrt(1 + a**2 + b**2)  # E k(x, y)

    gap = math.sqrt(within(1, 1) + within(FAKE_STD, FAKE_STD) - 2 * within(1, FAKE_STD))

    def embedded(x: Tensor) -> Tensor:
        (a, v), (b, w) = embedding(1.0), embedding(FAKE_STD)
        return (a * torch.exp(-x.square() / (2 * v)) - b * torch.exp(-x.square() / (2 * w))) / gap

    return {
        "Wasserstein": Exact(
            "1-Lipschitz", (FAKE_STD - 1) * math.sqrt(2 / math.pi), lambda x: -x.abs(), wasserstein()
        ),
        "2 × total variation": Exact(
            "between −1 and 1", 4 * lead, lambda x: (CROSSING - x.abs()).sign(), total_variation()
        ),
        "Kolmogorov": Exact("half-lines", lead, lambda x: (x <= CROSSING).to(x), kolmogorov()),
        "MMD": Exact("unit ball, RBF σ = 1", gap, embedded, mmd(rbf([1.0]))),
    }


METRICS: Mapping[str, Exact] = _metrics()
_BINS = torch.cat([torch.tensor([-math.inf]).double(), EDGES, torch.tensor([math.inf]).double()])
# γ of the laws cut into bins, below 2 × total variation.
BINNED = float((_below(_BINS).diff() - _below(_BINS, FAKE_STD).diff()).abs().sum())


def samples(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` draws from N(0, 1) and from N(0, 4), float64 [count] each."""
    noise = torch.randn(2, count, generator=generator, dtype=torch.float64)
    return noise[0], FAKE_STD * noise[1]


def _run(settings: Settings) -> Result:
    counts = [10, 30, 100, 300, 1000] if settings.quick else [10, 30, 100, 300, 1000, 3000]
    repeats = 8 if settings.quick else 12
    random = settings.generator("integral-metrics")
    x = torch.linspace(-5, 5, 501, dtype=torch.float64)
    estimators = {name: exact.metric for name, exact in METRICS.items()}
    estimators["2 × total variation, in bins"] = total_variation(EDGES)
    found: dict[str, list[list[float]]] = {name: [] for name in estimators}
    for k, count in enumerate(counts):
        pairs = [samples(count, random) for _ in range(repeats)]
        for name, metric in estimators.items():
            found[name].append([metric(*pair).value.item() for pair in pairs])
        settings.advance((k + 1) / len(counts))
    pair = samples(100, random)
    learnt = {name: metric(*pair).witness(x) for name, metric in estimators.items()}
    numbers: dict[str, Any] = {
        "exact": {name: exact.value for name, exact in METRICS.items()}
        | {"2 × total variation, in bins": BINNED, "MMD²": METRICS["MMD"].value ** 2},
        "n": counts,
        f"estimates, mean of {repeats}": {
            name: [sum(values) / repeats for values in rows] for name, rows in found.items()
        },
    }
    return Result(numbers, lambda figure: _draw(figure, x, learnt, counts, found), _says(numbers, counts[-1]))


def _says(numbers: dict[str, Any], last: int) -> str:
    exact = numbers["exact"]
    (means,) = (value for name, value in numbers.items() if name.startswith("estimates"))
    return (
        "One supremum, four classes of functions, on p = N(0,1) and p_g = N(0,4). Above, the witness, the f "
        "of the class that tells the two best apart (dark: exact; orange: from 100 samples of each): what a "
        "critic held to that class would learn. Below, the metric's estimates against the number n of "
        "samples; the dark line is the exact value. 1-Lipschitz functions give W1 = "
        f"{exact['Wasserstein']:.6f}, with f = −|x|, of slope ±1 everywhere. Functions between −1 and 1 "
        f"give {exact['2 × total variation']:.6f}, twice the total variation "
        f"{exact['2 × total variation'] / 2:.6f}: f is the sign of p − p_g. Half-lines give the Kolmogorov "
        f"distance {exact['Kolmogorov']:.6f}, at either of two places. The unit ball of a Gaussian kernel of "
        f"σ = 1 gives MMD = {exact['MMD']:.6f}, MMD² = {exact['MMD²']:.6f}, and a smooth f. Three of the "
        f"estimates converge: at n = {last} W1 is {means['Wasserstein'][-1]:.4f}, Kolmogorov "
        f"{means['Kolmogorov'][-1]:.4f} and MMD {means['MMD'][-1]:.4f} on average. That of total variation "
        "does not: two samples share no point, a function may be 1 on the one and −1 on the other, and the "
        f"estimate is {means['2 × total variation'][-1]:.0f} whatever n. This is the perfect discriminator "
        f"again. Cut into {len(EDGES) + 1} bins it does converge, but to the "
        f"{exact['2 × total variation, in bins']:.4f} of the binned laws."
    )


def _draw(
    figure: "Figure",
    x: Tensor,
    learnt: dict[str, Tensor],
    counts: list[int],
    found: dict[str, list[list[float]]],
) -> None:
    above, below = figure.subplots(2, 4, height_ratios=(1.15, 1))
    binned = "2 × total variation, in bins"
    for top, bottom, (name, exact) in zip(above, below, METRICS.items(), strict=True):
        truth, estimate = exact.witness(x), learnt[name]
        if name == "Wasserstein":  # any constant may be added
            truth, estimate = truth - truth.mean(), estimate - estimate.mean()
        if name == "2 × total variation":
            estimate = learnt[binned]
        lowest, highest = truth.min().item(), truth.max().item()
        room = highest - lowest
        for std, colour, law in ((1.0, REAL, "p"), (FAKE_STD, FAKE, "p_g")):
            density = log_normal(0.0, std, x).exp() / 0.4 * 0.45 * room + lowest
            top.fill_between(x, lowest, density, color=colour, alpha=0.22, linewidth=0, label=law)
        top.plot(x, estimate, color=ORANGE, linewidth=1.3, label="witness, 100 samples")
        top.plot(x, truth, color=INK, label="witness, exact")
        top.set(title=f"{name}\n{exact.functions}", xlabel="x", xlim=(-5, 5))
        bottom.axhline(exact.value, color=INK, linewidth=1.2, label="exact")
        shown = {name: (CRITIC, "o")} | ({binned: (GREY, "s")} if name == "2 × total variation" else {})
        for key, (colour, mark) in shown.items():
            values = torch.tensor(found[key])
            bottom.plot(counts, values, mark, color=colour, markersize=2.5, alpha=0.5)
            label = "in 8 bins" if key == binned else "estimates"
            bottom.plot(counts, values.mean(1), color=colour, linewidth=1.4, label=label)
        bottom.set(xscale="log", xlabel="n", ylim=(0, None))
    below[0].set_ylabel("estimate")
    above[0].set_ylabel("f(x)")
    below[1].axhline(BINNED, color=GREY, linewidth=1, linestyle=":")
    handles = dict(zip(*reversed(above[0].get_legend_handles_labels()), strict=True))
    for axes in below[:2]:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=7)


INTEGRAL_METRICS = Experiment(
    name="integral-metrics",
    number=17,
    title="Wasserstein, total variation, Kolmogorov and MMD as one family, on one pair",
    lectures=("lecture 2, lines 394–408",),
    slip=(
        "Line 405 gives total variation and the Kolmogorov distance one class, |f| ≤ 1. That class gives "
        "twice the total variation; Kolmogorov's is the indicators of half-lines."
    ),
    run=_run,
    figsize=(11.0, 6.0),
)
