"""Wasserstein distances between two samples."""

from torch import Tensor

from zerosum.draws import Draws

__all__ = ["sliced_wasserstein"]


def sliced_wasserstein(real: Tensor, fake: Tensor, projections: int = 256, seed: int = 0) -> float:
    """E over unit directions θ of W₁(θ·x, θ·y) (Rabin et al. 2011, with W₁ for W₂).

    `real` and `fake` are [N, …] with the same N and shape; on the line W₁ is the mean distance of the
    sorted samples. The directions are drawn from `seed`. Raises ValueError for unequal shapes.

    >>> import torch
    >>> x = torch.zeros(4, 1)
    >>> sliced_wasserstein(x, x + 3)
    3.0
    """
    if real.shape != fake.shape:
        raise ValueError(f"both samples must have one shape, not {tuple(real.shape)}, {tuple(fake.shape)}")
    real, fake = real.flatten(1).float(), fake.flatten(1).float()
    directions = Draws(seed, stop=projections, device=real.device).normal("directions", real.shape[1])
    directions /= directions.norm(dim=1, keepdim=True)
    along_real, along_fake = ((x @ directions.T).sort(dim=0).values for x in (real, fake))
    return float((along_real - along_fake).abs().mean())
