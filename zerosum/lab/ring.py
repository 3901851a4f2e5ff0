"""Mode collapse on a ring of eight Gaussians: a GAN that fails on it, and what helps.

`zerosum lab ring` trains one seed of each system for a look; `python -m zerosum.lab.ring_seeds` trains
many seeds for longer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.data import Resident
from zerosum.data.adopt import points
from zerosum.data.toys import ring, ring_modes
from zerosum.draws import Draws, Latent, mix
from zerosum.lab.critic import smooth_net
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.metrics.modes import Modes, modes
from zerosum.nets.mlp import MLPCritic, MLPGenerator
from zerosum.recipes.duel import Rules, duel
from zerosum.recipes.system import System
from zerosum.training.loop import train
from zerosum.training.state import Average, State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CENTRES", "ENTRANTS", "SIGMA", "Entrant", "Trial", "draw_trials", "trial"]

SIGMA = 0.02  # of each Gaussian; their centres stand on a circle of radius 1
CENTRES = torch.from_numpy(ring_modes())
JUDGED = 2_500  # samples
LOOK = 4_000  # steps of `zerosum lab ring`


@dataclass(frozen=True)
class Entrant:
    """A system of the comparison: the rules of its game, its nets, and when its rates fall.

    Nets have `hidden` units a layer, ReLU in the generator and LeakyReLU .2 in the critic, or tanh in both.
    `rules.images` and the schedule are set from the steps: the rates are constant for the share `falls` of
    them, and fall to 0 in a line from there.
    """

    rules: Rules
    latent: int = 16
    hidden: tuple[int, ...] = (128, 128)
    smooth: bool = False
    batch_layer: str = "none"
    falls: float = 1.0

    def system(self, seed: int, steps: int) -> System:
        """The game and its optimisers, made from the seed alone, to be trained for so many steps."""
        rules, size = self.rules, 2 * self.rules.pack
        images = steps * rules.batch * rules.critic_steps
        law = (f"linear:start={int(self.falls * images)},stop={images}",) if self.falls < 1 else ()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(seed, "weights"))
            generator, critic = self._nets(size)
        return duel(generator, critic, Latent(self.latent), replace(rules, images=images, schedule=law))

    def _nets(self, size: int) -> tuple[nn.Module, nn.Module]:
        if not self.smooth:
            return (
                MLPGenerator((2,), latent=self.latent, hidden=self.hidden, bound=None),
                MLPCritic((size,), hidden=self.hidden, pieces=1, bound=None, batch_layer=self.batch_layer),
            )
        start = torch.default_generator
        return (
            smooth_net(self.latent, *self.hidden, 2, generator=start),
            nn.Sequential(*smooth_net(size, *self.hidden, 1, generator=start), nn.Flatten(0)),
        )


_METZ = Rules(lr=1e-3, critic_lr=1e-4, batch=512, images=1, average=0.0)
_EVEN = Rules(lr=1e-3, batch=128, images=1)
_PLAIN = Entrant(_EVEN, falls=0.5)
_QUICK = replace(_EVEN, lr=2e-3)

ENTRANTS: Mapping[str, Entrant] = {
    "vanilla": Entrant(_METZ, latent=256, smooth=True),
    "vanilla at even rates": _PLAIN,
    "unrolled": replace(_PLAIN, rules=replace(_EVEN, unroll=5)),
    "minibatch discrimination": replace(_PLAIN, batch_layer="minibatch-discrimination:kernels=8,size=3"),
    "PacGAN": replace(_PLAIN, rules=replace(_EVEN, pack=2, batch=256)),
    "WGAN-GP": replace(
        _PLAIN,
        rules=replace(_QUICK, objective="wasserstein", penalty=("wgan-gp:weight=0.1",), critic_steps=2),
    ),
    "RpGAN+R1+R2": replace(
        _PLAIN,
        rules=replace(_QUICK, objective="relativistic", penalty=("r1:weight=0.05", "r2:weight=0.05")),
    ),
}


@dataclass(frozen=True)
class Trial:
    """One run: at each of `steps`, `JUDGED` samples [S, N, 2] and what they cover."""

    name: str
    seed: int
    steps: tuple[int, ...]
    samples: Tensor
    found: tuple[Modes, ...]
    seconds: float

    @property
    def numbers(self) -> Mapping[str, Any]:
        """Steps, modes hit, shares of high quality, KL of the histogram, and seconds of training."""
        return {
            "steps": list(self.steps),
            "modes": [one.hit for one in self.found],
            "share of high quality": [one.share_high_quality for one in self.found],
            "KL of the histogram": [one.kl for one in self.found],
            "seconds": self.seconds,
        }


def snapshots(steps: int) -> tuple[int, ...]:
    """0, a twenty-fifth of the steps, and each fifth.

    >>> snapshots(25_000)
    (0, 1000, 5000, 10000, 15000, 20000, 25000)
    """
    return tuple(sorted({0, steps // 25, *(steps * k // 5 for k in range(1, 6))}))


def trial(name: str, seed: int, steps: int, advance: Callable[[float], None] = lambda share: None) -> Trial:
    """Train one entrant from one seed, and judge its generator on the way.

    Samples are drawn from the moving average of the generator where the entrant keeps one, else from the
    generator. Data, weights, latents and what is judged depend on the seed alone.
    """
    entrant = ENTRANTS[name]
    system = entrant.system(seed, steps)
    state = State(seed)
    generator = system.game.get_submodule(system.generator)
    if system.average:
        state.averages["generator"] = Average(generator, system.average)
        generator = state.averages["generator"].module
    source = Resident(points("ring", ring(100_000, seed, std=SIGMA)), seed=seed)
    latents = system.latent(Draws(mix(seed, "judged"), stop=JUDGED))
    at, samples = snapshots(steps), []
    for step in at:
        train(
            system.game,
            source,
            system.optimisers,
            state,
            step * system.batch * entrant.rules.critic_steps,
            batch=system.batch,
            schedules=system.schedules,
            hooks=[lambda moment: advance(moment.clock.step / steps)],
        )
        with torch.no_grad():
            samples.append(generator(latents))
    found = tuple(modes(points, CENTRES, SIGMA) for points in samples)
    return Trial(name, seed, at, torch.stack(samples), found, state.seconds)


def _run(settings: Settings) -> Result:
    steps = LOOK // 200 if settings.quick else LOOK

    def part(number: int) -> Callable[[float], None]:
        return lambda share: settings.advance((number + share) / len(ENTRANTS))

    trials = [trial(name, settings.seed, steps, part(number)) for number, name in enumerate(ENTRANTS)]
    numbers = {one.name: one.numbers for one in trials}
    return Result(numbers, lambda figure: draw_trials(figure, trials), _says(trials))


def _says(trials: Sequence[Trial]) -> str:
    steps = trials[0].steps[-1]
    scores = "; ".join(f"{one.name} {one.found[-1].hit} and {_percent(one.found[-1])}" for one in trials)
    length = (
        "this quick look is far too short to judge any of them"
        if steps < LOOK
        else "docs/mode-collapse.md has five seeds trained for longer, and one to 25,000 steps"
    )
    return (
        f"Seven GANs learn a ring of eight Gaussians of standard deviation {SIGMA} on the unit circle, each "
        f"in {steps:,} steps from one seed; {length}. A row is one of them as it trains: the shade is the "
        "density of its samples, the small circles are three standard deviations about the centres. The "
        "first is the published demonstration, whose critic learns ten times slower than the generator: "
        "what the critic has learnt, the generator has already left. The second learns at even rates, with "
        "the nets, latents and momentum of the remedies below it, and is a lottery: some seeds circle for "
        "thousands of steps with all samples on one or two spots. Unrolling shows the generator the critic "
        "of five steps later; minibatch discrimination and PacGAN show the critic many samples at once, so "
        "that a lack of variety gives them away; WGAN-GP and RpGAN with R1 and R2 hold the critic's slope, "
        "so that no spot attracts every sample. A mode counts as hit when at least 20 of 2,500 samples lie "
        f"within its circle. Modes hit, and samples within a circle, at the end: {scores}."
    )


def _percent(found: Modes) -> str:
    return f"{100 * found.share_high_quality:.0f} %"


def draw_trials(figure: "Figure", trials: Sequence[Trial]) -> None:
    """A row a trial: its samples' density at each snapshot, the target, the scores at the end."""
    from zerosum.lab.style import FAKE, INK, REAL

    steps = trials[0].steps
    grid = figure.subplots(len(trials), len(steps) + 2, squeeze=False)
    for row, one in zip(grid, trials, strict=True):
        for axes, step, samples in zip(row, steps, one.samples, strict=False):
            show(axes, samples, FAKE)
            if one is trials[0]:
                axes.set_title(f"step {step:,}", loc="center")
        show(row[-2], torch.from_numpy(ring(JUDGED, mix(one.seed, "shown") % 2**32, std=SIGMA)), REAL)
        row[0].set_ylabel(one.name.replace(" ", "\n", 1), fontsize=10)
        last = one.found[-1]
        row[-1].axis("off")
        row[-1].text(0, 0.68, f"{last.hit} of {len(CENTRES)} modes", color=INK, weight="bold")
        row[-1].text(0, 0.44, f"{_percent(last)} within 3σ", color=INK)
        row[-1].text(0, 0.20, f"KL {last.kl:.3f}", color=INK)
    grid[0][-2].set_title("target", loc="center")


def show(axes: "Axes", samples: Tensor, colour: str, half: float = 1.4, pixels: int = 140) -> None:
    """The density of samples [N, 2] as shades of a colour, over the circles of the eight modes."""
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm
    from matplotlib.patches import Circle

    from zerosum.lab.style import GREY

    edges = np.linspace(-half, half, pixels + 1)
    x, y = samples.double().numpy().T
    counts, _, _ = np.histogram2d(y, x, bins=(edges, edges))
    kernel = np.exp(-0.5 * (np.arange(-5, 6) / 1.6) ** 2)
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, kernel / kernel.sum(), mode="same")
    shades = LinearSegmentedColormap.from_list("shades", ["white", colour, "black"])
    axes.imshow(
        counts,
        extent=(-half, half, -half, half),
        origin="lower",
        cmap=shades,
        norm=PowerNorm(0.5, 0, len(x) / 230),
        interpolation="none",
    )
    circles = [Circle((x, y), 3 * SIGMA) for x, y in CENTRES.tolist()]
    axes.add_collection(PatchCollection(circles, facecolor="none", edgecolor=GREY, linewidth=0.4))
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color="#dddddd")


MODE_COLLAPSE = Experiment(
    name="ring",
    number=15,
    title="Mode collapse on the ring, and what helps",
    lectures=("lecture 2, line 66",),
    slip="",
    run=_run,
    figsize=(11.0, 8.8),
)
