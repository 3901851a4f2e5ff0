"""Compressed sensing compared: one generator and its rivals on the same images, matrices and noise.

The protocol of Bora et al. 2017 (Compressed Sensing using Generative Models), section 6: images in [0, 1],
y = A x + η with A ~ N(0, 1/m) and √E‖η‖² fixed, the error a mean square over pixels, with 95 % intervals
over images. All methods clip to [0, 1], and are told the noise.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from zerosum.draws import Draws, mix
from zerosum.inverse.gaussian import Gaussian
from zerosum.inverse.theorem import promise

__all__ = [
    "PROTOCOLS",
    "Estimator",
    "Kept",
    "Protocol",
    "Result",
    "Scene",
    "compare",
    "measurements_for",
    "paired",
    "promises",
    "scene",
]


@dataclass(frozen=True)
class Protocol:
    """How a comparison is made: numbers of measurements, √E‖η‖², images."""

    measurements: tuple[int, ...]
    noise: float
    count: int


PROTOCOLS: Mapping[str, Protocol] = {
    "mnist": Protocol((10, 25, 50, 100, 200, 300, 400, 500, 750), 0.1, 100),
    "celeba": Protocol((20, 50, 100, 200, 500, 1000, 2500, 5000, 7500, 10000), 0.01, 64),
}


class Scene(NamedTuple):
    """What an estimator is told: A, y [B, m], the standard deviation of each measurement's noise, a seed."""

    operator: Gaussian
    y: Tensor
    deviation: float
    seed: int


class Kept(NamedTuple):
    """Means over images of ‖x̂ − x‖, its bound and their difference; the least of these; the share kept."""

    measurements: int
    error: float
    bound: float
    slack: float
    least: float
    holds: float


Estimator = Callable[[Scene], Tensor]


@dataclass(frozen=True)
class Result:
    """One method at one number of measurements: mean square errors of pixels [B], seconds, images."""

    method: str
    measurements: int
    errors: Tensor
    seconds: float
    images: Tensor

    @property
    def mean(self) -> float:
        """Over the images."""
        return float(self.errors.mean())

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval: 1.96 standard errors; NaN for one image."""
        return (
            1.96 * float(self.errors.std()) / math.sqrt(len(self.errors))
            if len(self.errors) > 1
            else math.nan
        )


def scene(truth: Tensor, m: int, noise: float, seed: int = 0) -> Scene:
    """Measurements of images [B, C, H, W] in [0, 1]; image i's noise depends on (seed, m, i) alone.

    Raises ValueError for noise below 0, and for numbers of measurements that an image cannot give.

    >>> import torch
    >>> scene(torch.zeros(3, 1, 8, 8), 16, noise=0.1).y.shape
    torch.Size([3, 16])
    """
    if not 0 <= noise < math.inf:
        raise ValueError(f"--noise must be at least 0, not {noise}")
    channels, height, width = truth.shape[1:]
    operator = Gaussian((channels, height, width), m, seed)
    deviation = noise / math.sqrt(m)
    drawn = Draws(mix(seed, "measurement noise", m), stop=len(truth)).normal("noise", m)
    return Scene(operator, operator.forward(truth) + deviation * drawn, deviation, seed)


def compare(
    truth: Tensor,
    measurements: Sequence[int],
    estimators: Mapping[str, Estimator],
    *,
    noise: float = 0.1,
    seed: int = 0,
    keep: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Every estimator at every number of measurements, on the same scenes; `keep` hears each as it ends."""
    found = []
    for m in measurements:
        one = scene(truth, m, noise, seed)
        for name, estimate in estimators.items():
            began = time.perf_counter()
            images = estimate(one).clamp(0, 1)
            errors = (images - truth).square().flatten(1).mean(1)
            found.append(Result(name, m, errors, time.perf_counter() - began, images))
            if keep:
                keep(found[-1])
    return found


def paired(ours: Result, theirs: Result) -> tuple[float, float]:
    """Theirs over ours, of the means; and the p-value that the images' errors differ (paired t test).

    The test is of the logarithms, as errors of images differ by factors. NaN where there is one image.
    """
    ratio = theirs.mean / max(ours.mean, 1e-12)
    logs = (theirs.errors.clamp_min(1e-12) / ours.errors.clamp_min(1e-12)).log().double()
    if len(logs) < 2:
        return ratio, math.nan
    t = float(logs.mean() / (logs.std() / math.sqrt(len(logs))).clamp_min(1e-12))
    return ratio, _two_sided(t, len(logs) - 1)


def promises(
    results: Sequence[Result], truth: Tensor, nearest: Tensor, noise: float, seed: int = 0
) -> list[Kept]:
    """What Bora et al.'s theorem promised of the generator alone, and what held, for each m.

    `nearest` [B, C, H, W] are the nearest images of the generator that a search against the truth found: they
    bound the range error from above, and with it the bound. See `zerosum.inverse.theorem`.
    """
    found = []
    for result in results:
        if result.method != "generator":
            continue
        some = len(result.images)
        one = scene(truth, result.measurements, noise, seed)
        told = promise(one.operator, one.y[:some], truth[:some], result.images, nearest[:some])
        error, bound, slack = (float(x.mean()) for x in (told.error, told.bound, told.slack))
        found.append(
            Kept(
                result.measurements,
                error,
                bound,
                slack,
                float(told.slack.min()),
                float(told.holds.float().mean()),
            )
        )
    return found


def _two_sided(t: float, freedom: int) -> float:
    """P(|T| ≥ |t|) of Student's law, by its incomplete beta function."""
    from zerosum.inverse.operators import extra

    return float(extra("scipy.special").betainc(freedom / 2, 0.5, freedom / (freedom + t * t)))


def measurements_for(results: Sequence[Result], method: str, error: float) -> float:
    """How many measurements a method needs for a mean error: between those tried, straight in logarithms.

    NaN where it never comes so low; the least tried where it always is.
    """
    curve = sorted((r.measurements, r.mean) for r in results if r.method == method)
    for number, (m, value) in enumerate(curve):
        if value <= error:
            if number == 0:
                return float(m)
            before, above = curve[number - 1]
            share = math.log(above / error) / math.log(above / value)
            return math.exp(math.log(before) + share * math.log(m / before))
    return math.nan
