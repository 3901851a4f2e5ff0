"""Semantic inpainting: what is lost of an image, drawn by a generator that fits what is known of it.

Yeh et al. 2017, Semantic Image Inpainting with Deep Generative Models (CVPR): known pixels near the hole
count most, and what was drawn is blended into the image by its gradients.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.inverse.masks import Mask
from zerosum.inverse.misfit import Misfit
from zerosum.inverse.operators import extra

__all__ = ["blend", "context", "context_weight", "paste"]


def context_weight(keep: Tensor, window: int = 7) -> Tensor:
    """How much each known pixel says of the hole: W_i = Σ_{j ∈ N(i)} (1 − M_j) / |N(i)|, 0 in the hole.

    Yeh et al. 2017, eq. 3: the share of what is missing in a window about the pixel. `keep` [..., H, W] is
    True where known. |N(i)| is the number of the window's pixels inside the image: 49 but near borders,
    where their code mirrors the image instead.

    >>> keep = torch.ones(9, 9, dtype=torch.bool)
    >>> keep[4, 4] = False
    >>> (49 * context_weight(keep))[3:6, 3:6].round()
    tensor([[1., 1., 1.],
            [1., 0., 1.],
            [1., 1., 1.]])

    Raises ValueError for a window that is even or below 3.
    """
    if window < 3 or window % 2 == 0:
        raise ValueError(f"--window must be odd and at least 3, not {window}")
    missing = (~keep).float().reshape(-1, 1, *keep.shape[-2:])
    means = F.avg_pool2d(missing, window, stride=1, padding=window // 2, count_include_pad=False)
    weight: Tensor = means.view(keep.shape) * keep
    return weight


def context(mask: Mask, images: Tensor, window: int = 7) -> Misfit:
    """The context loss ‖W ⊙ (G(z) − y)‖₁ of images [B, C, H, W] (Yeh et al. 2017, eq. 4)."""
    return Misfit(mask, mask.forward(images), weight=context_weight(mask.keep, window), power=1)


def paste(image: Tensor, drawn: Tensor, keep: Tensor) -> Tensor:
    """The known pixels of `image`, and those of `drawn` elsewhere; all [B, C, H, W], `keep` broadcast."""
    return torch.where(keep, image, drawn)


def blend(image: Tensor, drawn: Tensor, keep: Tensor) -> Tensor:
    """What was drawn, moved to meet the known pixels: [B, C, H, W].

    Poisson blending (Pérez et al. 2003; Yeh et al. 2017, eq. 9): min Σ ‖∇x − ∇drawn‖² over the pixels of the
    hole, the known ones staying as they are, to the last bit. At the image's border the hole's edge is
    free. x = drawn + u, where u is harmonic in the hole and image − drawn about it: the sparse system
    is solved once a mask. `keep` [H, W], [1, H, W] or [B, 1, H, W]; True where known.

    Raises ValueError for a mask of each channel's own, and for a hole that no known pixel touches.
    """
    keep = (
        keep.expand(len(image), *keep.shape[-3:])
        if keep.dim() > 2
        else keep.expand(len(image), 1, *keep.shape)
    )
    if keep.shape[1] != 1:
        raise ValueError("blending needs one mask for all channels, [1, H, W]")
    if bool((~keep).flatten(1).all(1).any()):
        raise ValueError("--mask hides every pixel: there is nothing to blend into")
    out = paste(image, drawn, keep)
    flat = keep.flatten(1)
    masks, which = torch.unique(flat, dim=0, return_inverse=True)
    for number, mask in enumerate(masks):
        rows = (which == number).nonzero().squeeze(1)
        if bool(mask.all()):
            continue
        move = _harmonic((image - drawn)[rows].flatten(2), mask.view(keep.shape[2:]))
        hole = ~mask
        some = out[rows].flatten(2)
        some[:, :, hole] = drawn[rows].flatten(2)[:, :, hole] + move.to(out)
        out[rows] = some.view(len(rows), *out.shape[1:])
    return out


def _harmonic(known: Tensor, keep: Tensor) -> Tensor:
    """Values [n, C, holes] that are the mean of their neighbours, known [n, C, H·W] where `keep`."""
    sparse, solver = extra("scipy.sparse"), extra("scipy.sparse.linalg")
    height, width = keep.shape
    index = torch.full((height * width,), -1)
    hole = (~keep).flatten()
    count = int(hole.sum())
    index[hole] = torch.arange(count)
    places = torch.arange(height * width).view(height, width)
    pairs = torch.cat(
        [
            torch.stack([places[:, :-1].flatten(), places[:, 1:].flatten()], 1),
            torch.stack([places[:-1].flatten(), places[1:].flatten()], 1),
        ]
    )
    pairs = torch.cat([pairs, pairs.flip(1)])
    pairs = pairs[hole[pairs[:, 0]]]
    rows, columns = index[pairs[:, 0]], index[pairs[:, 1]]
    inside = columns >= 0
    degree = torch.bincount(rows, minlength=count).double()
    entries = torch.cat([degree, -torch.ones(int(inside.sum()), dtype=torch.float64)])
    row = torch.cat([torch.arange(count), rows[inside]])
    column = torch.cat([torch.arange(count), columns[inside]])
    system = sparse.csc_matrix((entries.numpy(), (row.numpy(), column.numpy())), shape=(count, count))
    right = torch.zeros(count, known.shape[0] * known.shape[1], dtype=torch.float64)
    edge = known.double().flatten(0, 1).mT[pairs[~inside, 1]]
    right.index_add_(0, rows[~inside], edge)
    found = torch.from_numpy(solver.splu(system).solve(right.numpy()))
    return found.mT.reshape(known.shape[0], known.shape[1], count)
