"""One score for all cells: the same real samples, as many fakes, the same projections."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.data import Dataset
from zerosum.draws import mix
from zerosum.transport import coarse, sliced_wasserstein

__all__ = ["COUNT", "PROJECTIONS", "Yardstick", "yardstick"]

COUNT = 2000  # samples of each kind, if the data have twice as many
PROJECTIONS = 512
SIDE = 64  # images are averaged down to this first


@dataclass(frozen=True)
class Yardstick:
    """Real samples to score by; `floor` is the distance from as many other real ones.

    A generator as good as the data scores about `floor`, and 1 in spread.
    """

    real: Tensor
    floor: float
    fingerprint: str

    @property
    def count(self) -> int:
        """How many fakes are scored, and against how many reals."""
        return len(self.real)

    def distance(self, fake: Tensor) -> float:
        """Sliced Wasserstein distance of values in [−1, 1], over `PROJECTIONS` directions of seed 0."""
        return sliced_wasserstein(self.real, coarse(fake, SIDE), PROJECTIONS)

    def spread(self, fake: Tensor) -> float:
        """Mean distance of two fakes over that of two reals: near 0 where a generator has collapsed.

        Noise has much of it too, so it is read beside the distance.
        """
        return _apart(coarse(fake, SIDE)) / _apart(self.real)


def yardstick(dataset: Dataset) -> Yardstick:
    """The reals of a data set by which its cells are scored: half of it at most, drawn from seed 0.

    Raises ValueError for fewer than four samples, and for samples that are all the same.
    """
    count = min(COUNT, len(dataset) // 2)
    if count < 2:
        raise ValueError(f"{dataset.name}: too few samples to score by, {len(dataset)}; it takes 4 or more")
    generator = torch.Generator().manual_seed(mix(0, "yardstick"))
    order = torch.randperm(len(dataset), generator=generator)[: 2 * count].sort().values
    drawn = dataset.format.decode(dataset.format.tensor(dataset.samples[order.numpy()])).float()
    real, other = coarse(drawn, SIDE)[::2], coarse(drawn, SIDE)[1::2]
    if not _apart(real):
        raise ValueError(
            f"{dataset.name}: its samples are all the same, so there is no spread to compare with"
        )
    return Yardstick(real, sliced_wasserstein(real, other, PROJECTIONS), dataset.fingerprint)


def _apart(samples: Tensor) -> float:
    """The mean distance of two different samples, in float64.

    >>> _apart(torch.tensor([[0.0], [1.0], [4.0]]))
    2.6666666666666665
    """
    return float(torch.pdist(samples.flatten(1).double()).mean())
