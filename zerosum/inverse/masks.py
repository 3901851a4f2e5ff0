"""Masks: which pixels are known. True (1) is known, False (0) is missing."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from zerosum.draws import Draws
from zerosum.inverse.operators import Shape, check_images

__all__ = ["Mask", "array_mask", "centre_mask", "half_mask", "pattern_mask", "random_mask"]

Side = Literal["left", "right", "top", "bottom"]


@dataclass(frozen=True)
class Mask:
    """y = M x: known pixels as they are, 0 elsewhere; measured is an image's own shape, and ‖M‖ = 1.

    `keep` is bool, [C, H, W], [1, H, W] or, for each image, [B, 1, H, W] or [B, C, H, W]. Raises
    ValueError for a mask of another size, and where all or nothing of an image is missing.

    >>> Mask((1, 2, 2), torch.eye(2) > 0).forward(torch.ones(1, 2, 2))
    tensor([[[1., 0.],
             [0., 1.]]])
    """

    shape: Shape
    keep: Tensor
    norm: float = 1.0

    def __post_init__(self) -> None:
        keep = self.keep if self.keep.dim() > 2 else self.keep[None]
        object.__setattr__(self, "keep", keep)
        if keep.dtype is not torch.bool:
            raise ValueError(f"a mask is bool, True where a pixel is known, not {keep.dtype}")
        sizes = {self.shape, (1, *self.shape[1:])}
        if keep.dim() > 4 or tuple(keep.shape[-3:]) not in sizes:
            raise ValueError(
                f"--mask of {list(self.keep.shape)} does not fit images of {list(self.shape)}:"
                f" give {self.shape[1]}x{self.shape[2]}"
            )
        known = keep.flatten(-3).float().mean(-1)
        if bool((known == 1).any()):
            raise ValueError("--mask hides no pixel: there is nothing to fill in")
        if bool((known == 0).any()):
            raise ValueError("--mask hides every pixel: there is nothing to go by (True or white is known)")

    @property
    def measured(self) -> tuple[int, ...]:
        """An image's shape: hidden pixels are measured as 0."""
        return self.shape

    def forward(self, x: Tensor) -> Tensor:
        """Known pixels, and 0 elsewhere whatever was there."""
        check_images(self.shape, x)
        return torch.where(self.keep.to(x.device), x, 0)

    def adjoint(self, y: Tensor) -> Tensor:
        """The same: a mask is its own adjoint."""
        return self.forward(y)


def centre_mask(shape: Shape, share: float = 0.5) -> Tensor:
    """A hole in the middle, `share` of the height and of the width: [1, H, W].

    The paper's is half of each (Yeh et al. 2017, section 4). An odd remainder goes right and down.

    >>> centre_mask((3, 4, 4))[0].int().tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    _check_share(share, "centre")
    keep = torch.ones(1, *shape[1:], dtype=torch.bool)
    height, width = (round(share * size) for size in shape[1:])
    top, left = (shape[1] - height) // 2, (shape[2] - width) // 2
    keep[:, top : top + height, left : left + width] = False
    return keep


def half_mask(shape: Shape, side: Side = "right") -> Tensor:
    """One half missing: [1, H, W]. `side` is what is missing; of an odd size the smaller half.

    >>> half_mask((1, 1, 4)).int().tolist()
    [[[1, 1, 0, 0]]]
    """
    keep = torch.ones(1, *shape[1:], dtype=torch.bool)
    size = shape[1 if side in ("top", "bottom") else 2] // 2
    hidden = {
        "left": keep[:, :, :size],
        "right": keep[:, :, shape[2] - size :],
        "top": keep[:, :size],
        "bottom": keep[:, shape[1] - size :],
    }
    hidden[side].fill_(False)
    return keep


def random_mask(shape: Shape, missing: float = 0.8, *, count: int | None = None, seed: int = 0) -> Tensor:
    """Pixels missing at random, all channels alike: [1, H, W], or [count, 1, H, W], one for each image.

    The number missing is `missing`·H·W, rounded, exactly. Image i's mask depends on (seed, i) alone.

    >>> int(random_mask((3, 10, 10), 0.8).sum())
    20
    """
    _check_share(missing, "random")
    pixels = shape[1] * shape[2]
    order = Draws(seed, stop=count or 1).uniform("mask", pixels).double().argsort(dim=1, stable=True)
    return _hiding(order, missing, shape, count)


def pattern_mask(
    shape: Shape, missing: float = 0.25, *, scale: float = 6.0, count: int | None = None, seed: int = 0
) -> Tensor:
    """Random blobs missing: the largest values of smooth noise: [1, H, W] or [count, 1, H, W].

    Smoothed by a periodic Gaussian of `scale` pixels and cut where `missing` of the pixels are hidden, as
    context encoders do with a texture (Pathak et al. 2016, section 3.3: a quarter).

    >>> int((~pattern_mask((1, 16, 16), 0.25)).sum())
    64
    """
    _check_share(missing, "pattern")
    height, width = shape[1:]
    noise = Draws(seed, stop=count or 1).normal("pattern", height, width).double()
    frequency = torch.fft.fftfreq(height).double()[:, None] ** 2 + torch.fft.rfftfreq(width).double() ** 2
    smooth = torch.fft.irfft2(
        torch.fft.rfft2(noise) * torch.exp(-2 * (torch.pi * scale) ** 2 * frequency), s=(height, width)
    )
    order = smooth.flatten(1).argsort(dim=1, descending=True, stable=True)
    return _hiding(order, missing, shape, count)


def array_mask(shape: Shape, values: ArrayLike | Tensor) -> Tensor:
    """A mask from an array [H, W], [1, H, W] or [C, H, W]: what is not 0 is known.

    Raises ValueError for another size, for numbers that are not finite, and for more than two values: a
    smoothed edge is neither known nor missing.

    >>> array_mask((1, 1, 2), [[0, 255]]).tolist()
    [[[False, True]]]
    """
    numbers = torch.as_tensor(np.asarray(values))
    numbers = numbers if numbers.dim() > 2 else numbers[None]
    if tuple(numbers.shape) not in {shape, (1, *shape[1:])}:
        raise ValueError(f"--mask of {list(numbers.shape)} does not fit images of {list(shape)}")
    if not bool(torch.isfinite(numbers.double()).all()) or len(numbers.unique()) > 2:
        raise ValueError("--mask must hold two values, 0 where a pixel is missing; this has more")
    return numbers != 0


def _hiding(order: Tensor, missing: float, shape: Shape, count: int | None) -> Tensor:
    """The masks that hide the first pixels of each order [N, H·W]."""
    keep = torch.ones(order.shape, dtype=torch.bool)
    keep.scatter_(1, order[:, : round(missing * order.shape[1])], False)
    masks = keep.reshape(-1, 1, *shape[1:])
    return masks if count is not None else masks[0]


def _check_share(share: float, name: str) -> None:
    if not 0 < share < 1:
        raise ValueError(f"--mask {name}:{share}: the share must lie between 0 and 1")
