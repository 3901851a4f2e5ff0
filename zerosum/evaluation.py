"""Evaluating a run, or any two sets of images: sides found, measures taken, a card beside every number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zerosum
from zerosum.data import Dataset
from zerosum.data.formats import DataError
from zerosum.draws import Draws
from zerosum.metrics.comparison import Comparison, Value
from zerosum.metrics.extractors import Extractor
from zerosum.metrics.measures import MEASURES, OF_POINTS, WHOLE
from zerosum.metrics.pairs import PAIRS
from zerosum.metrics.panel import draw, neighbours
from zerosum.metrics.sides import Maker, Progress, Side
from zerosum.names import look_up
from zerosum.rundir import DataOptions
from zerosum.trained import Trained, decode, generate, in_turn

__all__ = ["Opener", "card_line", "default_judge", "evaluate", "for_people", "held_out", "of_run", "reals_of"]

Opener = Callable[[DataOptions], Dataset]


def of_run(trained: Trained, count: int, seed: int = 0) -> Side:
    """A trained generator's side: `count` samples of this seed, of all classes in turn if it has any."""
    labels = in_turn(count, trained.numbers()) if trained.classes else None

    def images(start: int, stop: int) -> Tensor:
        told = None if labels is None else labels[start:stop]
        return generate(trained.generator, trained.latent, Draws(seed, start=start, stop=stop), told)

    card: dict[str, str | int] = {
        "run": str(trained.path),
        "recipe": trained.record.recipe,
        "trained on": trained.images,
        "weights": trained.weights,
        "seed": seed,
    }
    maker = Maker(trained.latent, partial(decode, trained.generator))
    return Side(trained.path.name, count, images, card, None, labels, trained.classes, maker)


def reals_of(trained: Trained, opener: Opener) -> Dataset:
    """The data that a run was trained on, opened again as it was asked for then."""
    return opener(trained.record.data.options)


def held_out(trained: Trained, opener: Opener) -> Dataset | None:
    """The split that a run's data keep for tests, or None where there is none."""
    options = trained.record.data.options
    for split in ("test", "val"):
        if split == options.split:
            continue
        try:
            found = opener(replace(options, split=split))
        except DataError:
            continue
        return replace(found, name=f"{found.name}:{split}")
    return None


def default_judge(points: bool) -> str:
    """The extractor of measures where none is named."""
    return "coordinates" if points else "vgg16"


def _fit(real: Side, fake: Side, measures: Sequence[str]) -> None:
    """Raise ValueError where the measures cannot be taken of such sides."""
    shapes = [tuple(side.images(0, 1).shape[1:]) for side in (real, fake)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{real.name} has images of {shapes[0]}, {fake.name} of {shapes[1]} (channels, height, width): "
            "bring them to one shape with --size and --channels"
        )
    refused = [name for name in measures if name not in OF_POINTS] if real.points else []
    if refused:
        raise ValueError(
            f"{fake.name} is of points, and {', '.join(refused)} judge images: of points there are "
            f"{', '.join(sorted(OF_POINTS))}"
        )
    for side in (real, fake):
        if side.count < 2 and not PAIRS.issuperset(measures):
            raise ValueError(
                f"{side.name}: measures of two laws need at least 2 samples, not 1, and better 10,000"
            )


def evaluate(
    real: Side,
    fake: Side,
    measures: Sequence[str],
    judge: str | Extractor | None = None,
    *,
    seed: int = 0,
    train: Side | None = None,
    held: Side | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    border: int = 0,
    panel: Path | None = None,
) -> dict[str, Any]:
    """Take measures of fakes beside reals; returns what `zerosum evaluate --json` prints.

    `judge` is an extractor, by default VGG16, for points their coordinates. `train` and `held` are for the
    measures of FROM_TRAIN: all training images, and ones that the generator never saw. `border` is for PSNR
    and SSIM of pairs. `panel` is where to put a picture of samples beside their nearest training images.

    {name: value, …, "intervals": {name: [low, high]}, "warnings": […], "card": {…}}. The card tells the
    counts of both sides, where they come from, the extractor with its weights' hash, resizing and
    rounding, the seed, and the versions. Raises ValueError for unknown measures, for sides of different
    shape, and where a measure cannot be taken.
    """
    taken = [look_up(MEASURES, name, "measure") for name in measures]
    if not taken:
        raise ValueError(f"--measures: name at least one of {', '.join(MEASURES)}")
    _fit(real, fake, measures)
    judge = judge or default_judge(fake.points)
    whole = not WHOLE.isdisjoint(measures)
    sides = Comparison(real, fake, judge, seed, train, held, cache, progress, whole, border)
    values: dict[str, Value] = {}
    for measure in taken:
        values.update(measure(sides))
    if panel is not None:
        by = sides.extractor.name
        caption = f"{fake.name}: samples, and their nearest training images by {by}: distance (number)"
        draw(neighbours(sides), panel, caption)
    card = {
        "real": {"count": real.count, **real.card},
        "fake": {"count": fake.count, **fake.card},
        **({"held out": {"count": held.count, **held.card}} if held else {}),
        **(sides.extractor.card() if sides.judged else {}),
        **({"taken": sides.said} if sides.said else {}),
        "dtype": "float32, statistics float64",
        "seed": seed,
        "intervals": "95 %",
        "zerosum": zerosum.__version__,
        "torch": torch.__version__,
    }
    return {
        **{name: value.value for name, value in values.items()},
        "intervals": {n: [v.low, v.high] for n, v in values.items() if v.low is not None},
        "warnings": _warnings(sides, measures),
        "card": card,
    }


def _warnings(sides: Comparison, measures: Sequence[str]) -> list[str]:
    least = min(sides.real.count, sides.fake.count)
    found = [*sides.warned]
    if {"fd", "fd-infinity"} & set(measures):
        size = len(sides.real_moments.mean)
        if least < 2 * size:
            found.append(
                f"{least:,} images for {size} features: the Fréchet distance is mostly bias; give at least "
                f"{2 * size:,} of each, better {max(10 * size, 10_000):,}"
            )
        elif least < 2048:
            found.append(
                f"{least:,} images: Fréchet distances of fewer than 2,048 do not compare with others'"
            )
    if sides.real.count != sides.fake.count and "prdc" in measures:
        found.append(
            f"{sides.real.count:,} real and {sides.fake.count:,} fake images: precision and recall lean to "
            "the side with more; give as many of each"
        )
    if sides.judged and sides.extractor.name in ("pixels", "random"):
        found.append(f"{sides.extractor.name} is no trained net: it compares pixels, not what is seen")
    return found


def for_people(found: Mapping[str, Any]) -> str:
    """The values a line each, the card in one line, how what needs telling was taken, what to beware of.

    >>> print(for_people({"fd": 12.5, "intervals": {"fd": [12.0, 13.0]}, "warnings": [], "card": {
    ...     "real": {"count": 9}, "fake": {"count": 8}, "extractor": "lenet", "side": 32, "weights": "ab"}}))
    fd                              12.5  (12 to 13)
    9 real, 8 fake; lenet on 32x32, weights ab
    """
    lines = []
    for name, value in found.items():
        if name in ("intervals", "warnings", "card"):
            continue
        low, high = found["intervals"].get(name, (None, None))
        interval = "" if low is None else f"  ({low:.4g} to {high:.4g})"
        lines.append(f"{name:<28}{value:>8.4g}{interval}")
    lines.append(card_line(found["card"]))
    lines += [f"{name}: {how}" for name, how in found["card"].get("taken", {}).items()]
    return "\n".join([*lines, *(f"beware: {warning}" for warning in found["warnings"])])


def card_line(card: Mapping[str, Any]) -> str:
    """A card in one line: how many of each, and what judged them.

    >>> card_line({"real": {"count": 2000}, "fake": {"count": 9}, "extractor": "lenet", "side": 32,
    ...     "weights": "none"})
    '2,000 real, 9 fake; lenet on 32x32, weights none'
    """
    counts = f"{card['real']['count']:,} real, {card['fake']['count']:,} fake"
    if "extractor" not in card:
        return counts
    side = f" on {card['side']}x{card['side']}" if "side" in card else ""
    return f"{counts}; {card['extractor']}{side}, weights {str(card['weights'])[:12]}"
