"""Masks: which pixels are known. True (1) is known, False (0) is missing."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from zerosum.draws import Draws, mix
from zerosum.holes import Hole
from zerosum.inverse.operators import Shape, check_images

__all__ = ["Mask", "array_mask", "hidden_by"]


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


def hidden_by(hole: Hole, shape: Shape, *, count: int | None = None, seed: int = 0) -> Tensor:
    """A mask by a hole of `zerosum.holes`, bool: [1, H, W], or [count, 1, H, W], one for each image.

    Image i's mask depends on (seed, i) alone.

    >>> from zerosum.holes import centre
    >>> hidden_by(centre(), (3, 4, 4))[0].int().tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    keep = hole(Draws(mix(seed, "mask"), stop=count or 1), shape[1:]) > 0.5
    return keep[0] if count is None else keep


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
