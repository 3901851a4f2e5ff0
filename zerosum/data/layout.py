"""What the names of a container's files say: which split they belong to, and which class."""

from collections.abc import Iterable
from typing import NamedTuple

from zerosum.data.formats import DataError

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
ANY_SPLIT = frozenset(name for names in SPLITS.values() for name in names)


class Layout(NamedTuple):
    """The names to read in order, each with its class, if there are classes."""

    names: tuple[str, ...]
    labels: tuple[int, ...] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def layout(names: Iterable[str], split: str, where: str) -> Layout:
    """Which files to read, from their names.

    A folder that holds everything is skipped; of folders that are all splits (train, val, test) the one asked
    for is taken; then, where no file lies at the top and there are two folders or more, these are classes.
    Raises DataError where a split is asked for that is not there.

    >>> layout(["set/cat/1.png", "set/dog/1.png"], "train", "set.zip").classes
    ('cat', 'dog')
    """
    left = sorted((_parts(name), name) for name in names)
    depth, notes, chosen = 0, [], False
    classes: tuple[str, ...] = ()
    labels: tuple[int, ...] | None = None
    while left:
        if any(len(parts) == depth + 1 for parts, _ in left):
            break
        tops = sorted({parts[depth] for parts, _ in left})
        if not chosen and all(top.lower() in ANY_SPLIT for top in tops):
            mine = [top for top in tops if top.lower() in SPLITS[split]]
            if not mine:
                raise DataError(f"{where}: has no {split} split, only {', '.join(tops)}")
            kept = [(parts, name) for parts, name in left if parts[depth] in mine]
            others = [top for top in tops if top not in mine]
            if others:
                more = f"{len(left) - len(kept)} files of {', '.join(others)} not used"
                notes.append(f"split {split}: {', '.join(mine)}/ taken, {more}")
            left, chosen = kept, True
        elif len(tops) > 1:
            classes = tuple(tops)
            labels = tuple(classes.index(parts[depth]) for parts, _ in left)
            notes.append(f"{len(classes)} subfolders taken as classes")
            break
        depth += 1
    if split != "train" and left and not chosen:
        raise DataError(f"{where}: has no {split} split (no folder of that name); it can only be read whole")
    return Layout(tuple(name for _, name in left), labels, classes, tuple(notes))


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split("/") if part not in ("", "."))
