"""Opening a data set: a folder, an archive, an array, a named set or a toy distribution."""

import difflib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data import arrays
from zerosum.data.adopt import adopt, points
from zerosum.data.cache import Entry, cache_folder
from zerosum.data.containers import MAGIC, PICKLE_REASON, PICKLES, Folder, Listing, SetAside, Tar, Zip, is_tar
from zerosum.data.decode import decode, quiet
from zerosum.data.formats import MOST_CHANNELS, Check, DataError, Dataset, Format
from zerosum.data.labels import labelled
from zerosum.data.layout import SPLITS, Layout, layout
from zerosum.data.named import NAMED, find
from zerosum.data.prepare import Item, Progress, Wanted, nothing, prepare
from zerosum.data.resize import LEAST, MOST
from zerosum.data.toys import TOYS

__all__ = ["Check", "DataError", "Dataset", "Format", "names_of", "open_data", "pictures_of"]

TOY_COUNT = 100_000


def open_data(
    where: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
    split: str = "train",
    labels: str | Path | None = None,
    cache: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Dataset:
    """Open a data set: every sample is read once, and what is broken is named, before it returns.

    `where` is a folder, zip, tar (.gz, .xz, .bz2), .npy, .npz or IDX file, or, where no such path exists, a
    named set (mnist, fashion-mnist, cifar10, celeba, digits, stacked-mnist) or a toy distribution (ring,
    grid, swiss-roll, moons). `size` is a side or (height, width), 8 to 512: images are cropped centrally to
    its shape, then resized once with antialiasing. `channels` 1 or 3 turns RGB to grey or back; 2 or 4 keeps
    transparency, which otherwise is laid over white. `value_range` gives the stored values that map to −1
    and 1: by default all of 8 or 16 bits, and the range found for floats. `split`: train, val or test.
    `labels`: a file of one class a sample (`zerosum.data.labels.labelled` says in which order) in place of
    the data's own, or "own", which must then be there. Prepared images are kept in `cache` (by default
    $ZEROSUM_CACHE, or the user's cache directory). `progress(stage, done, total)` is told how far it is.

    Raises DataError, which names the file and the remedy, where no usable set comes out.

    >>> ring = open_data("ring")
    >>> len(ring), ring.format.shape, len(ring.classes)
    (100000, (2,), 0)
    """
    wanted = Wanted(_size(size), _channels(channels), _range(value_range), split)
    if split not in SPLITS:
        raise DataError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    dataset = _open(where, wanted, cache_folder(cache), progress)
    if labels is not None and labels != "own":
        return labelled(dataset, labels, split)
    if labels and dataset.labels is None:
        raise DataError(
            f"{where}: --labels own, and the data have none: sort the images into class subfolders, or give "
            "--labels a file of one class a sample"
        )
    return dataset


def _open(where: str | Path, wanted: Wanted, folder: Path, progress: Progress | None) -> Dataset:
    name, split = str(where), wanted.split
    path = Path(where).expanduser()
    if path.exists() or path.is_symlink():
        both = name in TOYS or name in NAMED
        note = f"{path} exists and was taken, not the set named {name}" if both else ""
        return _told(_open_path(path, wanted, folder, progress), path.name.split(".")[0] or name, note)
    if name in TOYS:
        if wanted != Wanted(split=split):
            raise DataError(f"{name}: points have no size, channels or value range; leave these settings out")
        return points(name, TOYS[name](TOY_COUNT, list(SPLITS).index(split)))
    if name in NAMED:
        if (made := NAMED[name].made) is not None:
            whole = _open(NAMED[name].of, Wanted(split=split), folder, progress)
            if whole.labels is None:
                raise DataError(
                    f"{name}: is made of {NAMED[name].of} with its labels, and those are not there"
                )
            load = partial(made, whole.samples, whole.labels, split)
            return adopt(
                load, wanted, Entry.of(folder, name, wanted, whole.fingerprint), name, progress=progress
            )
        found = find(NAMED[name], split, folder, progress)
        if isinstance(found, arrays.Found):
            return adopt(lambda: found, wanted, Entry.of(folder, name, wanted), name, progress=progress)
        dataset = _open_path(found, wanted, folder, progress)
        return _told(dataset, name, f"found at {found}", NAMED[name].classes)
    near = difflib.get_close_matches(name, [*NAMED, *TOYS], 1)
    hint = f"did you mean {near[0]}?" if near else f"the named sets are {', '.join([*NAMED, *TOYS])}"
    raise DataError(f"{where}: no such file or folder, and no set of that name; {hint}")


def _told(dataset: Dataset, name: str, note: str = "", classes: tuple[str, ...] = ()) -> Dataset:
    """The set under the name it was asked for by, with where it was found."""
    notes = (note, *dataset.check.notes) if note else dataset.check.notes
    own = classes if dataset.labels is not None and len(classes) >= len(dataset.classes) else dataset.classes
    return replace(dataset, name=name, classes=own, check=replace(dataset.check, notes=notes))


def _size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    pair = (size, size) if isinstance(size, int) else size
    if pair is not None and not (len(pair) == 2 and all(LEAST <= side <= MOST for side in pair)):
        raise DataError(f"size {size}: a side, or (height, width), from {LEAST} to {MOST}")
    return pair


def _channels(channels: int | None) -> int | None:
    if channels is not None and not 1 <= channels <= MOST_CHANNELS:
        raise DataError(f"channels {channels}: from 1 to {MOST_CHANNELS}")
    return channels


def _range(value_range: tuple[float, float] | None) -> tuple[float, float] | None:
    if value_range is not None:
        low, high = value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise DataError(f"value range {value_range}: two numbers, the lower one first")
    return value_range


def _open_path(path: Path, wanted: Wanted, folder: Path, progress: Progress | None) -> Dataset:
    """Tell by content what a path holds, and open it."""
    try:
        path = path.resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: a link that leads to itself; give the folder or file itself") from error
    if path.is_dir():
        idx = _idx_inside(path, wanted.split)
        if idx is None:
            return _open_container(Folder(path), path, wanted, folder, progress)
        path = idx
    head = _head(path)
    if path.suffix.lower() in PICKLES or (head[0] == 0x80 and head[1:2] in (b"\2", b"\3", b"\4", b"\5")):
        raise DataError(f"{path}: {PICKLE_REASON}")
    mapped = head.startswith(b"\x93NUMPY")
    beside = None
    if mapped:
        _whole_only(path, wanted)
        load = partial(_mapped, path)
    elif head.startswith(b"PK"):
        if path.suffix.lower() != ".npz":
            return _open_container(Zip(path), path, wanted, folder, progress)
        load = partial(arrays.from_npz, path, wanted.split)
    elif arrays.is_idx(path):
        if not path.name.startswith(("t10k", wanted.split)):
            _whole_only(path, wanted)
        beside = arrays.labels_beside(path)
        load = partial(arrays.from_idx, path)
    elif is_tar(path):
        return _open_container(Tar(path), path, wanted, folder, progress)
    elif head.startswith(MAGIC):
        raise DataError(f"{path}: one image; give the folder that holds the images")
    else:
        raise DataError(
            f"{path}: of no kind that is read here; give a folder, zip, tar, .npy, .npz or IDX file"
        )
    entry = Entry.of(folder, wanted, *map(_stamp, [path, beside] if beside else [path]))
    return adopt(load, wanted, entry, str(path), mapped=mapped, progress=progress)


def _head(path: Path) -> bytes:
    """A file's first bytes; raises DataError where there are none."""
    if not path.is_file():
        raise DataError(f"{path}: neither a file nor a folder; give a folder, an archive or an array")
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not head:
        raise DataError(f"{path}: empty file (0 bytes); fetch or make it again")
    return head


def _mapped(path: Path) -> arrays.Found:
    return arrays.Found(arrays.map_npy(path))


def _whole_only(path: Path, wanted: Wanted) -> None:
    if wanted.split != "train":
        raise DataError(f"{path}: has no {wanted.split} split; it can only be read whole")


def _stamp(path: Path) -> tuple[str, int, int]:
    """What tells a file from what it was before: path, size and time of change."""
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def _idx_inside(folder: Path, split: str) -> Path | None:
    """The IDX images of a split in a folder, where it holds MNIST's files."""
    prefixes = {"train": ("train",), "test": ("t10k", "test")}.get(split, ())
    names = [f"{prefix}-images-idx3-ubyte{end}" for prefix in prefixes for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def names_of(where: str | Path, split: str = "train") -> tuple[str, ...] | None:
    """The files in a folder or archive, in the order of `open_data`, with those that it sets aside.

    None for arrays and named sets, whose samples have no names.
    """
    found = _listed(where, split)
    return None if found is None else found[1].names


def pictures_of(where: str | Path, split: str = "train") -> dict[str, np.ndarray[Any, Any]]:
    """The images in a folder or archive by name, each [H, W, C] at its own size, uint8 or uint16.

    All are held in memory. Raises DataError where there are none, and for one that cannot be used.
    """
    found = _listed(where, split)
    if found is None:
        raise DataError(f"{where}: its images have no names; give a folder or archive of them")
    pictures = {}
    with quiet():
        for name, content in found[0].read(found[1].names):
            try:
                if isinstance(content, SetAside):
                    raise content
                image = decode(content).image
                if image.dtype == np.float32:
                    raise SetAside("floats, of which one image tells no range: save it in 8 or 16 bits")
            except SetAside as reason:
                raise DataError(f"{where}: {name}: {reason}") from None
            pictures[name] = image
    return {name: pictures[name] for name in found[1].names}


def _listed(where: str | Path, split: str) -> tuple[Folder | Zip | Tar, Layout] | None:
    path = Path(where).expanduser()
    container: Folder | Zip | Tar | None = None
    if path.is_dir():
        container = None if _idx_inside(path, split) else Folder(path)
    elif path.is_file():
        if _head(path).startswith(b"PK"):
            container = None if path.suffix.lower() == ".npz" else Zip(path)
        elif not arrays.is_idx(path) and is_tar(path):
            container = Tar(path)
    return None if container is None else (container, layout(container.scan().names, split, str(where)))


def _open_container(
    container: Folder | Zip | Tar, path: Path, wanted: Wanted, folder: Path, progress: Progress | None
) -> Dataset:
    """The images in a folder or archive, prepared or out of the cache."""
    where = str(path)
    if isinstance(container, Folder):
        listing = container.scan()
        entry = Entry.of(folder, wanted, where, listing.names, listing.aside, listing.others)
        known = entry.load(where)
    else:  # an archive's size and time stand for its listing, which may cost a pass through it
        entry = Entry.of(folder, wanted, _stamp(path))
        known = entry.load(where)
        listing = container.scan() if known is None else Listing()
    if known is not None:
        return known
    if any(name.endswith(("data_batch_1.bin", "test_batch.bin")) for name in listing.binaries):
        load = partial(arrays.from_cifar, path, listing.binaries, wanted.split)
        return adopt(load, wanted, entry, where, progress=progress)
    if not listing.names:
        raise DataError(f"{where}: {nothing(listing.aside)}")
    order = layout(listing.names, wanted.split, where)
    notes = list(order.notes)
    if listing.others:
        notes.append(f"{listing.others} files that are no images passed over")
    items = _items(container, order)
    with entry.locked():
        return entry.load(where) or prepare(
            items,
            len(order.names),
            wanted,
            entry,
            where=where,
            classes=order.classes,
            unread=listing.aside,
            notes=notes,
            progress=progress,
        )


def _items(container: Folder | Zip | Tar, order: Layout) -> Iterator[Item]:
    rank = {name: place for place, name in enumerate(order.names)}
    for name, content in container.read(order.names):
        place = rank[name]
        yield Item(place, name, content, order.labels[place] if order.labels else None)
