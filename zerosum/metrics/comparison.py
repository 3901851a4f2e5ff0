"""What measures are taken of: two sides and what judges them; and what they give, values with intervals."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.metrics.extractors import Extractor, extractor, rounded
from zerosum.metrics.frechet import Moments, dealt
from zerosum.metrics.sides import AT_ONCE, Progress, Side, features_of, moments_of, stream_of

__all__ = ["Comparison", "Value", "about", "mean", "share"]

_RESAMPLES = 20


class Value(NamedTuple):
    """A number, and the ends of its 95 % interval where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


def about(value: float, deviation: float, times: float = 1.96) -> Value:
    """A value whose interval reaches `times` its standard error each way."""
    return Value(value, value - times * deviation, value + times * deviation)


def mean(values: Tensor) -> Value:
    """The mean of independent values [N], by its standard error; of one value there is no interval.

    >>> mean(torch.tensor([1.0, 2.0, 3.0])).value
    2.0
    """
    values = values.double()
    if len(values) < 2:
        return Value(float(values.mean()))
    return about(float(values.mean()), float(values.std()) / len(values) ** 0.5)


def share(share: float, count: int) -> Value:
    """A share of `count` with its interval (Wilson 1927).

    >>> [round(end, 4) for end in share(0.5, 100)]
    [0.5, 0.4038, 0.5962]
    """
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = 1.96 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return Value(share, middle - half if share > 0 else 0.0, middle + half if share < 1 else 1.0)


@dataclass(frozen=True)
class Comparison:
    """Real and fake images and what judges them: features are computed once, when first asked for.

    Some measures need two more sides: all training images, and held-out ones. Where features need not be
    held `whole`, moments are taken as they come, in memory that does not grow with the counts. `judge` is
    an extractor or its name; it is made when a measure first asks for it. PSNR and SSIM of pairs leave out
    `border` pixels on each side. Measures write what a card must
    tell of how they were taken to `said`, and what a reader must beware of to `warned`.
    """

    real: Side
    fake: Side
    judge: str | Extractor
    seed: int = 0
    train: Side | None = None
    held: Side | None = None
    cache: Path | None = None
    progress: Progress | None = None
    whole: bool = True
    border: int = 0
    said: dict[str, str] = field(default_factory=dict)
    warned: list[str] = field(default_factory=list)

    @cached_property
    def extractor(self) -> Extractor:
        """What judges: features, classes, LPIPS."""
        return extractor(self.judge) if isinstance(self.judge, str) else self.judge

    @property
    def judged(self) -> bool:
        """Whether a measure asked for the extractor so far."""
        return "extractor" in vars(self)

    def features(self, side: Side, *, logits: bool = False) -> Tensor:
        """A side's features [count, D], or logits [count, K]."""
        return features_of(side, self.extractor, logits=logits, cache=self.cache, progress=self.progress)

    @cached_property
    def real_features(self) -> Tensor:
        """[N, D]."""
        return self.features(self.real)

    @cached_property
    def fake_features(self) -> Tensor:
        """[M, D]."""
        return self.features(self.fake)

    @cached_property
    def fake_logits(self) -> Tensor:
        """[M, K], in the order of `order`: where splits are made of neighbours these are any."""
        return self.features(self.fake, logits=True)[self.order(self.fake)]

    @cached_property
    def real_moments(self) -> Moments:
        """Of the real features."""
        if self.whole:
            return Moments.of(self.real_features)
        return moments_of(self.real, self.extractor, cache=self.cache, progress=self.progress)

    @cached_property
    def fake_blocks(self) -> tuple[Moments, ...]:
        """Of the fake features, dealt to blocks."""
        stream = stream_of(self.fake, self.extractor, progress=self.progress)
        return dealt([self.fake_features] if self.whole else stream, self.fake.count, self.seed)

    def tell(self, stage: str, done: int, total: int) -> None:
        """How far a long computation is."""
        if self.progress:
            self.progress(stage, done, total)

    def order(self, side: Side) -> Tensor:
        """An order int64 [count] of a side's samples that is random, and depends on content and seed alone.

        So files are taken alike in whatever order they come. Generated samples have numbers: theirs stays.
        """
        if side.key is None:
            return torch.arange(side.count)
        salt = self.seed.to_bytes(8, "little", signed=True)
        marks: list[bytes] = []
        for start in range(0, side.count, AT_ONCE):
            part = side.images(start, min(start + AT_ONCE, side.count)).float().contiguous().numpy()
            marks += [hashlib.blake2b(one.tobytes(), digest_size=8, salt=salt).digest() for one in part]
        return torch.tensor(sorted(range(side.count), key=marks.__getitem__))

    def some(self, side: Side, count: int) -> tuple[Tensor, Tensor]:
        """`count` of a side's samples in random order, and their numbers; see `order`.

        Images are as 8 bits hold them, points as they are.
        """
        if side.key is None:
            which = torch.randperm(count, generator=self.draw())
            found = side.images(0, count)[which]
        else:
            which = self.order(side)[:count]
            found = torch.cat([side.images(i, i + 1) for i in which.tolist()])
        return (rounded(found) if found.dim() == 4 else found), which

    def draw(self) -> torch.Generator:
        """A stream of random numbers that depends on the seed alone."""
        return torch.Generator().manual_seed(self.seed)

    def resampled(self, of: Callable[[Tensor], float], fakes: Tensor) -> float:
        """The standard deviation of a value over resamples of the fakes (Efron 1979)."""
        draw = self.draw()
        values = [
            of(fakes[torch.randint(len(fakes), (len(fakes),), generator=draw)]) for _ in range(_RESAMPLES)
        ]
        return float(torch.tensor(values, dtype=torch.float64).std())
