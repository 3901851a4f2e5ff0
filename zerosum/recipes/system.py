"""What a recipe returns: a game, who optimises what, and how it is usually trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Optimizer

from zerosum.draws import Draws, Latent
from zerosum.games.game import Game
from zerosum.training.loop import Schedule

__all__ = ["System"]


@dataclass(frozen=True)
class System:
    """A game ready to train.

    `batch` is over all processes, `images` the usual length in real images shown; `average` is the
    decay of the generator's moving average (0 keeps none worth the name), from which samples are
    drawn; `generator` names the submodule that turns `latent` into samples. `begin`, if any, sets
    what a paper initialises from data: it is given real samples once, before a new run's first step.
    At `resets`, counts of images, the optimisers begin anew.
    `classes` is how many labels the generator is told apart by, 0 where it is told none. For a net that is
    fed images, not latents, `shown` says what grids show of it: from the net, real images [n, …] and
    draws to [n, m, …], m pictures for each, the last of which it made.
    """

    game: Game
    optimisers: Mapping[str, Optimizer]
    latent: Latent
    batch: int
    images: int
    average: float = 0.999
    generator: str = "generator"
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    begin: Callable[[Tensor], None] | None = None
    resets: tuple[int, ...] = ()
    classes: int = 0
    shown: Callable[[nn.Module, Tensor, Draws], Tensor] | None = None
