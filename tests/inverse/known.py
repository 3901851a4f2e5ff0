"""Masks for tests, of the shapes that operators take."""

import torch
from torch import Tensor

from zerosum.holes import centre, random
from zerosum.inverse.masks import hidden_by

Shape = tuple[int, int, int]


def centre_mask(shape: Shape, side: float = 0.5) -> Tensor:
    return hidden_by(centre(side), shape)


def random_mask(shape: Shape, missing: float, *, count: int | None = None, seed: int = 0) -> Tensor:
    return hidden_by(random(missing), shape, count=count, seed=seed)


def left_mask(shape: Shape) -> Tensor:
    """The left half missing."""
    keep = torch.ones(1, *shape[1:], dtype=torch.bool)
    keep[:, :, : shape[2] // 2] = False
    return keep
