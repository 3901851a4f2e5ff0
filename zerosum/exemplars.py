"""Concepts for latent arithmetic: the samples that stand for one, by number, from a file, or by class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zerosum.data import Dataset
from zerosum.draws import Draws
from zerosum.metrics.extractors import Extractor
from zerosum.metrics.originality import nearest
from zerosum.metrics.sides import features_of, of_dataset
from zerosum.names import unknown
from zerosum.trained import Label, Trained, generate

__all__ = ["Concept", "nearest_training", "numbers_in", "pick"]

CONFIDENT = 0.9
AMONG = 4096  # samples that exemplars of a class are looked for
_AT_ONCE = 256


@dataclass(frozen=True)
class Concept:
    """Exemplars of one concept: sample `numbers` of a seed, and the class that they are told, if any."""

    name: str
    numbers: tuple[int, ...]
    label: int | None = None


def numbers_in(text: str, flag: str) -> tuple[int, ...]:
    """Sample numbers: with commas between, or one a line in a file, where # begins a comment.

    >>> numbers_in("3, 8,21", "--plus")
    (3, 8, 21)

    Raises ValueError, naming flag and line, for what is no number from 0, for a number said twice, for none.
    """
    if re.fullmatch(r"[\s\d,-]+", text):
        parts, where = [(part.strip(), "") for part in text.split(",")], f"{flag} {text}"
    else:
        path = Path(text).expanduser()
        if not path.is_file():
            raise ValueError(
                f"{flag} {text}: no such file; give sample numbers with commas (3,8,21), a file of one a "
                "line, or class:NAME"
            )
        lines = path.read_text(encoding="utf-8").splitlines()
        parts = [(line.partition("#")[0].strip(), f", line {n}") for n, line in enumerate(lines, 1)]
        parts, where = [part for part in parts if part[0]], f"{flag} {path}"
    found: list[int] = []
    for part, line in parts:
        if not part.isdecimal():
            raise ValueError(f"{where}{line}: {part!r} is no sample number, which are 0, 1, 2, …")
        if int(part) in found:
            raise ValueError(f"{where}{line}: sample {part} is there already")
        found.append(int(part))
    if not found:
        raise ValueError(f"{where}: names no sample; write one sample number a line")
    return tuple(found)


def pick(
    trained: Trained,
    text: str,
    flag: str,
    *,
    count: int = 3,
    seed: int = 0,
    label: Label | Sequence[Label] | None = None,
    judge: Extractor | None = None,
) -> Concept:
    """The concept that a text names: `class:NAME`, or what `numbers_in` reads.

    Of a class the first `count` samples are taken that `judge` reads as it with a confidence of at least .9,
    among the first 4,096 of the seed; without a judge, those that a conditional generator was told are of it.

    Raises ValueError, naming the flag, for unknown classes, where too few are found or none can be told, and
    where the exemplars are of several classes.
    """
    kind, colon, name = text.partition(":")
    if kind != "class" or not colon:
        numbers = numbers_in(text, flag)
    elif judge is not None:
        numbers = _read(trained, name, flag, count, seed, label, judge)
    else:
        if not trained.classes:
            raise ValueError(
                f"{flag} {text}: trained without labels, so a classifier must tell classes: "
                "give --extractor lenet, or the samples' numbers"
            )
        if label is not None:
            raise ValueError(f"{flag} {text}: --label makes all samples of one class: leave one of them out")
        (first,) = trained.numbers(name)
        numbers = tuple(first + len(trained.classes) * i for i in range(count))
    told = trained.labels(numbers, label)
    if told is None:
        return Concept(text, numbers)
    if len(told.unique()) > 1:
        classes = ", ".join(f"{n} is of {trained.classes[c]}" for n, c in zip(numbers, told, strict=True))
        raise ValueError(f"{flag} {text}: exemplars of several classes ({classes}): choose one with --label")
    return Concept(text, numbers, int(told[0]))


def _read(
    trained: Trained,
    name: str,
    flag: str,
    count: int,
    seed: int,
    label: Label | Sequence[Label] | None,
    judge: Extractor,
) -> tuple[int, ...]:
    found: list[int] = []
    for start in range(0, AMONG, _AT_ONCE):
        numbers = range(start, start + _AT_ONCE)
        draws = Draws(seed, start=start, stop=start + _AT_ONCE)
        images = generate(trained.generator, trained.latent, draws, trained.labels(numbers, label))
        shares = judge.logits(images).softmax(1)
        wanted = _class_of(name, flag, trained.record.data.classes, shares.shape[1])
        found += (start + torch.nonzero(shares[:, wanted] >= CONFIDENT).flatten()).tolist()
        if len(found) >= count:
            return tuple(found[:count])
    raise ValueError(
        f"{flag} class:{name}: {judge.name} reads {len(found)} of the first {AMONG:,} samples of seed {seed} "
        f"as it, and {count} are wanted: choose another --seed, or fewer --exemplars"
    )


def _class_of(name: str, flag: str, classes: Sequence[str], count: int) -> int:
    """A classifier's output by the data's name for it, where they have as many, or by its number."""
    names = tuple(classes) if len(classes) == count else tuple(map(str, range(count)))
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < count:
        return int(name)
    raise unknown(f"{flag} class", name, names)


def nearest_training(
    images: Tensor, data: Dataset, judge: Extractor | None = None, *, mirror: bool = False
) -> Tensor:
    """The number of the training image nearest to each of the images [n, C, H, W]: [n].

    By a judge's features; without one by pixels, however moved by two pixels, and mirrored if asked.
    """
    real = of_dataset(data)
    if judge is None:
        return nearest(images, real.all(), mirror=mirror).indices[:, 0]
    return torch.cdist(judge.features(images), features_of(real, judge)).argmin(1)
