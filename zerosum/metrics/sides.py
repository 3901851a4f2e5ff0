"""The two sides of a comparison: images by index, with what a card must tell of them, and their features."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from zerosum.data.cache import cache_folder, replacing
from zerosum.data.formats import Dataset
from zerosum.data.toys import MODES
from zerosum.draws import Latent
from zerosum.metrics.extractors import Extractor
from zerosum.metrics.frechet import Moments

__all__ = [
    "Maker",
    "Progress",
    "Side",
    "features_of",
    "moments_of",
    "of_chosen",
    "of_dataset",
    "of_images",
    "stream_of",
]

AT_ONCE = 256
CHUNK = 8 * AT_ONCE  # features given at once by a stream
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Maker:
    """A generator, for measures of its latents: `decode` makes images of these [n, k] and of labels [n]."""

    latent: Latent
    decode: Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Side:
    """One side's samples: `images(start, stop)` gives [n, C, H, W] in [−1, 1], the same ones each time.

    Points are [n, D]; `mixture` holds the centres [K, D] and the spread that they are known to be drawn
    from. `card` tells where samples come from; `key` is a hash of their content, None where there is none and
    features cannot be kept. `labels` [count] and `classes` where they are known. `maker` is what generates
    them. `sizes`: images are of sizes of their own, and come one at a time.
    """

    name: str
    count: int
    images: Callable[[int, int], Tensor]
    card: Mapping[str, str | int] = field(default_factory=dict)
    key: str | None = None
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    maker: Maker | None = None
    mixture: tuple[Tensor, float] | None = None
    sizes: bool = False

    @property
    def points(self) -> bool:
        """Whether its samples are points rather than images."""
        return self.images(0, 1).dim() == 2

    def all(self) -> Tensor:
        """Every image at once, [count, C, H, W]."""
        return self.images(0, self.count)


def of_dataset(dataset: Dataset, count: int | None = None, seed: int = 0) -> Side:
    """A data set's side: `count` of its images chosen by the seed, or all in their order.

    Raises ValueError for more images than there are.
    """
    size = len(dataset)
    if count is not None and not 1 <= count <= size:
        raise ValueError(
            f"{dataset.name}: --count {count}, and there are {size:,} images: choose at most that"
        )
    chosen = np.arange(size)
    if count is not None and count < size:
        draw = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(size, generator=draw)[:count].sort().values.numpy()
    return of_chosen(dataset, chosen, seed)


def of_chosen(dataset: Dataset, chosen: np.ndarray[Any, Any], seed: int = 0) -> Side:
    """The side of a data set's samples of these numbers, in this order, which `seed` chose."""

    def images(start: int, stop: int) -> Tensor:
        stored = dataset.format.tensor(dataset.samples[chosen[start:stop]])
        return dataset.format.decode(stored).contiguous()

    size = len(dataset)
    card: dict[str, str | int] = {"data": dataset.name, "fingerprint": dataset.fingerprint, "of": size}
    if len(chosen) < size:
        card["chosen by seed"] = seed
    key = f"{dataset.fingerprint} {hashlib.sha256(chosen.astype('<i8').tobytes()).hexdigest()}"
    labels = None if dataset.labels is None else torch.from_numpy(dataset.labels[chosen])
    law = MODES.get(dataset.name.partition(":")[0]) if dataset.format.points else None
    mixture = None if law is None else (torch.from_numpy(law[0]), law[1])
    return Side(dataset.name, len(chosen), images, card, key, labels, dataset.classes, None, mixture)


def of_images(name: str, images: Tensor, labels: Tensor | None = None, classes: tuple[str, ...] = ()) -> Side:
    """A side of images in memory, [N, C, H, W] in [−1, 1].

    >>> of_images("noise", torch.zeros(5, 3, 8, 8)).images(1, 3).shape
    torch.Size([2, 3, 8, 8])

    Raises ValueError for another shape, for no images, and for pixels that are not finite.
    """
    if images.dim() != 4 or not len(images):
        raise ValueError(f"{name}: images [N, C, H, W] are needed, not {list(images.shape)}")
    if not bool(torch.isfinite(images).all()):
        raise ValueError(f"{name}: some pixels are not finite (NaN or infinity)")
    key = hashlib.sha256(images.float().contiguous().numpy().tobytes()).hexdigest()
    said = {"images": name}
    return Side(name, len(images), lambda start, stop: images[start:stop], said, key, labels, classes)


def stream_of(
    side: Side, extractor: Extractor, *, logits: bool = False, progress: Progress | None = None
) -> Iterator[Tensor]:
    """The side's features [n, D], or logits [n, K], some at a time: no more is held than is asked for."""
    take = extractor.logits if logits else extractor.features
    for begin in range(0, side.count, CHUNK):
        parts = []
        for start in range(begin, min(begin + CHUNK, side.count), AT_ONCE):
            stop = min(start + AT_ONCE, side.count)
            parts.append(take(side.images(start, stop)))
            if progress:
                progress(f"features of {side.name}", stop, side.count)
        yield torch.cat(parts)


def features_of(
    side: Side,
    extractor: Extractor,
    *,
    logits: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """The side's features [count, D], or logits [count, K]; kept by content in the user's cache directory.

    What is kept is found again by the images' content, the extractor with its weights, and its size.
    """
    path = _place(side, extractor, logits, cache)
    if path is not None and path.is_file():
        try:
            kept = torch.from_numpy(np.load(path, allow_pickle=False))
            if len(kept) == side.count:
                return kept
        except (OSError, EOFError, ValueError):  # damaged: made anew below
            pass
    found = torch.cat(list(stream_of(side, extractor, logits=logits, progress=progress)))
    if path is not None:
        with suppress(OSError), replacing(path) as stream:  # a cache that cannot be written is no error
            np.save(stream, found.numpy(), allow_pickle=False)
    return found


def moments_of(
    side: Side, extractor: Extractor, *, cache: Path | None = None, progress: Progress | None = None
) -> Moments:
    """The moments of the side's features, which are never held whole; kept as `features_of` keeps those."""
    path = _place(side, extractor, "moments", cache)
    if path is not None and path.is_file():
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                moments = Moments.of_arrays(kept)
            if moments.count == side.count:
                return moments
        except (OSError, EOFError, ValueError, KeyError, BadZipFile):  # damaged: made anew below
            pass
    moments = Moments.over(stream_of(side, extractor, progress=progress))
    if path is not None:
        with suppress(OSError), replacing(path) as stream:
            np.savez(stream, allow_pickle=False, **moments.arrays())
    return moments


def _place(side: Side, extractor: Extractor, what: bool | str, cache: Path | None) -> Path | None:
    """Where what was computed of a side is kept; None where the side has no key."""
    if side.key is None:
        return None
    text = json.dumps([side.key, side.count, extractor.card(), what], sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    return cache_folder(cache) / "features" / f"{name}{'.npz' if what == 'moments' else '.npy'}"
