"""Mixtures of generators against mixtures of critics, with learned weights: an approximate equilibrium."""

import math
from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.draws import Draws, mix
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.lab.densities import integrate, jensen_shannon, log_mixture, log_normal
from zerosum.lab.stack import Stack
from zerosum.objectives import Objective, non_saturating
from zerosum.training.loop import Moment, Schedule, train
from zerosum.training.state import State

__all__ = [
    "SHARES",
    "MixtureGame",
    "Regrets",
    "Target",
    "X",
    "log_generated",
    "log_target",
    "play",
    "regrets",
    "shares",
]

MODES, SHARES, STD = (-2.0, 0.0, 2.0), (0.5, 0.3, 0.2), 0.3
RATES = {"generator": 2e-2, "critic": 1e-2}
X = torch.linspace(-6, 6, 1201, dtype=torch.float64)


def log_target() -> Tensor:
    """The logarithm of the target's density on `X`: three bumps of shares .5, .3 and .2."""
    return log_mixture([log_normal(mode, STD, X) for mode in MODES], list(SHARES))


class Target:
    """Draws from the target: a source for the training loop, without end."""

    size = 2**40

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, cursor: int, ids: Tensor) -> Mapping[str, Tensor]:
        draw = Draws(self.seed, step=cursor, start=int(ids[0]), stop=int(ids[-1]) + 1)
        ends = torch.tensor(SHARES).cumsum(0)[:-1]
        which = torch.bucketize(draw.uniform("mode", 1), ends)
        return {"real": torch.tensor(MODES)[which] + STD * draw.normal("within", 1)}


class MixtureGame(Game):
    """MIX+GAN (Arora et al. 2017, section 5) on the line.

    Generators Gᵢ(z) = meanᵢ + stdᵢ·z with weights u, critics Dⱼ, small nets, with weights v; each player
    minimises Σᵢⱼ uᵢvⱼ of the objective's loss for Gᵢ and Dⱼ, and −0.01·mean log of its weights, which keeps
    all of them in play. Weights are softmaxes of logits that each player learns with its nets.
    """

    ENTROPY = 0.01

    def __init__(self, generators: int, critics: int, objective: Objective, random: torch.Generator) -> None:
        super().__init__()
        self.objective = objective
        self.means = nn.Parameter(1.5 * torch.randn(generators, 1, 1, generator=random))
        self.nets = Stack(critics, (1, 32, 32, 1), random)
        self.u = nn.Parameter(torch.zeros(generators))
        self.v = nn.Parameter(torch.zeros(critics))

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Adam for each player: it moves its nets and its weights, at the rate `RATES` gives it."""
        held = {
            "generator": [self.means, self.u],
            "critic": [*self.nets.parameters(), self.v],
        }
        return {
            player: torch.optim.Adam(own, RATES[player], betas=(0.5, 0.9)) for player, own in held.items()
        }

    def generate(self, z: Tensor) -> Tensor:
        """[b, 1] → each generator's samples, [generators, b, 1]."""
        return self.means + STD * z

    def judge(self, x: Tensor) -> Tensor:
        """[..., 1] → each critic's logits, [critics, ...]."""
        logits: Tensor = self.nets(x.reshape(1, -1, 1).expand(len(self.v), -1, 1))
        return logits.reshape(-1, *x.shape[:-1])

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        """The critics' turn, then the generators'."""

        def mixed(losses: Tensor, weights: Tensor) -> Terms:  # losses [critics, generators, b]
            both = self.v.softmax(0)[:, None, None] * self.u.softmax(0)[None, :, None]
            entropy = -self.ENTROPY * weights.log_softmax(0).mean()
            return Terms({"adversarial": (both * losses).sum((0, 1)), "entropy": entropy})

        def critic(batch: Batch) -> Terms:
            fake = self.judge(self.generate(batch.draw.normal("latent", 1)))
            return mixed(self.objective.critic(self.judge(batch.data["real"])[:, None], fake), self.v)

        def generator(batch: Batch) -> Terms:
            fake = self.judge(self.generate(batch.draw.normal("latent", 1)))
            return mixed(self.objective.generator(None, fake), self.u)

        yield Turn("critic", critic)
        yield Turn("generator", generator, take=0)


class Regrets(NamedTuple):
    """What each player would gain by its best answer to the other's mixture, in nats.

    `value`: V = E log D(x) + E log(1−D(G(z))) of the two mixtures; at equilibrium −log 4. `critic`: what
    the optimal D would add, `value` + `critic` being 2·`jsd` − log 4. `generator`: what the best single
    normal law would take away, its mean in [−4, 4], its standard deviation 0.1 or more.
    """

    value: float
    critic: float
    generator: float
    jsd: float

    @property
    def gap(self) -> float:
        """The duality gap: at an ε-equilibrium at most 2ε, and 0 at an exact one alone."""
        return self.critic + self.generator


@torch.no_grad()
def log_generated(game: MixtureGame) -> Tensor:
    """The logarithm of the generators' density on `X`."""
    laws = [log_normal(mean, STD, X) for mean in game.means.flatten().tolist()]
    return log_mixture(laws, game.u.softmax(0).tolist())


def shares(game: MixtureGame) -> list[float]:
    """How much of the generators' weight is nearest to each mode."""
    near = (game.means.detach().flatten()[:, None] - torch.tensor(MODES)).abs().argmin(1)
    weight = game.u.detach().softmax(0)
    return [weight[near == mode].sum().item() for mode in range(len(MODES))]


@torch.no_grad()
def regrets(game: MixtureGame) -> Regrets:
    """The regrets by quadrature: what both mixtures do is known on the whole line."""
    p, q = log_target(), log_generated(game)
    weights, logits = game.v.double().softmax(0), game.judge(X[:, None].float()).double()
    at_real, at_fake = (-(weights @ F.softplus(sign * logits)) for sign in (-1, 1))
    real = integrate(p.exp() * at_real, X)
    value, jsd = real + integrate(q.exp() * at_fake, X), jensen_shannon(p, q, X)
    means = torch.linspace(-4, 4, 161, dtype=torch.float64)[:, None]
    answers = log_normal(0.0, STD, X - means)
    lowest = real + torch.trapezoid(answers.exp() * at_fake, X).min().item()
    return Regrets(value, 2 * jsd - math.log(4) - value, value - lowest, jsd)


def play(
    generators: int,
    critics: int,
    steps: int,
    seed: int,
    look: Callable[[int, MixtureGame], None],
    batch: int = 64,
) -> MixtureGame:
    """Play the non-saturating game, rates falling to 0; `look(step, game)` is called after each step."""
    random = torch.Generator().manual_seed(mix(seed, "mixtures", generators, critics))
    game = MixtureGame(generators, critics, non_saturating(), random)

    def falling(rate: float) -> Schedule:
        return lambda clock: {"lr": rate * (1 - clock.step / steps)}

    def hook(moment: Moment) -> None:
        look(moment.clock.step, game)

    train(
        game,
        Target(seed),
        game.optimisers(),
        State(seed),
        steps * batch,
        batch=batch,
        schedules={player: falling(rate) for player, rate in RATES.items()},
        hooks=[hook],
    )
    return game
