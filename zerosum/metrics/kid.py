"""The kernel Inception distance: MMD² with the cubic kernel, unbiased (Bińkowski et al. 2018)."""

from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.kernels import Kernel, mmd2, polynomial

__all__ = ["Subsets", "kid", "kid_subsets"]


class Subsets(NamedTuple):
    """Mean over subsets, and the standard deviation of one subset's value."""

    mean: float
    deviation: float


def kid(real: Tensor, fake: Tensor, kernel: Kernel | None = None) -> float:
    """KID of fakes [M, D] for reals [N, D]: the U-statistic over all pairs.

    The kernel is (x·y/D + 1)³ unless another is given. Unbiased at any count, and so may be negative
    where the two are alike. Raises ValueError as `zerosum.kernels.mmd2` does.

    >>> points = torch.eye(4)
    >>> kid(points, points + 1) > 1
    True
    """
    return float(mmd2(real.double(), fake.double(), kernel or polynomial()))


def kid_subsets(
    real: Tensor, fake: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> Subsets:
    """KID as it was published, a mean over random subsets of `size` of each side.

    Noisier than `kid` on the same samples; for comparison with figures taken so. Raises ValueError
    where a side has fewer than `size` samples.

    >>> draw = torch.Generator().manual_seed(0)
    >>> found = kid_subsets(*torch.randn(2, 300, 4, generator=draw), subsets=50, size=100)
    >>> abs(found.mean) < found.deviation
    True
    """
    if not 2 <= size <= min(len(real), len(fake)) or subsets < 2:
        raise ValueError(
            f"KID of subsets: {subsets} subsets of {size} from {len(real)} real and {len(fake)} fake "
            "samples; at least 2 of at least 2 are needed, and no subset larger than a side"
        )
    draw = torch.Generator().manual_seed(seed)

    def some(side: Tensor) -> Tensor:
        return side[torch.randperm(len(side), generator=draw)[:size]]

    values = torch.tensor([kid(some(real), some(fake)) for _ in range(subsets)], dtype=torch.float64)
    return Subsets(float(values.mean()), float(values.std()))
