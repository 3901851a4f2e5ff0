"""A small GAN of points, played through the training loop a few steps at a time."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from zerosum.data import Resident
from zerosum.data.adopt import points
from zerosum.draws import Draws, Latent, mix
from zerosum.nets.mlp import MLPCritic
from zerosum.recipes.duel import Rules, duel
from zerosum.training.loop import Schedule, train
from zerosum.training.state import Average, State

__all__ = ["PointGame", "trained"]


class PointGame:
    """Generator against critic on the points `data` [N, D]; all that is drawn depends on `seed` alone.

    The generator takes latents [B, k] to points [B, D], the critic points to logits [B]. `rules.images` is
    not looked at: `play` says how many steps are made.

    >>> critic = nn.Sequential(nn.Linear(1, 1), nn.Flatten(0))
    >>> rules = Rules(lr=1e-3, batch=8, images=1)
    >>> game = PointGame(torch.zeros(10, 1), nn.Linear(1, 1), critic, Latent(1), rules)
    >>> game.play(3)
    >>> game.state.clock
    Clock(step=3, images=24)
    """

    def __init__(
        self,
        data: Tensor,
        generator: nn.Module,
        critic: nn.Module,
        latent: Latent,
        rules: Rules,
        seed: int = 0,
    ) -> None:
        self.generator, self.critic, self.latent = generator, critic, latent
        with torch.random.fork_rng(devices=[]):  # spectral norm begins at random vectors
            torch.manual_seed(mix(seed, "constraint"))
            self.system = duel(generator, critic, latent, rules)
        self.state = State(seed)
        if rules.average:
            self.state.averages["generator"] = Average(generator, rules.average)
        self._source = Resident(points("points", data.numpy()), seed=seed)
        self._images = rules.batch * rules.critic_steps

    def play(
        self,
        steps: int,
        schedules: Mapping[str, Schedule] | None = None,
        hook: Callable[[int], None] = lambda step: None,
    ) -> None:
        """Make so many steps more; `hook` is told after each how many were made in all."""
        train(
            self.system.game,
            self._source,
            self.system.optimisers,
            self.state,
            self.state.clock.images + steps * self._images,
            batch=self.system.batch,
            schedules={**self.system.schedules, **(schedules or {})},
            hooks=[lambda moment: hook(moment.clock.step)],
        )

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Points of the generator, of its moving average if `rules.average` keeps one: [count, D].

        Latents are of the seed's own, the same at every call.
        """
        kept = self.state.averages.get("generator")
        made: Tensor = (kept.module if kept else self.generator)(
            self.latent(Draws(mix(self.state.seed, "judged"), stop=count))
        )
        return made


def trained(
    data: Tensor,
    generator: nn.Module,
    latent: int,
    hidden: tuple[int, ...],
    steps: int,
    seed: int,
    *,
    weight: float,
    lr: float,
) -> PointGame:
    """A GAN that settles, trained on `data` [N, D]: relativistic, R1 and R2 of one weight, falling rates.

    `hidden` are the critic's layers; batches are of 64, latents normal; samples are of the average.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed, "critic"))
        critic = MLPCritic(data.shape[1:], hidden=hidden, pieces=1, bound=None)
    rules = Rules(
        objective="relativistic",
        penalty=(f"r1:weight={weight}", f"r2:weight={weight}"),
        lr=lr,
        optimiser="adam:beta1=0,beta2=0.99",
        schedule=(f"linear:start={32 * steps},stop={64 * steps}",),
        batch=64,
        images=1,
        average=0.995,
    )
    game = PointGame(data, generator, critic, Latent(latent), rules, seed)
    game.play(steps)
    return game
