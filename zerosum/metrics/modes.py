"""Which modes of a mixture samples cover, how many samples are good ones, how evenly they are spread."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Modes", "modes"]


class Modes(NamedTuple):
    """`hit`: modes covered, 0 … K; `share_high_quality`: samples near a mode, 0 … 1; `kl`: 0 … log K nats."""

    hit: int
    share_high_quality: float
    kl: float


def modes(samples: Tensor, centres: Tensor, sigma: float, *, within: float = 3.0, least: int = 20) -> Modes:
    """Judge samples [N, D] of K equal Gaussians of standard deviation `sigma` about `centres` [K, D].

    A sample is of high quality within `within`·sigma of the nearest centre, and a mode is hit when at least
    `least` samples of high quality are its own: the usual 20 are of 2,500 samples (after Srivastava et al.
    2017, VEEGAN). `kl` is KL(h‖uniform) = log K − H(h), in nats, where h is the histogram of all samples over
    their nearest centres (after Lin et al. 2018, PacGAN): 0 where every mode has its share, log K where one
    has all. Of samples from the mixture itself in two dimensions, 1 − e^(−9/2) = 98.9 % are within 3σ.

    >>> centres = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    >>> modes(torch.tensor([[1.0, 0.05]]).repeat(100, 1), centres, sigma=0.02)  # all on one mode
    Modes(hit=1, share_high_quality=1.0, kl=0.6931471805599453)

    Raises ValueError for no samples, for samples that are not finite, and where the shapes do not fit.
    """
    if samples.dim() != 2 or centres.dim() != 2 or samples.shape[1] != centres.shape[1] or not len(samples):
        raise ValueError(
            f"samples [N, D] and centres [K, D] are needed, not {list(samples.shape)}, {list(centres.shape)}"
        )
    if not bool(torch.isfinite(samples).all()):
        raise ValueError("some samples are not finite: the generator has diverged")
    # In float64 and by differences: (a−b)² by products loses what is small beside the radius.
    apart = torch.linalg.vector_norm(samples.double()[:, None] - centres.double(), dim=2)
    distance, nearest = apart.min(1)
    good = distance <= within * sigma
    share = torch.bincount(nearest, minlength=len(centres)).double() / len(samples)
    kl = math.log(len(centres)) + float(torch.xlogy(share, share).sum())
    hits = torch.bincount(nearest[good], minlength=len(centres))
    return Modes(int((hits >= least).sum()), float(good.double().mean()), max(kl, 0.0))
