"""A small GAN of points, played through the training loop a few steps at a time."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from zerosum.data import Resident
from zerosum.data.adopt import points
from zerosum.draws import Draws, Latent, mix
from zerosum.recipes.duel import Rules, duel
from zerosum.training.loop import Schedule, train
from zerosum.training.state import State

__all__ = ["PointGame"]


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
        self.system = duel(generator, critic, latent, rules)
        self.state = State(seed)
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
        """Points of the generator, [count, D], from latents of the seed's own, the same at every call."""
        made: Tensor = self.generator(self.latent(Draws(mix(self.state.seed, "judged"), stop=count)))
        return made
