"""Do samples repeat each other, as measures: duplicates within them, and the birthday test."""

import math

import torch
from torch import Tensor

from zerosum.metrics.comparison import Comparison, Value, share
from zerosum.metrics.originality import birthday_support, duplicates, shrunk

__all__ = ["birthday", "within"]

MOST = 4000  # samples that are compared with each other
_EQUAL = 1e-4  # distances below are of the same image twice


def within(sides: Comparison) -> dict[str, Value]:
    """The share of samples with a twin among the samples: nearer than any two different reals of as many.

    Distances are over pixels, of images averaged down to 32 to 63 a side. Where reals are many, twins of
    an honest generator are as rare as an even chance of one pair. Raises ValueError where all reals are the
    same.
    """
    pairs, count = _twins(sides)
    return {"duplicates": share(len(pairs.unique()) / count, count)}


def birthday(sides: Comparison) -> dict[str, Value]:
    """How many images the generator can make, by how many pairs of samples repeat (Arora & Zhang 2017).

    The 95 % interval of `zerosum.metrics.originality.birthday_support`; no upper bound without repeats.
    What repeats is what `within` takes for twins. Raises ValueError as it does.
    """
    pairs, count = _twins(sides)
    low, high = birthday_support(count, len(pairs))
    found = {"repeated pairs": Value(len(pairs)), "support at least": Value(low)}
    return found if math.isinf(high) else {**found, "support at most": Value(high)}


def _twins(sides: Comparison) -> tuple[Tensor, int]:
    """Pairs [P, 2] of samples that are twins, and how many samples were compared."""
    count = min(MOST, sides.real.count, sides.fake.count)
    reals, fakes = (
        shrunk(sides.some(side, count)[0]).double().flatten(1) for side in (sides.real, sides.fake)
    )
    near = _least(reals)
    sides.said["twins"] = f"of {count:,} samples, nearer than {near:.4g}, the least of as many reals"
    return duplicates(fakes, near), count


def _least(reals: Tensor) -> float:
    """The least distance between two that are not equal. Raises ValueError where all are."""
    least = math.inf
    for start in range(0, len(reals), 256):
        apart = torch.cdist(reals[start : start + 256], reals)
        apart[apart < _EQUAL] = math.inf  # itself among them
        least = min(least, float(apart.min()))
    if math.isinf(least):
        raise ValueError("the real images are all the same, so none can tell what is near: give others")
    return least
