"""The mean of what is possible, where a search gives the most probable: the least square error."""

from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.draws import Draws, mix
from zerosum.inverse.misfit import Problem

__all__ = ["PosteriorMean", "posterior_mean"]


class PosteriorMean(NamedTuple):
    """`image` E[G(z) | y], `deviation` of its pixels, [B, C, H, W]; `effective` samples an image, [B]."""

    image: Tensor
    deviation: Tensor
    effective: Tensor


@torch.no_grad()
def posterior_mean(problem: Problem, latents: Tensor, *, samples: int = 32, seed: int = 0) -> PosteriorMean:
    """E[G(z) | y], where the objective is −2 log p(z | y) up to a constant: images [B, C, H, W].

    Importance sampling (Robert & Casella 2004, section 3.3) from the mixture of Gaussians that Laplace's
    approximation puts at every restart, N(z_r, (JᵀJ + λI)⁻¹): `samples` of each, weighed by
    exp(−F(z)/2) over the mixture's density. Where few measurements leave several answers open, this mean is
    nearer to the truth than the best of them; where one remains, it is that. `latents` [R, B, k], as a search
    left them; the misfit must be whitened, as `zerosum.inverse.beyond.whitened` does. An effective number
    near 1 says that the mixture missed where the posterior lies.

    Raises ValueError for samples below 1 and for a prior of no weight, under which z has no spread.
    """
    if samples < 1:
        raise ValueError(f"at least one sample of each restart is needed, not {samples}")
    if not problem.prior.norm > 0:
        raise ValueError("a mean over latents needs a prior on them: give the prior's norm a weight above 0")
    restarts, count, k = latents.shape
    _, slopes = problem.linearised(latents)
    eye = torch.eye(k, dtype=torch.float64, device=latents.device)
    normal = (slopes.mT @ slopes).double() + problem.prior.norm * eye
    factor = torch.linalg.cholesky(normal)  # H = L Lᵀ, so that L⁻ᵀ ε has covariance H⁻¹
    noise = Draws(mix(seed, "posterior"), stop=samples).normal("posterior", restarts, k).to(latents)
    # Every image has the same noise: its mean does not depend on its neighbours.
    moves = torch.linalg.solve_triangular(
        factor.mT, noise.double().permute(1, 2, 0)[:, None].expand(restarts, count, k, samples), upper=True
    )
    z = latents.double()[..., None] + moves
    z = z.permute(3, 0, 1, 2).flatten(0, 1)  # [S·R, B, k]
    density = _mixture(z, latents.double(), factor)
    drawn = z.to(latents)
    images, values = [], []
    for part in drawn.split(max(1, 4096 // count)):
        x = problem.images(part)
        images.append(x)
        values.append(problem.misfit(x) + problem.prior(part, x))
    x, value = torch.cat(images), torch.cat(values).double()
    weights = torch.softmax(-value / 2 - density, 0)
    share = weights.to(x)[..., None, None, None]
    mean = (share * x).sum(0)
    deviation = (share * (x - mean).square()).sum(0).sqrt()
    return PosteriorMean(mean, deviation, (1 / weights.square().sum(0)).to(latents))


def _mixture(z: Tensor, centres: Tensor, factor: Tensor) -> Tensor:
    """log Σ_r N(z; z_r, H_r⁻¹) up to a constant, [n, B]."""
    logs = []
    for centre, lower in zip(centres, factor, strict=True):
        scaled = (z - centre).unsqueeze(-2) @ lower  # (z − z_r)ᵀ L
        half = lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        logs.append(half - scaled.square().sum((-2, -1)) / 2)
    return torch.logsumexp(torch.stack(logs), 0)
