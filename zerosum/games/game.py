"""What a game is: players who move in turns, each with a loss of its own.

The training loop knows nothing else of the systems it trains (lecture 4's general formulation:
L^(G)(θ^(G), θ^(D)) → min over θ^(G), L^(D)(θ^(G), θ^(D)) → min over θ^(D)).
"""

from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from zerosum.draws import Draws

__all__ = ["Batch", "Clock", "Game", "Terms", "Turn"]

_NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class Clock(NamedTuple):
    """How far training has come: steps taken, and real images shown over all processes."""

    step: int = 0
    images: int = 0


class Batch(NamedTuple):
    """This process's, or this micro-batch's, part of a batch: b samples of `total`.

    `data["real"]` is [b, …] in [−1, 1]; `data["labels"]`, where the set has labels, is [b] int64.
    `draw` gives this part's random numbers.
    """

    data: Mapping[str, Tensor]
    draw: Draws
    total: int


class Terms(NamedTuple):
    """What a player minimises, by name, and what is only watched.

    Each term of `loss` is [b] (per sample) or 0-d (a mean over the part); the loss is their sum,
    weighted by b/total. `seen` is not minimised and is averaged over parts and processes alike.
    """

    loss: Mapping[str, Tensor]
    seen: Mapping[str, Tensor] = _NOTHING


class Turn(NamedTuple):
    """One player's move: whose parameters change, and what it minimises.

    `player` names an optimiser; what moves is what that optimiser holds, and all else is frozen.
    `take` counts new real images: None is the usual batch, 0 the same again. `splits` allows
    micro-batches: only per-sample terms of nets that do not mix the batch may be cut.
    """

    player: str
    terms: Callable[[Batch], Terms]
    take: int | None = None
    splits: bool = False


class Game(nn.Module):
    """Players and the order in which they move. Its parameters and buffers are all of its state.

    A subclass writes `turns`; its locals hand a fake from one turn to the next, and code after a
    `yield` sees, in `seen`, what all processes saw.
    """

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        """The turns of one step: `seen = yield Turn(...)` after each, the move is made."""
        raise NotImplementedError(f"{type(self).__name__} must say who moves: write turns(self, clock)")
