"""Drawing samples: one pass of a generator against Langevin chains on the same target."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.draws import mix
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.play import trained
from zerosum.nets.mlp import MLPGenerator
from zerosum.transport import sliced_wasserstein

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SAMPLING", "TARGET", "Mixture", "langevin", "stationary_variance"]

STEP = 0.02  # of the chains


@dataclass(frozen=True)
class Mixture:
    """Normal laws of one standard deviation about `centres` [K, D], with `weights` [K] that sum to 1."""

    centres: Tensor
    weights: Tensor
    std: float

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) but for the constant −D log(std √2π), [N]."""
        return torch.logsumexp(self._logits(x), 1)

    def score(self, x: Tensor) -> Tensor:
        """∇ log p(x) = (E[centre | x] − x)/std², [N, D].

        >>> one = Mixture(torch.zeros(1, 2), torch.ones(1), 2.0)
        >>> one.score(torch.tensor([[4.0, -8.0]]))
        tensor([[-1.,  2.]])
        """
        return (torch.softmax(self._logits(x), 1) @ self.centres - x) / self.std**2

    def sample(self, count: int, random: torch.Generator) -> Tensor:
        """Independent samples, [count, D]."""
        which = torch.multinomial(self.weights, count, replacement=True, generator=random)
        noise = torch.randn(count, self.centres.shape[1], generator=random)
        return self.centres[which] + self.std * noise

    def shares(self, x: Tensor) -> Tensor:
        """The share of points [N, D] nearest to each centre, [K]."""
        counts = torch.bincount(torch.cdist(x, self.centres).argmin(1), minlength=len(self.centres))
        return counts / len(x)

    def _logits(self, x: Tensor) -> Tensor:
        squares = (x[:, None] - self.centres).square().sum(2)
        return self.weights.log() - squares / (2 * self.std**2)


TARGET = Mixture(
    torch.tensor([[-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]),
    torch.tensor([0.4, 0.3, 0.2, 0.1]),
    0.3,
)


def langevin(
    score: Callable[[Tensor], Tensor], start: Tensor, step: float, random: torch.Generator
) -> Iterator[Tensor]:
    """Chains x ← x + ½h∇log p(x) + √h ξ, ξ normal, from `start` [N, D]; yields where they are, step by step.

    Without a Metropolis test: near a mode of variance s² they settle at s²/(1 − h/4s²).

    >>> chains = langevin(lambda x: -x, torch.zeros(3, 1), 0.1, torch.Generator())
    >>> next(chains).shape
    torch.Size([3, 1])
    """
    x = start
    while True:
        x = x + step / 2 * score(x) + step**0.5 * torch.randn(x.shape, generator=random)
        yield x


def stationary_variance(std: float, step: float) -> float:
    """Where the variance of chains on N(·, std²) settles: s²/(1 − h/4s²), above s² by the step's error.

    x ← (1−h/2s²)x + √h ξ keeps v = (1−h/2s²)²v + h.

    >>> round(stationary_variance(1.0, 0.4), 6)
    1.111111
    """
    return std**2 / (1 - step / (4 * std**2))


def _seconds(work: Callable[[], Any], least: float = 0.05) -> float:
    """How long one call takes: the fastest of three rounds, each of at least so many seconds."""
    best = float("inf")
    for _ in range(3):
        calls, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < least:
            work()
            calls += 1
        best = min(best, took / calls)
    return best


def _chains(count: int, steps: int, settings: Settings) -> dict[int, Tensor]:
    """Where chains are that began at N(0, 1), after about even powers of so many steps."""
    random = settings.generator("chains")
    watched = sorted({round(steps ** (k / 24)) for k in range(25)})
    places = {0: torch.randn(count, 2, generator=random)}
    for step, x in enumerate(langevin(TARGET.score, places[0], STEP, random), 1):
        if step in watched:
            places[step] = x
            settings.advance(0.4 * step / steps)
        if step == steps:
            return places
    raise AssertionError("chains do not end")


def _run(settings: Settings) -> Result:
    count, steps = (1500, 2000) if settings.quick else (3000, 6000)
    random = settings.generator("target")
    truth, again = TARGET.sample(count, random), TARGET.sample(count, random)
    places = _chains(count, steps, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(settings.seed, "generator"))
        generator = MLPGenerator((2,), latent=4, hidden=(128, 128), bound=None)
    updates, lr = (500, 2e-3) if settings.quick else (1600, 1e-3)
    data = TARGET.sample(50_000, random)
    game = trained(data, generator, 4, (128, 128), updates, settings.seed, weight=0.02, lr=lr)
    made = game.sample(count)
    settings.advance(0.9)
    apart = {step: sliced_wasserstein(truth, x) for step, x in places.items()}
    near = sliced_wasserstein(truth, made)
    caught = next((step for step, distance in apart.items() if distance <= near), None)
    latents = torch.randn(count, 4, generator=random)
    chain = langevin(TARGET.score, truth, STEP, random)
    with torch.no_grad():
        seconds = {
            "one pass": _seconds(lambda: generator(latents)),
            "one step": _seconds(lambda: next(chain)),
        }
    last = max(apart)
    numbers: dict[str, Any] = {
        "sliced W1 of two samples of the target": sliced_wasserstein(truth, again),
        "sliced W1 of the GAN": near,
        "steps of the chains": list(apart),
        "sliced W1 of the chains": list(apart.values()),
        "steps until the chains are as near as the GAN": caught,
        "shares of the modes": {
            "target": TARGET.weights.tolist(),
            "GAN": TARGET.shares(made).tolist(),
            **{
                f"chains after {step} steps": TARGET.shares(places[step]).tolist()
                for step in (_early(apart), last)
            },
        },
        "variance in a mode": {
            "target": TARGET.std**2,
            "chains, in closed form": stationary_variance(TARGET.std, STEP),
            "chains": _within(places[last]),
            "GAN": _within(made),
        },
        "the GAN's seconds of training": game.state.seconds,
        "the GAN's samples a second": count / seconds["one pass"],
        "the chains' samples a second, one step": count / seconds["one step"],
        "the chains' samples a second, to be as near as the GAN": caught
        and count / seconds["one step"] / caught,
    }

    def draw(figure: "Figure") -> None:
        _draw(figure, truth, places, made, numbers, {name: took / count for name, took in seconds.items()})

    return Result(numbers, draw, _says(numbers, last))


def _early(steps: Iterable[int]) -> int:
    """The first look after fifty steps: the chains have fallen into modes and not changed them yet."""
    return next(step for step in steps if step >= 50)


def _within(x: Tensor) -> float:
    """The variance of points about the centre nearest to each, a dimension."""
    return float((x - TARGET.centres[torch.cdist(x, TARGET.centres).argmin(1)]).square().mean())


def _says(numbers: dict[str, Any], last: int) -> str:
    caught = numbers["steps until the chains are as near as the GAN"]
    near, floor = numbers["sliced W1 of the GAN"], numbers["sliced W1 of two samples of the target"]
    early, shares = list(numbers["shares of the modes"].items())[2]  # "chains after …"
    percent = ", ".join(f"{100 * share:.0f}" for share in shares)
    rate = numbers["the GAN's samples a second"]
    slow = numbers["the chains' samples a second, to be as near as the GAN"]
    training = numbers["the GAN's seconds of training"]
    chains = (
        f"The chains are as near by step {caught:,}; as measured here, they then draw {slow:,.0f} "
        f"samples a second, and the GAN {rate:,.0f}."
        if caught
        else f"In {last:,} steps the chains did not come as near."
    )
    variance = numbers["variance in a mode"]["chains, in closed form"]
    return (
        "The same target, four normal laws with shares of 40, 30, 20 and 10 %, drawn from in two ways. A "
        "Langevin chain walks up the gradient of log p, which it must be given, and adds noise. It falls "
        f"into the nearest mode at once, but then has to cross the low ground between: {early[7:]} the "
        f"shares are {percent} %, those of the start, and only thousands of steps bring them right. The GAN "
        f"is given samples instead of log p, is trained once ({training:.0f} seconds), and then each sample "
        f"is one pass of a small net. Its sliced W₁ to the target is {near:.3f}, where two samples of the "
        f"target are {floor:.3f} apart. {chains} What the lecture's plus does not say: the chains go on to "
        f"be right, up to the bias of their step (variance {variance:.4f} in a mode in place of "
        f"{TARGET.std**2:.4f}), while the GAN stays as far as its training left it, with bridges between the "
        "modes that a continuous G cannot avoid."
    )


def _draw(
    figure: "Figure",
    truth: Tensor,
    places: dict[int, Tensor],
    made: Tensor,
    numbers: dict[str, Any],
    seconds: dict[str, float],
) -> None:
    from zerosum.lab.style import FAKE, GREY, INK, REAL

    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.15))[:, 0]
    steps, apart = numbers["steps of the chains"], numbers["sliced W1 of the chains"]
    near = numbers["sliced W1 of the GAN"]
    shown = {
        "target": (truth, INK),
        **{f"chains, {step:,} steps": (places[step], REAL) for step in (_early(places), steps[-1])},
        "GAN, one pass": (made, FAKE),
    }
    for axes, (title, (x, colour)) in zip(top.subplots(1, 4), shown.items(), strict=True):
        _points(axes, x, title, colour)
    left, right = bottom.subplots(1, 2, sharey=True)
    left.loglog(steps[1:], apart[1:], color=REAL, label="Langevin chains")
    left.axhline(near, color=FAKE, label="GAN")
    left.axhline(
        numbers["sliced W1 of two samples of the target"],
        color=GREY,
        linestyle=":",
        label="two samples of the target",
    )
    left.set(title="Sliced W₁ to the target", xlabel="steps of each chain")
    left.legend(loc="lower left", bbox_to_anchor=(0, 0.08))
    each = [1e6 * step * seconds["one step"] for step in steps[1:]]
    right.loglog(each, apart[1:], color=REAL)
    right.plot(1e6 * seconds["one pass"], near, "o", color=FAKE, markersize=8)
    right.annotate("GAN, one pass", (1e6 * seconds["one pass"], near), (8, -3), textcoords="offset points")
    right.axhline(numbers["sliced W1 of two samples of the target"], color=GREY, linestyle=":")
    right.set(title="The same by the time of a sample, as measured", xlabel="microseconds a sample")
    ticks = (0.02, 0.05, 0.1, 0.2)
    left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    left.set_yticks([], minor=True)
    left.set_ylim(0.7 * min(near, *apart, numbers["sliced W1 of two samples of the target"]), 0.45)


def _points(axes: "Axes", x: Tensor, title: str, colour: str) -> None:
    axes.plot(*x[:2000].T, ".", color=colour, markersize=1.2, alpha=0.5)
    for centre, share in zip(TARGET.centres.tolist(), TARGET.shares(x).tolist(), strict=True):
        axes.annotate(f"{100 * share:.0f} %", (centre[0], 2.1 * centre[1]), ha="center", va="center")
    axes.set(title=title, xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)


SAMPLING = Experiment(
    name="sampling",
    number=23,
    title="Sampling: one pass of a generator against Langevin chains",
    lectures=("lecture 2, lines 54–59", "lecture 4, line 25"),
    slip="",
    run=_run,
    figsize=(10.5, 6.2),
)
