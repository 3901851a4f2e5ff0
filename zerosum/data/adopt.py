"""Arrays that are a data set already: used as they lie where nothing must change, else prepared."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from zerosum.data.arrays import Found, arranged
from zerosum.data.cache import Entry
from zerosum.data.formats import Check, DataError, Dataset, Format, chunks, fingerprint
from zerosum.data.labels import numbered
from zerosum.data.prepare import Item, Progress, Wanted, checked, empty_classes, prepare, value_range
from zerosum.data.resize import LEAST, MOST

Array = np.ndarray[Any, Any]
NOT_FINITE = "holds values that are not finite (NaN or infinity)"


class Survey(NamedTuple):
    """The range of an array's finite samples, and which samples are not finite."""

    least: float
    most: float
    broken: Array


def survey(images: Array) -> Survey:
    """Look at every value once, in pieces.

    >>> survey(np.array([[1.0, 2.0], [np.nan, 9.0]])).most
    2.0
    """
    least, most, broken, start = float("inf"), float("-inf"), [], 0
    for piece in chunks(images):
        flat = piece.reshape(len(piece), -1)
        finite = np.isfinite(flat).all(1)
        if not finite.all():
            broken.append(start + np.flatnonzero(~finite))
            flat = flat[finite]
        if flat.size:
            least, most = min(least, float(flat.min())), max(most, float(flat.max()))
        start += len(piece)
    return Survey(least, most, np.concatenate(broken) if broken else np.array([], np.int64))


def adopt(
    load: Callable[[], Found],
    wanted: Wanted,
    entry: Entry,
    where: str,
    *,
    mapped: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """A data set from arrays; `mapped` says that the array is a file on disk, whose survey is worth keeping.

    Raises DataError where the arrays are not clearly a set of images or points.
    """
    known = entry.load(where, (lambda: arranged(load().images, where)) if mapped else None)
    if known is not None:
        return known
    found = load()
    labels, classes = _labelled(found, where)
    if found.offsets is not None:
        return _prepared(
            _files(found, labels), len(found.offsets) - 1, wanted, entry, where, classes, progress
        )
    images = arranged(found.images, where)
    if not len(images):
        raise DataError(f"{where}: holds no samples")
    if images.ndim == 2:
        if wanted != Wanted(split=wanted.split):
            raise DataError(
                f"{where}: points have no size, channels or value range; leave these settings out"
            )
        return points(where, images, labels, classes)
    kind = images.dtype.newbyteorder("=")
    plain = kind in (np.uint8, np.uint16)
    seen = None if plain and not wanted.value_range else survey(images)
    dtype, notes = (kind.name, []) if plain else _whole(kind, seen, where)
    shape = images.shape[1:3]
    if wanted.size is None and not (min(shape) >= LEAST and max(shape) <= MOST):
        raise DataError(
            f"{where}: images of {shape[0]}x{shape[1]}; sides go from {LEAST} to {MOST}: give a size"
        )
    as_is = (
        images.dtype == dtype
        and wanted.size in (None, shape)
        and wanted.channels in (None, images.shape[3])
        and (seen is None or not len(seen.broken))
    )
    least, most = (seen.least, seen.most) if seen else (0.0, 0.0)
    if as_is and seen and wanted.value_range:
        as_is = wanted.value_range[0] <= least and most <= wanted.value_range[1]
    if not as_is:
        items = _items(images, labels, dtype)
        return _prepared(items, len(images), wanted, entry, where, classes, progress, notes)
    low, high, said = value_range(dtype, least, most, wanted, where)
    form = Format((images.shape[3], *shape), dtype, low, high)  # type: ignore[arg-type]
    notes = [*notes, *said, *(empty_classes(labels, classes) if labels is not None else ())]
    check = checked(len(images), (), {}, notes)
    dataset = Dataset(where, form, images, labels, classes, fingerprint(images, form, labels), check)
    if mapped:
        with contextlib.suppress(OSError):  # a survey that cannot be kept is made again
            entry.store(dataset, mapped=False)
    return dataset


def points(name: str, values: Array, labels: Array | None = None, classes: tuple[str, ...] = ()) -> Dataset:
    """A set of points [N, D]; those that are not finite are set aside.

    >>> points("p", np.array([[0.0, 1.0], [np.inf, 0.0]])).check.set_aside[0][0]
    'sample 1'
    """
    sound = np.isfinite(values).all(1)
    kept = np.ascontiguousarray(values[sound], np.float32)
    if not len(kept):
        raise DataError(f"{name}: holds no finite points")
    labels = None if labels is None else labels[sound]
    form = Format((kept.shape[1],), "float32", -1.0, 1.0)
    aside = tuple(np.flatnonzero(~sound).tolist())
    check: Check = checked(len(kept), [(f"sample {index}", NOT_FINITE) for index in aside], {}, ())
    return Dataset(name, form, kept, labels, classes, fingerprint(kept, form, labels), check, aside)


def _prepared(
    items: Iterator[Item],
    total: int,
    wanted: Wanted,
    entry: Entry,
    where: str,
    classes: tuple[str, ...],
    progress: Progress | None,
    notes: list[str] | None = None,
) -> Dataset:
    with entry.locked():
        return entry.load(where) or prepare(
            items, total, wanted, entry, where=where, classes=classes, notes=notes or (), progress=progress
        )


def _labelled(found: Found, where: str) -> tuple[Array | None, tuple[str, ...]]:
    """The labels as int64 [N] with a name for each class."""
    if found.labels is None:
        return None, ()
    count = len(found.images) if found.offsets is None else len(found.offsets) - 1
    return numbered(found.labels, count, where, found.classes)


def _whole(kind: np.dtype[Any], seen: Survey | None, where: str) -> tuple[str, list[str]]:
    """The type that holds an array's values, with a note where it is not their own."""
    if kind.kind == "b":
        return "uint8", ["true and false kept as 255 and 0"]
    if kind.kind == "f":
        return "float32", [] if kind == np.float32 else [f"{kind} values kept as float32"]
    if kind.kind in "iu" and seen is not None and seen.least >= 0 and seen.most <= 65535:
        dtype = "uint8" if seen.most <= 255 else "uint16"
        return dtype, [f"{kind} values from {seen.least:g} to {seen.most:g} kept as {dtype}"]
    raise DataError(f"{where}: values of type {kind}; save them as uint8, uint16 or float32")


def _label(labels: Array | None, index: int) -> int | None:
    return None if labels is None else int(labels[index])


def _items(images: Array, labels: Array | None, dtype: str) -> Iterator[Item]:
    factor = np.uint8(255 if images.dtype.kind == "b" else 1)
    for index in range(len(images)):
        with np.errstate(over="ignore"):  # what overflows is infinite, and set aside as such
            image = images[index].astype(dtype)
        yield Item(index, f"sample {index}", image * factor if factor > 1 else image, _label(labels, index))


def _files(found: Found, labels: Array | None) -> Iterator[Item]:
    offsets = found.offsets if found.offsets is not None else np.array([0])
    for index in range(len(offsets) - 1):
        content = found.images[offsets[index] : offsets[index + 1]].tobytes()
        yield Item(index, f"sample {index}", content, _label(labels, index))
