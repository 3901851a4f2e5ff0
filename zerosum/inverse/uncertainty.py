"""How sure is what a search found: Laplace's approximation at the optimum, and the spread of restarts."""

from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.inverse.misfit import Problem, jacobian
from zerosum.inverse.search import Found

__all__ = ["Coverage", "coverage", "laplace", "restart_spread"]


class Coverage(NamedTuple):
    """`share` of true values within z standard deviations, for each image [B], and the mean `width` of ±z."""

    share: Tensor
    width: Tensor


@torch.no_grad()
def laplace(problem: Problem, latent: Tensor, variance: float) -> Tensor:
    """The standard deviation of each pixel of G(z) given the measurements, [B, C, H, W].

    With Gaussian noise of this variance and a prior λ‖z‖², the posterior of z is near its top
    N(ẑ, Σ), Σ = variance·(JᵀJ + λI)⁻¹, J the derivative of the residual; pixels have the diagonal of
    G′ Σ G′ᵀ. It costs no more than a step of Levenberg–Marquardt. It knows one mode alone, and nothing
    of what the generator cannot draw: measure its `coverage` before you trust it.

    `latent` [B, k]. Raises ValueError for a variance that is not positive, and where neither the
    measurements nor the prior fix z.
    """
    if not variance > 0:
        raise ValueError(f"the noise's variance must be positive, not {variance}")
    _, slopes = problem.linearised(latent[None])
    slopes = slopes[0].double()
    k = latent.shape[1]
    normal = slopes.mT @ slopes + problem.prior.norm * torch.eye(k, dtype=torch.float64)
    factor, failed = torch.linalg.cholesky_ex(normal)
    if bool(failed.any()):
        raise ValueError(
            f"{slopes.shape[1]} measurements do not fix {k} latents: give the prior a weight, as --norm 0.1"
        )
    out = jacobian(problem.decode, latent)
    # diag(G' Σ G'ᵀ) = ‖L⁻¹ G'ᵀ‖² by columns, N = L Lᵀ.
    spread = torch.linalg.solve_triangular(factor, out.flatten(1, -2).mT.double(), upper=False)
    deviation: Tensor = (variance * spread.square().sum(1)).sqrt()
    return deviation.to(latent).view(out.shape[:-1])


@torch.no_grad()
def restart_spread(problem: Problem, found: Found, variance: float) -> Tensor:
    """The standard deviation over restarts of each pixel, each weighed by its likelihood: [B, C, H, W].

    Weights are exp(−misfit/(2·variance)), normalised. Where one restart fits much better than all others
    it is nearly 0: then there was one answer, or too few restarts. Of a search whose restarts raced it tells
    too little, as those that gave up are not where they would have led.
    """
    if not variance > 0:
        raise ValueError(f"the noise's variance must be positive, not {variance}")
    weights = torch.softmax(-found.misfits / (2 * variance), 0)[..., None, None, None]
    images = problem.images(found.latents)
    mean = (weights * images).sum(0)
    deviation: Tensor = (weights * (images - mean).square()).sum(0).sqrt()
    return deviation


def coverage(truth: Tensor, image: Tensor, deviation: Tensor, z: float = 1.96) -> Coverage:
    """How often the truth lies within z deviations of what was found; .95 is claimed for z = 1.96.

    All [B, C, H, W].

    >>> coverage(torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.1, 3.0]]]]), torch.ones(1, 1, 1, 2)).share
    tensor([0.5000])
    """
    inside = (truth - image).abs() <= z * deviation
    return Coverage(inside.flatten(1).float().mean(1), (z * deviation).flatten(1).mean(1))
