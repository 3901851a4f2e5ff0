"""A comparison as one page that needs nothing beside itself, and as numbers for other programs."""

import csv
import io
import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from zerosum.compare.cells import Outcome, Place
from zerosum.compare.plan import Cell, Plan, Request
from zerosum.compare.score import COUNT, PROJECTIONS, SIDE, Yardstick
from zerosum.data.cache import replacing
from zerosum.frames import Frame, latest
from zerosum.rundir import DataOptions

__all__ = ["command_of", "write_page"]

LITTLE = 0.5  # a spread below this is pointed out


def write_page(plan: Plan, place: Place, measures: Mapping[str, Yardstick]) -> Path:
    """Write index.html, table.csv and table.json of what is there so far; returns the page's path.

    Cells that have not ended are shown as such.
    """
    played = [(cell, place.outcome(cell)) for cell in plan.cells]
    shown = {
        (row, column): _square(
            [each for each in played if (each[0].row, each[0].column) == (row, column)], place
        )
        for row in plan.rows
        for column in plan.columns
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = files("zerosum").joinpath("templates/compare.html.jinja").read_text(encoding="utf-8")
    page = environment.from_string(text).render(
        plan=plan,
        command=command_of(plan.request),
        rows=[(row, [shown[row, column] for column in plan.columns]) for row in plan.rows],
        best=[_best([shown[row, column] for column in plan.columns]) for row in plan.rows],
        count={state: sum(_state(outcome) == state for _, outcome in played) for state in _STATES},
        little=LITTLE,
        protocol=_protocol(measures),
        common=_shown(_common(plan.cells)),
    )
    numbers = [_numbers(cell, outcome) for cell, outcome in played]
    table = {
        "command": command_of(plan.request),
        "images": plan.images,
        "protocol": _protocol(measures),
        "table": [square.plain(*where) for where, square in shown.items()],
        "cells": [
            {**line, "settings": dict(cell.arguments)} for line, cell in zip(numbers, plan.cells, strict=True)
        ],
    }
    lines = io.StringIO()
    writer = csv.DictWriter(lines, list(numbers[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(numbers)
    for name, content in (
        ("index.html", page),
        ("table.json", json.dumps(table, indent=1, ensure_ascii=False) + "\n"),
        ("table.csv", lines.getvalue()),
    ):
        with replacing(place.path / name) as file:
            file.write(content.encode("utf-8", "replace"))
    return place.path / "index.html"


_STATES = ("finished", "failed", "not done")


def _state(outcome: Outcome | None) -> str:
    return outcome.state if outcome else "not done"


@dataclass(frozen=True)
class _Square:
    """A place of the table: one cell for each seed."""

    cells: Sequence[Cell]
    outcomes: Sequence[Outcome | None]
    frames: Sequence[Frame | None]
    settings: Sequence[tuple[str, str]]

    @property
    def finished(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome and outcome.state == "finished"]

    @property
    def failures(self) -> list[tuple[int, Outcome]]:
        pairs = zip(self.cells, self.outcomes, strict=True)
        return [(cell.seed, outcome) for cell, outcome in pairs if outcome and outcome.state == "failed"]

    def mean(self, name: str) -> tuple[float, float | None] | None:
        """Mean and standard deviation over the seeds that finished; no deviation of one, None of none."""
        values = [getattr(outcome, name) for outcome in self.finished]
        if not values:
            return None
        return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None

    def plain(self, row: str, column: str) -> dict[str, Any]:
        """JSON-ready: means and deviations over seeds."""
        out: dict[str, Any] = {"row": row, "column": column, "finished": len(self.finished)}
        out |= {"failed": len(self.failures), "seeds": len(self.cells)}
        for name in ("swd", "spread", "seconds"):
            mean, deviation = self.mean(name) or (None, None)
            out |= {name: mean, f"{name}_deviation": deviation}
        return out


def _square(played: Sequence[tuple[Cell, Outcome | None]], place: Place) -> _Square:
    cells = [cell for cell, _ in played]
    grids = [latest(place.run(cell).samples, _format(place, cell)) for cell in cells]
    settings = {"recipe": cells[0].recipe, **cells[0].arguments}
    return _Square(cells, [outcome for _, outcome in played], grids, _shown(settings))


def _format(place: Place, cell: Cell) -> Any:
    """The data's format as the run's record has it; None where there is no record to read."""
    try:
        return json.loads(place.run(cell).recipe.read_bytes())["data"]["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _best(squares: Sequence[_Square]) -> int:
    """Which square of a row has the lowest distance; −1 where there is no choice."""
    means = [(mean[0], index) for index, square in enumerate(squares) if (mean := square.mean("swd"))]
    return min(means)[1] if len(means) > 1 else -1


def _common(cells: Sequence[Cell]) -> dict[str, Any]:
    """The settings that all cells have, and have alike."""
    first = cells[0].arguments
    same = {n: v for n, v in first.items() if all(n in c.arguments and c.arguments[n] == v for c in cells)}
    return {**same, "seeds": sorted({cell.seed for cell in cells})}


def _shown(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    def text(value: Any) -> str:
        if value is None:
            return "not set"
        return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)

    return [(name, text(value)) for name, value in settings.items()]


def _numbers(cell: Cell, outcome: Outcome | None) -> dict[str, Any]:
    """A cell as a line of the tables."""
    nothing = Outcome("failed", 0, 0.0)
    known = {**asdict(outcome or nothing), "state": _state(outcome)}
    where = {"row": cell.row, "column": cell.column, "seed": cell.seed, "recipe": cell.recipe}
    return {**where, "run": f"cells/{cell.name}", **known}


def _protocol(measures: Mapping[str, Yardstick]) -> dict[str, Any]:
    data = {
        where: {"reals": measure.count, "fakes": measure.count, "floor": measure.floor}
        for where, measure in measures.items()
    }
    return {"projections": PROJECTIONS, "side": SIDE, "most": COUNT, "seed": 0, "data": data}


def command_of(request: Request) -> str:
    """The command that asks for the same, quoted for a POSIX shell; the place, --out, is left to say.

    >>> command_of(Request(data=(DataOptions("ring"),), recipe=("gan",), set=("lr=1e-3",), images=1000))
    'zerosum compare --data ring --recipe gan --set lr=1e-3 --images 1000'
    """
    words = [word for options in request.data for word in ("--data", options.where)]
    options = request.data[0]
    if options.size:
        words += ["--size", "x".join(map(str, options.size))]
    for name in ("channels", "split", "labels"):
        value, usual = getattr(options, name), getattr(DataOptions(""), name)
        words += [f"--{name}", str(value)] if value != usual else []
    if options.range:
        low, high = options.range
        words += [f"--range={low:g}", f"{high:g}"]
    words += ["--flip"] if options.flip else []
    words += ["--grid", request.grid] if request.grid else []
    for name in ("recipe", "net", "objective", "vary", "set"):
        words += [word for value in getattr(request, name) for word in (f"--{name}", value)]
    words += ["--preset", request.preset] if request.preset else []
    words += ["--images", str(request.images)] if request.images is not None else []
    words += ["--seeds", request.seeds] if request.seeds != "0" else []
    words += ["--precision", request.precision] if request.precision != "auto" else []
    return shlex.join(["zerosum", "compare", *words])
