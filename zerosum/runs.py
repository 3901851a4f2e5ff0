"""Starting and resuming runs: recipe, data, training and run directory brought together."""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console

import zerosum
from zerosum import processes
from zerosum.data import Dataset, Resident
from zerosum.interruption import Interruption
from zerosum.names import look_up
from zerosum.recipes.system import System
from zerosum.recipes.table import RECIPES, Recipe, arguments_of
from zerosum.recorder import Recorder
from zerosum.rundata import as_many_classes, facts, lasting, open_with_bar, refuse_other
from zerosum.rundir import (
    DataOptions,
    Record,
    RunDirectory,
    RunError,
    TrainingOptions,
    find_checkpoint,
)
from zerosum.trained import build
from zerosum.training.checkpoint import restore, restore_weights
from zerosum.training.loop import Moment, check_batch, train
from zerosum.training.precision import Precision, choose_device, choose_precision
from zerosum.training.state import Average, State

__all__ = ["joined", "resume", "start"]


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun started, if it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not dist.is_available():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def start(
    recipe: str,
    data: DataOptions,
    out: str | Path,
    console: Console,
    *,
    arguments: Mapping[str, Any] | None = None,
    preset: str | None = None,
    init_from: str | Path | None = None,
    every: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    micro: int | None = None,
    ghost: bool = False,
    clip: float | None = None,
    recipes: Mapping[str, Recipe] = RECIPES,
) -> int:
    """Train a new run in `out`; returns the number of the signal that stopped it, or 0.

    All that can be wrong with settings and data is found before anything is written.
    """
    found = look_up(recipes, recipe, "recipe")
    data = lasting(data)
    given = arguments_of(found, arguments or {}, preset)
    directory = RunDirectory(out)
    directory.refuse_if_taken()
    where = choose_device(device)
    dataset = open_with_bar(data, console)
    if found.labels == "needed" and data.labels is None and dataset.labels is not None:
        data = replace(data, labels="own")
    training = TrainingOptions(
        images=given["images"] or 1,
        every=every or 1,
        seed=seed,
        device=device,
        precision=choose_precision(precision, where),
        micro=micro,
        ghost=ghost,
        clip=clip,
    )
    record = Record(zerosum.__version__, recipe, given, facts(data, dataset), training, _environment(where))
    system, _ = build(record, recipes)
    length = given["images"] = system.images  # which may follow from the images' size
    every = max(system.batch, length // 20) if every is None else every
    record = replace(record, training=replace(training, images=length, every=every))
    if init_from is not None:
        saved, passed = find_checkpoint(init_from)
        _tell_passed(passed, console)
        as_many_classes(saved, record, console)
        restore_weights(saved, system.game)
    elif system.begin is not None:
        spread = dataset.samples[:: max(1, len(dataset) // 4096)]
        system.begin(dataset.format.decode(dataset.format.tensor(spread)))
    return _play(directory, record, system, dataset, console, fresh=True)


def resume(
    run: str | Path,
    console: Console,
    *,
    images: int | None = None,
    data: str | None = None,
    labels: str | None = None,
    device: str | None = None,
    force: bool = False,
    recipes: Mapping[str, Recipe] = RECIPES,
) -> int:
    """Go on with a run exactly where its newest whole checkpoint stands; `images` makes it longer.

    Raises RunError where the data or the recipe are no longer those of the checkpoint, unless `force`
    says that this is meant.
    """
    directory = RunDirectory(run)
    record = directory.record()
    if images is not None:
        record = record.longer(images)
    if device is not None:
        record = replace(record, training=replace(record.training, device=device))
    options = record.data.options
    if labels and not record.classes:
        raise RunError(f"{directory.path}: is told no labels, and goes on without: leave --labels out")
    options = lasting(replace(options, where=data or options.where, labels=labels or options.labels))
    dataset = open_with_bar(options, console)
    refuse_other(directory.path, record, dataset, force)
    system, format = build(record, recipes)
    if dataset.format.shape != format.shape:
        raise RunError(
            f"the data are {dataset.format.shape}, and the run's {format.shape}: give --data of that shape"
        )
    record = replace(record, data=facts(options, dataset))
    return _play(directory, record, system, dataset, console, fresh=False, force=force)


def _play(
    directory: RunDirectory,
    record: Record,
    system: System,
    dataset: Dataset,
    console: Console,
    *,
    fresh: bool,
    force: bool = False,
) -> int:
    options = record.training
    check_batch(system.batch, options.micro)
    device = choose_device(options.device)
    if device.type == "cuda" and processes.count() > 1:
        device = torch.device("cuda", torch.cuda.current_device())
    system.game.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = system.game.get_submodule(system.generator)
    state = State(options.seed, averages={system.generator: Average(module, system.average)})
    source = Resident(dataset, seed=options.seed, device=device, flip=record.data.flip)
    since: list[dict[str, float]] = []
    if fresh and processes.rank() == 0:
        directory.create(record)
    with _locked(directory):
        if not fresh:
            saved, passed = directory.newest()
            _tell_passed(passed, console)
            _same_recipe(directory, record, saved.meta["about"], force)
            restore(saved, system.game, system.optimisers, state, settings=not force)
            since = saved.meta["about"].get("since", since)
            if state.clock.images >= options.images:
                console.print(
                    f"{directory.path} has shown {state.clock.images:,} images: --images N makes it longer",
                    highlight=False,
                    soft_wrap=True,
                )
                return 0
            if processes.rank() == 0:
                directory.rewind(state.clock.images)
                directory.write_record(record)
        with Interruption() as interruption:
            recorder = Recorder(
                directory, record, system, dataset.format, source, state, interruption, console, since
            )
            if fresh:  # so that a run can be resumed, and a disk that cannot be written is found, at once
                recorder.save(Moment(state.clock, {}, system.game, system.optimisers, state))
            recorder.event("started" if fresh else "resumed", state.clock.images)
            with recorder:
                train(
                    system.game,
                    source,
                    system.optimisers,
                    state,
                    options.images,
                    batch=system.batch,
                    micro=options.micro,
                    ghost=options.ghost,
                    precision=options.precision,
                    clip=options.clip,
                    schedules=system.schedules,
                    resets=system.resets,
                    hooks=[recorder],
                )
    return interruption.signal if state.clock.images < options.images else 0


@contextmanager
def _locked(directory: RunDirectory) -> Iterator[None]:
    if processes.rank() > 0:
        yield
        return
    with directory.locked():
        yield


def _tell_passed(reasons: list[str], console: Console) -> None:
    for reason in reasons:
        console.print(f"passed over: {reason}", highlight=False, soft_wrap=True)


def _same_recipe(directory: RunDirectory, record: Record, about: Mapping[str, Any], force: bool) -> None:
    """Refuse a recipe.json that was edited since the checkpoint, and show how."""
    now = record.plain()
    pairs = {"recipe": (about.get("recipe"), now["recipe"])}
    for section, ignored in (("arguments", set()), ("training", {"images", "device"})):
        then = about.get(section, {})
        for key in sorted({*then, *now[section]} - ignored):
            pairs[f"{section}.{key}"] = (then.get(key), now[section].get(key))
    changed = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
    if changed and not force:
        lines = "; ".join(f"{key} was {a!r} and is {b!r}" for key, (a, b) in changed.items())
        raise RunError(
            f"{directory.recipe}: changed since the checkpoint: {lines}. Put it back, or go on with --force"
        )


def _environment(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": name,
        "threads": torch.get_num_threads(),
        "device": str(device),
        "processes": processes.count(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
