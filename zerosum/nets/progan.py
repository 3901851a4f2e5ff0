"""The growing family: generator and critic begin at a few pixels, and double while they train.

Karras et al. 2018, arXiv:1710.10196. All stages are there from the start; how many images were shown tells
which of them are used. A new stage is faded in: its image is α of the whole, the one before it 1 − α.

Layers are those of the authors' code: nearest up-sampling before a stage's first convolution, averages over
2×2 after its last, before the activation (in the paper's table after it). Both fold into the convolution.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.equalised import EqualisedConv2d, EqualisedLinear, leaky, pixel_norm
from zerosum.nets.folding import pool, up
from zerosum.nets.minibatch import MinibatchStd
from zerosum.nets.plan import even_halvings

__all__ = ["Growth", "ProGANCritic", "ProGANGenerator", "Size", "shrunk"]


class Size(NamedTuple):
    """How far nets have grown: `level` doublings of the base, the last of them to the share `alpha`."""

    level: int
    alpha: float


@dataclass(frozen=True)
class Growth:
    """When to grow, by images shown: `stages` doublings, each faded in over `fade` images, then `stable`.

    The base too is trained for `stable` images, before the first doubling.

    >>> plan = Growth(stages=2, stable=100, fade=50)
    >>> [plan.at(images) for images in (99, 100, 125)]
    [Size(level=0, alpha=1.0), Size(level=1, alpha=0.0), Size(level=1, alpha=0.5)]
    >>> plan.phases, plan.images
    ((100, 150, 250, 300), 400)

    Raises ValueError unless `stable` is positive and `fade` is not negative.
    """

    stages: int
    stable: int = 600_000
    fade: int = 600_000

    def __post_init__(self) -> None:
        if self.stable < 1:
            raise ValueError(f"--stable must be at least 1 image, not {self.stable}")
        if self.fade < 0:
            raise ValueError(f"--fade must not be negative, and {self.fade} is")

    def at(self, images: int) -> Size:
        """The size after so many images."""
        whole, rest = divmod(images, self.stable + self.fade)
        if whole >= self.stages:
            return Size(self.stages, 1.0)
        if rest < self.stable:
            return Size(whole, 1.0)
        return Size(whole + 1, (rest - self.stable) / self.fade)

    @property
    def phases(self) -> tuple[int, ...]:
        """After how many images a phase begins, but for the first: each fade's beginning and end."""
        cycle = self.stable + self.fade
        bounds = {i * cycle + begin for i in range(self.stages) for begin in (self.stable, cycle)}
        return tuple(sorted(bounds))

    @property
    def images(self) -> int:
        """The length of the whole plan."""
        return self.stages * (self.stable + self.fade) + self.stable


def shrunk(x: Tensor, times: int) -> Tensor:
    """Images averaged over squares, halved `times` times: [B, C, H, W] → [B, C, H/2ⁿ, W/2ⁿ].

    >>> shrunk(torch.zeros(2, 3, 16, 24), 2).shape
    torch.Size([2, 3, 4, 6])
    """
    return F.avg_pool2d(x, 2**times) if times else x


class _Growing(nn.Module):
    """What both nets share: where they stand, and how many feature maps each level has.

    `images`, how many real images were shown, is part of the state; a game sets it at each step.
    """

    images: Tensor

    def __init__(self, size: tuple[int, int], fmap_base: int, fmap_max: int, stable: int, fade: int) -> None:
        super().__init__()
        if fmap_base < 2 or fmap_max < 1:
            raise ValueError(f"--fmap-base and --fmap-max must be positive, not {fmap_base}, {fmap_max}")
        self.growth = Growth(even_halvings(size), stable, fade)
        self.full, stages = size, self.growth.stages
        self.base = (size[0] >> stages, size[1] >> stages)
        self.maps = [min(max(fmap_base >> (level + 1), 1), fmap_max) for level in range(stages + 1)]
        # An integer, so that an average of the net copies it and does not blend it.
        self.register_buffer("images", torch.zeros((), dtype=torch.int64))

    @property
    def grown(self) -> Size:
        """The size that these nets have now."""
        if torch.compiler.is_exporting():  # a graph has no growth left in it: ask `unfinished` before
            return Size(self.growth.stages, 1.0)
        return self.growth.at(int(self.images))

    @property
    def unfinished(self) -> str | None:
        """What has not grown yet, in a sentence, or None for a net of full size."""
        level, alpha = self.grown
        if (level, alpha) == (self.growth.stages, 1.0):
            return None
        sides = "×".join(str(side << level) for side in self.base)
        how = "is trained" if alpha == 1 else f"is {int(100 * alpha)}% faded in"
        end = self.growth.phases[-1]
        return (
            f"after {int(self.images):,} images stage {level} of {self.growth.stages}, {sides} pixels, {how};"
            f" the full {'×'.join(map(str, self.full))} is reached after {end:,}"
        )


class _Up(nn.Module):
    """A generator's stage, [B, inner, H, W] → [B, outer, 2H, 2W]."""

    def __init__(self, inner: int, outer: int, folded: bool) -> None:
        super().__init__()
        self.up = EqualisedConv2d(inner, outer, resample="up", folded=folded)
        self.same = EqualisedConv2d(outer, outer)

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(leaky(self.same(pixel_norm(leaky(self.up(x))))))


class _Down(nn.Module):
    """A critic's stage, [B, outer, H, W] → [B, inner, H/2, W/2]."""

    def __init__(self, inner: int, outer: int, folded: bool) -> None:
        super().__init__()
        self.same = EqualisedConv2d(outer, outer)
        self.down = EqualisedConv2d(outer, inner, resample="down", folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        return leaky(self.down(leaky(self.same(x))))


class ProGANGenerator(_Growing):
    """z [B, latent] → images [B, C, H, W], not bounded: they learn to stay in [−1, 1].

    `shape` is (C, H, W); raises ValueError, naming the nearest sizes, where H or W does not halve evenly. The
    base is 4 to 7 pixels along the shorter side. Level l has min(fmap_base/2^(l+1), fmap_max) feature
    maps. In training mode images are as large as the level, which is what the critic of the same level takes;
    in evaluation mode they are brought to the full size, each pixel repeated.

    >>> generator = ProGANGenerator((3, 48, 80), latent=8, fmap_max=4)
    >>> generator(torch.zeros(2, 8)).shape, generator.eval()(torch.zeros(2, 8)).shape
    (torch.Size([2, 3, 6, 10]), torch.Size([2, 3, 48, 80]))
    >>> generator.unfinished
    'after 0 images stage 0 of 3, 6×10 pixels, is trained; the full 48×80 is reached after 3,600,000'
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        latent: int = 512,
        fmap_base: int = 8192,
        fmap_max: int = 512,
        stable: int = 600_000,
        fade: int = 600_000,
        folded: bool = True,
    ) -> None:
        super().__init__(shape[1:], fmap_base, fmap_max, stable, fade)
        maps = self.maps
        # As if it were a convolution's with a kernel of the base's size, of which each pixel sees one weight.
        self.project = EqualisedLinear(latent, maps[0] * prod(self.base), sqrt(2 / prod(self.base)))
        self.first = EqualisedConv2d(maps[0], maps[0])
        self.blocks = nn.ModuleList(_Up(inner, outer, folded) for inner, outer in pairwise(maps))
        self.to_image = nn.ModuleList(EqualisedConv2d(m, shape[0], 1, gain=1) for m in maps)

    def forward(self, z: Tensor) -> Tensor:
        level, alpha = self.grown
        x = self.project(pixel_norm(z)).unflatten(1, (self.maps[0], *self.base))
        x = pixel_norm(leaky(x.contiguous(memory_format=torch.channels_last)))
        before = x = pixel_norm(leaky(self.first(x)))
        for block in self.blocks[:level]:
            before, x = x, block(x)
        image: Tensor = self.to_image[level](x)
        if alpha < 1:
            image = torch.lerp(up(self.to_image[level - 1](before)), image, alpha)
        missing = self.growth.stages - level
        if self.training or not missing:
            return image
        return F.interpolate(image, scale_factor=2.0**missing, mode="nearest")


class ProGANCritic(_Growing):
    """Images [B, C, H, W] → logits [B]; it mirrors `ProGANGenerator` of the same settings.

    Images of the full size are averaged down to the level's first; at `group` samples the deviation
    within each group is one more feature map before the last convolution (`MinibatchStd`).

    >>> critic = ProGANCritic((1, 28, 28), fmap_max=4)
    >>> critic(torch.zeros(2, 1, 7, 7)).shape, critic(torch.zeros(2, 1, 28, 28)).shape
    (torch.Size([2]), torch.Size([2]))
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        fmap_base: int = 8192,
        fmap_max: int = 512,
        group: int = 4,
        stable: int = 600_000,
        fade: int = 600_000,
        folded: bool = True,
    ) -> None:
        super().__init__(shape[1:], fmap_base, fmap_max, stable, fade)
        maps = self.maps
        self.from_image = nn.ModuleList(EqualisedConv2d(shape[0], m, 1) for m in maps)
        self.blocks = nn.ModuleList(_Down(inner, outer, folded) for inner, outer in pairwise(maps))
        self.variety = MinibatchStd(group)
        self.last = EqualisedConv2d(maps[0] + 1, maps[0])
        self.hidden = EqualisedLinear(maps[0] * prod(self.base), maps[0])
        self.judge = EqualisedLinear(maps[0], 1, gain=1)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, d]."""
        level, alpha = self.grown
        x = shrunk(x, (x.shape[2] // (self.base[0] << level)).bit_length() - 1)
        h: Tensor = leaky(self.from_image[level](x))
        if level:
            h = self.blocks[level - 1](h)
        if alpha < 1:
            h = torch.lerp(leaky(self.from_image[level - 1](pool(x))), h, alpha)
        for block in reversed(self.blocks[: max(level - 1, 0)]):
            h = block(h)
        deviation = self.variety.deviation(h.flatten(1))[:, :, None, None].expand(-1, -1, *h.shape[2:])
        h = leaky(self.last(torch.cat([h, deviation], 1)))
        return leaky(self.hidden(h.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.judge(self.features(x)).squeeze(1)
        return logits
