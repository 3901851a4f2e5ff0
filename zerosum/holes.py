"""Masks of images with holes: 1 where a pixel is known, 0 where it is missing.

A hole is a function of (draws, (height, width)) that gives one mask a sample, float32 [b, 1, H, W].
Those of semantic inpainting (Yeh et al. 2017, section 4) and of context encoders (Pathak et al. 2016,
section 3.3).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.draws import Draws

__all__ = ["HOLES", "Hole", "blocks", "centre", "draw_holes", "half", "pattern", "random"]

Size = tuple[int, int]
Hole = Callable[[Draws, Size], Tensor]


def centre(side: float = 0.5) -> Hole:
    """A rectangle in the middle, `side` times as high and as wide as the image.

    >>> centre()(Draws(stop=1), (4, 4))[0, 0].int().tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]

    Raises ValueError unless 0 < side < 1.
    """
    _share("centre", "side", side)

    def hole(draw: Draws, size: Size) -> Tensor:
        corner = [round((n - _part(side, n)) / 2) for n in size]
        return _without(draw, size, torch.tensor(corner).expand(len(draw), 2), side)

    return hole


def blocks(count: int = 5, side: float = 0.25) -> Hole:
    """`count` rectangles anywhere, `side` times the image's height and width, which may overlap.

    >>> 16 <= 64 - blocks(count=2, side=0.5)(Draws(stop=1), (8, 8)).sum() <= 32
    tensor(True)

    Raises ValueError unless 0 < side < 1, and for fewer blocks than 1.
    """
    _share("blocks", "side", side)
    if count < 1:
        raise ValueError(f"hole blocks: count must be at least 1, not {count}")

    def hole(draw: Draws, size: Size) -> Tensor:
        places = torch.tensor([n - _part(side, n) + 1 for n in size], device=draw.device)
        corners = (draw.uniform("hole/blocks", count, 2) * places).long()
        return torch.stack([_without(draw, size, corners[:, i], side) for i in range(count)]).amin(0)

    return hole


def half() -> Hole:
    """The left, right, upper or lower half, each as likely.

    >>> half()(Draws(stop=3), (8, 6)).mean((1, 2, 3))
    tensor([0.5000, 0.5000, 0.5000])
    """

    def hole(draw: Draws, size: Size) -> Tensor:
        rows, columns = (torch.arange(n, device=draw.device) < n // 2 for n in size)
        upper, left = rows[:, None].expand(size), columns.expand(size)
        sides = torch.stack([upper, ~upper, left, ~left]).float()
        return sides[(draw.uniform("hole/half") * 4).long()].unsqueeze(1)

    return hole


def random(missing: float = 0.8) -> Hole:
    """Each pixel missing by a chance of its own, `missing`.

    >>> random(0.8)(Draws(stop=4), (64, 64)).mean().round(decimals=1)
    tensor(0.2000)

    Raises ValueError unless 0 < missing < 1.
    """
    _share("random", "missing", missing)
    return lambda draw, size: (draw.uniform("hole/random", 1, *size) >= missing).float()


def pattern(missing: float = 0.25, coarseness: float = 0.06) -> Hole:
    """Stains: uniform noise on a coarse grid, smoothed by cubic interpolation, missing where it is lowest.

    The grid has `coarseness` points a pixel along each axis, .06 in the authors' code of Pathak et al.
    They cut stains from one large pattern and take what covers 20 to 30 %; here each covers `missing`.

    >>> pattern()(Draws(stop=2), (32, 32)).mean((1, 2, 3))
    tensor([0.7500, 0.7500])

    Raises ValueError unless both are in (0, 1).
    """
    _share("pattern", "missing", missing)
    _share("pattern", "coarseness", coarseness)

    def hole(draw: Draws, size: Size) -> Tensor:
        coarse = [1 + max(1, math.ceil(coarseness * n)) for n in size]
        noise = draw.uniform("hole/pattern", 1, *coarse)
        fine = F.interpolate(noise, size, mode="bicubic", align_corners=True).flatten(1)
        edge = fine.kthvalue(max(1, round(missing * fine.shape[1])), 1, keepdim=True).values
        return (fine > edge).float().reshape(-1, 1, *size)

    return hole


HOLES: Mapping[str, Callable[..., Hole]] = {
    "centre": centre,
    "blocks": blocks,
    "half": half,
    "random": random,
    "pattern": pattern,
}


def draw_holes(holes: Sequence[Hole], draw: Draws, size: Size) -> Tensor:
    """One mask a sample, [b, 1, H, W], by one of these holes, each as likely.

    >>> draw_holes([centre(), half()], Draws(stop=3), (8, 8)).shape
    torch.Size([3, 1, 8, 8])
    """
    each = torch.stack([hole(draw, size) for hole in holes])
    chosen = (draw.uniform("hole") * len(holes)).long()
    return each[chosen, torch.arange(len(draw), device=each.device)]


def _share(name: str, key: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"hole {name}: {key} must lie between 0 and 1, not {value}")


def _part(side: float, n: int) -> int:
    return min(n, max(1, round(side * n)))


def _without(draw: Draws, size: Size, corners: Tensor, side: float) -> Tensor:
    """Masks of which a rectangle is missing, its upper left corner at `corners` [b, 2]."""
    along = []
    for axis, n in enumerate(size):
        at, first = torch.arange(n, device=draw.device), corners[:, axis, None].to(draw.device)
        along.append((at >= first) & (at < first + _part(side, n)))
    return (~(along[0][:, :, None] & along[1][:, None, :])).float().unsqueeze(1)
