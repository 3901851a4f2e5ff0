"""What a data set is: the format of its samples, the samples as stored, and what was found on reading."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Stored = Literal["uint8", "uint16", "float32"]

MOST_CHANNELS = 8


class DataError(ValueError):
    """Data that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Format:
    """What one sample of a set is.

    `shape` is (C, H, W) for images and (D,) for points; `dtype` is the type as stored; `low` and `high` are
    the stored values that map to −1 and 1 (0 and 255 for bytes). Points are used as they are.

    Stored images are [N, H, W, C]; images in use are float32 [N, C, H, W] in [−1, 1].

    >>> grey = Format((1, 2, 2), "uint8", 0, 255)
    >>> grey.decode(torch.tensor([[[[0], [255]], [[51], [204]]]], dtype=torch.uint8)).flatten().tolist()[:2]
    [-1.0, 1.0]
    """

    shape: tuple[int, ...]
    dtype: Stored
    low: float
    high: float

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 3) or min(self.shape) < 1:
            raise ValueError(f"shape {self.shape}: expected (C, H, W) for images or (D,) for points")
        if self.dtype not in ("uint8", "uint16", "float32"):
            raise ValueError(f"dtype {self.dtype!r}: expected 'uint8', 'uint16' or 'float32'")
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must lie below high {self.high}")

    @property
    def points(self) -> bool:
        """Whether a sample is a point of D dimensions rather than an image."""
        return len(self.shape) == 1

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """One sample's shape as stored: (H, W, C), or (D,)."""
        return self.shape if self.points else (*self.shape[1:], self.shape[0])

    def tensor(self, samples: np.ndarray[Any, Any]) -> Tensor:
        """The stored samples as a tensor on the same memory; uint16 as its bits in an int16 tensor.

        The tensor must not be written to: it may lie on a read-only file.

        >>> Format((1, 1, 1), "uint16", 0, 65535).tensor(np.full((1, 1, 1, 1), 65535, np.uint16)).item()
        -1
        """
        bits = samples.view(np.int16) if self.dtype == "uint16" else samples
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(bits)

    def decode(self, stored: Tensor) -> Tensor:
        """Stored samples [N, H, W, C] → images float32 [N, C, H, W] in [−1, 1], a channels_last view.

        uint16 may come as torch.uint16 or as its bits in int16. Points [N, D] come back as float32.
        """
        if self.points:
            return stored.to(torch.float32)
        if self.dtype == "uint16":
            bits = stored.view(torch.int16) if stored.dtype == torch.uint16 else stored
            stored = bits.to(torch.int32) & 0xFFFF
        half, middle = (self.high - self.low) / 2, (self.high + self.low) / 2
        # Subtract and divide, in place: 0 and 255 land on -1 and 1 exactly, which a product by 2/255 misses.
        values = stored.to(torch.float32, copy=True).sub_(middle).div_(half)
        return values.permute(0, 3, 1, 2)

    def encode(self, images: Tensor) -> np.ndarray[Any, Any]:
        """Images [N, C, H, W] in [−1, 1] → stored samples [N, H, W, C]: rounded to nearest, clipped.

        `encode(decode(x))` is x, exactly, for bytes, for 16 bits and for floats of range (−1, 1); for
        other float ranges it is x to float32 rounding. Points [N, D] come back as float32, not clipped.
        Raises ValueError where a value is not finite or the shape is not this format's.
        """
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"images are {tuple(images.shape[1:])}; this data set's are {self.shape}")
        values = images.detach().cpu().double()
        if not bool(torch.isfinite(values).all()):
            raise ValueError("the images hold values that are not finite (NaN or infinity)")
        if self.points:
            return values.float().numpy()
        half, middle = (self.high - self.low) / 2, (self.high + self.low) / 2
        values = values.mul(half).add(middle).clamp(self.low, self.high)
        if self.dtype != "float32":
            values = values.round()
        return np.ascontiguousarray(values.permute(0, 2, 3, 1).numpy().astype(self.dtype))


@dataclass(frozen=True)
class Check:
    """What was found on reading a data set: `found` = `kept` + the samples set aside.

    >>> Check(found=3, kept=2, set_aside=(("a.png", "empty file (0 bytes)"),)).kept
    2
    """

    found: int
    kept: int
    set_aside: tuple[tuple[str, str], ...] = ()  # (path, reason)
    converted: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, held as it was stored.

    `samples` is [N, H, W, C] (or [N, D] for points) of `format.dtype`, in memory or memory-mapped; `labels`
    is int64 [N] or None; `classes` names the labels, () when unlabelled; `fingerprint` is the SHA-256 of
    content, format and labels, the same whatever file the data came from. `aside` are the places, in the
    order of what was read, of the samples that are not among them.
    """

    name: str
    format: Format
    samples: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any] | None
    classes: tuple[str, ...]
    fingerprint: str
    check: Check
    aside: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)


class SizeError(DataError):
    """Images whose sizes no one set can have: they differ, or are beyond the largest."""


def chunks(samples: np.ndarray[Any, Any], size: int = 64 << 20) -> Iterator[np.ndarray[Any, Any]]:
    """The samples in pieces of at most about `size` bytes, so that a mapped file is never read whole.

    >>> [len(piece) for piece in chunks(np.zeros((5, 4), np.uint8), size=8)]
    [2, 2, 1]
    """
    each = max(1, size // max(1, samples[:1].nbytes))
    for start in range(0, len(samples), each):
        yield samples[start : start + each]


def fingerprint(
    samples: np.ndarray[Any, Any], form: Format, labels: np.ndarray[Any, Any] | None = None
) -> str:
    """The SHA-256, in hex, of the samples with their format and labels.

    >>> form = Format((1, 1, 1), "uint8", 0, 255)
    >>> fingerprint(np.zeros((2, 1, 1, 1), np.uint8), form)[:8]
    '4f018714'
    """
    digest = hashlib.sha256()
    head = [len(samples), list(form.shape), form.dtype, float(form.low), float(form.high), labels is not None]
    digest.update(json.dumps(head).encode())
    for piece in chunks(samples):
        digest.update(np.ascontiguousarray(piece, np.dtype(form.dtype).newbyteorder("<")).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.hexdigest()
