"""The generator's gradient as the critic improves: the minimax one fades, the non-saturating one stays."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zerosum.lab.costs import COSTS, pull_on_pair
from zerosum.lab.critic import smooth_net, train_critic
from zerosum.lab.densities import AXIS, integrate, log_normal
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.objectives import minimax

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SATURATION", "descend", "gradient"]

X = AXIS[::15]
NAMES = ("minimax", "non-saturating")
FAR = 8.0  # of the generator from the data while the critic trains
START = 6.0
GOAL = 0.5


def gradient(name: str, critic: nn.Module, theta: float) -> float:
    """d/dθ of a generator cost of `costs`, E g(l(θ+z)), for a trained critic [n, 1] → [n, 1]; by quadrature.

    >>> net = nn.Linear(1, 1)
    >>> _ = nn.init.constant_(net.weight, -1.0), nn.init.constant_(net.bias, 0.5)
    >>> round(gradient("minimax", net, 1.0), 6)  # at the optimal critic ½ − x: 2 JSD′
    0.397973
    """
    x = X.float().requires_grad_()
    logit = critic(x[:, None]).squeeze(1)
    (slope,) = torch.autograd.grad(logit.sum(), x)
    logit = logit.detach().double().requires_grad_()
    (pull,) = torch.autograd.grad(COSTS[name](logit).sum(), logit)
    return integrate(log_normal(theta, x=X).exp() * pull * slope.double(), X)


def descend(name: str, start: float, goal: float, step: float = 0.02, until: float = 200.0) -> list[float]:
    """θ at times 0, step, 2·step …: θ̇ = −d cost/dθ with the critic at its best throughout, until the goal.

    Heun's steps on gradients that are tabulated by quadrature. p = N(0,1), p_g = N(θ,1).
    """
    grid = torch.linspace(0, start, 121, dtype=torch.float64)
    table = torch.tensor([pull_on_pair(name, float(theta)) for theta in grid], dtype=torch.float64)

    def speed(theta: float) -> float:
        place = theta / start * (len(grid) - 1)
        low = min(max(int(place), 0), len(grid) - 2)
        return float(torch.lerp(table[low], table[low + 1], place - low))

    path = [start]
    while path[-1] > goal and len(path) * step <= until:
        ahead = path[-1] - step * speed(path[-1])
        path.append(path[-1] - step * (speed(path[-1]) + speed(ahead)) / 2)
    return path


def _run(settings: Settings) -> Result:
    steps, size = (500, 256) if settings.quick else (4000, 256)
    random = settings.generator("saturation")
    critic = smooth_net(1, 32, 1, generator=random)

    def draw() -> tuple[Tensor, Tensor]:
        return torch.randn(size, 1, generator=random), FAR + torch.randn(size, 1, generator=random)

    watched = {round(steps ** (i / 40)) for i in range(41)}
    history: dict[str, list[float]] = {"step": [], "loss of the critic": [], **{name: [] for name in NAMES}}
    for step, loss in train_critic(critic, minimax(), draw, steps, lr=5e-3):
        if step in watched:
            history["step"].append(step)
            history["loss of the critic"].append(float(loss))
            for name in NAMES:
                history[name].append(gradient(name, critic, FAR))
            settings.advance(0.9 * step / steps)
    thetas = torch.linspace(0.05, 8, 40 if settings.quick else 160, dtype=torch.float64).tolist()
    exact = {name: [pull_on_pair(name, theta) for theta in thetas] for name in NAMES}
    pace = 0.1 if settings.quick else 0.02
    paths = {name: descend(name, START, GOAL, pace) for name in NAMES}
    times = {name: pace * (len(path) - 1) for name, path in paths.items()}
    numbers: dict[str, Any] = {
        "at the optimal D": {
            f"theta = {theta:g}": {name: pull_on_pair(name, theta) for name in NAMES}
            for theta in (0.1, 1.0, FAR)
        },
        "theta": thetas,
        "gradient at the optimal D": exact,
        f"as the critic trains, theta = {FAR:g}": history,
        f"time of the flow from {START:g} to {GOAL:g}": times,
    }
    ends = {name: (history[name][-1], pull_on_pair(name, FAR)) for name in NAMES}
    says = (
        "How hard the generator N(θ,1) is pushed towards the data N(0,1), per unit of its mean, without the "
        "½ of lecture 4. Left, at the optimal D: the minimax gradient, 2 JSD′(θ), grows like θ/2 at first, "
        f"and is gone where the laws part, {ends['minimax'][1]:.1e} at θ = {FAR:g}. The non-saturating one "
        "is KL(p_g‖p)′ − 2 JSD′ = θ − 2 JSD′: also θ/2 near 0, then as large as θ. At θ = 1 they are "
        f"{pull_on_pair('minimax', 1.0):.6f} and "
        f"{pull_on_pair('non-saturating', 1.0):.6f}. Middle, a critic that trains against a generator held "
        f"at θ = {FAR:g}: as it gets better (thin line) the minimax gradient falls from "
        f"{max(history['minimax']):.4f} to {ends['minimax'][0]:.4f}, towards its optimum (dotted), and the "
        f"non-saturating one rises to {ends['non-saturating'][0]:.2f}; that it stays below its optimum, "
        f"{ends['non-saturating'][1]:.2f}, is because a net that tells the two apart has no reason to be "
        f"steep where the fakes are. Right, both generators follow their gradient from θ = {START:g}, "
        f"with the best critic at every moment: the non-saturating one comes within {GOAL:g} of the data at "
        f"time {times['non-saturating']:.1f}, the minimax one at {times['minimax']:.1f}. Lecture 3 maximises "
        "Σ log d, lecture 4 minimises −½E log D: the same game. Both losses share the fixed point; only the "
        "way there differs."
    )

    def draw_figure(figure: "Figure") -> None:
        _draw(figure, thetas, exact, history, paths, pace)

    return Result(numbers, draw_figure, says)


def _draw(
    figure: "Figure",
    thetas: list[float],
    exact: dict[str, list[float]],
    history: dict[str, list[float]],
    paths: dict[str, list[float]],
    pace: float,
) -> None:
    from zerosum.lab.style import CRITIC, FAKE, GREY, REAL, legend_below

    left, middle, right = figure.subplots(1, 3)
    left.plot(thetas, [theta / 2 for theta in thetas], ":", color=GREY, label="θ/2")
    for name, colour, dash in zip(NAMES, (REAL, FAKE), ("-", "--"), strict=True):
        left.plot(thetas, exact[name], dash, color=colour, label=name)
        shown = [max(value, 0.0) or float("nan") for value in history[name]]  # early ones may point away
        middle.plot(history["step"], shown, dash, color=colour)
        middle.axhline(pull_on_pair(name, FAR), color=colour, linewidth=0.9, linestyle=":")
        right.plot([pace * i for i in range(1, len(paths[name]))], paths[name][1:], dash, color=colour)
    middle.plot(
        history["step"], history["loss of the critic"], color=CRITIC, linewidth=1, label="critic's loss"
    )
    left.set(title="At the optimal D", xlabel="θ, the generator's mean", ylabel="d cost/dθ")
    left.set(yscale="log", ylim=(1e-4, 20))
    middle.set(title=f"As D improves, θ = {FAR:g}", xlabel="critic's steps", ylabel="d cost/dθ; loss, nats")
    middle.set(xscale="log", yscale="log", ylim=(1e-4, 20))
    right.axhline(0, color=GREY, linewidth=0.9)
    right.set(title="The way to the data", xlabel="time of the gradient flow", ylabel="θ", xscale="log")
    legend_below(figure)


SATURATION = Experiment(
    name="saturating-gradients",
    number=22,
    title="Saturating against non-saturating gradients as the critic improves",
    lectures=("lecture 3, lines 91–97", "lecture 4, lines 81–90", "lecture 2, lines 131–145"),
    slip="",
    run=_run,
    figsize=(10.5, 4.1),
)
