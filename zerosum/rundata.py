"""A run's data: opened as its settings ask, described for its record, compared with what it had."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch.distributed as dist
from rich.console import Console
from rich.progress import Progress

from zerosum import processes
from zerosum.data import Dataset, open_data
from zerosum.data.layout import SPLITS
from zerosum.rundir import DataFacts, DataOptions, Record, RunError
from zerosum.training.checkpoint import Saved

__all__ = ["as_many_classes", "facts", "lasting", "open_with_bar", "options_of", "refuse_other"]


def options_of(text: str, size: tuple[int, int] | None = None, channels: int | None = None) -> DataOptions:
    """Data as `where`, or `where:split`, unless there is a file of that whole name.

    >>> options = options_of("mnist:test")
    >>> options.where, options.split
    ('mnist', 'test')
    """
    where, _, split = text.rpartition(":")
    if where and split in SPLITS and not Path(text).expanduser().exists():
        return DataOptions(where, size, channels, split=cast(Any, split))
    return DataOptions(text, size, channels)


def lasting(options: DataOptions) -> DataOptions:
    """The options with paths as they are found from any folder; a named set stays a name, "own" labels own.

    >>> lasting(DataOptions("ring", labels="own"))
    DataOptions(where='ring', size=None, channels=None, range=None, flip=False, split='train', labels='own')
    """
    labels = options.labels if options.labels in (None, "own") else _lasting(options.labels)
    return replace(options, where=_lasting(options.where), labels=labels)


def _lasting(where: str) -> str:
    path = Path(where).expanduser()
    return str(path.resolve()) if path.exists() else where


def open_with_bar(options: DataOptions, console: Console) -> Dataset:
    """Open the data with a progress bar; the first process prepares the cache, the others then read it."""
    if processes.rank() > 0:
        dist.barrier()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        dataset = open_data(
            options.where,
            size=options.size,
            channels=options.channels,
            value_range=options.range,
            split=options.split,
            labels=options.labels,
            progress=progress,
        )
    if processes.count() > 1 and processes.rank() == 0:
        dist.barrier()
    check = dataset.check
    for note in check.notes:
        console.print(f"data: {note}", highlight=False, soft_wrap=True)
    if check.set_aside:
        console.print(
            f"data: {len(check.set_aside):,} of {check.found:,} set aside, `zerosum check-data "
            f"{options.where}` says why; the first: {': '.join(check.set_aside[0])}",
            highlight=False,
            soft_wrap=True,
        )
    return dataset


def facts(options: DataOptions, dataset: Dataset) -> DataFacts:
    """What a run's record says of its data."""
    return DataFacts(
        **asdict(options),
        name=dataset.name,
        count=len(dataset),
        fingerprint=dataset.fingerprint,
        classes=dataset.classes,
        format=asdict(dataset.format),
        notes=tuple(dataset.check.notes),
        set_aside=len(dataset.check.set_aside),
    )


def refuse_other(run: Path, record: Record, dataset: Dataset, force: bool) -> None:
    """Raise RunError where the data are no longer the record's, unless `force` says that this is meant.

    Of another number of classes nets cannot be told, whatever is meant.
    """
    before, now = record.classes, dataset.classes if record.classes else ()
    if len(before) != len(now):
        raise RunError(
            f"{run}: its nets are for {_listed(before)}, and its data now have {_listed(now)}: give data or "
            "--labels of the same classes, or start a new run"
        )
    if dataset.fingerprint != record.data.fingerprint and not force:
        raise RunError(
            f"{run}: its data changed. Then {record.data.count:,} samples, fingerprint "
            f"{record.data.fingerprint[:12]}; now {len(dataset):,}, {dataset.fingerprint[:12]}. Give the "
            "same data with --data, go on with the new ones with --force, or start a new run with --init-from"
        )
    if before != now and not force:
        raise RunError(
            f"{run}: its classes were {_listed(before)}, and are {_listed(now)}: give data or --labels of "
            "the same ones, or take the new in place of the old with --force"
        )


def as_many_classes(saved: Saved, record: Record, console: Console) -> None:
    """Refuse to start from nets for another number of classes; tell where their names differ."""
    data = saved.meta["about"].get("data")
    kept = data.get("classes") if isinstance(data, dict) and data.get("labels") is not None else ()
    there = tuple(map(str, kept)) if isinstance(kept, list) else ()
    here = record.classes
    if len(there) != len(here):
        raise RunError(
            f"{saved.path}: its nets are for {_listed(there)}, and the data have {_listed(here)}: give data "
            "or --labels of as many classes, or leave --init-from out"
        )
    if there != here:
        console.print(
            f"--init-from: the classes were {_listed(there)}, and are {_listed(here)}",
            highlight=False,
            soft_wrap=True,
        )


def _listed(classes: tuple[str, ...]) -> str:
    """How many classes, and the first of their names."""
    if not classes:
        return "no classes"
    shown = ", ".join(classes[:8])
    return f"{len(classes)} classes ({shown}{', …' if len(classes) > 8 else ''})"
