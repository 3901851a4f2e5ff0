"""What gradient steps of two players do about a saddle point, on games of two numbers."""

import cmath
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zerosum.draws import Draws, Latent
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.play import PointGame
from zerosum.objectives import Objective, minimax, wasserstein
from zerosum.penalties import Penalty, r1, wgan_gp
from zerosum.recipes.duel import Rules

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "SADDLE_POINT",
    "Dirac",
    "alternating",
    "looped",
    "measured",
    "moduli",
    "path",
    "simultaneous",
    "update",
]

RATE = 0.15  # of both players
DAMPING = 1.0  # the weight of R1
PENALTY = 0.3  # the weight of WGAN-GP
START = 0.7  # how far from the equilibrium the paths begin


@dataclass(frozen=True)
class Dirac:
    """The Dirac game: data at 0, the generator's one point at θ, the critic D(x) = ψx; best at (0, 0).

    (Mescheder, Geiger & Nowozin 2018, definition 2.1.) With `wasserstein` it is the bilinear game
    min_θ max_ψ −θψ. Both losses, and so both gradients, are the library's.
    """

    objective: Objective
    penalty: Penalty | None = None

    def gradients(self, theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
        """(∂L^(G)/∂θ, ∂L^(D)/∂ψ) at each of the places θ, ψ [N].

        >>> Dirac(wasserstein()).gradients(torch.tensor([2.0]), torch.tensor([3.0]))
        (tensor([-3.]), tensor([2.]))
        """
        theta, psi = theta.detach().requires_grad_(), psi.detach().requires_grad_()

        def critic(x: Tensor) -> Tensor:
            return psi * x.squeeze(1)

        real, fake = torch.zeros_like(theta)[:, None], theta[:, None]
        loss = self.objective.critic(critic(real), critic(fake))
        if self.penalty:
            loss = loss + self.penalty(critic, real, fake.detach(), Draws(stop=len(theta)))
        (down_psi,) = torch.autograd.grad(loss.sum(), psi)
        (down_theta,) = torch.autograd.grad(self.objective.generator(None, critic(fake)).sum(), theta)
        return down_theta, down_psi


Move = Callable[[Dirac, Tensor, Tensor, float], tuple[Tensor, Tensor]]


def simultaneous(game: Dirac, theta: Tensor, psi: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Both players step from the same place."""
    down_theta, down_psi = game.gradients(theta, psi)
    return theta - rate * down_theta, psi - rate * down_psi


def alternating(game: Dirac, theta: Tensor, psi: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """The critic steps, then the generator, who sees where the critic now is."""
    psi = psi - rate * game.gradients(theta, psi)[1]
    return theta - rate * game.gradients(theta, psi)[0], psi


def path(game: Dirac, move: Move, start: Tensor, rate: float, steps: int) -> Tensor:
    """(θ, ψ) at steps 0 … `steps` from each start [N, 2]: [steps+1, N, 2].

    >>> path(Dirac(wasserstein()), simultaneous, torch.tensor([[1.0, 0.0]]), 0.5, 1)[1]
    tensor([[ 1.0000, -0.5000]])
    """
    theta, psi = start.unbind(1)
    places = [start]
    for _ in range(steps):
        theta, psi = move(game, theta, psi, rate)
        places.append(torch.stack([theta, psi], 1))
    return torch.stack(places)


def update(move: Move, rate: float, slope: float, damping: float = 0.0) -> Tensor:
    """The matrix [2, 2] that takes (θ, ψ) to the next, about the equilibrium, float64.

    There θ̇ = aψ and ψ̇ = −aθ − γψ: a, the `slope`, is 1 in the bilinear game and ½ where the losses are
    cross-entropies; γ, the `damping`, is the weight of R1.

    >>> update(simultaneous, 0.5, 1.0)
    tensor([[ 1.0000,  0.5000],
            [-0.5000,  1.0000]], dtype=torch.float64)
    """
    critic = torch.tensor([[1, 0], [-rate * slope, 1 - rate * damping]], dtype=torch.float64)
    if move is simultaneous:
        critic[0, 1] = rate * slope
        return critic
    generator = torch.tensor([[1, rate * slope], [0, 1]], dtype=torch.float64)
    return generator @ critic


def moduli(move: Move, rate: float, slope: float, damping: float = 0.0) -> tuple[float, float]:
    """|λ| of the update's two eigenvalues, the larger first, in closed form.

    The determinant is 1 − ηγ, and η²a² more where both step at once; while the eigenvalues are a complex
    pair, |λ| is its root: √(1 + η²a²) > 1 without a penalty at once, 1 in turns.

    >>> moduli(alternating, 0.1, 1.0), moduli(simultaneous, 0.75, 1.0)
    ((1.0, 1.0), (1.25, 1.25))
    """
    at_once = move is simultaneous
    determinant = 1 - rate * damping + (rate * slope) ** 2 * at_once
    half_trace = 1 - rate * damping / 2 - (rate * slope) ** 2 / 2 * (not at_once)
    root = cmath.sqrt(half_trace**2 - determinant)
    low, high = sorted(abs(half_trace + sign * root) for sign in (1, -1))
    return high, low


def measured(places: Tensor, matrix: Tensor) -> float:
    """|λ| of the leading eigenvalue, as a path [T+1, 2] shows it: how its part along that vector grows."""
    values, vectors = torch.linalg.eig(matrix.T)
    along = vectors[:, values.abs().argmax()]
    sizes = (places.to(along.dtype) @ along).abs()
    return float((sizes[-1] / sizes[0]) ** (1 / (len(sizes) - 1)))


class _Point(nn.Module):
    def __init__(self, theta: float) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor([theta]))

    def forward(self, z: Tensor) -> Tensor:
        return self.at.expand(len(z), 1)


class _Slope(_Point):
    def forward(self, x: Tensor) -> Tensor:
        return self.at * x.squeeze(1)


def looped(
    objective: str, penalty: tuple[str, ...], start: tuple[float, float], rate: float, steps: int
) -> Tensor:
    """The path [steps+1, 2] of the Dirac game played by the training loop with plain gradient descent."""
    generator, critic = _Point(start[0]), _Slope(start[1])
    rules = Rules(
        objective=objective,
        penalty=penalty,
        lr=rate,
        batch=2,
        images=1,
        optimiser="sgd:momentum=0",
        average=0.0,
    )
    game = PointGame(torch.zeros(2, 1), generator, critic, Latent(1), rules)
    places = [start]
    game.play(steps, hook=lambda step: places.append((generator.at.item(), critic.at.item())))
    return torch.tensor(places)


# The move, the penalty and its damping at the equilibrium: None where the penalty has no slope there.
MOVES: dict[str, tuple[Move, Penalty | None, float | None]] = {
    "at once": (simultaneous, None, 0.0),
    "in turns": (alternating, None, 0.0),
    "in turns, R1": (alternating, r1(DAMPING), DAMPING),
    "in turns, WGAN-GP": (alternating, wgan_gp(PENALTY), None),
}
GAMES: dict[str, tuple[Objective, float]] = {"bilinear": (wasserstein(), 1.0), "Dirac": (minimax(), 0.5)}


def _rates(steps: int) -> dict[str, Any]:
    """|λ| at the equilibrium, in closed form and measured on paths that begin a millionth away."""
    start = torch.tensor([[1e-6, 0.0]], dtype=torch.float64)
    found = {}
    for name, (objective, slope) in GAMES.items():
        for how, (move, penalty, damping) in MOVES.items():
            if damping is not None:
                places = path(Dirac(objective, penalty), move, start, RATE, steps)[:, 0]
                found[f"{name}, {how}"] = {
                    "closed form": moduli(move, RATE, slope, damping)[0],
                    "measured": measured(places, update(move, RATE, slope, damping)),
                }
    return found


def _by_weight(weights: Tensor, steps: int) -> dict[str, list[float]]:
    """|λ| of the Dirac game by the weight of R1, closed and measured."""
    start = torch.tensor([[1e-6, 0.0]], dtype=torch.float64)
    found: dict[str, list[float]] = {"weight of R1": weights.tolist()}
    for how, move in (("at once", simultaneous), ("in turns", alternating)):
        found[how] = []
        for weight in weights.tolist():
            places = path(Dirac(minimax(), r1(weight)), move, start, RATE, steps)[:, 0]
            found[how].append(measured(places, update(move, RATE, 0.5, weight)))
    return found


def _run(settings: Settings) -> Result:
    steps = 100 if settings.quick else 300
    start = torch.tensor([[START, 0.0]], dtype=torch.float64)
    paths = {
        (name, how): path(Dirac(objective, penalty), move, start, RATE, steps)[:, 0]
        for name, (objective, _) in GAMES.items()
        for how, (move, penalty, _) in MOVES.items()
    }
    settings.advance(0.5)
    rates = _rates(30)
    weights = torch.linspace(0, 3, 5 if settings.quick else 16, dtype=torch.float64)
    by_weight = _by_weight(weights, 15)
    settings.advance(0.9)
    loop = {}
    for name, objective, penalty, how in (
        ("bilinear", "wasserstein", (), "in turns"),
        ("Dirac", "minimax", (f"r1:weight={DAMPING}",), "in turns, R1"),
    ):
        played = looped(objective, penalty, (START, 0.0), RATE, 50)
        loop[name] = float((played - paths[name, how][:51]).abs().max())
    distances = {f"{name}, {how}": places.norm(dim=1) for (name, how), places in paths.items()}
    numbers: dict[str, Any] = {
        "learning rate": RATE,
        "largest |eigenvalue| of the update": rates,
        "distance from the equilibrium at the start": START,
        "distance at the end": {name: float(distance[-1]) for name, distance in distances.items()},
        "least and largest distance over the last half": {
            name: [float(bound) for bound in distance[steps // 2 :].aminmax()]
            for name, distance in distances.items()
        },
        "by the weight of R1": by_weight,
        "largest distance between the training loop's path and this one": loop,
    }
    return Result(numbers, lambda figure: _draw(figure, paths, by_weight), _says(numbers))


def _says(numbers: dict[str, Any]) -> str:
    rates = {name: rate["measured"] for name, rate in numbers["largest |eigenvalue| of the update"].items()}
    last = numbers["least and largest distance over the last half"]
    low, high = last["bilinear, in turns"]
    return (
        "The smallest GANs: the data are one point, 0, the generator's is θ, the critic is D(x) = ψx, and "
        "the equilibrium is (0, 0). Above, with the Wasserstein loss, the bilinear game −θψ; below, the "
        "Dirac game, with the minimax loss. The small arrows point where both players' gradients lead, "
        f"the lines are gradient descent with a rate of η = {RATE:g}. The field only turns about the saddle "
        "point, for each player's best reply leads the other away. So when both step at once, as lecture 3 "
        "writes Δφ and Δw, each step along the tangent leads outwards: |λ| = √(1+η²a²), here "
        f"{rates['bilinear, at once']:.6f} and {rates['Dirac, at once']:.6f} (a = 1 and ½). In turns, as "
        "all algorithms of the lectures do it, |λ| is 1: the bilinear path stays between "
        f"{low:.2f} and {high:.2f} from the equilibrium for ever, it neither leaves nor arrives. R1 adds "
        f"friction, −γψ: with γ = {DAMPING:g}, |λ| = √(1−ηγ) = {rates['Dirac, in turns, R1']:.6f}, and both "
        "games settle. WGAN-GP's penalty holds the critic's slope to 1, which is wrong at the equilibrium, "
        f"where it should be 0: with a weight of {PENALTY:g} the paths come no nearer than "
        f"{last['bilinear, in turns, WGAN-GP'][0]:.2f} and {last['Dirac, in turns, WGAN-GP'][0]:.2f}. "
        "Bottom left, the distance by step in the bilinear game (dotted: |λ|ᵗ). Bottom right, |λ| by the "
        "weight of R1 in the Dirac game, measured (dots) and in closed form: at once, γ must exceed ηa²; "
        "beyond γ ≈ 1, where the turning stops, more friction only slows the generator down."
    )


def _draw(figure: "Figure", paths: dict[tuple[str, str], Tensor], by_weight: dict[str, list[float]]) -> None:
    from zerosum.lab.style import CYCLE, GREY

    colours = dict(zip(MOVES, (CYCLE[1], CYCLE[0], CYCLE[2], CYCLE[3]), strict=True))
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(2, 1.05))[:, 0]
    for row, (name, (objective, _)) in zip(
        top.subplots(2, 4, sharex=True, sharey=True), GAMES.items(), strict=True
    ):
        for axes, (how, (_, penalty, _)) in zip(row, MOVES.items(), strict=True):
            _field(axes, Dirac(objective, penalty))
            axes.plot(*paths[name, how].T, "-", color=colours[how], linewidth=1.4)
            axes.plot(START, 0, "o", color=colours[how])
            axes.set(xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
            if name == "bilinear":
                axes.set_title(how)
            else:
                axes.set_xlabel("θ")
        row[0].set_ylabel(f"{name}\nψ")
    left, right = bottom.subplots(1, 2)
    for how, (move, _, damping) in MOVES.items():
        distance = paths["bilinear", how].norm(dim=1)
        left.semilogy(distance, color=colours[how], linewidth=1.2, label=how)
        if damping is not None:
            ideal = START * moduli(move, RATE, 1.0, damping)[0] ** torch.arange(len(distance))
            left.semilogy(ideal, ":", color=GREY, linewidth=1)
    left.set(title="Distance from the equilibrium", xlabel="step", ylim=(1e-4, 30))
    left.legend(loc="lower right")
    weights = torch.linspace(0, 3, 301).tolist()
    for how, move in (("at once", simultaneous), ("in turns", alternating)):
        right.plot(weights, [moduli(move, RATE, 0.5, weight)[0] for weight in weights], color=colours[how])
        right.plot(by_weight["weight of R1"], by_weight[how], "o", color=colours[how], label=f"{how}, R1")
    right.axhline(1, color=GREY, linewidth=0.8)
    right.set(title="|λ| by the weight of R1, Dirac game", xlabel="γ", xlim=(0, 3))
    right.legend(loc="lower right")


def _field(axes: "Axes", game: Dirac) -> None:
    """Where both players' gradient descent leads: directions alone."""
    line = torch.linspace(-1.85, 1.85, 14, dtype=torch.float64)
    psi, theta = (part.flatten() for part in torch.meshgrid(line, line, indexing="ij"))
    down = torch.stack(game.gradients(theta, psi))
    across, up = -down / down.norm(dim=0).clamp_min(1e-9)
    axes.quiver(theta, psi, across, up, color="#a8a8a8", pivot="mid", scale=17, width=0.004)
    axes.plot(0, 0, "+", color="black")
    axes.grid(visible=False)


SADDLE_POINT = Experiment(
    name="saddle-point",
    number=21,
    title="Gradient steps about a saddle point: at once, in turns, with penalties",
    lectures=(
        "lecture 1, lines 56–87",
        "lecture 2, lines 34–40 and 62",
        "lecture 3, lines 54–71",
        "lecture 4, lines 65–85",
    ),
    slip="",
    run=_run,
    figsize=(10.5, 8.4),
)
