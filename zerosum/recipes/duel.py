"""The settings that all two-player recipes share, and how such a recipe is put together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from zerosum.draws import Latent
from zerosum.games.adversarial import Adversarial
from zerosum.games.conditional import Auxiliary
from zerosum.games.unrolling import Unroll
from zerosum.nets.progan import Growth
from zerosum.recipes.parts import (
    constraint_of,
    corruptions_of,
    objective_of,
    optimiser_of,
    penalties_of,
    regularisers_of,
    schedule_of,
)
from zerosum.recipes.system import System

__all__ = ["Law", "Rules", "duel", "image_shape", "packed"]

Law = Literal["normal", "uniform"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How critic and generator play, whatever their nets: each field is a setting of the recipe.

    The fields are explained in `zerosum.recipes.glossary`; parts are named as in `zerosum.recipes.parts`.

    >>> Rules(objective="hinge", lr=2e-4, batch=64, images=1000).critic_steps
    1
    """

    objective: str = "non-saturating"
    penalty: tuple[str, ...] = ()
    constraint: str = "none"
    generator_constraint: str = "none"
    corruption: tuple[str, ...] = ()
    regulariser: tuple[str, ...] = ()
    critic_steps: int = 1
    first: Literal["critic", "generator"] = "critic"
    fakes: Literal["fresh", "shared"] = "fresh"
    pack: int = 1
    unroll: int = 0
    feature_matching: float = 0.0
    optimiser: str = "adam:beta1=0.5,beta2=0.999"
    lr: float
    critic_lr: float | None = None
    schedule: tuple[str, ...] = ()
    average: float = 0.999
    batch: int
    images: int | None


def duel(
    generator: nn.Module,
    critic: nn.Module,
    latent: Latent,
    rules: Rules,
    begin: Callable[[Tensor], None] | None = None,
    *,
    classes: int = 0,
    auxiliary: Auxiliary | None = None,
    growth: Growth | None = None,
) -> System:
    """Critic against generator by these rules, each with an optimiser of the same kind.

    With `rules.pack` m the critic must have been built for m samples at once. With `classes` both nets
    are told labels; with `auxiliary` the critic tells them instead. `growth` is the plan of nets that grow;
    with each of its phases the optimisers begin anew. Raises ValueError for unknown parts
    and for parts that contradict each other.

    >>> nets = nn.Linear(4, 2), nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    >>> rules = Rules(objective="wasserstein", constraint="clip", lr=5e-5, batch=64, images=1)
    >>> sorted(duel(*nets, Latent(4), rules).optimisers)
    ['critic', 'generator']
    """
    if rules.pack > 0 and rules.batch % rules.pack:
        raise ValueError(f"--pack {rules.pack}: --batch must be a multiple of it, and {rules.batch} is not")
    if rules.images is None:
        raise ValueError("--images must be given: this recipe has no length of its own")
    rates = {"generator": rules.lr, "critic": rules.lr if rules.critic_lr is None else rules.critic_lr}
    players = {"generator": generator, "critic": critic}
    constraints = {
        "generator": constraint_of(rules.generator_constraint),
        "critic": constraint_of(rules.constraint),
    }
    for name, constraint in constraints.items():
        if constraint:  # before the optimiser is made: it may replace parameters
            constraint.prepare(players[name])
    optimisers = {name: optimiser_of(rules.optimiser, players[name], rate) for name, rate in rates.items()}
    schedules = {name: schedule_of(rules.schedule, rate) for name, rate in rates.items()}
    game = Adversarial(
        generator,
        critic,
        latent,
        objective_of(rules.objective),
        penalties=penalties_of(rules.penalty),
        constraint=constraints["critic"],
        generator_constraint=constraints["generator"],
        corruptions=corruptions_of(rules.corruption),
        regularisers=regularisers_of(rules.regulariser),
        critic_steps=rules.critic_steps,
        first=rules.first,
        fakes=rules.fakes,
        pack=rules.pack,
        feature_matching=rules.feature_matching,
        unroll=Unroll(rules.unroll, optimisers["critic"]) if rules.unroll else None,
        labelled=classes > 0,
        auxiliary=auxiliary,
        growth=growth,
    )
    return System(
        game,
        optimisers,
        latent,
        rules.batch,
        rules.images,
        rules.average,
        schedules={name: law for name, law in schedules.items() if law is not None},
        begin=begin,
        resets=growth.phases if growth else (),
        classes=classes,
    )


def packed(shape: tuple[int, ...], rules: Rules) -> tuple[int, ...]:
    """The shape of what the critic judges: `rules.pack` samples on top of each other.

    >>> packed((3, 8, 8), Rules(lr=1, batch=4, images=4, pack=2))
    (6, 8, 8)
    """
    return shape[0] * max(rules.pack, 1), *shape[1:]


def image_shape(recipe: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W), or ValueError where the data are no images.

    >>> image_shape("dcgan", (3, 64, 64))
    (3, 64, 64)
    """
    if len(shape) != 3:
        raise ValueError(
            f"{recipe} builds convolutional nets for images, and the data are points: use gan, or cgan with "
            "labels"
        )
    channels, height, width = shape
    return channels, height, width
