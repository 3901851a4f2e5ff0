"""Classes read by a net: do samples show the class they were asked for, and can a pupil learn from them?

A reader that never saw the generator reads the samples. It is content with one good picture a class, and so
a pupil is taught on samples alone and examined on real images (Ravuri & Vinyals 2019).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.draws import mix

__all__ = ["Pupil", "read_right", "taught"]

_AT_ONCE = 500
_BATCH = 100


class Pupil(nn.Sequential):
    """Images [B, C, H, W] → logits [B, K]: two strided convolutions of 16 and 32 maps, then 64 units."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(
            *(nn.Conv2d(channels, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU()),
            nn.Linear(64, classes),
        )


def taught(images: Tensor, labels: Tensor, classes: int, *, steps: int, seed: int = 0) -> Pupil:
    """A pupil that saw `steps` batches of 100 images [N, C, H, W] with their labels [N].

    Adam at .001, every epoch in an order of its own; seeded, and the caller's random numbers stay.

    >>> pupil = taught(torch.rand(8, 1, 8, 8), torch.arange(8) % 2, 2, steps=1)
    >>> pupil(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 2])

    Raises ValueError where images and labels are not as many, for none, and for a label out of range.
    """
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"{len(images)} images and {len(labels)} labels: give one label an image")
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels from {int(labels.min())} to {int(labels.max())}, and there are {classes} classes"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix("pupil", seed))
        pupil = Pupil(images.shape[1], classes)
        optimiser = torch.optim.Adam(pupil.parameters(), lr=1e-3)
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(steps):
            if len(order) < _BATCH:
                order = torch.randperm(len(images))
            batch, order = order[:_BATCH], order[_BATCH:]
            optimiser.zero_grad()
            F.cross_entropy(pupil(images[batch]), labels[batch]).backward()
            optimiser.step()
    return pupil.eval()


@torch.inference_mode()
def read_right(read: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """Which images [N, C, H, W] a reader, images → logits [B, K], takes for their label [N]: bool [N].

    >>> read_right(lambda x: torch.tensor([[0.0, 1.0]]).repeat(len(x), 1), torch.zeros(2, 1, 8, 8),
    ...     torch.tensor([0, 1]))
    tensor([False,  True])
    """
    return torch.cat([read(part).argmax(1) for part in images.split(_AT_ONCE)]).eq(labels)
