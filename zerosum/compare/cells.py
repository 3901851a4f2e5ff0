"""One cell of a comparison: trained as an ordinary run, gone on with where it stopped, scored once."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console

from zerosum.compare.plan import Cell
from zerosum.compare.score import Yardstick
from zerosum.data.cache import replacing
from zerosum.metrics_log import read_metrics
from zerosum.recipes.table import RECIPES, Recipe
from zerosum.rundir import RunDirectory, RunError
from zerosum.runs import resume, start
from zerosum.trained import load
from zerosum.training.precision import Precision

__all__ = ["Outcome", "Place", "play"]

GRIDS = 4  # grids, checkpoints and scores a cell makes on its way


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: its scores, or why it has none."""

    state: Literal["finished", "failed"]
    images: int
    seconds: float
    swd: float | None = None
    spread: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Place:
    """The directory of a comparison."""

    path: Path

    @property
    def plan(self) -> Path:
        """plan.json: what is compared."""
        return self.path / "plan.json"

    def run(self, cell: Cell) -> RunDirectory:
        """A cell's run directory."""
        return RunDirectory(self.path / "cells" / cell.name)

    def same_data(self, fingerprints: Mapping[str, str]) -> None:
        """Keep the data's fingerprints; raise RunError where they are no longer those kept."""
        path = self.path / "data.json"
        if not path.exists():
            with replacing(path) as file:
                file.write((json.dumps(dict(fingerprints)) + "\n").encode())
        elif json.loads(path.read_bytes()) != fingerprints:
            raise RunError(
                f"{self.path}: its data changed, and all cells must have the same: choose another --out"
            )

    def outcome(self, cell: Cell) -> Outcome | None:
        """How a cell ended; None where it has not. Raises ValueError for a file that is not whole."""
        path = self._outcome(cell)
        if not path.exists():
            return None
        try:
            return msgspec.convert(json.loads(path.read_bytes()), Outcome)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path}: cannot be used ({error}); delete it, and the cell is scored again"
            ) from error

    def settle(self, cell: Cell, outcome: Outcome) -> None:
        """Keep how a cell ended."""
        with replacing(self._outcome(cell)) as file:
            file.write((json.dumps(asdict(outcome), ensure_ascii=False) + "\n").encode())

    def measured(self, cell: Cell) -> Path:
        """The file of a cell's measures."""
        return self.path / "cells" / f"{cell.name}.measures.json"

    def _outcome(self, cell: Cell) -> Path:
        return self.path / "cells" / f"{cell.name}.json"


def play(
    place: Place,
    cell: Cell,
    measure: Yardstick,
    people: Console,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    recipes: Mapping[str, Recipe] = RECIPES,
) -> int:
    """Train a cell, or go on with it, score it, keep the outcome; returns the signal that stopped it, or 0.

    What goes wrong with the cell itself (settings that contradict each other, a loss that is no number,
    memory) is its outcome. Raises RunError and OSError for what is wrong with the place: a full disk,
    another process at work here.
    """
    run = place.run(cell)
    if run.recipe.exists() and not run.numbered():
        shutil.rmtree(run.path)  # stopped before its first checkpoint: nothing to go on from
    try:
        if run.recipe.exists():
            signal = resume(run.path, people, recipes=recipes)
        else:
            every = -(-int(cell.arguments["images"]) // GRIDS)
            signal = start(
                cell.recipe,
                cell.data,
                run.path,
                people,
                arguments=cell.arguments,
                every=every,
                seed=cell.seed,
                device=device,
                precision=precision,
                recipes=recipes,
            )
        if signal:
            return signal
        outcome = _scored(run, measure, device, recipes)
    except RunError:
        raise
    except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:
        outcome = Outcome("failed", *_seen(run), reason=f"{str(error).strip() or type(error).__name__}")
    place.settle(cell, outcome)
    return 0


def _scored(run: RunDirectory, measure: Yardstick, device: str, recipes: Mapping[str, Recipe]) -> Outcome:
    mine = [recipe for name, recipe in recipes.items() if RECIPES.get(name) is not recipe]
    fake = load(run.path, device=device, recipes=mine).sample(measure.count)
    swd, spread = measure.distance(fake), measure.spread(fake)
    if not (math.isfinite(swd) and math.isfinite(spread)):
        raise FloatingPointError("its samples are not finite numbers")
    return Outcome("finished", *_seen(run), swd, spread)


def _seen(run: RunDirectory) -> tuple[int, float]:
    """Real images shown and seconds of training, as the run's log has them."""
    metrics = read_metrics(run.path)
    last = metrics.lines[-1] if metrics.lines else {}
    told = [int(event["images"]) for event in metrics.events if event.get("images", "").isdecimal()]
    return max([int(last.get("images", 0)), *told]), last.get("seconds", 0.0)
