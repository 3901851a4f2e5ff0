"""Filling a hole with what is found elsewhere: the nearest training image, or patches of the image itself."""

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.inverse.inpainting import blend, paste

__all__ = ["nearest_image", "patch_fill"]

_AT_ONCE = 2**24  # distances held at once


def nearest_image(image: Tensor, keep: Tensor, train: Tensor, *, blended: bool = True) -> Tensor:
    """The hole filled from the training image whose known pixels are nearest: [B, C, H, W].

    Scene completion (Hays & Efros 2007) with squared distances of known pixels, Σ M (x − t)²; then blended
    by gradients. `keep` [1, H, W] or [B, 1, H, W], True where known; `train` [N, C, H, W].

    >>> train = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    >>> keep = torch.ones(1, 4, 4, dtype=torch.bool)
    >>> keep[:, 1:3, 1:3] = False
    >>> float(nearest_image(torch.full((1, 1, 4, 4), 0.9), keep, train, blended=False)[0, 0, 1, 1])
    1.0

    Raises ValueError for training images of another shape, or none.
    """
    if train.dim() != 4 or not len(train) or train.shape[1:] != image.shape[1:]:
        raise ValueError(f"training images {list(image.shape[1:])} are needed, not {list(train.shape)}")
    known = keep.expand(image.shape).flatten(1).to(image.dtype)
    seen = image.flatten(1) * known
    best = torch.full((len(image),), torch.inf)
    index = torch.zeros(len(image), dtype=torch.long)
    rows = max(1, _AT_ONCE // image[0].numel())
    for start in range(0, len(train), rows):
        part = train[start : start + rows].flatten(1)
        # Σ M x² is the same for all training images.
        apart = known @ part.square().mT - 2 * seen @ part.mT
        value, where = apart.min(1)
        better = value < best
        best, index = torch.where(better, value, best), torch.where(better, where + start, index)
    found = train[index]
    return blend(image, found, keep) if blended else paste(image, found, keep)


def patch_fill(image: Tensor, keep: Tensor, *, patch: int = 7, rounds: int = 10, scales: int = 3) -> Tensor:
    """The hole filled so that each patch across it is like a whole one elsewhere in the image: [B, C, H, W].

    Wexler, Shechtman & Irani 2007 (the energy that PatchMatch, Barnes et al. 2009, made fast): from coarse to
    fine, every patch that touches the hole finds its nearest known patch, and pixels are the mean of what
    the found patches say. Neighbours are searched exhaustively, which for images of some 100 pixels a side
    is quick. Images are filled one at a time; `keep` as in `nearest_image`.

    Raises ValueError for an even patch, and where no whole patch is known, as when pixels are missing
    everywhere.
    """
    if patch < 3 or patch % 2 == 0:
        raise ValueError(f"--patch must be odd and at least 3, not {patch}")
    keep = keep.expand(len(image), 1, *keep.shape[-2:])
    filled = [_fill(x[None], m[None], patch, rounds, scales) for x, m in zip(image, keep, strict=True)]
    return paste(image, torch.cat(filled), keep)


def _fill(image: Tensor, keep: Tensor, patch: int, rounds: int, scales: int) -> Tensor:
    pyramid = [(image, keep)]
    for _ in range(scales - 1):
        x, m = pyramid[-1]
        if min(x.shape[-2:]) < 4 * patch:
            break
        weight = F.avg_pool2d(m.to(x), 2)
        smaller = F.avg_pool2d(x * m, 2) / weight.clamp_min(1e-6)
        pyramid.append((smaller, weight == 1))
    if not bool(_whole(keep, patch).any()):
        raise ValueError(
            f"no {patch}x{patch} patch of an image is wholly known: patches cannot fill pixels missing "
            "everywhere; choose another baseline"
        )
    guess: Tensor | None = None
    for x, m in reversed(pyramid):
        if not bool(_whole(m, patch).any()):
            continue
        if guess is None:
            guess = _smooth(x, m)
        else:
            guess = paste(x, F.interpolate(guess, x.shape[-2:], mode="bilinear", align_corners=False), m)
        for _ in range(rounds):
            after = _vote(guess, m, patch)
            settled = float((after - guess).abs().max()) < 1e-3
            guess = after
            if settled:
                break
    assert guess is not None
    return guess


def _whole(keep: Tensor, patch: int) -> Tensor:
    """Which patches are wholly known, [L]."""
    return F.unfold(keep.float(), patch).amin(1)[0] == 1


def _smooth(image: Tensor, keep: Tensor) -> Tensor:
    """A first guess: known pixels spread into the hole."""
    guess = paste(image, (image * keep).sum((2, 3), keepdim=True) / keep.sum().clamp_min(1), keep)
    for _ in range(max(image.shape[-2:]) * 2):
        padded = F.pad(guess, (1, 1, 1, 1), mode="replicate")
        guess = paste(image, F.avg_pool2d(padded, 3, stride=1), keep)
    return guess


def _vote(guess: Tensor, keep: Tensor, patch: int) -> Tensor:
    """One round: each patch that touches the hole takes its nearest whole patch, and pixels are averaged."""
    patches = F.unfold(guess, patch)[0].mT  # [L, C·p·p]
    whole = _whole(keep, patch)
    sources, targets = patches[whole], patches[~whole]
    nearest = torch.cat([torch.cdist(some, sources).argmin(1) for some in targets.split(1024)])
    found = torch.zeros_like(patches)
    found[~whole] = sources[nearest]
    votes = F.fold(found.mT[None], guess.shape[-2:], patch)
    counts = F.fold((~whole).to(guess).expand(1, patches.shape[1], -1), guess.shape[-2:], patch)
    return paste(guess, votes / counts.clamp_min(1), keep)
