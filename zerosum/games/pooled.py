"""Means over the samples of all processes."""

import torch
from torch import Tensor

from zerosum import processes

__all__ = ["pooled"]


def pooled(total: Tensor, count: int) -> Tensor:
    """The mean over all processes' samples, from the sum `total` over this one's `count`; differentiable.

    Counts may differ between processes; the shape of `total` may not.

    >>> pooled(torch.tensor([4.0, 8.0]), 4)
    tensor([1., 2.])
    """
    if processes.count() == 1:
        return total / count
    sums = processes.average(torch.cat([total.flatten(), total.new_tensor([count])]), 1.0)
    return (sums[:-1] / sums[-1]).view(total.shape)
