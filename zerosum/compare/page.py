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
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from zerosum.compare.cells import Outcome, Place
from zerosum.compare.measuring import Asked, read_measured
from zerosum.compare.plan import Cell, Plan, Request
from zerosum.compare.score import COUNT, PROJECTIONS, SIDE, Yardstick
from zerosum.data.cache import replacing
from zerosum.evaluation import card_line
from zerosum.frames import Frame, latest
from zerosum.rundir import DataOptions

__all__ = ["command_of", "values_of", "write_page"]

LITTLE = 0.5  # a spread below this is pointed out


def write_page(
    plan: Plan, place: Place, measures: Mapping[str, Yardstick], asked: Asked | None = None
) -> Path:
    """Write index.html, table.csv and table.json of what is there so far; returns the page's path.

    Cells that have not ended are shown as such. With `asked`, the measures taken so stand beside the scores.
    """
    played = [_Played(cell, place.outcome(cell), _measured(place, cell, asked)) for cell in plan.cells]
    names = list(dict.fromkeys(name for each in played for name in values_of(each.found)))
    command = shlex.join([*_words_of(plan.request), *(asked.words if asked else ())])
    shown = {
        (row, column): _square(
            [each for each in played if (each.cell.row, each.cell.column) == (row, column)], place
        )
        for row in plan.rows
        for column in plan.columns
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["card"] = card_line
    text = files("zerosum").joinpath("templates/compare.html.jinja").read_text(encoding="utf-8")
    page = environment.from_string(text).render(
        plan=plan,
        command=command,
        names=names,
        asked=asked,
        cards=_cards(played),
        warnings=list(dict.fromkeys(text for each in played for text in each.found.get("warnings", ()))),
        rows=[(row, [shown[row, column] for column in plan.columns]) for row in plan.rows],
        best=[_best([shown[row, column] for column in plan.columns]) for row in plan.rows],
        count={state: sum(_state(each.outcome) == state for each in played) for state in _STATES},
        little=LITTLE,
        protocol=_protocol(measures),
        common=_shown(_common(plan.cells)),
    )
    numbers = [_numbers(each, names) for each in played]
    table = {
        "command": command,
        "images": plan.images,
        "protocol": _protocol(measures),
        **({"measures": {**asdict(asked), "cards": _cards(played)}} if asked else {}),
        "table": [square.plain(*where, names) for where, square in shown.items()],
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
class _Played:
    """A cell, how it ended, and what `evaluate` found of it: {} for nothing, {"failed": why}."""

    cell: Cell
    outcome: Outcome | None
    found: Mapping[str, Any]


class _Measured(NamedTuple):
    mean: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class _Square:
    """A place of the table: one cell for each seed."""

    cells: Sequence[Cell]
    outcomes: Sequence[Outcome | None]
    found: Sequence[Mapping[str, Any]]
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

    @property
    def unmeasured(self) -> list[tuple[int, str]]:
        """The seeds that could not be measured, and why."""
        pairs = zip(self.cells, self.found, strict=True)
        return [(cell.seed, str(found["failed"])) for cell, found in pairs if "failed" in found]

    def taken(self, names: Sequence[str]) -> dict[str, "_Measured"]:
        """The measures that at least one seed has."""
        return {name: found for name in names if (found := self.measured(name))}

    def measured(self, name: str) -> "_Measured | None":
        """Mean over the seeds measured with its 95 % interval; None where none is.

        Of several seeds it is Student's, of how they differ; of one it is the measure's own.
        """
        there = [found for found in self.found if name in values_of(found)]
        values = [float(found[name]) for found in there]
        if not values:
            return None
        if len(values) == 1:
            low, high = there[0]["intervals"].get(name, (None, None))
            return _Measured(values[0], low, high, 1)
        from scipy.special import stdtrit  # type: ignore[import-untyped]

        mean = statistics.fmean(values)
        half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / len(values) ** 0.5
        return _Measured(mean, mean - half, mean + half, len(values))

    def plain(self, row: str, column: str, names: Sequence[str]) -> dict[str, Any]:
        """JSON-ready: means and deviations over seeds."""
        out: dict[str, Any] = {"row": row, "column": column, "finished": len(self.finished)}
        out |= {"failed": len(self.failures), "seeds": len(self.cells)}
        for name in ("swd", "spread", "seconds"):
            mean, deviation = self.mean(name) or (None, None)
            out |= {name: mean, f"{name}_deviation": deviation}
        if taken := self.taken(names):
            out["measures"] = {name: found._asdict() for name, found in taken.items()}
        return out


def values_of(found: Mapping[str, Any]) -> dict[str, float]:
    """What `evaluate` found, the numbers alone.

    >>> values_of({"fd": 3.0, "intervals": {"fd": [2.0, 4.0]}, "card": {}})
    {'fd': 3.0}
    """
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _measured(place: Place, cell: Cell, asked: Asked | None) -> Mapping[str, Any]:
    return (read_measured(place, cell, asked) if asked else None) or {}


def _cards(played: Sequence[_Played]) -> dict[str, Any]:
    """By data set, what the cards of all cells on it have alike."""
    cards: dict[str, Any] = {}
    for each in played:
        if "card" in each.found:
            card = dict(each.found["card"])
            only = {name: card["fake"][name] for name in ("count", "seed")}
            cards.setdefault(each.cell.data.where, {**card, "fake": only})
    return cards


def _square(played: Sequence[_Played], place: Place) -> _Square:
    cells = [each.cell for each in played]
    grids = [latest(place.run(cell).samples, _format(place, cell)) for cell in cells]
    settings = {"recipe": cells[0].recipe, **cells[0].arguments}
    outcomes, found = [each.outcome for each in played], [each.found for each in played]
    return _Square(cells, outcomes, found, grids, _shown(settings))


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


def _numbers(each: _Played, names: Sequence[str]) -> dict[str, Any]:
    """A cell as a line of the tables."""
    cell, outcome = each.cell, each.outcome
    nothing = Outcome("failed", 0, 0.0)
    known = {**asdict(outcome or nothing), "state": _state(outcome)}
    where = {"row": cell.row, "column": cell.column, "seed": cell.seed, "recipe": cell.recipe}
    measured: dict[str, Any] = {}
    for name in names:
        low, high = each.found.get("intervals", {}).get(name, (None, None))
        measured |= {f"measures.{name}": each.found.get(name)}
        measured |= {f"measures.{name}.low": low, f"measures.{name}.high": high}
    return {**where, "run": f"cells/{cell.name}", **known, **measured}


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
    return shlex.join(_words_of(request))


def _words_of(request: Request) -> list[str]:
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
    return ["zerosum", "compare", *words]
