"""Pairs of images, an original and what was restored: which belong together, and measures of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from zerosum.data.formats import Dataset
from zerosum.metrics.comparison import Comparison, Value, mean
from zerosum.metrics.quality import luma, psnr, ssim
from zerosum.metrics.sides import Side, of_chosen

__all__ = ["PAIRS", "lpips_of_pairs", "paired", "psnr_of_pairs", "ssim_of_pairs"]

PAIRS = frozenset({"psnr", "psnr-y", "ssim", "ssim-y", "lpips"})  # measures of pairs
_AT_ONCE = 32


def paired(
    real: Dataset,
    fake: Dataset,
    names: tuple[Sequence[str] | None, Sequence[str] | None],
    count: int | None = None,
    seed: int = 0,
) -> tuple[Side, Side]:
    """The sides of two sets whose images are pairs, in the order of the first; `count` pairs by the seed.

    Images pair by the names of their files without suffix and common folders, where both sets have names
    (`zerosum.data.dataset.names_of`), else by their order. Raises ValueError where counts differ, a name
    has no partner or two, and where images without names were set aside.
    """
    if names[0] is None or names[1] is None:
        if real.aside or fake.aside:
            broken = real if real.aside else fake
            raise ValueError(
                f"{broken.name}: {len(broken.aside)} images were set aside, and without names the others' "
                "pairs are not known: mend them, or give two folders whose files have the same names"
            )
        order = np.arange(len(fake))
        if len(real) != len(fake):
            raise ValueError(
                f"pairs: {real.name} has {len(real):,} images and {fake.name} {len(fake):,}: give as many"
            )
    else:
        ours, theirs = _stems(real, names[0]), _stems(fake, names[1])
        alone = sorted(ours.keys() ^ theirs.keys())
        if alone:
            owner = real.name if alone[0] in ours else fake.name
            raise ValueError(
                f"pairs go by name, and {len(alone):,} of {len(ours):,} and {len(theirs):,} images have no "
                f"partner, the first {alone[0]!r} of {owner}: give each file the name of its original"
            )
        order = np.array([theirs[stem] for stem in ours])
    chosen = np.arange(len(real))
    if count is not None and count < len(real):
        draw = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(real), generator=draw)[:count].sort().values.numpy()
    return of_chosen(real, chosen, seed), of_chosen(fake, order[chosen], seed)


def _stems(dataset: Dataset, names: Sequence[str]) -> dict[str, int]:
    """The names of the images that were kept → their places, in order."""
    aside = set(dataset.aside)
    paths = [
        PurePosixPath(name).with_suffix("").parts for rank, name in enumerate(names) if rank not in aside
    ]
    first = paths[0][:-1]
    while any(path[: len(first)] != first for path in paths):
        first = first[:-1]
    stems = ["/".join(path[len(first) :]) for path in paths]
    twice = [stem for stem, times in Counter(stems).items() if times > 1]
    if twice:
        raise ValueError(f"pairs go by name, and {dataset.name} has {twice[0]!r} twice: keep one of them")
    return {stem: place for place, stem in enumerate(stems)}


def _values(sides: Comparison, what: str, compare: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """A measure of each pair, [N]."""
    real, fake = sides.real, sides.fake
    if fake.maker is not None or real.count != fake.count:
        raise ValueError(
            f"{what} is of pairs: give two sets of as many images, paired by name or order; here are "
            f"{real.count:,} of {real.name} and {fake.count:,} of {fake.name}"
        )
    parts = []
    for start in range(0, real.count, _AT_ONCE):
        stop = min(start + _AT_ONCE, real.count)
        parts.append(compare(real.images(start, stop), fake.images(start, stop)))
        sides.tell(f"{what} of pairs", stop, real.count)
    sides.said[what] = f"mean of {real.count:,} pairs"
    if sides.border and not what.startswith("lpips"):
        sides.said[what] += f", borders of {sides.border} pixels left out"
    return torch.cat(parts)


def _inner(sides: Comparison, luminance: bool, images: Tensor) -> Tensor:
    border = sides.border
    if border and min(images.shape[2:]) <= 2 * border:
        raise ValueError(f"--border {border} leaves nothing of images of {list(images.shape[2:])}")
    images = luma(images) if luminance else images
    return images[:, :, border:-border, border:-border] if border else images


def psnr_of_pairs(sides: Comparison, luminance: bool = False) -> dict[str, Value]:
    """Mean PSNR in dB, of all channels or of luminance; pairs that are equal, of infinite PSNR, are left out.

    Raises ValueError where all are, and for sides that are no pairs.
    """
    what, inner = "psnr-y" if luminance else "psnr", partial(_inner, sides, luminance)
    values = _values(sides, what, lambda real, fake: psnr(inner(real), inner(fake)))
    finite = values.isfinite()
    if not finite.any():
        raise ValueError(
            f"{what}: all pairs are equal to the last bit, so it is infinite: is one folder given twice?"
        )
    if not finite.all():
        equal = int((~finite).sum())
        sides.warned.append(f"{what}: {equal:,} of {len(values):,} pairs are equal, infinite, and left out")
    return {what: mean(values[finite])}


def ssim_of_pairs(sides: Comparison, luminance: bool = False) -> dict[str, Value]:
    """Mean SSIM, of all channels or of luminance. Raises ValueError for sides that are no pairs."""
    what, inner = "ssim-y" if luminance else "ssim", partial(_inner, sides, luminance)
    return {what: mean(_values(sides, what, lambda real, fake: ssim(inner(real), inner(fake))))}


def lpips_of_pairs(sides: Comparison) -> dict[str, Value]:
    """Mean LPIPS, by the extractor's net. Raises ValueError for one without, and for what are no pairs."""
    return {"lpips": mean(_values(sides, "lpips", sides.extractor.distance))}
