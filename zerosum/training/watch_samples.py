"""What a look at the samples tells: how they lie beside real ones, in a few cheap numbers."""

import torch
from torch import Tensor

from zerosum.metrics.originality import originality
from zerosum.objectives import widened
from zerosum.transport import coarse

__all__ = ["Shelf", "beside", "spread"]

NEAR = (
    0.99  # |value| from here on counts as at the end of the range: 1 − 1/127.5 is 8 bits' last step but one
)
BEYOND = 1.05  # and from here on as outside it: a linear output overshoots by a little, without harm
SIDE = 16  # copies are told by coarse images, which forgive small moves and cost little
SHELF = 4096  # training images that samples are compared with, at most
LEAST = 30  # held-back images without which no number of copies would be sure enough
JUDGED = 256  # samples tested for copies, and as many images held back, at most


def spread(samples: Tensor, labels: Tensor | None = None) -> float:
    """The root mean squared distance of samples [N, …] from their mean, or from that of their class.

    Mean squared distances of pairs are twice its square, at the cost of one pass. `labels` [N] counts
    variety within classes alone.

    >>> spread(torch.tensor([[0.0], [2.0], [5.0], [7.0]]), torch.tensor([0, 0, 1, 1]))
    1.0
    """
    flat = widened(samples.flatten(1))
    if labels is None:
        centre = flat.mean(0)
    else:
        _, places = labels.cpu().unique(return_inverse=True)
        sums = torch.zeros(int(places.max()) + 1, flat.shape[1], dtype=flat.dtype).index_add(0, places, flat)
        centre = (sums / places.bincount().unsqueeze(1))[places]
    return float((flat - centre).square().sum(1).mean().sqrt())


def beside(real: Tensor, fake: Tensor, labels: Tensor | None = None) -> dict[str, float]:
    """Numbers of samples `fake` [N, …] beside `real` ones, as metrics.jsonl names them.

    spread: theirs over the reals', 1 for the data's own variety, 0 for one sample again and again; within
    classes where `labels` [N] are given. clipped, clipped-real: the share of values at or beyond the ends
    of [−1, 1]. outside: the share of values well beyond them. shift: the difference of the means over the
    reals' deviation. contrast: the deviation of all values over the reals'.

    >>> real = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    >>> beside(real, real / 2)["samples/spread"]
    0.5
    """
    real, fake = widened(real), widened(fake)
    apart = spread(real, labels)
    deviation = float(real.std())
    found = {}
    if apart > 0:  # else the data are one sample, whose variety none can fall short of
        found["samples/spread"] = spread(fake, labels) / apart
    if deviation > 0:
        found["samples/shift"] = float(fake.mean() - real.mean()) / deviation
        found["samples/contrast"] = float(fake.std()) / deviation
    if real.dim() == 4:
        found["samples/clipped"] = _share(fake.abs() >= NEAR)
        found["samples/clipped-real"] = _share(real.abs() >= NEAR)
        found["samples/outside"] = _share(fake.abs() > BEYOND)
    return found


def _share(marks: Tensor) -> float:
    return int(marks.count_nonzero()) / marks.numel()


class Shelf:
    """Training images against which samples are held, coarse, with others set apart for comparison.

    `images` [N, C, H, W] are training images; the last quarter, at most 256, is held back, and the test
    is whether as many samples lie nearer to single ones of the rest than those do: `metrics.originality`.
    Its chance and share of suspects go by the names samples/copied-p and samples/copied. A copier of a
    larger set than 4,096 images is told by the share of its copies that is here.

    >>> shelf = Shelf(torch.rand(200, 1, 8, 8))
    >>> len(shelf.reference), len(shelf.held)
    (150, 50)
    """

    def __init__(self, images: Tensor) -> None:
        small = self.small(images)
        held = min(len(small) // 4, JUDGED)
        self.reference, self.held = small[: len(small) - held], small[len(small) - held :]

    @staticmethod
    def wanted(size: int) -> int:
        """How many of `size` training images it takes."""
        return min(size, SHELF + JUDGED)

    @staticmethod
    def small(images: Tensor) -> Tensor:
        """Images [N, C, H, W] as they are compared: at most 16 pixels a side."""
        return coarse(widened(images), SIDE)

    def copies(self, fake: Tensor) -> dict[str, float]:
        """How sure it is that samples [n, C, H, W] are copies; nothing where there are too few to tell.

        >>> Shelf(torch.rand(30, 1, 8, 8)).copies(torch.rand(30, 1, 8, 8))
        {}
        """
        if min(len(self.held), len(fake)) < LEAST:
            return {}
        few = self.small(fake[: len(self.held)])
        told = originality(few, self.reference, self.held, moves=0)
        return {"samples/copied-p": told.p_value, "samples/copied": len(told.suspects) / len(few)}
