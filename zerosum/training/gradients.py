"""One move's losses and gradients: added up over parts and processes, and checked."""

from collections.abc import Iterator, Mapping
from typing import NoReturn

import torch
from torch import Tensor, nn

from zerosum import processes
from zerosum.games.game import Clock, Terms

__all__ = ["Move", "NonFiniteError", "first_non_finite", "reduce_move"]


class NonFiniteError(FloatingPointError):
    """A NaN or an infinity appeared; says at which step and in which tensor."""


class Move:
    """What one turn has computed so far; `heard` are its floats, `seen` the same as tensors."""

    def __init__(self, player: str, clock: Clock, parameters: int) -> None:
        self.player, self.clock = player, clock
        self.losses: dict[str, Tensor] = {}
        self.watched: dict[str, Tensor] = {}
        self.parameters = parameters
        self.seen: Mapping[str, Tensor] = {}
        self.heard: dict[str, float] = {}
        self.loss = 0.0

    def add(self, terms: Terms, weight: float, total: int) -> Tensor:
        """Take in one part's terms; returns its share of the loss, 0-d."""
        if not terms.loss:
            raise ValueError(f"the {self.player}'s turn has no loss")
        shares = []
        for name, term in terms.loss.items():
            shares.append(_share(name, term, weight, total))
            self.losses[name] = self.losses.get(name, 0) + shares[-1].detach()
        for name, term in terms.seen.items():
            self.watched[name] = self.watched.get(name, 0) + _share(name, term.detach(), weight, total)
        return torch.stack(shares).sum() if len(shares) > 1 else shares[0]

    @property
    def values(self) -> dict[str, Tensor]:
        """Every number of the move, losses first."""
        return {**self.losses, **self.watched}

    def finish(self, held: list[nn.Parameter]) -> float:
        """Read all numbers off the device at once; returns the gradient's norm."""
        gradients = [p.grad for p in held if p.grad is not None]
        norms = torch._foreach_norm(gradients) if gradients else ()
        norm = (
            torch.linalg.vector_norm(torch.stack([n.float() for n in norms])) if norms else torch.tensor(0.0)
        )
        values = self.values
        stacked = torch.stack(
            [norm.to(torch.float64), *(v.to(norm.device, torch.float64) for v in values.values())]
        )
        size, *numbers = stacked.tolist()
        self.heard = {**dict(zip(values, numbers, strict=True)), "gradient": size}
        self.seen = {**values, "gradient": norm}
        self.loss = sum(numbers[: len(self.losses)])
        return float(size)

    def complain(self, game: nn.Module, data: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> NoReturn:
        """Raise NonFiniteError naming the first cause: an input, a weight, a loss term, a gradient."""
        gradients = ((name, p.grad) for name, p in held.items() if p.grad is not None)
        causes = (
            ("the input", iter(data.items())),
            ("the weight", iter(game.state_dict().items())),
            ("the loss term", iter(self.losses.items())),
            ("the gradient of", gradients),
        )
        suspects = ((what, first_non_finite(tensors)) for what, tensors in causes)
        overflow = ("the norm of the gradient of", (self.player, "too large for float32"))
        what, found = next(((what, found) for what, found in suspects if found), overflow)
        raise NonFiniteError(
            f"step {self.clock.step} ({self.clock.images:,} images), the {self.player}'s turn: "
            f"{what} {found[0]!r} is {found[1]}. The step was not made. Try a lower --lr, --clip 1, another "
            "--penalty, or --precision fp32"
        )


def first_non_finite(tensors: Iterator[tuple[str, Tensor]]) -> tuple[str, str] | None:
    """The first named tensor that holds a NaN or an infinity, and which of them; None if all are finite.

    >>> first_non_finite(iter([("a", torch.zeros(1)), ("b", torch.tensor([float("nan")]))]))
    ('b', 'NaN')
    """
    for name, tensor in tensors:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return name, "NaN" if bool(torch.isnan(tensor).any()) else "infinite"
    return None


def _share(name: str, term: Tensor, weight: float, total: int) -> Tensor:
    if term.dim() > 1:
        raise ValueError(f"the term {name!r} must be [b] or 0-d, not {tuple(term.shape)}")
    return term.sum() / total if term.dim() else term * weight


def reduce_move(move: Move, held: list[nn.Parameter]) -> None:
    """Add gradients and numbers over all processes, in one all-reduce.

    By hand after backward, not by a wrapper: exact with double backward. Each gradient carries a mark
    of presence, since one that is missing on some processes only would be silently wrong.
    """
    if processes.count() == 1:
        return
    values = move.values
    dtype = held[0].dtype if held else torch.float32
    device = held[0].device if held else torch.device("cpu")
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in held]
    marks = torch.tensor([float(p.grad is not None) for p in held], dtype=dtype, device=device)
    numbers = [torch.stack([v.to(device, dtype) for v in values.values()])] if values else []
    flat = processes.all_reduce(torch.cat([marks, *numbers, *(g.flatten() for g in gradients)]))
    marks, rest = flat[: len(held)], flat[len(held) :]
    for i, name in enumerate(values):
        (move.losses if name in move.losses else move.watched)[name] = rest[i]
    rest = rest[len(values) :]
    for p, mark, part in zip(held, marks.tolist(), rest.split([g.numel() for g in gradients]), strict=True):
        if mark not in (0.0, float(processes.count())):
            raise RuntimeError(
                f"a gradient of shape {tuple(p.shape)} of the {move.player} exists on some processes only"
            )
        if mark:
            assert p.grad is not None
            p.grad.copy_(part.view_as(p))
