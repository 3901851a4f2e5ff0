"""Where in a generator's latent space images lie: a normal law for the latents that draw training images.

A generator is trained on latents of a law of its own, and yet the latents nearest to real images need not
follow it: a VAE's encoder moves some directions further than others (Dai & Wipf 2019, section 5), and what a
GAN must do to draw a given face lies further out than its samples. A search that knows this law knows better
which of many answers is likely.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.inverse.misfit import Decode
from zerosum.inverse.operators import extra

__all__ = ["Law", "fit_law"]


@dataclass(frozen=True)
class Law:
    """z = m + L u with u ~ N(0, 1): `mean` m [k] and `factor` L [k, k], lower triangular."""

    mean: Tensor
    factor: Tensor

    def latents(self, u: Tensor) -> Tensor:
        """u [..., k] → z [..., k]."""
        return self.mean.to(u) + u @ self.factor.to(u).mT

    def decode(self, decode: Decode) -> Decode:
        """What decodes u: under the prior ‖u‖² a search finds the most probable image of this law.

        >>> law = Law(torch.tensor([1.0]), torch.tensor([[2.0]]))
        >>> law.decode(lambda z: z)(torch.tensor([[3.0]]))
        tensor([[7.]])
        """
        return lambda u: decode(self.latents(u))


def fit_law(latents: Tensor) -> Law:
    """The law of latents [N, k]: their mean, and their covariance shrunk towards a multiple of 1.

    By how much is Ledoit & Wolf 2004's (A well-conditioned estimator), from the latents alone: of N ≫ k
    hardly at all.

    >>> fit_law(torch.tensor([[1.0, 5.0], [3.0, 5.0], [1.0, 9.0], [3.0, 9.0]])).mean
    tensor([2., 7.], dtype=torch.float64)

    Raises ValueError for fewer than two, or equal, or numbers that are not finite.
    """
    if latents.dim() != 2 or len(latents) < 2 or not bool(latents.isfinite().all()):
        raise ValueError(f"a law takes finite latents [N, k] of at least 2, not {list(latents.shape)}")
    z = latents.detach().cpu().double()
    covariance, _ = extra("sklearn.covariance").ledoit_wolf(z.numpy())
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(covariance))
    if int(failed):
        raise ValueError("the latents are all alike: a law needs some that differ")
    return Law(z.mean(0), factor)
