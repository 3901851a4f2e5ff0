"""What a critic's loss is worth, between that of one that cannot tell real from fake and the least."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Scale", "flattens", "scale_of"]

_LOGITS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_FAR = 40.0
Loss = Callable[[Tensor, Tensor], Tensor]


class Scale(NamedTuple):
    """The least loss a critic can have, and that of one that says the same of real and fake.

    >>> Scale(0.0, 2.0).share(0.5)
    0.25
    """

    least: float
    undecided: float

    def share(self, loss: float) -> float:
        """A loss as a share of an undecided critic's, 0 the least."""
        return (loss - self.least) / (self.undecided - self.least)


@torch.no_grad()
def scale_of(critic: Loss) -> Scale | None:
    """The scale of a critic's loss (real, fake), logits [1] → [1]; None where it falls without end.

    Found by trying logits, so that it holds for any objective: what still falls by a tenth between logits
    of 10 and of 40 has no least, as Wasserstein's, whose critics are as far apart as the samples.

    >>> from zerosum.objectives import least_squares, wasserstein
    >>> scale_of(least_squares().critic), scale_of(wasserstein().critic)
    (Scale(least=0.0, undecided=0.25), None)
    """
    logits = sorted({sign * size for size in _LOGITS for sign in (-1, 1)})
    undecided = min(_at(critic, one, one) for one in logits)
    least = min(_at(critic, real, fake) for real in logits for fake in logits)
    further = min(_at(critic, real, fake) for real in (-_FAR, _FAR) for fake in (-_FAR, _FAR))
    if undecided <= least or least - further > 0.1 * (undecided - least):
        return None
    return Scale(min(least, further), undecided)


def flattens(generator: Callable[[Tensor | None, Tensor], Tensor]) -> bool:
    """Whether the generator's loss is flat where the critic rejects its samples: log(1 − D) is, −log D not.

    >>> from zerosum.objectives import minimax, non_saturating
    >>> flattens(minimax().generator), flattens(non_saturating().generator)
    (True, False)
    """
    with torch.enable_grad():
        logit = torch.tensor([-10.0, 0.0], requires_grad=True)
        (slope,) = torch.autograd.grad(generator(torch.zeros(2), logit).sum(), logit)
    return bool(slope[0].abs() < 0.01 * slope[1].abs())


def _at(critic: Loss, real: float, fake: float) -> float:
    return float(critic(torch.tensor([real]), torch.tensor([fake])))
