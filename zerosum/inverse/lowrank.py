"""Low rank: an image's missing pixels as those of the matrix of least nuclear norm."""

import math

import torch
from torch import Tensor

from zerosum.inverse.masks import Mask
from zerosum.inverse.settling import State, settle
from zerosum.inverse.smooth import LIMITS, Filled, known_pixels

__all__ = ["complete", "shrink"]

_CUT = 0.1  # of the largest singular value, taken off each step: settles soonest on faces and on matrices


def shrink(x: Tensor, cut: Tensor | float) -> Tensor:
    """Singular values less `cut`, at least 0: argmin over z of ½‖z − x‖² + cut·‖z‖_*, [..., H, W].

    Cai, Candès & Shen 2010, theorem 2.1. `cut` is a number or [...].

    >>> shrink(torch.diag(torch.tensor([3.0, 1.0])), 2.0)
    tensor([[1., 0.],
            [0., 0.]])
    """
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    less = (s - torch.as_tensor(cut, dtype=s.dtype, device=s.device)[..., None]).clamp_min(0)
    shrunk: Tensor = (u * less[..., None, :]) @ vh
    return shrunk


def complete(
    mask: Mask,
    y: Tensor,
    weight: float = 0.0,
    *,
    limits: tuple[float, float] | None = LIMITS,
    tolerance: float = 1e-4,
    limit: int = 1000,
) -> Filled:
    """argmin over x of ½‖M(x − y)‖² + weight·‖x‖_* for each channel; at weight 0 of ‖x‖_* with Mx = My.

    Nuclear-norm completion (Candès & Recht 2009; with noise, soft-impute's problem, Mazumder, Hastie &
    Tibshirani 2010), of what is left when each channel's known mean is taken off, by the alternating
    direction method (Boyd et al. 2011, section 3.1), which thresholds singular values once a step. `y` is
    [..., C, H, W]; at weight 0 known pixels stay as they are. An image stops when a step changes it by less
    than `tolerance` of itself, or after `limit`, and does not depend on those beside it.

    Raises ValueError for pixels that are not finite, a channel wholly hidden, and a weight below 0.

    >>> keep = torch.ones(1, 6, 6, dtype=torch.bool); keep[0, 2, 3] = False
    >>> row = torch.linspace(-1, 1, 6)
    >>> x = torch.outer(row, row)[None]
    >>> bool((complete(Mask((1, 6, 6), keep), x).image - x).abs().max() < 1e-3)
    True
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"the weight of the nuclear norm must be at least 0, not {weight}")
    y, keep, start = known_pixels(mask, y)
    mean = torch.where(keep, 0, start).sum((-2, -1), keepdim=True)
    mean = mean / (~keep).sum((-2, -1), keepdim=True).clamp_min(1)
    y = torch.where(keep, y - mean, 0)
    largest = torch.linalg.matrix_norm(y, 2)
    cut = (_CUT * largest).clamp_min(1e-12)
    pull = (weight / cut)[..., None, None]  # the penalty μ of the splitting, in the data's units

    def step(state: State) -> State:
        z, u = state
        x = shrink(z - u, cut)
        ahead = x + u
        at_known = y if weight == 0 else (y + pull * ahead) / (1 + pull)
        new = torch.where(keep, at_known, ahead)
        return new, ahead - new

    done = settle(step, (y, torch.zeros_like(y)), tolerance=tolerance, limit=limit, watched=2)
    x = done.state[0] + mean
    return Filled(x if limits is None else x.clamp(*limits), done.steps, done.settled)
