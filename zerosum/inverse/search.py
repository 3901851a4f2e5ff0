"""The one solver: which latent's image fits what was measured? Only the misfit changes from task to task.

Inpainting, compressed sensing, super-resolution, MRI and inversion all search min over z of
misfit(G(z)) + prior(z) (Bora et al. 2017, eq. 2; Yeh et al. 2017, eq. 6). Images × restarts go in one batch,
each with a loss of its own; the restart with the least *misfit* is kept for each image, which no true
image is needed for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.draws import Draws, Latent, mix
from zerosum.inverse.descent import LBFGS, Adam, LevenbergMarquardt, Method, Momentum
from zerosum.inverse.misfit import Decode, Misfit, Prior, Problem

__all__ = ["METHODS", "Found", "Heard", "method_for", "nearest_of_many", "random_starts", "search"]

Heard = Callable[[int, int, int, int, Tensor], None]
METHODS: dict[str, Callable[..., Method]] = {
    "adam": Adam,
    "momentum": Momentum,
    "lbfgs": LBFGS,
    "lm": LevenbergMarquardt,
}


@dataclass(frozen=True)
class Found:
    """What a search found for B images.

    `latent` [B, k] and `image` [B, C, H, W] of the restart with the least misfit, `misfit` [B]; `latents`
    [R, B, k] and `misfits` [R, B] of all restarts; `chosen` [B] says which it was.
    """

    latent: Tensor
    image: Tensor
    misfit: Tensor
    latents: Tensor
    misfits: Tensor
    chosen: Tensor

    def __len__(self) -> int:
        return len(self.misfit)

    @staticmethod
    def joined(parts: Sequence["Found"]) -> "Found":
        """One of several, in their order."""
        return Found(
            torch.cat([part.latent for part in parts]),
            torch.cat([part.image for part in parts]),
            torch.cat([part.misfit for part in parts]),
            torch.cat([part.latents for part in parts], 1),
            torch.cat([part.misfits for part in parts], 1),
            torch.cat([part.chosen for part in parts]),
        )

    @staticmethod
    def best(parts: Sequence["Found"]) -> "Found":
        """For each image the best of several searches, whose restarts are put behind each other."""
        offsets = [sum(len(part.misfits) for part in parts[:i]) for i in range(len(parts))]
        least = torch.stack([part.misfit for part in parts]).argmin(0)
        image = torch.arange(len(least))
        return Found(
            torch.stack([part.latent for part in parts])[least, image],
            torch.stack([part.image for part in parts])[least, image],
            torch.stack([part.misfit for part in parts])[least, image],
            torch.cat([part.latents for part in parts]),
            torch.cat([part.misfits for part in parts]),
            torch.stack([p.chosen + o for p, o in zip(parts, offsets, strict=True)])[least, image],
        )


def random_starts(latent: Latent, restarts: int, images: int, seed: int = 0, first: int = 0) -> Tensor:
    """Latents [restarts, images, k] by their law; image `first + i` has its own, whoever is beside it.

    >>> some = random_starts(Latent(3), 2, 4)
    >>> bool((random_starts(Latent(3), 2, 2, first=2) == some[:, 2:]).all())
    True

    Raises ValueError for no restarts.
    """
    if restarts < 1:
        raise ValueError(f"--restarts must be at least 1, not {restarts}")
    rows = [
        latent(Draws(mix(seed, "search", restart), start=first, stop=first + images))
        for restart in range(restarts)
    ]
    return torch.stack(rows)


@torch.no_grad()
def nearest_of_many(
    decode: Decode,
    misfit: Misfit,
    latent: Latent,
    keep: int,
    among: int = 1000,
    seed: int = 0,
    at_once: int = 256,
) -> Tensor:
    """The `keep` of `among` random latents whose images fit best, for each measured image: [keep, B, k].

    A start that costs `among` forward passes for all images together. Raises ValueError for keep > among.
    """
    if not 1 <= keep <= among:
        raise ValueError(f"--restarts {keep}: at least 1 and at most as many as are looked at, {among}")
    z = latent(Draws(mix(seed, "nearest"), stop=among))
    count = len(misfit.measured)
    errors = []
    for part in z.split(max(1, at_once // count)):
        x = decode(part)
        errors.append(misfit(x.unsqueeze(1).expand(-1, count, *x.shape[1:])))
    best = torch.cat(errors).topk(keep, dim=0, largest=False).indices
    return z[best]


def search(
    decode: Decode,
    misfit: Misfit,
    start: Tensor,
    *,
    method: Method | None = None,
    prior: Prior | None = None,
    at_once: int = 512,
    hear: Heard | None = None,
    keep: Callable[[Found], None] | None = None,
) -> Found:
    """Search the latents whose images fit the measurements best.

    `decode`: z [n, k] → images [n, C, H, W], a generator in evaluation mode (see
    `zerosum.inverse.frozen`). `start`: latents [R, B, k], R restarts of B images. At most `at_once`
    restarts × images are in memory together; that changes no result beyond rounding. `hear` is told
    (images done, of, iteration, iterations, the best objectives [R, b]); `keep` is given what each group of
    images found as soon as it is finished, so that an interrupted search keeps what is done. The method is
    chosen by the number of latents if not given (`method_for`).

    >>> class Same:
    ...     def forward(self, x): return x.flatten(-3)
    >>> line = torch.tensor([[1.0, 2.0, 2.0]])
    >>> found = search(lambda z: (z @ line).view(-1, 1, 1, 3), Misfit(Same(), 3 * line), torch.ones(2, 1, 1))
    >>> found.latent.round(decimals=3)
    tensor([[3.]])

    Raises ValueError for starts that do not fit the measurements.
    """
    if start.dim() != 3 or start.shape[1] != len(misfit.measured):
        raise ValueError(
            f"starts [restarts, {len(misfit.measured)} images, latents] are needed, not {list(start.shape)}"
        )
    chosen, prior = method or method_for(start.shape[2]), prior or Prior()
    restarts, count = start.shape[:2]
    size = max(1, at_once // restarts)
    parts = []
    for first in range(0, count, size):
        some = slice(first, min(first + size, count))

        def tell(iteration: int, of: int, best: Tensor, first: int = first) -> None:
            if hear:
                hear(first, count, iteration, of, best)

        part = misfit if size >= count else misfit.of(some)
        problem = Problem(decode, part, prior)
        z = chosen(problem, start[:, some].contiguous(), tell)
        parts.append(_best(problem, z))
        if keep:
            keep(parts[-1])
    return Found.joined(parts)


@torch.no_grad()
def _best(problem: Problem, z: Tensor) -> Found:
    x = problem.images(z)
    misfits = problem.misfit(x)
    # A diverged restart is never the best one.
    least = torch.where(torch.isfinite(misfits), misfits, torch.inf).argmin(0)
    image = torch.arange(z.shape[1])
    return Found(z[least, image], x[least, image], misfits[least, image], z, misfits, least)


def method_for(latents: int) -> Method:
    """Levenberg–Marquardt for up to 32 latents, L-BFGS for more.

    >>> method_for(20)
    LevenbergMarquardt(steps=25, trials=4, patience=4, tolerance=1e-05, race=0)
    """
    return LevenbergMarquardt() if latents <= 32 else LBFGS()
