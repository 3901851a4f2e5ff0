"""The 2014 paper's figure of convergence, trained: the critic finds p/(p+p_g), the generator follows it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from zerosum.draws import Latent
from zerosum.games.game import Clock
from zerosum.lab.critic import smooth_net
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.play import PointGame
from zerosum.recipes.duel import Rules
from zerosum.training.loop import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CONVERGENCE", "EDGES", "View", "Z", "game", "pushed", "schedules", "view"]

EDGES = torch.linspace(-6, 6, 401, dtype=torch.float64)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
WIDTH = float(EDGES[1] - EDGES[0])
DATA = torch.special.ndtr(EDGES).diff()  # p = N(0,1): its mass in each bin
SUPPORT = CENTRES.abs() < 2.5  # .988 of p
Z = torch.special.ndtri(torch.arange(1, 2001, dtype=torch.float64) / 2001).float()  # equal mass between them
MEAN, STD = 1.2, 0.75  # of p_g at the start
NEAR, FITTED, MOVED = 3, 150, 162  # steps: to here the critic plays alone, twice; then the generator alone
RATES = {"generator": 2e-3, "critic": 1e-2}


def pushed(values: Tensor, edges: Tensor = EDGES) -> Tensor:
    """The mass that G puts in each bin, [b−1], exact for a G that is straight between its `values` [n].

    The values are G(z) at even places z of a uniform law, so each piece carries as much mass, which G
    spreads evenly from one value to the next: p_g(x) = Σ p_z/|G′| over the z with G(z) = x.

    >>> pushed(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.5, 1.0, 2.0]))
    tensor([0.2500, 0.2500, 0.5000])
    """
    ends = torch.stack([values[:-1], values[1:]]).to(edges.dtype)
    low, high = ends.amin(0), ends.amax(0)
    below = (edges[:, None] - low) / (high - low).clamp_min(1e-12)
    return below.clamp(0, 1).mean(1).diff()


class View(NamedTuple):
    """The game at a step: G at `Z` [n], p_g's mass and D in each bin [b], and what they come to.

    `off_half`: mean |D−½| over an even grid of p's support; `off_best`: mean |D−D*| under (p+p_g)/2;
    `taken_for_real`: mean D(G(z)); `divergence`: JSD(p‖p_g) of the binned laws, in nats.
    """

    step: int
    values: Tensor
    mass: Tensor
    d: Tensor
    off_half: float
    off_best: float
    taken_for_real: float
    divergence: float

    @property
    def numbers(self) -> Mapping[str, Any]:
        """The scalars, by the names of the gallery."""
        return {
            "step": self.step,
            "mean |D - 1/2| on the support": self.off_half,
            "mean |D - D*|": self.off_best,
            "mean D(G(z))": self.taken_for_real,
            "JSD(p, p_g)": self.divergence,
        }


@torch.no_grad()
def view(generator: nn.Module, critic: nn.Module, step: int = 0) -> View:
    """Look at a generator of one uniform latent and a critic of points on the line."""
    values = generator(Z[:, None]).squeeze(1)
    d = torch.sigmoid(critic(CENTRES.float()[:, None]).double())
    mass = pushed(values)
    both = (DATA + mass) / 2
    best = DATA / (2 * both)
    entropy = [torch.special.xlogy(law, law / both).sum() for law in (DATA, mass)]
    return View(
        step,
        values,
        mass,
        d,
        off_half=float((d[SUPPORT] - 0.5).abs().mean()),
        off_best=float((both * (d - best).abs()).sum()),
        taken_for_real=float(torch.sigmoid(critic(values[:, None])).mean()),
        divergence=float(sum(entropy)) / 2,
    )


def game(seed: int, random: torch.Generator) -> PointGame:
    """Algorithm 1 with its minimax loss on p = N(0,1), G beginning near z ↦ 1.2 + .75z, z normal."""
    data = torch.randn(50_000, 1, generator=random)
    generator = smooth_net(1, 32, 1, generator=random)
    critic = nn.Sequential(*smooth_net(1, 32, 32, 1, generator=random), nn.Flatten(0))
    first, last = cast(nn.Linear, generator[0]), cast(nn.Linear, generator[-1])
    with torch.no_grad():  # tanh is nearly straight about 0
        last.weight.copy_(STD * first.weight.T / first.weight.square().sum())
        last.bias.fill_(MEAN)
    rules = Rules(
        objective="minimax",
        lr=RATES["generator"],
        critic_lr=RATES["critic"],
        optimiser="adam:beta1=0,beta2=0.99",
        batch=128,
        images=1,
        average=0.0,
    )
    return PointGame(data, generator, critic, Latent(1), rules, seed)


def schedules(until: int) -> dict[str, Schedule]:
    """Each player's rate by the clock: 0 while it stands still, and falling to 0 over the last half."""

    def law(player: str) -> Schedule:
        still = range(FITTED) if player == "generator" else range(FITTED, MOVED)

        def rate(clock: Clock) -> dict[str, float]:
            fall = min(1.0, 2 * (1 - clock.step / until))
            return {"lr": 0.0 if clock.step in still else RATES[player] * fall}

        return rate

    return {player: law(player) for player in RATES}


def _run(settings: Settings) -> Result:
    steps = 700 if settings.quick else 2000
    playing = game(settings.seed, settings.generator("convergence"))
    laws = schedules(steps)
    watched = {*range(1, 10), *range(10, MOVED, 10), *range(MOVED, steps + 1, steps // 60)}
    history = [view(playing.generator, playing.critic)]
    stages: list[View] = []

    def watch(step: int) -> None:
        if step in watched:
            history.append(view(playing.generator, playing.critic, step))
            settings.advance(step / steps)

    for stop in (NEAR, FITTED, MOVED, steps):
        playing.play(stop - playing.state.clock.step, laws, watch)
        stages.append(view(playing.generator, playing.critic, stop))
    numbers = {
        "stages": {name: stage.numbers for name, stage in zip("abcd", stages, strict=True)},
        "history": {key: [one.numbers[key] for one in history] for key in history[0].numbers},
    }
    return Result(numbers, lambda figure: _draw(figure, stages, history[1:]), _says(history[0], stages))


def _says(start: View, stages: Sequence[View]) -> str:
    a, b, c, d = stages
    return (
        "The four pictures of the slide, computed: p = N(0,1) is dotted, p_g solid, D dashed; below, arrows "
        "lead from latents z of equal probability between them to x = G(z), and p_g is high where they "
        f"crowd. (a) Near convergence: p_g is close to p, and D has had {a.step} steps of training. (b) The "
        f"inner loop: G stands still, and after {b.step} steps D is D* = p/(p+p_g) (thin), but for "
        f"{b.off_best:.3f} on average. (c) G moves, D stands still: {c.step - b.step} steps follow D "
        f"uphill, so that the mean D(G(z)) rises from {b.taken_for_real:.3f} to {c.taken_for_real:.3f}. (d) "
        f"Both play to step {d.step}, their rates falling to 0: JSD(p‖p_g) is {d.divergence:.4f}, down from "
        f"{a.divergence:.4f}, and D is ½ on the support of p but for {d.off_half:.3f} on average. Where "
        "neither law has samples nothing holds D to ½. The last panel shows the whole run, and that D = ½ "
        f"alone proves nothing: the untrained D was {start.off_half:.3f} from it, with JSD "
        f"{start.divergence:.2f}. The latent is normal here, not uniform as on the slide: no smooth G takes "
        "a bounded uniform law to a normal one."
    )


def _draw(figure: "Figure", stages: Sequence[View], history: Sequence[View]) -> None:
    from zerosum.lab.style import CRITIC, INK, REAL  # in the slide's colours: D blue, p_g green, p black

    grid = figure.add_gridspec(3, 4, height_ratios=(3, 1, 2))
    titles = ("(a) near convergence", "(b) D at its best", "(c) G has moved", "(d) equilibrium")
    for column, (stage, title) in enumerate(zip(stages, titles, strict=True)):
        axes, below = (figure.add_subplot(grid[row, column]) for row in (0, 1))
        some = stage.mass > 5e-3 * WIDTH  # beyond, D* is that of G's last quantiles
        best = DATA / (DATA + stage.mass)
        axes.plot(CENTRES[some], best[some], color=REAL, linewidth=0.7, label="D* = p/(p+p_g)")
        axes.plot(CENTRES, stage.d, "--", color=REAL, label="D")
        axes.plot(CENTRES, DATA / WIDTH, ":", color=INK, label="p")
        axes.plot(CENTRES, stage.mass / WIDTH, color=CRITIC, label="p_g")
        axes.set(title=title, xlim=(-4, 4), ylim=(0, 1.02))
        axes.tick_params(labelbottom=False)
        _arrows(below, stage.values)
    figure.axes[0].set_ylabel("D; density")
    figure.axes[0].legend(loc="upper right", fontsize=8)
    axes = figure.add_subplot(grid[2, :])
    steps = [one.step for one in history]
    axes.loglog(
        steps, [one.off_half for one in history], "--", color=REAL, label="mean |D − ½| on the support"
    )
    axes.loglog(steps, [one.off_best for one in history], color=REAL, linewidth=0.9, label="mean |D − D*|")
    axes.loglog(steps, [one.divergence for one in history], color=CRITIC, label="JSD(p‖p_g), nats")
    for name, stage in zip("abcd", stages, strict=True):
        axes.axvline(stage.step, color=INK, linewidth=0.6)
        axes.annotate(name, (stage.step, 0.9), (-9, 0), ("data", "axes fraction"), "offset points")
    axes.axhline(0.05, color=INK, linewidth=0.6, linestyle=":")
    axes.set(xlabel="step", xlim=(1, steps[-1]), ylim=(1e-3, 2))
    axes.legend(loc="lower left")


def _arrows(axes: "Axes", values: Tensor) -> None:
    """The slide's arrows, from z below to x = G(z) above."""
    from zerosum.lab.style import GREY

    for z, x in zip(Z[58::118].tolist(), values[58::118].tolist(), strict=True):
        axes.annotate("", (x, 1), (z, 0), arrowprops={"arrowstyle": "->", "color": GREY, "linewidth": 0.7})
    axes.set(xlim=(-4, 4), ylim=(0, 1), yticks=[0, 1], yticklabels=["z", "x"])
    axes.grid(visible=False)


CONVERGENCE = Experiment(
    name="convergence",
    number=4,
    title="How D and G converge: the figure of the 2014 paper, trained",
    lectures=("lecture 1, lines 93–103", "lecture 1, lines 67–89", "lecture 3, line 73"),
    slip=(
        "An output of 0.5 follows from a perfect generator only for a critic that is trained to its best, "
        "and where there are samples (lecture 3, line 73); a weak critic says 0.5 of a poor generator too."
    ),
    run=_run,
    figsize=(11.0, 6.4),
)
