"""A stream of images of any kind → one prepared set: decoded, resized once, made alike, kept in the cache."""

import contextlib
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from zerosum.data.cache import Entry, replacing
from zerosum.data.containers import SetAside
from zerosum.data.decode import decode, quiet
from zerosum.data.formats import Check, DataError, Dataset, Format, SizeError, fingerprint
from zerosum.data.resize import MOST, resized

Progress = Callable[[str, int, int], None]
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
TOP = {"uint8": 255.0, "uint16": 65535.0}


@dataclass(frozen=True)
class Wanted:
    """What a set is to become."""

    size: tuple[int, int] | None = None
    channels: int | None = None
    value_range: tuple[float, float] | None = None
    split: str = "train"


class Item(NamedTuple):
    """One image to be: its place in the set, its name, and a file's bytes, an array [H, W, C], or why not."""

    rank: int
    name: str
    content: bytes | np.ndarray[Any, Any] | SetAside
    label: int | None = None


class Record(NamedTuple):
    """One image in the spool."""

    rank: int
    name: str
    label: int | None
    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass
class Tally:
    """What has been found so far."""

    records: list[Record] = field(default_factory=list)
    aside: list[tuple[str, str]] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    low: float = float("inf")
    high: float = float("-inf")


def prepare(
    items: Iterable[Item],
    total: int,
    wanted: Wanted,
    entry: Entry,
    *,
    where: str,
    classes: tuple[str, ...] = (),
    unread: Iterable[tuple[str, str]] = (),
    notes: Iterable[str] = (),
    progress: Progress | None = None,
) -> Dataset:
    """Decode every item, set the broken ones aside, and write the rest to the cache in order of rank.

    Images are spooled to disk as they come, each as found, so that no decoded copy of the set is ever held in
    memory and what is common to the sound ones decides (grey or RGB, 8 or 16 bits). Call it with the entry
    locked. Raises DataError where no usable set comes out.
    """
    tell = progress or (lambda stage, done, total: None)
    tally = Tally(aside=list(unread), notes=list(notes))
    spool = entry.path(".spool")
    try:
        with spool.open("w+b") as stream, contextlib.closing(_worked(items, wanted)) as worked:
            for done, (item, result) in enumerate(worked, 1):
                _record(tally, item, result, stream, wanted, where)
                tell("reading", done, total)
            if not tally.records:
                raise DataError(f"{where}: {nothing(tally.aside)}")
            form = _common(tally, wanted, where)
            tally.records.sort()
            _write(tally, form, stream, entry.path(".npy"), wanted, tell)
    except OSError as error:
        raise DataError(
            f"{entry.folder}: prepared data cannot be kept here ({error}); make room, or set "
            "ZEROSUM_CACHE to another folder"
        ) from error
    finally:
        spool.unlink(missing_ok=True)
    samples = np.load(entry.path(".npy"), mmap_mode="r", allow_pickle=False)
    labels = np.array([record.label for record in tally.records], np.int64) if classes else None
    if labels is not None:
        tally.notes.extend(empty_classes(labels, classes))
    check = checked(len(samples), tally.aside, tally.converted, tally.notes)
    aside = tuple(sorted(set(range(total)) - {record.rank for record in tally.records}))
    mark = fingerprint(samples, form, labels)
    dataset = Dataset(where, form, samples, labels, classes, mark, check, aside)
    entry.store(dataset)
    return dataset


def checked(
    kept: int, aside: Iterable[tuple[str, str]], converted: dict[str, int], notes: Iterable[str]
) -> Check:
    """The account of a reading; names that are no Unicode are escaped."""
    named = tuple(sorted((_printable(name), _printable(reason)) for name, reason in aside))
    return Check(kept + len(named), kept, named, dict(sorted(converted.items())), tuple(notes))


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def nothing(aside: list[tuple[str, str]]) -> str:
    """What to say where no image is left."""
    if not aside:
        return "no images found; give a folder or archive of images, or an .npy or .npz array"
    first = "; ".join(f"{_printable(name)}: {reason}" for name, reason in aside[:3])
    return f"no usable image; {len(aside)} set aside, the first: {first}"


def empty_classes(labels: np.ndarray[Any, Any], classes: tuple[str, ...]) -> list[str]:
    """A note for each class without images."""
    present = set(labels.tolist())
    return [f"class {name}: no usable image" for label, name in enumerate(classes) if label not in present]


def _worked(
    items: Iterable[Item], wanted: Wanted
) -> Generator[tuple[Item, tuple[np.ndarray[Any, Any], list[str]] | SetAside], None, None]:
    """Each item with its image, in order; a few threads decode, and only a few images are held at once."""
    workers = min(4, os.cpu_count() or 1)
    waiting: deque[tuple[Item, Future[tuple[np.ndarray[Any, Any], list[str]] | SetAside]]] = deque()
    with quiet(), ThreadPoolExecutor(workers) as pool:
        for item in items:
            future = pool.submit(_image, item, wanted)
            waiting.append((item._replace(content=b""), future))
            if len(waiting) >= 2 * workers:
                item, future = waiting.popleft()
                yield item, future.result()
        for item, future in waiting:
            yield item, future.result()


def _image(item: Item, wanted: Wanted) -> tuple[np.ndarray[Any, Any], list[str]] | SetAside:
    try:
        if isinstance(item.content, SetAside):
            return item.content
        if isinstance(item.content, bytes):
            image, converted = decode(item.content, wanted.channels)
            changes = list(converted)
        else:
            image, changes = item.content, []
        if image.dtype == np.float32 and not np.isfinite(image).all():
            raise SetAside("holds values that are not finite (NaN or infinity)")
        if wanted.channels is not None:
            image = _channels(image, wanted.channels, changes)
        size = wanted.size or (image.shape[0], image.shape[1])
        if image.shape[0] < size[0] or image.shape[1] < size[1]:
            changes.append("enlarged to the size asked for")
        return resized(image, size), changes
    except SetAside as reason:
        return reason


def _channels(image: np.ndarray[Any, Any], wanted: int, changes: list[str]) -> np.ndarray[Any, Any]:
    """The image with as many channels as were asked for: grey ↔ RGB; nothing else is guessed."""
    found = image.shape[2]
    if found == wanted:
        return image
    if (found, wanted) == (1, 3):
        changes.append("grey to RGB")
        return np.repeat(image, 3, axis=2)
    if (found, wanted) == (3, 1):
        changes.append("RGB to grey")
        grey: np.ndarray[Any, Any] = (image @ LUMA)[..., None]
        return (grey if image.dtype == np.float32 else np.rint(grey)).astype(image.dtype)
    raise SetAside(f"{found} channels, where {wanted} were asked for")


def _record(
    tally: Tally,
    item: Item,
    result: tuple[np.ndarray[Any, Any], list[str]] | SetAside,
    spool: IO[bytes],
    wanted: Wanted,
    where: str,
) -> None:
    if isinstance(result, SetAside):
        tally.aside.append((item.name, str(result)))
        return
    image, changes = result
    if tally.records and image.shape[:2] != tally.records[0].shape[:2]:
        first = tally.records[0]
        raise SizeError(
            f"{where}: images of different sizes ({first.name} {first.shape[0]}x{first.shape[1]}, "
            f"{item.name} {image.shape[0]}x{image.shape[1]}); give one size for all, such as --size 64"
        )
    if max(image.shape[:2]) > MOST:
        raise SizeError(
            f"{where}: {item.name} is {image.shape[0]}x{image.shape[1]}, and the largest side is {MOST}; "
            "give a size, such as --size 64"
        )
    tally.converted.update(changes)
    if image.dtype == np.float32 or wanted.value_range:
        tally.low, tally.high = min(tally.low, float(image.min())), max(tally.high, float(image.max()))
    tally.records.append(
        Record(item.rank, item.name, item.label, spool.tell(), image.shape, image.dtype.name)
    )
    spool.write(np.ascontiguousarray(image).data)


def _common(tally: Tally, wanted: Wanted, where: str) -> Format:
    """The format that all the sound images can be given without loss."""
    kinds = {record.dtype: record.name for record in reversed(tally.records)}
    if "float32" in kinds and len(kinds) > 1:
        named = ", ".join(f"{name} {kind}" for kind, name in kinds.items())
        raise DataError(f"{where}: whole numbers and floats in one set ({named}); save all in one type")
    dtype = max(kinds, key=("uint8", "uint16", "float32").index)
    depths = {record.shape[2]: record.name for record in reversed(tally.records)}
    if len(depths) > 1 and set(depths) != {1, 3}:
        named = ", ".join(f"{name} {depth}" for depth, name in depths.items())
        raise DataError(f"{where}: images of different numbers of channels ({named}); keep one number")
    channels = max(depths)
    tally.converted["grey to RGB"] += sum(record.shape[2] < channels for record in tally.records)
    tally.converted["8 to 16 bits"] += sum(record.dtype != dtype for record in tally.records)
    tally.converted = +tally.converted
    height, width = tally.records[0].shape[:2]
    low, high, notes = value_range(dtype, tally.low, tally.high, wanted, where)
    tally.notes.extend(notes)
    return Format((channels, height, width), dtype, low, high)  # type: ignore[arg-type]


def value_range(
    dtype: str, least: float, most: float, wanted: Wanted, where: str
) -> tuple[float, float, list[str]]:
    """The stored values that map to −1 and 1, and what to say of them.

    >>> value_range("uint8", 3, 9, Wanted(), "a.npy")
    (0.0, 255.0, [])
    """
    if wanted.value_range is not None:
        low, high = wanted.value_range
        if dtype in TOP and not 0 <= low < high <= TOP[dtype]:
            raise DataError(f"{where}: the value range {low:g} to {high:g} lies outside that of {dtype}")
        notes = [f"value range declared: {low:g} maps to -1 and {high:g} to 1"]
        if least < low or most > high:
            notes.append(f"values found in [{least:g}, {most:g}]: clipped to the declared range")
        return float(low), float(high), notes
    if dtype in TOP:
        return 0.0, TOP[dtype], []
    if not least < most:
        raise DataError(f"{where}: every value is {least:g}; nothing can be learnt from it")
    return (
        least,
        most,
        [f"float values found in [{least:g}, {most:g}]: {least:g} maps to -1 and {most:g} to 1"],
    )


def _write(
    tally: Tally, form: Format, spool: IO[bytes], target: Path, wanted: Wanted, tell: Progress
) -> None:
    dtype = np.dtype(form.dtype)
    total = len(tally.records)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (total, *form.stored_shape)}
    with replacing(target) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for done, record in enumerate(tally.records, 1):
            spool.seek(record.offset)
            found = np.dtype(record.dtype)
            image = np.frombuffer(spool.read(int(np.prod(record.shape)) * found.itemsize), found)
            image = image.reshape(record.shape)
            if found != dtype:
                image = image.astype(np.uint16) * np.uint16(257)
            if record.shape[2] != form.shape[0]:
                image = np.repeat(image, form.shape[0], axis=2)
            if wanted.value_range is not None:
                image = np.clip(image, dtype.type(form.low), dtype.type(form.high))
            stream.write(np.ascontiguousarray(image).data)
            tell("writing", done, total)
