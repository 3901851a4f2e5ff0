"""How the two-player recipes are put together."""

from typing import Literal

from torch import nn

from zerosum.draws import Latent
from zerosum.games.adversarial import Adversarial
from zerosum.recipes.parts import constraint_of, objective_of, optimiser_of, penalties_of, schedule_of
from zerosum.recipes.system import System

__all__ = ["Fakes", "First", "duel"]

First = Literal["critic", "generator"]
Fakes = Literal["fresh", "shared"]


def duel(
    generator: nn.Module,
    critic: nn.Module,
    latent: Latent,
    objective: str,
    penalty: tuple[str, ...],
    constraint: str,
    critic_steps: int,
    first: First,
    fakes: Fakes,
    optimiser: str,
    lr: float,
    critic_lr: float | None,
    schedule: tuple[str, ...],
    average: float,
    batch: int,
    images: int,
) -> System:
    """Critic against generator, each with an optimiser of the same kind.

    The settings are those of the glossary; parts are named as in `zerosum.recipes.parts`. Raises
    ValueError for unknown parts and for parts that contradict each other.

    >>> system = duel(
    ...     nn.Linear(4, 2), nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), Latent(4), "wasserstein",
    ...     (), "clip", 5, "critic", "fresh", "rmsprop", 5e-5, None, (), 0.999, 64, 1000)
    >>> sorted(system.optimisers)
    ['critic', 'generator']
    """
    game = Adversarial(
        generator,
        critic,
        latent,
        objective_of(objective),
        penalties=penalties_of(penalty),
        constraint=constraint_of(constraint),
        critic_steps=critic_steps,
        first=first,
        fakes=fakes,
    )
    rates = {"generator": lr, "critic": lr if critic_lr is None else critic_lr}
    schedules = {player: schedule_of(schedule, rate) for player, rate in rates.items()}
    return System(
        game,
        {player: optimiser_of(optimiser, game.get_submodule(player), rate) for player, rate in rates.items()},
        latent,
        batch,
        images,
        average,
        schedules={player: law for player, law in schedules.items() if law is not None},
    )
