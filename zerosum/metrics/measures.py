"""The measures by name, each a function of two sides: values with their intervals.

An interval holds 95 %. Where it comes from resampling the fakes, or from leaving a tenth of them out in
turn, it holds the mean over draws of as many fakes; the reals stay. The reals' own number has a part in
the bias of `fd`, which the card's counts let others repeat.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.metrics.extractors import Extractor, rounded
from zerosum.metrics.frechet import STUDENT, Moments, dealt, frechet_infinity, frechet_jackknife
from zerosum.metrics.inception_score import inception_score
from zerosum.metrics.kid import kid, kid_subsets
from zerosum.metrics.originality import originality
from zerosum.metrics.prdc import prdc
from zerosum.metrics.quality import ms_ssim
from zerosum.metrics.sides import Progress, Side, features_of, moments_of, stream_of
from zerosum.transport import sliced_wasserstein

__all__ = ["MEASURES", "WHOLE", "Comparison", "Value"]

WHOLE = frozenset({"fd-infinity", "kid", "prdc"})  # what needs the features of a whole side at once
_RESAMPLES = 20


class Value(NamedTuple):
    """A number, and the ends of its 95 % interval where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


def _about(value: float, deviation: float, times: float = 1.96) -> Value:
    return Value(value, value - times * deviation, value + times * deviation)


@dataclass(frozen=True)
class Comparison:
    """Real and fake images and what judges them: features are computed once, when first asked for.

    Memorisation needs two more sides: all training images, and held-out ones. Where features need not be
    held `whole`, moments are taken as they come, in memory that does not grow with the counts.
    """

    real: Side
    fake: Side
    extractor: Extractor
    seed: int = 0
    train: Side | None = None
    held: Side | None = None
    cache: Path | None = None
    progress: Progress | None = None
    whole: bool = True

    def _features(self, side: Side, *, logits: bool = False) -> Tensor:
        return features_of(side, self.extractor, logits=logits, cache=self.cache, progress=self.progress)

    @cached_property
    def real_features(self) -> Tensor:
        """[N, D]."""
        return self._features(self.real)

    @cached_property
    def fake_features(self) -> Tensor:
        """[M, D]."""
        return self._features(self.fake)

    @cached_property
    def fake_logits(self) -> Tensor:
        """[M, K]."""
        return self._features(self.fake, logits=True)

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


def _fd(sides: Comparison) -> dict[str, Value]:
    distance, error = frechet_jackknife(sides.real_moments, sides.fake_blocks)
    return {"fd": Value(distance) if error is None else _about(distance, error, STUDENT)}


def _fd_infinity(sides: Comparison) -> dict[str, Value]:
    value, error = frechet_infinity(sides.real_moments, sides.fake_features, seed=sides.seed)
    return {"fd-infinity": _about(value, error)}


def _kid(sides: Comparison) -> dict[str, Value]:
    size = min(1000, sides.real.count, sides.fake.count)
    spread = kid_subsets(sides.real_features, sides.fake_features, subsets=20, size=size, seed=sides.seed)
    # A subset's variance falls as 1/size: that of all pairs is smaller by as much.
    deviation = spread.deviation * (size / min(sides.real.count, sides.fake.count)) ** 0.5
    return {"kid": _about(kid(sides.real_features, sides.fake_features), deviation)}


def _prdc(sides: Comparison) -> dict[str, Value]:
    found = prdc(sides.real_features, sides.fake_features)
    counts = {"precision": sides.fake.count, "recall": sides.real.count, "coverage": sides.real.count}
    return {
        name: _share(value, counts[name]) if name in counts else Value(value)
        for name, value in found._asdict().items()
    }


def _share(share: float, count: int) -> Value:
    """A share of `count` with its interval (Wilson 1927)."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = 1.96 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return Value(share, max(0.0, middle - half), min(1.0, middle + half))


def _is(sides: Comparison) -> dict[str, Value]:
    found = inception_score(sides.fake_logits)
    return {"is": _about(found.mean, found.deviation)}


def _swd(sides: Comparison) -> dict[str, Value]:
    count = min(sides.real.count, sides.fake.count, 4096)
    real, fake = sides.real.images(0, count), rounded(sides.fake.images(0, count))

    def distance(fakes: Tensor) -> float:
        return float(sliced_wasserstein(real, fakes))

    return {"swd": _about(distance(fake), sides.resampled(distance, fake))}


def _ms_ssim(sides: Comparison) -> dict[str, Value]:
    """Of random pairs of fakes, and of reals beside: higher is less diverse."""
    out = {}
    for name, side in (("ms-ssim", sides.fake), ("ms-ssim of reals", sides.real)):
        pairs = min(1000, side.count // 2)
        order = torch.randperm(side.count, generator=sides.draw())[: 2 * pairs]
        images = rounded(side.all()[order])
        values = torch.cat(
            [ms_ssim(a, b) for a, b in zip(images[::2].split(64), images[1::2].split(64), strict=True)]
        )
        out[name] = _about(float(values.mean()), float(values.std()) / pairs**0.5)
    return out


def _memorisation(sides: Comparison) -> dict[str, Value]:
    if sides.held is None or sides.train is None:
        raise ValueError(
            "memorisation needs held-out images beside the training ones: give --held, a folder or a set "
            "that the generator never saw"
        )
    count = min(500, sides.fake.count, sides.held.count)
    found = originality(rounded(sides.fake.images(0, count)), sides.train.all(), sides.held.images(0, count))
    return {
        "memorisation p-value": Value(found.p_value),
        "suspected copies": _share(len(found.suspects) / count, count),
        "distance to training images over held-out": Value(found.ratio),
    }


MEASURES: Mapping[str, Callable[[Comparison], Mapping[str, Value]]] = {
    "fd": _fd,
    "fd-infinity": _fd_infinity,
    "kid": _kid,
    "prdc": _prdc,
    "is": _is,
    "swd": _swd,
    "ms-ssim": _ms_ssim,
    "memorisation": _memorisation,
}
