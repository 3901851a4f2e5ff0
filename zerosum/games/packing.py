"""PacGAN: the critic judges m samples at once, and so sees a lack of variety (Lin et al. 2018).

Samples are joined along channels, or along coordinates for points. What is computed per pack stands for
each of its m samples.
"""

from torch import Tensor

from zerosum import processes
from zerosum.draws import Draws

__all__ = ["packed", "packs_of", "unpacked"]


def packed(x: Tensor, m: int, total: int) -> Tensor:
    """[b, C, …] → [b/m, mC, …], neighbours together; `total` is the whole batch's size.

    Raises ValueError, on every process alike, unless m divides each one's share.

    >>> import torch
    >>> packed(torch.arange(8).view(4, 2), 2, total=4)
    tensor([[0, 1, 2, 3],
            [4, 5, 6, 7]])
    """
    if m == 1:
        return x
    if total % (m * processes.count()) or len(x) % m:
        raise ValueError(
            f"--pack {m}: --batch {total} over {processes.count()} processes, and --micro if given, must "
            f"leave each a multiple of {m} samples, and {len(x)} came"
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
