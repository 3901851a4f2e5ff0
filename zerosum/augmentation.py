"""Differentiable transformations of images, each sample by its own amounts.

Images are [B, C, H, W], any C; amounts are [B, …] tensors, constants to the gradient. Positions are in
pixels. All is float32 (float64 stays), also under autocast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.objectives import widened

__all__ = ["cut", "recolour", "rotation", "warp"]


def rotation(angle: Tensor) -> Tensor:
    """[B] radians → [B, 2, 2], (x, y) ↦ (x cos − y sin, x sin + y cos).

    >>> rotation(torch.zeros(1)).tolist()
    [[[1.0, -0.0], [0.0, 1.0]]]
    """
    sin, cos = angle.sin(), angle.cos()
    return torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)


def warp(x: Tensor, linear: Tensor, shift: Tensor, *, exact: bool = False) -> Tensor:
    """The image whose pixel at q shows `x` at linear·q + shift; q = (x, y) from the image's centre.

    `linear` is [B, 2, 2] and `shift` [B, 2]. Between pixels it interpolates bilinearly, with the image
    reflected about its outermost pixels. `exact` is for whole-pixel shifts: pixels are copied, and 0 is
    outside. Nothing is filtered before it is sampled: an image shrunk to less than half aliases.

    >>> row = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> warp(row, torch.eye(2)[None], torch.tensor([[1.0, 0.0]]), exact=True).tolist()
    [[[[2.0, 3.0, 0.0]]]]
    """
    x = widened(x)
    linear, shift = linear.to(x.dtype), shift.to(x.dtype)
    sides = (x.shape[3], x.shape[2])
    across, down = (torch.arange(n, device=x.device, dtype=x.dtype) - (n - 1) / 2 for n in sides)
    # grid_sample's unit is half the distance between the outermost pixels.
    unit = x.new_tensor([max(n - 1, 1) / 2 for n in sides])
    linear, shift = linear / unit[:, None], shift / unit
    # Either coordinate is a plane over the image: two outer sums take a third of a matrix product's time.
    rows, columns = linear[:, :, :1] * across, linear[:, :, 1:] * down + shift[..., None]
    planes = rows[:, :, None, :] + columns[:, :, :, None]  # [B, 2, H, W]
    mode, outside = ("nearest", "zeros") if exact else ("bilinear", "reflection")
    return F.grid_sample(x, planes.movedim(1, 3), mode, outside, align_corners=True)


def recolour(x: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Each pixel's channels c ↦ matrix·c + offset, [B, C, C] and [B].

    >>> recolour(torch.ones(1, 2, 1, 1), torch.eye(2)[None], torch.tensor([0.5])).flatten().tolist()
    [1.5, 1.5]
    """
    x = widened(x)
    with torch.autocast(x.device.type, enabled=False):
        turned = matrix.to(x.dtype) @ x.flatten(2) + offset.to(x.dtype)[:, None, None]
    return turned.view_as(x)


def cut(x: Tensor, centre: Tensor, size: tuple[float, float]) -> Tensor:
    """0 wherever a pixel's centre lies in a window of `size` (h, w), clipped at the border.

    `centre` is [B, 2], (y, x) from the upper left corner.

    >>> cut(torch.ones(1, 1, 1, 4), torch.tensor([[0.5, 1.0]]), (1, 2)).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    down, across = (
        (torch.arange(side, device=x.device) + 0.5 - middle[:, None]).abs() < extent / 2
        for side, middle, extent in zip(x.shape[2:], centre.unbind(1), size, strict=True)
    )
    return x.masked_fill((down[:, :, None] & across[:, None, :])[:, None], 0.0)
