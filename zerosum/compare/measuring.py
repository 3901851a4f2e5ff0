"""A comparison's cells by the measures of `zerosum evaluate`, asked for then or later."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from zerosum.compare.cells import Place
from zerosum.compare.plan import Cell
from zerosum.data import Dataset
from zerosum.data.cache import replacing
from zerosum.evaluation import Opener, default_judge, evaluate, held_out, of_run
from zerosum.metrics.extractors import extractor
from zerosum.metrics.measures import FROM_HELD, FROM_TRAIN, MEASURES, UNJUDGED
from zerosum.metrics.sides import of_dataset
from zerosum.names import look_up
from zerosum.trained import load

__all__ = ["COUNT", "Asked", "Judge", "asked_of", "read_measured"]

COUNT = 2000


@dataclass(frozen=True)
class Asked:
    """Which measures to take of every cell, and how; the samples' seed is 0 for all."""

    measures: tuple[str, ...]
    extractor: str | None = None
    count: int = COUNT

    def __post_init__(self) -> None:
        if not self.measures:
            raise ValueError(f"--measures: name at least one of {', '.join(MEASURES)}")
        for name in self.measures:
            look_up(MEASURES, name, "measure")
        if self.count < 1:
            raise ValueError(f"--count must be at least 1, not {self.count}")

    @property
    def words(self) -> list[str]:
        """The flags that ask for the same.

        >>> Asked(("fd", "prdc"), "lenet").words
        ['--measures', 'fd,prdc', '--count', '2000', '--extractor', 'lenet']
        """
        words = ["--measures", ",".join(self.measures), "--count", str(self.count)]
        return [*words, "--extractor", self.extractor] if self.extractor else words


def asked_of(place: Place, asked: Asked | None) -> Asked | None:
    """What is asked for now, which is kept; else what was kept, or None. Raises ValueError if damaged."""
    path = place.path / "measures.json"
    if asked is not None:
        with replacing(path) as file:
            file.write((json.dumps(asdict(asked)) + "\n").encode())
        return asked
    if not path.exists():
        return None
    try:
        return msgspec.convert(json.loads(path.read_bytes()), Asked)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be used ({error}); delete it, or give --measures again") from error


def read_measured(place: Place, cell: Cell, asked: Asked) -> dict[str, Any] | None:
    """What a cell was measured to be, as `evaluate` gives it, or {"failed": reason}; None if it was not, so.

    A file that is damaged, or of other settings, counts as none.
    """
    try:
        kept = json.loads(place.measured(cell).read_bytes())
        mine = kept["asked"] == json.loads(json.dumps(asdict(asked)))
        found = kept["found"] if mine else None
        return found if isinstance(found, dict) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


@dataclass(frozen=True)
class Judge:
    """Takes the measures that are asked for, of cells on these data sets (by `where`).

    The extractor, where one is named or needed, is tried on the data when this is made. Raises ValueError
    where it fails.
    """

    asked: Asked
    data: Mapping[str, Dataset]
    opener: Opener
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.asked.extractor is None and UNJUDGED.issuperset(self.asked.measures):
            return
        for dataset in self.data.values():
            judge = extractor(self.asked.extractor or default_judge(dataset.format.points))
            judge.features(of_dataset(dataset, 1).all())

    def measure(self, place: Place, cell: Cell, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
        """Measure a finished cell and keep what came out, or why nothing did."""
        found: dict[str, Any]
        try:
            found = self._taken(place, cell, progress)
        except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:
            found = {"failed": str(error).strip() or type(error).__name__}
        with replacing(place.measured(cell)) as file:
            text = json.dumps({"asked": asdict(self.asked), "found": found}, ensure_ascii=False)
            file.write((text + "\n").encode())
        return found

    def _taken(self, place: Place, cell: Cell, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
        trained = load(place.run(cell).path, device=self.device)
        dataset, train, held = self.data[cell.data.where], None, None
        if not FROM_TRAIN.isdisjoint(self.asked.measures):
            train = of_dataset(dataset)
        if not FROM_HELD.isdisjoint(self.asked.measures) and (test := held_out(trained, self.opener)):
            held = of_dataset(test, min(self.asked.count, len(test)))
        return evaluate(
            of_dataset(dataset, min(self.asked.count, len(dataset))),
            of_run(trained, self.asked.count),
            self.asked.measures,
            self.asked.extractor,
            train=train,
            held=held,
            progress=progress,
        )
