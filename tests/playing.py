"""A two-player game on points in the plane, of a few dozen weights, that several tests play."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.draws import Draws, Latent
from zerosum.games.adversarial import Adversarial
from zerosum.games.game import Batch, Clock, Terms
from zerosum.training.loop import train
from zerosum.training.state import State

BATCH, LATENT = 8, Latent(3)


class Points:
    """2-D points by place in the stream, and a record of what was asked for."""

    size = 64

    def __init__(self) -> None:
        self.points = torch.randn(self.size, 2, generator=torch.Generator().manual_seed(4))
        self.asked: list[int] = []

    def __call__(self, cursor: int, ids: Tensor) -> Mapping[str, Tensor]:
        self.asked.append(cursor)
        return {"real": self.points[(cursor + ids) % self.size]}


def nets(norm: bool = False) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    between = (lambda: nn.BatchNorm1d(6)) if norm else nn.Identity
    generator = nn.Sequential(nn.Linear(3, 6), between(), nn.Tanh(), nn.Linear(6, 2))
    critic = nn.Sequential(nn.Linear(2, 6), between(), nn.LeakyReLU(0.2), nn.Linear(6, 1), nn.Flatten(0))
    return generator, critic


def optimisers(game: Adversarial, lr: float = 0.05) -> dict[str, torch.optim.Optimizer]:
    return {
        name: torch.optim.SGD(getattr(game, name).parameters(), lr=lr, momentum=0.5)
        for name in ("generator", "critic")
    }


def play(game: Adversarial, steps: int = 1, **settings: Any) -> dict[str, Tensor]:
    """Train for some steps; the parameters it ends with."""
    train(
        game,
        Points(),
        optimisers(game),
        State(seed=3),
        steps * game.critic_steps * BATCH,
        batch=BATCH,
        **settings,
    )
    return {name: p.detach().clone() for name, p in game.named_parameters()}


def turn_of(game: Adversarial, player: str, data: Tensor, turn: int = 0) -> Terms:
    """What a player minimises on these samples, in the first step."""
    turns = game.turns(Clock())
    found = next(turns)
    while found.player != player:
        found = turns.send({"sign": torch.zeros(())})
    return found.terms(Batch({"real": data}, Draws(3, 0, turn, 0, len(data)), len(data)))
