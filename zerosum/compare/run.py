"""A whole comparison: its cells one after another or several at a time, and the page of them."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status

from zerosum.compare.cells import Place, play
from zerosum.compare.measuring import Asked, Judge, asked_of, read_measured
from zerosum.compare.page import values_of, write_page
from zerosum.compare.plan import Cell, Plan, plan_of, read_plan, write_plan
from zerosum.compare.score import Yardstick, yardstick
from zerosum.data import Dataset
from zerosum.interruption import Interruption
from zerosum.rundata import open_with_bar
from zerosum.rundir import DataOptions, RunError

__all__ = ["Outline", "compare", "settle_plan"]

POLL = 0.2  # seconds


@dataclass(frozen=True)
class Outline:
    """How a comparison is carried out, which changes nothing of what is compared."""

    jobs: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"--jobs must be at least 1, not {self.jobs}")


def settle_plan(out: Path, plan: Plan | None) -> Plan:
    """The plan that `out` is for: the one it holds already, or the one given.

    Raises ValueError where neither is there, and where they differ, saying in what. Writes nothing.
    """
    place = Place(out)
    if not place.plan.exists():
        if plan is None:
            raise ValueError(
                f"{out} holds no comparison to go on with: say what to compare, with --data and so on"
            )
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"{out} is there already and holds no comparison: choose another --out")
        return plan
    there = read_plan(place.plan)
    plan = plan or plan_of(there.request)
    if plan != replace(there, about=plan.about):
        raise ValueError(f"{out} holds another comparison ({_difference(there, plan)}): choose another --out")
    return plan


def _difference(there: Plan, plan: Plan) -> str:
    """The first thing in which two plans differ, as people read it."""
    then, now = there.plain(), plan.plain()
    for name in then["request"]:
        if then["request"][name] != now["request"][name]:
            return f"{name} was {then['request'][name]} and is {now['request'][name]}"
    return "a recipe or a grid has changed since it was planned"


def compare(
    plan: Plan, out: Path, people: Console, outline: Outline = Outline(), asked: Asked | None = None
) -> int:
    """Train what is not trained yet, each cell once, and write the page; returns the signal that stopped it.

    `plan` is what `settle_plan` gave for `out`. Finished cells are measured as `asked`, or as it was asked
    before. Raises ValueError for data that are not there or no longer the same, and for measures that
    cannot be taken of them; RunError or OSError for what is wrong with the place.
    """
    place = Place(out)

    def opener(options: DataOptions) -> Dataset:
        return open_with_bar(options, people)

    data = {options.where: opener(options) for options in plan.request.data}
    measures = {where: yardstick(dataset) for where, dataset in data.items()}
    asked = asked or asked_of(place, None)
    judge = Judge(asked, data, opener, outline.device) if asked else None
    if not place.plan.exists():
        (out / "cells").mkdir(parents=True, exist_ok=True)
        write_plan(plan, place.plan)
    place.same_data({where: measure.fingerprint for where, measure in measures.items()})
    asked_of(place, asked)
    todo = [cell for cell in plan.cells if place.outcome(cell) is None]
    if len(todo) < len(plan.cells):
        people.print(f"{len(plan.cells) - len(todo)} of {len(plan.cells)} cells are done already")
    table = _Table(plan, place, measures, people, outline, judge)
    try:
        table.measure()
        stopped = table.one_by_one(todo) if outline.jobs == 1 else table.side_by_side(todo)
        if not stopped:
            table.measure()
        return stopped
    except KeyboardInterrupt:  # between two trainings, which catch it themselves
        return signal.SIGINT
    finally:
        table.show()


@dataclass(frozen=True)
class _Table:
    plan: Plan
    place: Place
    measures: Mapping[str, Yardstick]
    people: Console
    outline: Outline
    judge: Judge | None = None
    tried: set[str] = field(default_factory=set)

    def show(self) -> None:
        """Write the page of what is there."""
        write_page(self.plan, self.place, self.measures, self.judge.asked if self.judge else None)

    def measure(self) -> None:
        """Measure the finished cells that are not measured yet as it is asked, or could not be before."""
        if self.judge is None:
            return
        for cell in self.plan.cells:
            outcome = self.place.outcome(cell)
            if outcome is None or outcome.state == "failed":
                continue
            known = read_measured(self.place, cell, self.judge.asked) or {"failed": ""}
            if "failed" in known and cell.name not in self.tried:
                self.tried.add(cell.name)
                with self.people.status("measuring") as status:
                    found = self.judge.measure(self.place, cell, partial(_progress, status))
                failed = f"not measured: {found['failed']}" if "failed" in found else ""
                values = (f"{name} {value:.4g}" for name, value in values_of(found).items())
                self._say(cell, failed or ", ".join(values))
                self.show()

    def one_by_one(self, todo: list[Cell]) -> int:
        # A pipe gets a line a cell, not those of each run.
        people = self.people if self.people.is_terminal else Console(quiet=True)
        for cell in todo:
            if self.people.is_terminal:
                self._say(cell, "training")
            measure, outline = self.measures[cell.data.where], self.outline
            stopped = play(
                self.place,
                cell,
                measure,
                people,
                device=outline.device,
                precision=self.plan.request.precision,
            )
            if stopped:
                return stopped
            self._tell(cell)
            self.measure()
        return 0

    def side_by_side(self, todo: list[Cell]) -> int:
        """Each cell in a process of its own, deaf to the terminal: who stops this one stops them."""
        context = multiprocessing.get_context("spawn")
        threads = max(1, torch.get_num_threads() // self.outline.jobs)
        running: dict[BaseProcess, Cell] = {}
        lost: list[str] = []
        told = False
        with Interruption() as interruption, _bar(self.people) as bar:
            task = bar.add_task(
                "cells", total=len(self.plan.cells), completed=len(self.plan.cells) - len(todo)
            )
            while running or (todo and not interruption.signal):
                while todo and len(running) < self.outline.jobs and not interruption.signal:
                    cell = todo.pop(0)
                    given = (str(self.place.path), cell.name, self.outline, threads)
                    child: BaseProcess = context.Process(target=_play_alone, args=given, daemon=True)
                    child.start()
                    running[child] = cell
                for ended in [child for child in running if not child.is_alive()]:
                    cell = running.pop(ended)
                    bar.advance(task)
                    if self.place.outcome(cell):
                        self._tell(cell)
                    elif not interruption.signal:
                        lost.append(cell.name)
                if interruption.signal and not told:
                    for process in running:
                        process.terminate()
                    told = True
                time.sleep(POLL)
        if lost:
            raise ValueError(
                f"{', '.join(lost)}: ended without an outcome; the same command tries again, with fewer "
                "--jobs if memory ran out"
            )
        return interruption.signal

    def _tell(self, cell: Cell) -> None:
        outcome = self.place.outcome(cell)
        assert outcome
        if outcome.state == "failed":
            self._say(cell, f"failed: {outcome.reason}")
        else:
            self._say(cell, f"swd {outcome.swd:.4f}, spread {outcome.spread:.2f}, {outcome.seconds:.0f} s")
        self.show()

    def _say(self, cell: Cell, what: str) -> None:
        number = f"[{self.plan.cells.index(cell) + 1}/{len(self.plan.cells)}]"
        line = f"{number} {cell.row} × {cell.column}, seed {cell.seed}: {what}"
        self.people.print(line, highlight=False, soft_wrap=True)


def _progress(status: Status, stage: str, done: int, total: int) -> None:
    status.update(f"{stage}: {done:,} of {total:,}")


def _play_alone(out: str, name: str, outline: Outline, threads: int) -> None:
    """A cell in this process, as `side_by_side` starts it."""
    if hasattr(os, "setsid"):
        os.setsid()
    torch.set_num_threads(threads)
    place, quiet = Place(Path(out)), Console(quiet=True)
    plan = read_plan(place.plan)
    cell = next(cell for cell in plan.cells if cell.name == name)
    try:
        measure = yardstick(open_with_bar(cell.data, quiet))
        play(place, cell, measure, quiet, device=outline.device, precision=plan.request.precision)
    except (RunError, OSError) as error:
        sys.exit(f"zerosum: {error}")


def _bar(people: Console) -> Progress:
    return Progress(
        TextColumn("{task.completed}/{task.total} cells"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        console=people,
        disable=not people.is_terminal,
    )
