"""The two sides of a comparison: images by index, with what a card must tell of them, and their features."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.data.cache import cache_folder, replacing
from zerosum.data.formats import Dataset
from zerosum.metrics.extractors import Extractor

__all__ = ["Progress", "Side", "features_of", "of_dataset", "of_images"]

AT_ONCE = 256
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Side:
    """One side's images: `images(start, stop)` gives [n, C, H, W] in [−1, 1], the same ones each time.

    `card` tells where they come from; `key` is a hash of their content, None where there is none and
    features cannot be kept. `labels` [count] and `classes` where they are known.
    """

    name: str
    count: int
    images: Callable[[int, int], Tensor]
    card: Mapping[str, str | int] = field(default_factory=dict)
    key: str | None = None
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def all(self) -> Tensor:
        """Every image at once, [count, C, H, W]."""
        return self.images(0, self.count)


def of_dataset(dataset: Dataset, count: int | None = None, seed: int = 0) -> Side:
    """A data set's side: `count` of its images chosen by the seed, or all in their order.

    Raises ValueError for points, and for more images than there are.
    """
    if dataset.format.points:
        raise ValueError(f"{dataset.name}: points, not images; measures here are of images")
    size = len(dataset)
    if count is not None and not 1 <= count <= size:
        raise ValueError(
            f"{dataset.name}: --count {count}, and there are {size:,} images: choose at most that"
        )
    chosen = np.arange(size)
    if count is not None and count < size:
        draw = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(size, generator=draw)[:count].sort().values.numpy()

    def images(start: int, stop: int) -> Tensor:
        stored = dataset.format.tensor(dataset.samples[chosen[start:stop]])
        return dataset.format.decode(stored).contiguous()

    card: dict[str, str | int] = {"data": dataset.name, "fingerprint": dataset.fingerprint, "of": size}
    if count is not None and count < size:
        card["chosen by seed"] = seed
    key = f"{dataset.fingerprint} {len(chosen)} {seed if len(chosen) < size else ''}"
    labels = None if dataset.labels is None else torch.from_numpy(dataset.labels[chosen])
    return Side(dataset.name, len(chosen), images, card, key, labels, dataset.classes)


def of_images(name: str, images: Tensor, labels: Tensor | None = None) -> Side:
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
    return Side(name, len(images), lambda start, stop: images[start:stop], {"images": name}, key, labels)


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
    take = extractor.logits if logits else extractor.features
    path = None
    if side.key is not None:
        text = json.dumps([side.key, side.count, extractor.card(), logits], sort_keys=True)
        path = cache_folder(cache) / "features" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"
        if path.is_file():
            try:
                kept = torch.from_numpy(np.load(path, allow_pickle=False))
                if len(kept) == side.count:
                    return kept
            except (OSError, ValueError):  # damaged: made anew below
                pass
    parts = []
    for start in range(0, side.count, AT_ONCE):
        stop = min(start + AT_ONCE, side.count)
        parts.append(take(side.images(start, stop)))
        if progress:
            progress(f"features of {side.name}", stop, side.count)
    found = torch.cat(parts)
    if path is not None:
        with suppress(OSError), replacing(path) as stream:  # a cache that cannot be written is no error
            np.save(stream, found.numpy(), allow_pickle=False)
    return found
