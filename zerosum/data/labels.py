"""Labels: checked against the samples they name, and read from a file of their own."""

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data.arrays import map_npy, read_npz
from zerosum.data.formats import DataError, Dataset, fingerprint
from zerosum.data.prepare import empty_classes

Array = np.ndarray[Any, Any]

TEXT_LIMIT = 256 << 20  # bytes of a file of class names
HEADINGS = ("label", "labels", "class", "classes")


def numbered(
    labels: Array, count: int, where: str, classes: tuple[str, ...] = ()
) -> tuple[Array, tuple[str, ...]]:
    """Labels as int64 [count] with a name for each class: as given, or their numbers.

    >>> numbered(np.array([0, 2, 0]), 3, "labels.npy")[1]
    ('0', '1', '2')

    Raises DataError unless there is one whole number from 0 a sample.
    """
    flat = labels.ravel() if labels.shape == (count, 1) else labels
    if flat.shape != (count,) or flat.dtype.kind not in "iu" or (count and int(flat.min()) < 0):
        raise DataError(
            f"{where}: labels {labels.dtype} {labels.shape} for {count} samples; expected one whole "
            "number from 0 a sample"
        )
    flat = flat.astype(np.int64)
    top = int(flat.max(initial=-1)) + 1
    if top > max(count, 1000):
        raise DataError(f"{where}: a label of {top - 1} for {count} samples; number the classes from 0")
    return flat, classes if len(classes) >= top else tuple(str(index) for index in range(top))


def labelled(dataset: Dataset, path: str | Path, split: str = "train") -> Dataset:
    """The set with labels from a file, in place of its own.

    The file holds one class for each sample that was read, also for those set aside, in the data's
    order: of an array as they lie, of a folder or archive by the parts of their names, sorted. .npy;
    .npz with one array, or one named `labels`, `y`, `<split>_labels` or `y_<split>`, and perhaps
    `class_names`; .txt or .csv with one class a line, under a heading `label` or `class` or none. There
    all are numbers from 0, or all are names, which are numbered as sorted.

    Raises DataError, naming the file, where it does not hold that.
    """
    path = Path(path).expanduser()
    found, names = _read(path, split)
    count = len(dataset) + len(dataset.aside)
    if found.shape[:1] != (count,):
        first = f"the classes of {len(dataset.aside)} set aside among them, " if dataset.aside else ""
        raise DataError(
            f"{path}: {len(found) if found.ndim else 1} labels for {count} samples; give one class a sample, "
            f"{first}in the order of the array, or of the sorted names of a folder's files"
        )
    if found.dtype.kind == "U":
        words, found = np.unique(found, return_inverse=True)
        names = tuple(map(str, words))
    labels, classes = numbered(found, count, str(path), names)
    labels = np.delete(labels, dataset.aside)
    own = empty_classes(np.arange(0), dataset.classes)  # what the set's own labels had to say
    notes = [note for note in dataset.check.notes if note not in own]
    instead = " in place of the data's own" if dataset.labels is not None else ""
    notes += [f"{len(classes)} classes of {path.name} taken as labels{instead}"]
    notes += empty_classes(labels, classes)
    return replace(
        dataset,
        labels=labels,
        classes=classes,
        fingerprint=fingerprint(dataset.samples, dataset.format, labels),
        check=replace(dataset.check, notes=tuple(notes)),
    )


def _read(path: Path, split: str) -> tuple[Array, tuple[str, ...]]:
    """Labels as found, numbers or words, and the names of classes if the file tells them."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; --labels takes own, or a .npy, .npz, .csv or .txt file")
    kind = path.suffix.lower()
    if kind == ".npy":
        return np.asarray(map_npy(path)), ()
    if kind == ".npz":
        return _from_npz(path, split)
    if kind in (".csv", ".txt"):
        return _from_text(path), ()
    raise DataError(
        f"{path}: labels are read from .npy, .npz, .csv and .txt files; save them as one of these"
    )


def _from_npz(path: Path, split: str) -> tuple[Array, tuple[str, ...]]:
    arrays = read_npz(path)
    names = arrays.pop("class_names", None)
    of_split = [key for key in (f"y_{split}", f"{split}_labels", f"labels_{split}") if key in arrays]
    keys = of_split or [key for key in ("labels", "y", "label") if key in arrays] or list(arrays)
    if len(keys) != 1:
        raise DataError(
            f"{path}: which array holds the labels? It has {', '.join(arrays) or 'none'}; name it labels"
        )
    return arrays[keys[0]](), tuple(map(str, names().ravel())) if names else ()


def _from_text(path: Path) -> Array:
    if path.stat().st_size > TEXT_LIMIT:
        raise DataError(f"{path}: over {TEXT_LIMIT >> 20} MiB; save the labels as a .npy array of numbers")
    try:
        lines = path.read_text("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no UTF-8 text ({error}); save it as such") from error
    table = path.suffix.lower() == ".csv"
    try:
        rows = list(csv.reader(lines)) if table else [[line] for line in lines]
    except csv.Error as error:
        raise DataError(f"{path}: not a sound .csv file ({error}); save it again") from error
    words = []
    for number, row in enumerate(rows, 1):
        if len(row) != 1 or not row[0].strip():
            raise DataError(
                f"{path}, line {number}: {', '.join(row) or 'nothing'!r} where one class is expected; keep "
                "the column of classes alone, a line for each sample"
            )
        words.append(row[0].strip())
    if table and words and words[0].lower() in HEADINGS:
        del words[0]
    if all(map(_is_whole, words)):
        return np.array(words, np.int64)
    odd = sorted((word for word in words if _is_number(word)), key=_is_whole)
    if odd:
        raise DataError(
            f"{path}: {odd[0]!r} is neither the whole number of a class nor the name of one among names"
        )
    return np.array(words)


def _is_whole(word: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,18}", word) is not None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
