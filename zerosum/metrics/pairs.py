"""Pairs of images, an original and what was restored: which belong together, and measures of them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.formats import Dataset, Format, Stored
from zerosum.metrics.comparison import Comparison, Value, mean
from zerosum.metrics.quality import luma, psnr, ssim
from zerosum.metrics.sides import Side, of_chosen

__all__ = ["PAIRS", "lpips_of_pairs", "of_sizes", "paired", "psnr_of_pairs", "ssim_of_pairs"]

PAIRS = frozenset({"psnr", "psnr-y", "ssim", "ssim-y", "lpips"})  # measures of pairs
_AT_ONCE = 32
Array = np.ndarray[Any, Any]


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
        kept = (
            [name for rank, name in enumerate(own) if rank not in set(dataset.aside)]
            for dataset, own in zip((real, fake), names, strict=True)
            if own is not None
        )
        order = _partners((real.name, fake.name), *kept)
    chosen = _chosen(len(real), count, seed)
    return of_chosen(real, chosen, seed), of_chosen(fake, order[chosen], seed)


def of_sizes(
    real: tuple[str, Mapping[str, Array]],
    fake: tuple[str, Mapping[str, Array]],
    count: int | None = None,
    seed: int = 0,
) -> tuple[Side, Side]:
    """As `paired`, of images by name, [H, W, C] of uint8 or uint16, each pair of a size of its own.

    Where one image has colours, grey ones are given three channels. Raises ValueError as `paired` does, and
    where two partners differ in size.
    """
    order = _partners((real[0], fake[0]), list(real[1]), list(fake[1]))
    ours, theirs = list(real[1].items()), list(fake[1].items())
    theirs = [theirs[place] for place in order]
    for (name, one), (_, other) in zip(ours, theirs, strict=True):
        if one.shape[:2] != other.shape[:2]:
            raise ValueError(
                f"{name} is {_size(one)} in {real[0]} and {_size(other)} in {fake[0]}: pairs need one size; "
                "nothing is cropped or resized unless --size says so"
            )
    channels = max(image.shape[2] for _, image in (*ours, *theirs))
    chosen = _chosen(len(ours), count, seed)
    return (
        _of_pictures(real[0], [ours[place][1] for place in chosen], channels, len(ours), seed),
        _of_pictures(fake[0], [theirs[place][1] for place in chosen], channels, len(theirs), seed),
    )


def _size(image: Array) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _of_pictures(name: str, pictures: Sequence[Array], channels: int, whole: int, seed: int) -> Side:
    def images(start: int, stop: int) -> Tensor:
        return torch.cat([one(picture) for picture in pictures[start:stop]])

    def one(picture: Array) -> Tensor:
        picture = np.repeat(picture, channels, 2) if picture.shape[2] < channels else picture
        kind: Stored = "uint8" if picture.dtype == np.uint8 else "uint16"
        form = Format((channels, *picture.shape[:2]), kind, 0, np.iinfo(kind).max)
        return form.decode(form.tensor(picture[None])).contiguous()

    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.shape} {picture.dtype}".encode() + picture.tobytes())
    sizes = len({picture.shape[:2] for picture in pictures})
    card: dict[str, str | int] = {
        "data": name,
        "fingerprint": digest.hexdigest(),
        "of": whole,
        "sizes": sizes,
        **({"chosen by seed": seed} if len(pictures) < whole else {}),
    }
    return Side(name, len(pictures), images, card, digest.hexdigest(), sizes=True)


def _chosen(size: int, count: int | None, seed: int) -> Array:
    if count is None or count >= size:
        return np.arange(size)
    draw = torch.Generator().manual_seed(seed)
    return torch.randperm(size, generator=draw)[:count].sort().values.numpy()


def _partners(owners: tuple[str, str], names: Sequence[str], others: Sequence[str]) -> Array:
    """The places among `others` of the partners of `names`."""
    ours, theirs = _stems(owners[0], names), _stems(owners[1], others)
    alone = sorted(ours.keys() ^ theirs.keys())
    if alone:
        owner = owners[0] if alone[0] in ours else owners[1]
        raise ValueError(
            f"pairs go by name, and {len(alone):,} of {len(ours):,} and {len(theirs):,} images have no "
            f"partner, the first {alone[0]!r} of {owner}: give each file the name of its original"
        )
    return np.array([theirs[stem] for stem in ours])


def _stems(owner: str, names: Sequence[str]) -> dict[str, int]:
    """Names of files, without suffix and common folders → their places, in order."""
    paths = [PurePosixPath(name).with_suffix("").parts for name in names]
    first = paths[0][:-1]
    while any(path[: len(first)] != first for path in paths):
        first = first[:-1]
    stems = ["/".join(path[len(first) :]) for path in paths]
    twice = [stem for stem, times in Counter(stems).items() if times > 1]
    if twice:
        raise ValueError(f"pairs go by name, and {owner} has {twice[0]!r} twice: keep one of them")
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
    step = 1 if real.sizes else _AT_ONCE
    for start in range(0, real.count, step):
        stop = min(start + step, real.count)
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
