"""A game whose nets grow: they are told how far training has come, and reals are as large as they are.

Karras et al. 2018, arXiv:1710.10196. What the critic sees, and where a gradient penalty is taken, are
images of the stage's own size; while a stage is faded in, reals are faded like the generator's images.
"""

import torch
from torch import Tensor, nn

from zerosum.nets.folding import pool, up
from zerosum.nets.progan import Growth, shrunk

__all__ = ["faded", "tell"]


def tell(net: nn.Module, images: int) -> None:
    """Tell a growing net how many real images were shown: sets its buffer `images`.

    >>> from zerosum.nets.progan import ProGANCritic
    >>> critic = ProGANCritic((1, 8, 8), fmap_max=2)
    >>> tell(critic, 600_000)
    >>> critic.grown
    Size(level=1, alpha=0.0)
    """
    net.get_buffer("images").fill_(images)


def faded(x: Tensor, growth: Growth, images: int) -> Tensor:
    """Reals of the full size as nets that were shown so many images see them: [B, C, H, W] → [B, C, h, w].

    Averaged over squares down to the stage's size; while it is faded in, α·x + (1−α)·up(pool(x)).

    >>> x = torch.arange(16.0).view(1, 1, 4, 4)
    >>> faded(x, Growth(stages=1, stable=10, fade=10), 9)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])
    >>> bool((faded(x, Growth(stages=1, stable=10, fade=10), 15) == (x + up(pool(x))) / 2).all())
    True
    """
    level, alpha = growth.at(images)
    x = shrunk(x, growth.stages - level)
    return x if alpha == 1 else torch.lerp(up(pool(x)), x, alpha)
