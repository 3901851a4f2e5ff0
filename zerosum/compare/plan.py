"""From what was asked for to the cells of a table: each a recipe, all its settings, data and a seed."""

import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zerosum.compare.axes import Axis, Choice, Text, bundle, merged, seeds_of, settings_of, typed, unique
from zerosum.compare.grids import GRIDS
from zerosum.data.cache import replacing
from zerosum.names import look_up
from zerosum.recipes.table import RECIPES, Recipe, arguments_of
from zerosum.rundir import DataOptions
from zerosum.training.precision import Precision

__all__ = ["Cell", "Plan", "Request", "plan_of", "read_plan", "write_plan"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, as it was written: axes, and what all cells share."""

    data: tuple[DataOptions, ...]
    recipe: tuple[str, ...] = ()
    grid: str | None = None
    net: tuple[str, ...] = ()
    objective: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    preset: str | None = None
    images: int | None = None
    seeds: str = "0"
    precision: Precision = "auto"


@dataclass(frozen=True)
class Cell:
    """One training: where it stands in the table, and all that `zerosum.runs.start` is told."""

    name: str
    row: str
    column: str
    seed: int
    recipe: str
    arguments: Mapping[str, Any]
    data: DataOptions


@dataclass(frozen=True)
class Plan:
    """All cells, seeds outermost, so that a whole table is there early; `images` is each one's length."""

    request: Request
    about: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    seeds: tuple[int, ...]
    images: int
    cells: tuple[Cell, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON-ready dictionaries."""
        out: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return out


def plan_of(request: Request, recipes: Mapping[str, Recipe] = RECIPES) -> Plan:
    """The cells that a request asks for: the product of its axes, or a named grid.

    Of the axes that have several choices the last one makes the columns, the others the rows. The number
    of images is raised, if need be, until every cell's steps fit into it: all see the same.

    >>> request = Request(data=(DataOptions("ring"),), recipe=("gan", "dcgan"), images=1000)
    >>> plan = plan_of(request)
    >>> plan.rows, plan.columns, plan.images
    (('gan', 'dcgan'), ('ring',), 3200)

    Raises ValueError, before anything is trained, for whatever is unknown, missing, empty, given twice or
    in two places.
    """
    if not request.data:
        raise ValueError("--data is missing: what to train on, as in --data mnist")
    shared = settings_of(request.set, "--set")
    if "images" in shared:
        raise ValueError("--set images: the same for all cells; give --images")
    table = _grid(request, shared) if request.grid else _product(request, shared)
    if table.images is None:
        raise ValueError("--images is missing: how many real images each cell is to be shown")
    if table.images < 1:
        raise ValueError(f"--images must be at least 1, not {table.images}")
    options = {one.where: one for one in request.data}
    seeds = seeds_of(request.seeds)
    cells: list[Cell] = []
    for seed, row, column in itertools.product(seeds, table.rows, table.columns):
        recipe = look_up(recipes, row.recipe or column.recipe or "", "recipe")
        given = typed(recipe, {**table.settings, **column.settings, **row.settings, **table.shared})
        given = arguments_of(recipe, {**given, "images": table.images}, request.preset)
        where = options[row.data or column.data or request.data[0].where]
        name = f"{len(cells) + 1:03d}-{_slug(row.label)}-{_slug(column.label)}-{seed}"
        cells.append(Cell(name, row.label, column.label, seed, recipe.name, given, where))
    step = math.lcm(*(_images_a_step(cell.arguments) for cell in cells))
    length = -(-table.images // step) * step
    cells = [replace(cell, arguments={**cell.arguments, "images": length}) for cell in cells]
    rows, columns = (tuple(choice.label for choice in axis) for axis in (table.rows, table.columns))
    return _read(Plan(request, table.about, rows, columns, seeds, length, tuple(cells)).plain())


class _Table(NamedTuple):
    """Rows and columns, what lies below their settings and what lies above them."""

    about: str
    rows: Axis
    columns: Axis
    settings: Mapping[str, Any]
    shared: Mapping[str, Any]
    images: int | None


def _grid(request: Request, shared: Mapping[str, Any]) -> _Table:
    grid = look_up(GRIDS, request.grid or "", "grid")
    for name in ("recipe", "net", "objective", "vary", "preset"):
        if getattr(request, name):
            raise ValueError(f"--grid {request.grid} has its own rows and columns: leave --{name} out")
    rows = grid.rows
    if len(request.data) > 1:
        rows = tuple(merged(pair) for pair in itertools.product(_data(request), rows))
    images = grid.images if request.images is None else request.images
    return _Table(grid.about, rows, grid.columns, grid.settings, shared, images)


def _product(request: Request, shared: Mapping[str, Any]) -> _Table:
    if not request.recipe:
        raise ValueError("nothing to compare: give at least one --recipe, or a --grid")
    axes = [
        _data(request),
        unique([Choice(name, recipe=name) for name in request.recipe], "--recipe"),
        unique([bundle(text) for text in request.net], "--net"),
        unique([Choice(text, {"objective": Text([text])}) for text in request.objective], "--objective"),
    ]
    for name, values in settings_of(request.vary, "--vary").items():
        choices = [Choice(f"{name}={value}", {name: Text([value])}) for value in values]
        axes.append(unique(choices, "--vary"))
    fixed = [axis[0] for axis in axes if len(axis) == 1]
    several = [axis for axis in axes if len(axis) > 1]
    alone: Axis = (Choice(" · ".join(one.label for one in fixed)),)
    *beside, columns = (*several, alone) if len(several) < 2 else several
    rows = []
    for beside_it in itertools.product(*beside):
        whole = merged([*beside_it, *fixed, Choice("--set", shared)])
        merged([whole, *columns[:1]])  # refuses what two axes set
        rows.append(replace(whole, label=merged(beside_it).label or fixed[1].label))
    about = f"In all cells: {', '.join([*(one.label for one in fixed), *request.set])}."
    return _Table(about, tuple(rows), columns, {}, {}, request.images)


def _data(request: Request) -> Axis:
    places = [one.where for one in request.data]
    names = [Path(where).name for where in places]
    labels = [where if names.count(name) > 1 else name for where, name in zip(places, names, strict=True)]
    return unique([Choice(label, data=where) for label, where in zip(labels, places, strict=True)], "--data")


def _images_a_step(arguments: Mapping[str, Any]) -> int:
    count = int(arguments["batch"]) * int(arguments.get("critic_steps", 1))
    if count < 1:
        raise ValueError("--set batch and --set critic_steps must be at least 1")
    return count


def _slug(text: str) -> str:
    """A label as part of a folder's name.

    >>> _slug("G 4-layer MLP; D: DCGAN")
    'g-4-layer-mlp-d-dcgan'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "cell"


def write_plan(plan: Plan, path: Path) -> None:
    """Write the plan as JSON, whole or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(plan.plain(), indent=1, ensure_ascii=False) + "\n").encode())


def read_plan(path: Path) -> Plan:
    """The plan that a comparison in progress holds. Raises ValueError where it is not whole."""
    try:
        return _read(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not what `zerosum compare` writes ({error}): choose another --out"
        ) from error


def _read(plain: Any) -> Plan:
    return msgspec.convert(plain, Plan)
