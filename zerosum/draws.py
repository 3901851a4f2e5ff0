"""Random numbers that depend on (seed, purpose, step, turn, sample) alone.

Whoever asks, in whatever order, on however many processes and with whatever micro-batches, sample i of
a turn gets the same numbers. So a resume is exact, and N processes draw what one would.
"""

import hashlib
import math
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

    With a `threshold` t the normal law is cut to [−t, t]; see `truncated`. A net that is fed something else
    has none: its size is 0, and `instead` says what is done with it instead.

    >>> Latent(100, "uniform")(Draws(stop=3)).shape
    torch.Size([3, 100])
    """

    size: int
    law: Literal["normal", "uniform"] = "normal"
    threshold: float | None = None
    instead: str | None = None

    def __call__(self, draw: Draws) -> Tensor:
        """Latents for these samples, [b, size]. Raises ValueError where there are none."""
        if self.instead is not None:
            raise ValueError(f"this net makes nothing from latents: {self.instead}")
        if self.law == "uniform":
            return draw.uniform("latent", self.size) * 2 - 1
        if self.threshold is None:
            return draw.normal("latent", self.size)
        return _cut_normal(draw.uniform("latent", self.size), self.threshold)

    def truncated(self, threshold: float) -> "Latent":
        """The normal law given that each number lies in [−threshold, threshold] (BigGAN's truncation trick).

        Brock, Donahue & Simonyan 2019, section 3.1: a smaller threshold gives better samples of less
        variety, and 0 the one sample of z = 0. They draw again what falls outside; here numbers in
        [0, 1) go through the inverse distribution function, so one seed gives the same image drawn
        towards the middle. Where the law is cut already the smaller threshold counts.

        >>> bool(Latent(100).truncated(0.5)(Draws(stop=9)).abs().max() <= 0.5)
        True

        Raises ValueError for a threshold below 0, and for uniform latents.
        """
        if not threshold >= 0:
            raise ValueError(f"--truncation must be at least 0, not {threshold}")
        if self.law != "normal":
            raise ValueError(f"--truncation cuts a normal law's tails, and these latents are {self.law}")
        return replace(self, threshold=min(threshold, math.inf if self.threshold is None else self.threshold))


def _cut_normal(uniform: Tensor, threshold: float) -> Tensor:
    """Φ⁻¹ of the numbers in [0, 1) spread over [Φ(−t), Φ(t)]: √2·erf⁻¹((2u − 1)·erf(t/√2))."""
    middle = 2 * uniform.double() + (2**-24 - 1)  # of each of the 2²⁴ steps, so that no end is infinite
    z = math.sqrt(2) * torch.erfinv(middle * math.erf(threshold / math.sqrt(2)))
    return z.float().clamp(-threshold, threshold)
