"""Random numbers that depend on (seed, purpose, step, turn, sample) alone.

Whoever asks, in whatever order, on however many processes and with whatever micro-batches, sample i of
a turn gets the same numbers. So a resume is exact, and N processes draw what one would.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

__all__ = ["BLOCK", "Draws", "Latent", "mix"]

BLOCK = 16  # samples that share one generator: seeding one a sample costs five times as much


def mix(*parts: int | str) -> int:
    """A 63-bit seed from any parts, every bit of it depending on all of them.

    A CPU generator uses the low 32 bits of its seed only, so sums or tuples of small numbers would
    collide; a hash does not, in practice.

    >>> mix(0, "latent", 1) != mix(0, "latent", 2)
    True
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


@dataclass(frozen=True)
class Draws:
    """The random numbers of samples `start` … `stop`−1 of one turn.

    Drawn on the CPU, whatever the device, so that every machine sees the same; float32.

    >>> whole = Draws(seed=7, stop=40).normal("latent", 3)
    >>> part = Draws(seed=7, start=10, stop=20).normal("latent", 3)
    >>> bool((whole[10:20] == part).all())
    True
    """

    seed: int = 0
    step: int = 0
    turn: int = 0
    start: int = 0
    stop: int = 1
    device: torch.device | str = "cpu"

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> "Draws":
        """The draws of samples `start` … `stop`−1 of the same turn."""
        return replace(self, start=start, stop=stop)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal numbers, [b, *shape]; another `purpose`, other numbers."""
        return self._blocks(purpose, shape, torch.randn)

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), [b, *shape]."""
        return self._blocks(purpose, shape, torch.rand)

    def _blocks(self, purpose: str, shape: tuple[int, ...], law: Callable[..., Tensor]) -> Tensor:
        first, last = self.start // BLOCK, -(-self.stop // BLOCK)
        generator = torch.Generator()
        blocks = []
        for block in range(first, last):
            # A whole block is drawn even if only a part is wanted: its numbers must not depend on that.
            generator.manual_seed(mix(self.seed, purpose, self.step, self.turn, block))
            blocks.append(law(BLOCK, *shape, generator=generator))
        whole = torch.cat(blocks) if blocks else torch.empty(0, *shape)
        mine = whole[self.start - first * BLOCK : self.stop - first * BLOCK]
        return mine.to(self.device, non_blocking=True)


@dataclass(frozen=True)
class Latent:
    """The law of a generator's input: `size` numbers, normal or uniform on [−1, 1].

    >>> Latent(100, "uniform")(Draws(stop=3)).shape
    torch.Size([3, 100])
    """

    size: int
    law: Literal["normal", "uniform"] = "normal"

    def __call__(self, draw: Draws) -> Tensor:
        """Latents for these samples, [b, size]."""
        if self.law == "normal":
            return draw.normal("latent", self.size)
        return draw.uniform("latent", self.size) * 2 - 1
