"""What an experiment of the lab is, and how its figure, numbers and paragraph are written to files."""

import io
import json
import math
import os
import platform
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zerosum.draws import mix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Experiment", "Result", "Settings", "perform", "write"]

SOFTWARE = ("zerosum", "torch", "numpy", "scipy", "matplotlib")


def _nothing(share: float) -> None:
    pass


@dataclass(frozen=True)
class Settings:
    """How an experiment is run: `quick` for a look in seconds, `seed` for all that is drawn.

    `advance` is called with the share done, 0 to 1, by an experiment that takes its time.
    """

    quick: bool = False
    seed: int = 0
    advance: Callable[[float], None] = _nothing

    def generator(self, *purpose: int | str) -> torch.Generator:
        """A random generator of its own for each purpose.

        >>> a, b = (torch.rand(1, generator=Settings(seed=1).generator("data")) for _ in range(2))
        >>> bool(a == b)
        True
        """
        return torch.Generator().manual_seed(mix(self.seed, *purpose))


@dataclass(frozen=True)
class Result:
    """What an experiment found.

    `numbers`: finite numbers, text, None, and lists or mappings of them (what JSON holds). The same seed
    gives the same ones, but for times, whose keys hold the word "second" or "seconds".
    `draw`: fills an empty figure, by its own methods only, never by pyplot.
    `says`: a paragraph of plain text with the figures filled in: what one sees, and why.
    """

    numbers: Mapping[str, Any]
    draw: Callable[["Figure"], None]
    says: str


@dataclass(frozen=True)
class Experiment:
    """A theorem or figure of the lectures, computed.

    `name` in kebab-case, as on the command line and of its files; `number` of its place in the gallery;
    `lectures`: where it is, as "lecture 1, line 109"; `slip`: where the slide is wrong, "" if nowhere;
    `figsize`: width and height in inches.
    """

    name: str
    number: int
    title: str
    lectures: tuple[str, ...]
    slip: str
    run: Callable[[Settings], Result]
    figsize: tuple[float, float] = (8.0, 4.2)


def perform(experiment: Experiment, settings: Settings, folder: Path) -> Result:
    """Run an experiment and write its files into `folder`, which is made where it is missing."""
    began = time.perf_counter()
    result = experiment.run(settings)
    write(experiment, result, folder, settings, time.perf_counter() - began)
    return result


def write(
    experiment: Experiment,
    result: Result,
    folder: Path,
    settings: Settings | None = None,
    seconds: float | None = None,
) -> None:
    """Write NAME.svg, NAME.png, NAME.txt (the paragraph) and NAME.json (all but the figure).

    Each file is written beside its place and moved there whole. The figures hold no date, so the same
    numbers give the same files. Raises ValueError for numbers that are not finite, naming the first.
    """
    settings = settings or Settings()
    bad = _not_finite(result.numbers)
    if bad:
        raise ValueError(f"experiment {experiment.name}: the number {bad} is not finite")
    record = {
        "name": experiment.name,
        "number": experiment.number,
        "title": experiment.title,
        "lectures": experiment.lectures,
        "slip": experiment.slip,
        "says": result.says,
        "seed": settings.seed,
        "quick": settings.quick,
        "seconds": seconds if seconds is None else round(seconds, 2),
        "software": {"python": platform.python_version(), **{name: version(name) for name in SOFTWARE}},
        "numbers": result.numbers,
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    lines = [experiment.title, "; ".join(experiment.lectures), "", result.says]
    lines += ["", f"On the slide: {experiment.slip}"] if experiment.slip else []
    folder.mkdir(parents=True, exist_ok=True)
    for kind, content in render(experiment, result).items():
        replace_file(folder / f"{experiment.name}.{kind}", content)
    replace_file(folder / f"{experiment.name}.txt", ("\n".join(lines) + "\n").encode())
    replace_file(folder / f"{experiment.name}.json", text.encode())


def render(experiment: Experiment, result: Result) -> dict[str, bytes]:
    """The figure as SVG and PNG."""
    import matplotlib
    from matplotlib.figure import Figure

    from zerosum.lab.style import STYLE

    drawn = {}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=experiment.figsize, layout="constrained")
        result.draw(figure)
        for kind, nothing in (("svg", ("Date", "Creator", "Format", "Type")), ("png", ("Software",))):
            out = io.BytesIO()
            figure.savefig(out, format=kind, metadata=dict.fromkeys(nothing))
            drawn[kind] = out.getvalue()
    return drawn


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in its place whole: a reader meets the old one or the new one, never half of one."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _not_finite(value: Any, where: str = "") -> str | None:
    """The path to the first number that is not finite, or None.

    >>> _not_finite({"a": [1.0, {"b": float("nan")}]})
    'a.1.b'
    """
    if isinstance(value, float):
        return None if math.isfinite(value) else where
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    else:
        items = (
            [(str(key), item) for key, item in enumerate(value)] if isinstance(value, list | tuple) else []
        )
    found = (_not_finite(item, f"{where}.{key}" if where else key) for key, item in items)
    return next(filter(None, found), None)
