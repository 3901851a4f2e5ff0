"""Proposition 1 and theorem 1: the optimal discriminator, and what the generator then minimises."""

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.lab.critic import smooth_net, train_critic
from zerosum.lab.densities import AXIS, integrate, jensen_shannon, log_normal
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.objectives import minimax

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OPTIMAL_DISCRIMINATOR", "VIRTUAL_CRITERION", "criterion", "optimal_logit", "value"]

SUPPORT = torch.linspace(-3, 4, 1401, dtype=torch.float64)  # holds .998 of either law
AT = (-1.0, 0.0, 0.5, 2.0)
LOG4 = math.log(4)


def optimal_logit(log_p: Tensor, log_q: Tensor) -> Tensor:
    """l* = log p/p_g, so that D* = σ(l*) = p/(p+p_g) (Goodfellow et al. 2014, eq. 2).

    >>> x = torch.zeros(1, dtype=torch.float64)
    >>> torch.sigmoid(optimal_logit(log_normal(0.0, x=x), log_normal(1.0, x=x)))
    tensor([0.6225], dtype=torch.float64)
    """
    return log_p - log_q


def value(logit: Tensor, log_p: Tensor, log_q: Tensor, x: Tensor = AXIS) -> float:
    """V(D,G) = E_p log D + E_{p_g} log(1−D) by quadrature, for D = σ(logit) on the grid `x`.

    >>> value(torch.zeros_like(AXIS), log_normal(0.0), log_normal(1.0))  # D = ½: −log 4
    -1.386294361119...
    """
    return integrate(log_p.exp() * F.logsigmoid(logit) + log_q.exp() * F.logsigmoid(-logit), x)


def criterion(log_p: Tensor, log_q: Tensor) -> float:
    """C(G) = max_D V(D,G), by quadrature of V at the optimal D.

    >>> round(criterion(log_normal(0.0), log_normal(1.0)), 8)
    -1.1634514
    """
    return value(optimal_logit(log_p, log_q), log_p, log_q)


def _run_optimal(settings: Settings) -> Result:
    steps, size = (600, 1024) if settings.quick else (2000, 2048)
    random = settings.generator("optimal discriminator")
    critic = smooth_net(1, 32, 1, generator=random)
    log_p, log_q = log_normal(0.0), log_normal(1.0)
    star = torch.sigmoid(0.5 - SUPPORT)

    @torch.no_grad()
    def look(x: Tensor) -> Tensor:
        return critic(x.float()[:, None]).squeeze(1).double()  # type: ignore[no-any-return]

    def draw() -> tuple[Tensor, Tensor]:
        return torch.randn(size, 1, generator=random), 1 + torch.randn(size, 1, generator=random)

    watched = {round(steps ** (i / 40)) for i in range(41)}
    history: list[tuple[int, float, float]] = []
    for step, _ in train_critic(critic, minimax(), draw, steps, lr=2e-2):
        if step in watched:
            error = float((look(SUPPORT).sigmoid() - star).abs().max())
            history.append((step, error, value(look(AXIS), log_p, log_q)))
            settings.advance(step / steps)
    best = criterion(log_p, log_q)
    trained = look(SUPPORT).sigmoid()
    _, error, reached = history[-1]
    numbers = {
        "D* at 0": float(torch.sigmoid(torch.tensor(0.5, dtype=torch.float64))),
        "V at D*": best,
        "V of the trained critic": reached,
        "largest |D - D*| on [-3, 4]": error,
        "steps": [step for step, _, _ in history],
        "largest |D - D*| at these steps": [error for _, error, _ in history],
        "V at these steps": [v for _, _, v in history],
    }
    says = (
        "For a generator that stands still, p = N(0,1) against p_g = N(1,1), the best discriminator is "
        "D*(x) = p/(p+p_g) = σ(½−x), which is 0.6225 at 0. Left: a small net trained on fresh samples with "
        "the minimax loss and told nothing of either density ends within "
        f"{error:.4f} of D* everywhere on [−3, 4]. Middle: why. For each x, D(x) = y is chosen to maximise "
        "p(x) log y + p_g(x) log(1−y); each curve peaks at y = p/(p+p_g), and the next x does not care, so "
        "the integral is maximised point by point. Right: V(D,G) climbs during training towards "
        f"V(D*) = {best:.6f}, which it cannot pass; the net ends at {reached:.6f}. An error of D counts in V "
        "only to second order, so V settles long before D does: a still value does not say that D is optimal."
    )

    def draw_figure(figure: "Figure") -> None:
        _draw_optimal(figure, trained, history, best)

    return Result(numbers, draw_figure, says)


def _draw_optimal(
    figure: "Figure", trained: Tensor, history: list[tuple[int, float, float]], best: float
) -> None:
    from zerosum.lab.style import CRITIC, CYCLE, FAKE, INK, REAL

    left, middle, right = figure.subplots(1, 3)
    x = SUPPORT
    left.plot(x, log_normal(0.0, x=x).exp(), color=REAL, label="p")
    left.plot(x, log_normal(1.0, x=x).exp(), color=FAKE, label="p_g")
    left.plot(x, torch.sigmoid(0.5 - x), color=INK, label="D*")
    left.plot(x, trained, "--", color=CRITIC, label="D, trained")
    left.set(title="Trained against optimal", xlabel="x", ylabel="density; D", ylim=(0, 1.02))
    left.legend(loc="upper right")
    y = torch.linspace(0.002, 0.998, 499, dtype=torch.float64)
    for at, colour in zip(AT, CYCLE, strict=False):
        point = torch.tensor(at, dtype=torch.float64)
        p, q = (float(log_normal(mean, x=point).exp()) for mean in (0.0, 1.0))
        star = p / (p + q)
        middle.plot(y, p * y.log() + q * (1 - y).log(), color=colour, label=f"x = {at:g}")
        middle.plot([star], [p * math.log(star) + q * math.log(1 - star)], "o", color=colour)
    middle.set(title="p(x) log y + p_g(x) log(1−y)", xlabel="y = D(x)", ylim=(-1.6, 0.05), xlim=(0, 1))
    middle.legend(loc="lower center", ncols=2)
    steps = [step for step, _, _ in history]
    right.loglog(steps, [error for _, error, _ in history], color=CRITIC, label="largest |D − D*|")
    right.loglog(steps, [best - v for _, _, v in history], color=INK, label="V(D*) − V(D), nats")
    right.set(title="What is missing", xlabel="critic's steps", ylim=(1e-6, 3))
    right.legend(loc="upper right")


def _run_criterion(settings: Settings) -> Result:
    count = 61 if settings.quick else 121
    log_p = log_normal(0.0)
    paths = {
        "mean": torch.linspace(-6, 6, count, dtype=torch.float64).tolist(),
        "spread": torch.logspace(-4, 2, count, 2, dtype=torch.float64).tolist(),
    }
    laws = {
        "mean": [log_normal(mean) for mean in paths["mean"]],
        "spread": [log_normal(0.0, spread) for spread in paths["spread"]],
    }
    c = {name: [criterion(log_p, log_q) for log_q in path] for name, path in laws.items()}
    jsd = {name: [jensen_shannon(log_p, log_q) for log_q in path] for name, path in laws.items()}
    gap = max(abs(c[n][i] - (2 * jsd[n][i] - LOG4)) for n in c for i in range(count))
    at_one = criterion(log_p, log_normal(1.0))
    lowest = min(min(values) for values in c.values())
    numbers = {
        "-log 4": -LOG4,
        "lowest C along the paths": lowest,
        "largest |C - (2 JSD - log 4)|": gap,
        "C at N(1,1)": at_one,
        "JSD at N(1,1)": jensen_shannon(log_p, log_normal(1.0)),
        "C at N(1,1) by the slide, with one JSD": jensen_shannon(log_p, log_normal(1.0)) - LOG4,
        "paths": paths,
        "C": c,
        "JSD": jsd,
    }
    says = (
        "What the generator minimises once D is at its best, C(G) = max_D V(D,G), along two paths of "
        "generators through p = N(0,1): left the mean moves, right the spread. Dots are V at the optimal D, "
        f"by quadrature; the line is −log 4 + 2 JSD(p‖p_g), and they agree within {gap:.0e}. Both paths have "
        f"their minimum, −log 4 = {-LOG4:.6f}, where p_g = p and nowhere else; far away C flattens towards "
        "0, for JSD cannot exceed log 2 = 0.693147, and there its slope, which is all the generator learns "
        f"from, is gone. At N(1,1) C is {at_one:.8f}; the formula on the slide, with one JSD in place of "
        f"two, would give {jensen_shannon(log_p, log_normal(1.0)) - LOG4:.6f} (dotted)."
    )

    def draw(figure: "Figure") -> None:
        _draw_criterion(figure, paths, c, jsd)

    return Result(numbers, draw, says)


def _draw_criterion(
    figure: "Figure", paths: dict[str, list[float]], c: dict[str, list[float]], jsd: dict[str, list[float]]
) -> None:
    from zerosum.lab.style import CRITIC, GREY, INK, legend_below

    panels = figure.subplots(1, 2, sharey=True)
    titles = ("The mean moves: p_g = N(θ, 1)", "The spread changes: p_g = N(0, s²)")
    for axes, name, label, title in zip(panels, paths, ("θ", "s"), titles, strict=True):
        x = paths[name]
        axes.plot(x, [2 * value - LOG4 for value in jsd[name]], color=CRITIC, label="−log 4 + 2 JSD")
        some = slice(None, None, len(x) // 20)
        axes.plot(x[some], c[name][some], "o", color=INK, label="V at the optimal D")
        axes.plot(x, [value - LOG4 for value in jsd[name]], ":", color=GREY, label="the slide's −log 4 + JSD")
        axes.axhline(-LOG4, color=GREY, linewidth=0.8)
        axes.set(title=title, xlabel=label)
    panels[0].set(ylabel="C(G), nats", ylim=(-1.45, 0.05))
    panels[0].annotate("−log 4", (-6, -LOG4), xytext=(0, 3), textcoords="offset points")
    panels[1].set_xscale("log", base=2)
    panels[1].set_xticks([0.0625, 0.25, 1, 4], ["1/16", "1/4", "1", "4"])
    legend_below(figure)


OPTIMAL_DISCRIMINATOR = Experiment(
    name="optimal-discriminator",
    number=2,
    title="The optimal discriminator D* = p/(p+p_g), and a critic trained against it",
    lectures=("lecture 1, lines 109–120", "lecture 2, lines 45–46"),
    slip=(
        "y ↦ a log y + b log(1−y) has its maximum at a/(a+b) for a, b ≥ 0, not both 0; the slide lets "
        "(a, b) be anything but (0, 0) (lecture 1, line 120)."
    ),
    run=_run_optimal,
    figsize=(10.5, 3.8),
)
VIRTUAL_CRITERION = Experiment(
    name="virtual-criterion",
    number=3,
    title="C(G) = −log 4 + 2 JSD along two paths of generators",
    lectures=("lecture 1, lines 124–131", "lecture 2, lines 48–53"),
    slip=(
        "The last line of the proof must read −log 4 + 2·JSD(p_g‖p_data); the 2 is missing "
        "(lecture 1, line 131). Lecture 2, line 51, has it."
    ),
    run=_run_criterion,
)
