"""Batches by random access: what is at a place in the stream of images shown depends on the seed alone."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.formats import Dataset
from zerosum.draws import mix

MARGIN = 2 << 30  # bytes of accelerator memory left to the networks
ORDERS = 3  # epochs whose order is kept: a batch straddles two, or more when the set is smaller than it


def coins(seed: int, positions: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A fair coin for each position: the top bit of a counter-based hash (Steele et al. 2014, SplitMix64).

    >>> coins(3, np.arange(4)).tolist() == [bool(coins(3, np.array([i]))[0]) for i in range(4)]
    True
    """
    start = np.uint64(mix(seed, "flip"))
    x = positions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x >> np.uint64(63)).astype(np.bool_)


def _free(device: torch.device) -> int | None:
    """Bytes free on an accelerator; None where that is the computer's own memory."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


class Resident:
    """A data set held as stored on the device, if it fits, and indexed and converted there.

    The sample at place p = cursor + id of the stream is `order(p // size)[p % size]`, where order(epoch) is a
    permutation drawn from (seed, epoch). So there is no state to save: a resumed run, or another process that
    takes other ids, sees what one run sees. Each epoch shows every sample once.

    Called with a cursor and ids [b] (int64, on the CPU) it gives {"real": float32 [b, C, H, W] in [−1, 1],
    channels_last; "labels": int64 [b], if the set has labels}. `flip` mirrors images left to right, each with
    probability ½, decided by (seed, p).

    >>> from zerosum.data import open_data
    >>> source = Resident(open_data("ring"), seed=1)
    >>> source.size, source(0, torch.arange(4))["real"].shape
    (100000, torch.Size([4, 2]))
    """

    def __init__(
        self, dataset: Dataset, *, seed: int = 0, device: str | torch.device = "cpu", flip: bool = False
    ) -> None:
        if flip and dataset.format.points:
            raise ValueError("flip: points cannot be mirrored left to right; leave it off")
        self.size = len(dataset)
        self.format = dataset.format
        self.device = torch.device(device)
        self._seed, self._flip = seed, flip
        stored = dataset.format.tensor(dataset.samples)
        free = _free(self.device)
        self.resident = self.device.type == "cpu" or free is None or stored.nbytes + MARGIN < free
        self._stored = stored.to(self.device) if self.resident else stored
        self._labels = None if dataset.labels is None else torch.from_numpy(dataset.labels).to(self.device)
        self._orders: OrderedDict[int, Tensor] = OrderedDict()

    def order(self, epoch: int) -> Tensor:
        """The permutation of the set that an epoch shows, int64 [size]."""
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(mix(self._seed, "epoch", epoch))
            self._orders[epoch] = torch.randperm(self.size, generator=generator)
            if len(self._orders) > ORDERS:
                self._orders.popitem(last=False)
        return self._orders[epoch]

    def places(self, cursor: int, ids: Tensor) -> Tensor:
        """Which samples stand at cursor + ids, int64 [b]."""
        at = ids.cpu() + cursor
        if not len(at):
            return at
        epochs = at // self.size
        within = at - epochs * self.size
        first, last = int(epochs.min()), int(epochs.max())
        if first == last:
            return self.order(first)[within]
        chosen = torch.empty_like(at)
        for epoch in range(first, last + 1):
            here = epochs == epoch
            chosen[here] = self.order(epoch)[within[here]]
        return chosen

    def __call__(self, cursor: int, ids: Tensor) -> Mapping[str, Tensor]:
        where = self.places(cursor, ids)
        on_device = where.to(self.device)
        if self.resident:
            stored = self._stored.index_select(0, on_device)
        else:
            stored = self._stored.index_select(0, where).pin_memory().to(self.device, non_blocking=True)
        if self._flip:
            mirrored = torch.from_numpy(np.flatnonzero(coins(self._seed, (ids.cpu() + cursor).numpy())))
            mirrored = mirrored.to(self.device)
            stored.index_copy_(0, mirrored, stored.index_select(0, mirrored).flip(2))
        batch = {"real": self.format.decode(stored)}
        if self._labels is not None:
            batch["labels"] = self._labels.index_select(0, on_device)
        return batch
