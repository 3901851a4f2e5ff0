"""Pairs of images, one a reference: PSNR, SSIM, MS-SSIM."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.objectives import widened

__all__ = ["luma", "ms_ssim", "psnr", "ssim"]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales (Wang et al. 2003, section 3.2)


def _pair(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    if real.shape != fake.shape or real.dim() != 4:
        raise ValueError(
            f"pairs of images [B, C, H, W] are needed, not {list(real.shape)}, {list(fake.shape)}"
        )
    return widened(real), widened(fake)


def luma(images: Tensor) -> Tensor:
    """The Y of YCbCr (BT.601, from 16 to 235 of 255) of RGB images in [−1, 1]: [B, 1, H, W] in [−1, 1].

    Super-resolution is judged on it.

    >>> round(float(luma(torch.ones(1, 3, 1, 1))), 4)
    0.8431
    """
    if images.shape[1] != 3:
        raise ValueError(f"luma is that of RGB images, and these have {images.shape[1]} channels")
    weights = images.new_tensor([65.481, 128.553, 24.966])[:, None, None] / 255
    y = 16 / 255 + ((images + 1) / 2 * weights).sum(1, keepdim=True)
    return 2 * y - 1


def psnr(real: Tensor, fake: Tensor, *, border: int = 0) -> Tensor:
    """10 log₁₀(4 / MSE) in dB for images in [−1, 1], whose range is 2: [B, C, H, W] twice → [B].

    `border` pixels are left out on each side, as super-resolution does by its scale. Infinite where equal.

    >>> psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.2))
    tensor([20.])
    """
    real, fake = _pair(real, fake)
    if border:
        real, fake = (x[:, :, border:-border, border:-border] for x in (real, fake))
    return 10 * torch.log10(4 / (real - fake).square().mean((1, 2, 3)))


def _blurred(x: Tensor, window: Tensor) -> Tensor:
    """Each channel by a separable window, no padding."""
    channels = x.shape[1]
    rows = window.expand(channels, 1, -1, 1)
    return F.conv2d(F.conv2d(x, rows, groups=channels), rows.mT, groups=channels)


def _terms(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Means over places and channels of luminance·contrast·structure, and of the latter two: [B] each."""
    steps = torch.arange(11, dtype=real.dtype, device=real.device) - 5
    window = torch.exp(-(steps**2) / (2 * 1.5**2))
    window = (window / window.sum())[:, None]
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean_x, mean_y = _blurred(real, window), _blurred(fake, window)
    var_x = _blurred(real * real, window) - mean_x.square()
    var_y = _blurred(fake * fake, window) - mean_y.square()
    both = _blurred(real * fake, window) - mean_x * mean_y
    contrast = (2 * both + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def ssim(real: Tensor, fake: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004): 11×11 Gaussian window of σ 1.5, K₁ .01, K₂ .03; → [B].

    Images in [−1, 1], of at least 11 pixels a side; a mean over channels, and over the places where
    the window fits. Variances are those of the window's weights.

    >>> images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> ssim(images, images)
    tensor([1., 1.])
    """
    real, fake = _pair(real, fake)
    if min(real.shape[2:]) < 11:
        raise ValueError(f"SSIM needs images of at least 11×11 pixels, not {real.shape[2]}×{real.shape[3]}")
    # In [0, 2] the constants' role is that of [0, 255] in the paper: luminance is not shifted about 0.
    return _terms(real + 1, fake + 1)[0]


def ms_ssim(real: Tensor, fake: Tensor, scales: int | None = None) -> Tensor:
    """Multi-scale SSIM (Wang et al. 2003): Π contrastʷ over scales, times the coarsest luminanceʷ; → [B].

    Five scales with weights .0448, .2856, .3001, .2363, .1333; an image under 176 pixels a side has as
    many as fit, and their weights are scaled to a sum of 1. As a measure of diversity it is the mean over
    pairs of samples of one class (Odena et al. 2017): high where they are alike. Negative terms count as 0.

    >>> images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> ms_ssim(images, images)
    tensor([1., 1.])
    """
    real, fake = _pair(real, fake)
    fit = int(math.log2(min(real.shape[2:]) / 11)) + 1 if min(real.shape[2:]) >= 11 else 0
    count = min(len(_WEIGHTS), fit) if scales is None else scales
    if not 1 <= count <= min(len(_WEIGHTS), fit):
        raise ValueError(
            f"images of {real.shape[2]}×{real.shape[3]} take {min(len(_WEIGHTS), fit)} scales, not {count}"
        )
    x, y = real + 1, fake + 1
    weights = [weight / sum(_WEIGHTS[:count]) for weight in _WEIGHTS[:count]]
    product = torch.ones(len(x), dtype=x.dtype, device=x.device)
    for place, weight in enumerate(weights):
        whole, contrast = _terms(x, y)
        last = place == count - 1
        product = product * (whole if last else contrast).clamp_min(0).pow(weight)
        if not last:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return product
