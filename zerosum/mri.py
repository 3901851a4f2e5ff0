"""Images from undersampled spectra, compared: a net trained for it, a generator, the classical ways.

Images are intensities in [0, 1], [B, C, H, W], and every method clips to that; spectra are orthonormal.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.draws import Draws, mix
from zerosum.inverse.bases import Wavelet
from zerosum.inverse.descent import Method
from zerosum.inverse.fourier import Fourier
from zerosum.inverse.misfit import Decode, Misfit
from zerosum.inverse.search import Heard
from zerosum.inverse.smooth import tv_reconstruct
from zerosum.inverse.sparse import fista
from zerosum.kspace import Sampling, consistent, fourier
from zerosum.metrics.quality import psnr, ssim
from zerosum.nets.mri import Reconstructor
from zerosum.reconstruction import GeneratorPrior

__all__ = [
    "RIVALS",
    "Result",
    "Scan",
    "Way",
    "by_latents",
    "by_net",
    "compare",
    "interval",
    "scan",
    "tuned",
    "tv",
    "wavelet",
    "zero_filled",
]


class Scan(NamedTuple):
    """What is measured: the operator with its masks keep [B, 1, H, W], and spectra y [B, C, H, W]."""

    operator: Fourier
    y: Tensor


Way = Callable[[Scan], Tensor]


@dataclass(frozen=True)
class Result:
    """What one method made of a scan: images, PSNR in dB and SSIM of each [B], processor seconds an image."""

    method: str
    images: Tensor
    psnr: Tensor
    ssim: Tensor
    seconds: float


def scan(truth: Tensor, sampling: Sampling, *, noise: float = 0.0, seed: int = 0) -> Scan:
    """Measure images [B, C, H, W] in [0, 1]; image i's mask and noise depend on (seed, i) alone.

    `noise` is the deviation of each part, real and imaginary, of a measured sample. Raises ValueError for
    noise below 0, for images that are 0 everywhere or not finite, and as the sampling does.

    >>> from zerosum.kspace import SAMPLINGS
    >>> scan(torch.ones(3, 1, 8, 8), SAMPLINGS["equispaced"]()).operator.keep.shape
    torch.Size([3, 1, 8, 8])
    """
    if not 0 <= noise < math.inf:
        raise ValueError(f"--noise must be at least 0, not {noise}")
    for what, wrong in (("0 everywhere", truth == 0), ("not finite", ~truth.isfinite())):
        bad = wrong.flatten(1).all(1) if what.startswith("0") else wrong.flatten(1).any(1)
        if bool(bad.any()):
            raise ValueError(
                f"image {int(bad.nonzero()[0])} is {what}: leave it out, there is nothing to see"
            )
    channels, height, width = truth.shape[1:]
    draw = Draws(mix(seed, "scan"), stop=len(truth))
    operator = Fourier((channels, height, width), sampling(draw, (height, width)))
    y = fourier(truth)
    if noise:
        y = y + noise * torch.view_as_complex(draw.normal("noise", channels, height, width, 2))
    return Scan(operator, torch.where(operator.keep, y, 0))


def zero_filled(scan: Scan) -> Tensor:
    """Unknown frequencies 0 but for the conjugates of known ones: the least real images that fit."""
    return consistent(torch.zeros_like(scan.y.real), scan.y, scan.operator.keep)


def tv(weight: float) -> Way:
    """Least total variation, of this weight, by `zerosum.inverse.smooth.tv_reconstruct`."""
    return lambda scan: tv_reconstruct(scan.operator, scan.y, weight, limits=(0, 1)).image


def wavelet(name: str, weight: float) -> Way:
    """Compressed sensing by FISTA: sparse in Daubechies' wavelets `name`, of this weight."""
    return lambda scan: (
        fista(scan.operator, scan.y, Wavelet(scan.operator.shape, name), weight, limits=(0, 1)).image
    )


RIVALS: Mapping[str, Mapping[str, Way]] = {
    "tv": {f"weight {10**power:.1g}": tv(10**power) for power in (-3.5, -3, -2.5, -2, -1.5)},
    "wavelet": {
        f"{name}, weight {10**power:.1g}": wavelet(name, 10**power)
        for name in ("db1", "db4")
        for power in (-3, -2.5, -2, -1.5, -1)
    },
}  # each with the settings among which training images choose


def by_net(net: Reconstructor) -> Way:
    """A net of the recipe gancs."""

    @torch.inference_mode()
    def way(scan: Scan) -> Tensor:
        device = next(net.parameters()).device
        parts = zip(scan.y.split(16), scan.operator.keep.split(16), strict=True)
        made = [net.reconstruct(y.to(device), keep.to(device)).cpu() for y, keep in parts]
        return torch.cat(made)

    return way


def by_latents(
    source: GeneratorPrior,
    *,
    restarts: int = 4,
    seed: int = 0,
    method: Method | None = None,
    hear: Heard | None = None,
) -> Way:
    """A generator of such images: the latent whose image fits best, then what was measured put back."""

    def bright(decode: Decode) -> Decode:
        return lambda z: (decode(z) + 1) / 2

    def way(scan: Scan) -> Tensor:
        misfit = Misfit(scan.operator, scan.y)
        found = source.search(misfit, restarts=restarts, seed=seed, method=method, hear=hear, decoded=bright)
        return consistent(found.image, scan.y, scan.operator.keep)

    return way


def tuned(ways: Mapping[str, Way], scan: Scan, truth: Tensor) -> str:
    """The name of the way with the least mean square error: on training images, for use on others.

    >>> from zerosum.kspace import SAMPLINGS
    >>> truth = torch.full((1, 1, 8, 8), 0.5)
    >>> seen = scan(truth, SAMPLINGS["equispaced"]())
    >>> tuned({"good": zero_filled, "bad": lambda scan: zero_filled(scan) / 2}, seen, truth)
    'good'
    """
    errors = {name: float((way(scan).clamp(0, 1) - truth).square().mean()) for name, way in ways.items()}
    return min(errors, key=errors.__getitem__)


def compare(
    truth: Tensor, scan: Scan, ways: Mapping[str, Way], keep: Callable[[Result], None] | None = None
) -> list[Result]:
    """Every way on the same scan; `keep` hears each result as it comes.

    PSNR and SSIM are of whole images, background included, with a range of 1. PSNR ends at 120 dB, where
    what is left is rounding.
    """
    found = []
    for name, way in ways.items():
        began = time.process_time()
        images = way(scan).clamp(0, 1)
        seconds = (time.process_time() - began) / len(truth)
        pair = 2 * truth - 1, 2 * images - 1
        found.append(Result(name, images, psnr(*pair).clamp_max(120), ssim(*pair), seconds))
        if keep:
            keep(found[-1])
    return found


def interval(values: Tensor) -> tuple[float, float]:
    """Mean of [B] and half the width of its 95 % interval, 1.96 standard errors; 0 for one value.

    >>> interval(torch.tensor([2.0]))
    (2.0, 0.0)
    """
    half = 1.96 * float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean()), half
