"""PacGAN: the critic judges m samples at once, and so sees a lack of variety (Lin et al. 2018).

Samples are joined along channels, or along coordinates for points. What is computed per pack stands for
each of its m samples.
"""

from torch import Tensor

from zerosum.draws import Draws

__all__ = ["packed", "packs_of", "unpacked"]


def packed(x: Tensor, m: int) -> Tensor:
    """[b, C, …] → [b/m, mC, …], neighbours together. Raises ValueError unless m divides b.

    >>> import torch
    >>> packed(torch.arange(8).view(4, 2), 2)
    tensor([[0, 1, 2, 3],
            [4, 5, 6, 7]])
    """
    if m == 1:
        return x
    if len(x) % m:
        raise ValueError(
            f"--pack {m} cannot share out {len(x)} samples: each process's share of --batch, and --micro, "
            f"must be multiples of {m}"
        )
    joined: Tensor = x.unflatten(0, (-1, m)).flatten(1, 2)
    return joined


def packs_of(draw: Draws, m: int) -> Draws:
    """The draws of the packs of these samples, one a pack.

    >>> len(packs_of(Draws(start=4, stop=10), 2))
    3
    """
    return draw if m == 1 else draw.part(draw.start // m, draw.stop // m)


def unpacked(term: Tensor, m: int) -> Tensor:
    """[b/m] → [b]: each sample has its pack's number; 0-d stays.

    >>> import torch
    >>> unpacked(torch.tensor([1., 2.]), 2)
    tensor([1., 1., 2., 2.])
    """
    return term if m == 1 or not term.dim() else term.repeat_interleave(m)
