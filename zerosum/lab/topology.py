"""The order of KL, JSD, TV and W₁: which convergence brings which, and sequences that part them."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.lab.densities import (
    AXIS,
    integrate,
    jensen_shannon,
    kl,
    log_mixture,
    log_normal,
    total_variation,
)
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.style import CRITIC, FAKE, GREY, INK, REAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "SEQUENCES",
    "TOPOLOGY",
    "between",
    "contaminated",
    "distances",
    "finer_grid",
    "least_jsd",
    "random_pairs",
    "shifted",
    "stretched",
    "wasserstein_of",
]

COLOURS = {"KL": FAKE, "JSD": REAL, "TV": INK, "W1": CRITIC}


def wasserstein_of(log_p: Tensor, log_q: Tensor, x: Tensor = AXIS) -> float:
    """W₁ = ∫|F−G| dx of two laws on the line, by their densities.

    >>> round(wasserstein_of(log_normal(0.0), log_normal(0.0, 2.0)), 5)  # √(2/π)
    0.79788
    """
    return integrate(torch.cumulative_trapezoid(log_p.exp() - log_q.exp(), x).abs(), x[1:])


def distances(log_p: Tensor, log_q: Tensor, x: Tensor = AXIS) -> dict[str, float]:
    """KL(p‖q) and JSD in nats, TV in [0, 1], W₁ in units of x, by quadrature.

    >>> {name: round(value, 4) for name, value in distances(log_normal(0.0), log_normal(1.0)).items()}
    {'KL': 0.5, 'JSD': 0.1114, 'TV': 0.3829, 'W1': 1.0}
    """
    return {
        "KL": kl(log_p, log_q, x),
        "JSD": jensen_shannon(log_p, log_q, x),
        "TV": total_variation(log_p, log_q, x),
        "W1": wasserstein_of(log_p, log_q, x),
    }


def shifted(n: int) -> dict[str, float]:
    """N(1/n, 1) → N(0, 1): all converge; KL = 1/(2n²), W₁ = 1/n."""
    return distances(log_normal(1 / n), log_normal(0.0))


def finer_grid(n: int) -> dict[str, float]:
    """n equal masses at (k+½)/n → uniform on [0, 1]: W₁ = 1/(4n), and nothing else converges.

    The grid has no density: TV = 1, JSD = log 2, KL = ∞, however fine it is.

    >>> finer_grid(5)["W1"]
    0.05
    """
    return {"KL": math.inf, "JSD": math.log(2), "TV": 1.0, "W1": 1 / (4 * n)}


def contaminated(n: int, shift: float) -> dict[str, float]:
    """(1−1/n) N(0, 1) + (1/n) N(shift, 1) → N(0, 1): a share of 1/n goes elsewhere.

    TV is at most 1/n and W₁ = shift/n; KL is about shift²/(2n) − log(n)/n where the shift is large.
    """
    x = torch.linspace(-12, shift + 12, 40_001, dtype=torch.float64)
    p = log_normal(0.0, x=x)
    mixture = (
        log_mixture([p, log_normal(shift, x=x)], [1 - 1 / n, 1 / n]) if n > 1 else log_normal(shift, x=x)
    )
    return distances(mixture, p, x)


def stretched(n: int) -> dict[str, float]:
    """`contaminated` by √(2n): TV, JSD and W₁ → 0 while KL → 1."""
    return contaminated(n, math.sqrt(2 * n))


def far(n: int) -> dict[str, float]:
    """`contaminated` by n: TV and JSD → 0 while W₁ = 1 and KL → ∞, which only an unbounded space allows."""
    return contaminated(n, float(n))


SEQUENCES: Mapping[str, Callable[[int], dict[str, float]]] = {
    "N(1/n, 1) against N(0, 1)": shifted,
    "n equal masses against uniform": finer_grid,
    "a share 1/n moved by √(2n)": stretched,
    "a share 1/n moved by n": far,
}


def least_jsd(tv: Tensor) -> Tensor:
    """The least JSD at a TV: log 2 − h((1+TV)/2), h the entropy of a coin; TV²/2 and more.

    Met by (½(1+TV), ½(1−TV)) and its mirror image.

    >>> least_jsd(torch.tensor([0.0, 1.0], dtype=torch.float64))
    tensor([0.0000, 0.6931], dtype=torch.float64)
    """
    sides = torch.stack([1 + tv, 1 - tv]) / 2
    return math.log(2) + torch.xlogy(sides, sides).sum(0)


def random_pairs(count: int, generator: torch.Generator, points: int = 6) -> tuple[Tensor, Tensor]:
    """Random laws p and q on the same points, float64 [count, points] each, some near each other.

    Their masses are random, some of them next to none.
    """
    u = torch.rand(5, count, points, generator=generator, dtype=torch.float64)
    p, q = (weight / weight.sum(1, keepdim=True) for weight in -u[:2].log() * u[2:4] ** 6)
    share = u[4, :, :1] ** 2
    return p, share * p + (1 - share) * q


def between(p: Tensor, q: Tensor) -> dict[str, Tensor]:
    """KL, JSD, TV and W₁ of laws on points evenly spaced from 0 to 1, [count, points] → [count] each."""
    middle = (p + q) / 2

    def divergence(a: Tensor, b: Tensor) -> Tensor:
        return (torch.xlogy(a, a) - torch.xlogy(a, b)).sum(1)

    return {
        "KL": divergence(p, q),
        "JSD": (divergence(p, middle) + divergence(q, middle)) / 2,
        "TV": (p - q).abs().sum(1) / 2,
        "W1": (p - q).cumsum(1)[:, :-1].abs().mean(1),
    }


def _run(settings: Settings) -> Result:
    pair = distances(log_normal(0.0), log_normal(1.0))
    steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    paths = {}
    for k, (name, sequence) in enumerate(SEQUENCES.items()):
        found = [sequence(n) for n in steps]
        paths[name] = {of: [one[of] for one in found] for of in COLOURS}
        settings.advance((k + 1) / len(SEQUENCES))
    random = between(*random_pairs(400 if settings.quick else 2000, settings.generator("random-pairs")))
    tv = random["TV"]
    kept = {
        "TV²/2 ≤ JSD": bool((tv.square() / 2 <= random["JSD"] + 1e-12).all()),
        "JSD ≤ TV·log 2": bool((random["JSD"] <= tv * math.log(2) + 1e-12).all()),
        "TV ≤ √(KL/2)": bool((tv <= (random["KL"] / 2).clamp_min(0).sqrt() + 1e-12).all()),
        "W1 ≤ diameter·TV": bool((random["W1"] <= tv + 1e-12).all()),
    }
    numbers: dict[str, Any] = {
        "N(0,1), N(1,1)": {
            **pair,
            "TV²/2": pair["TV"] ** 2 / 2,
            "TV·log 2": pair["TV"] * math.log(2),
            "√(KL/2)": math.sqrt(pair["KL"] / 2),
        },
        f"kept by {len(tv)} random pairs": kept,
        "n": steps,
        "sequences": {
            name: {
                of: ["infinite" if math.isinf(value) else value for value in values]
                for of, values in path.items()
            }
            for name, path in paths.items()
        },
    }
    return Result(numbers, lambda figure: _draw(figure, random, pair, steps, paths), _says(numbers, len(tv)))


def _says(numbers: dict[str, Any], count: int) -> str:
    pair, paths = numbers["N(0,1), N(1,1)"], list(numbers["sequences"].values())
    last, n = {of: values[-1] for of, values in paths[2].items()}, numbers["n"][-1]
    kept = list(numbers[f"kept by {count} random pairs"].values())
    return (
        f"Above, what binds the distances: {count} random pairs of laws on six points of [0, 1], and the "
        "pair N(0,1), N(1,1). JSD and TV hold each other from both sides, so they go to 0 together: on the "
        f"pair {pair['TV²/2']:.4f} ≤ {pair['JSD']:.4f} ≤ {pair['TV·log 2']:.4f}, TV being {pair['TV']:.4f}. "
        f"KL bounds TV by Pinsker's inequality, {pair['TV']:.4f} ≤ {pair['√(KL/2)']:.4f}, and TV bounds W1 "
        f"on a bounded space, by its diameter. {'All' if all(kept) else 'Not all'} of the pairs keep all of "
        "these. So KL → 0 brings the rest to 0, and W1 → 0 brings none of them. Below, sequences that part "
        "them. A finer and finer grid comes to the uniform law in W1 alone: it has no density, and TV, JSD "
        "and KL stay at 1, log 2 and ∞. A share 1/n moved by √(2n) is lost in TV, JSD and W1, which at n = "
        f"{n} are {last['TV']:.4f}, {last['JSD']:.4f} and {last['W1']:.4f}, but KL goes to 1 "
        f"({last['KL']:.4f}). Moved by n, it shows why the space must be bounded: TV and JSD go to 0, and W1 "
        "stays 1."
    )


def _draw(
    figure: "Figure",
    random: dict[str, Tensor],
    pair: dict[str, float],
    steps: list[int],
    paths: dict[str, dict[str, list[float]]],
) -> None:
    above, below = figure.subplots(2, 3)
    tv = torch.linspace(0, 1, 101, dtype=torch.float64)
    bounds: list[list[tuple[Tensor, str]]] = [
        [(tv * math.log(2), "TV·log 2"), (least_jsd(tv), "least JSD"), (tv.square() / 2, "TV²/2")],
        [(2 * tv.square(), "2·TV²")],
        [(tv, "TV·diameter")],
    ]
    for axes, of, lines in zip(above, ("JSD", "KL", "W1"), bounds, strict=True):
        axes.plot(random["TV"], random[of], ".", color=GREY, markersize=2, alpha=0.5)
        for (bound, name), dash in zip(lines, ("-", "-", ":"), strict=False):
            axes.plot(tv, bound, dash, color=COLOURS[of], linewidth=1.4, label=name)
        if of != "W1":
            axes.plot(pair["TV"], pair[of], "D", color=INK, markersize=5, label="N(0,1), N(1,1)")
        axes.set(xlabel="TV", ylabel=of, xlim=(0, 1), ylim=(0, {"JSD": 0.72, "KL": 4, "W1": 1}[of]))
        axes.legend(loc="upper left")
    titles = ("JSD and TV bind each other", "KL bounds TV", "TV bounds W1 on [0, 1]")
    for axes, title in zip(above, titles, strict=True):
        axes.set_title(title)
    titles = (
        "W1 alone: n equal masses, uniform",
        "All but KL: 1/n moved by √(2n)",
        "Not W1 either: 1/n moved by n",
    )
    for axes, path, title in zip(below, list(paths.values())[1:], titles, strict=True):
        for (of, values), dash in zip(path.items(), ("-", "--", "-.", "-"), strict=True):
            if math.isinf(values[0]):
                axes.annotate(
                    "KL = ∞", (0.98, 0.8), xycoords="axes fraction", ha="right", va="top", color=COLOURS[of]
                )
            else:
                axes.plot(steps, values, dash, color=COLOURS[of], label=of, marker=".")
        axes.set(title=title, xscale="log", yscale="log", xlabel="n", ylabel="distance to the limit")
    figure.legend(*below[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)


TOPOLOGY = Experiment(
    name="topology",
    number=10,
    title="The order of KL, JSD, TV and W1, with its inequalities and what parts them",
    lectures=("lecture 2, lines 169–194",),
    slip=(
        "The JSD of line 177 lacks its ½: ½KL(P‖M) + ½KL(Q‖M), which is log 2 where supports are disjoint. "
        "In lines 185–188 “= 0” should be “→ 0”. That JSD → 0 brings W → 0 needs a bounded space, which the "
        "slide does not say."
    ),
    run=_run,
    figsize=(10.5, 7.0),
)
