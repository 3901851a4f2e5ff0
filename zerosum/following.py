"""Measuring a run while another process trains it: checkpoint by checkpoint, the best of them kept."""

import json
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zerosum.metrics_log import Measured, read_measures
from zerosum.names import look_up
from zerosum.rundir import RunDirectory, RunError, second_name
from zerosum.training.checkpoint import CheckpointError

__all__ = ["KEPT_BY", "follow"]

KEPT_BY: Mapping[str, tuple[str, bool]] = {
    "fd": ("fd", True),
    "fd-infinity": ("fd-infinity", True),
    "kid": ("kid", True),
    "swd": ("swd", True),
    "is": ("is", False),
    "prdc": ("coverage", False),
}  # by measure: which of its values tells the best checkpoint, and whether lower is better
POLL = 2.0  # seconds
GRACE = 10.0  # seconds without a process that trains, until it counts as killed
_TAIL = 2**16
_ENDED = ("finished", "stopped", "failed")


def follow(
    where: str | Path,
    measures: Sequence[str],
    every: int,
    take: Callable[[Path], Mapping[str, Any]],
    told: Callable[[dict[str, Any], bool], None],
    *,
    poll: float = POLL,
    grace: float = GRACE,
) -> None:
    """Measure a run's checkpoints that are `every` images apart as they come, and the last one.

    `take` measures a checkpoint file as `zerosum.evaluation.evaluate` does. Each is a line of
    measures.jsonl, told with whether it is the best so far by the first of `measures`, which is kept as
    checkpoints/best-VALUE.safetensors. Begins after what is measured already, and returns when the run
    has ended, or with a warning when no process has trained it for `grace` seconds. Checkpoints deleted
    meanwhile are passed over, damaged ones with a word.

    Raises ValueError for a measure that tells no best, and for lines there under another card; RunError
    where there is no run, or another process measures it.
    """
    if not measures:
        raise ValueError(f"--measures: name at least one of {', '.join(KEPT_BY)}")
    value, lower = look_up(KEPT_BY, measures[0], "measure to keep the best checkpoint by")
    if every < 1:
        raise ValueError(f"--every must be at least 1, not {every}")
    run = RunDirectory(where)
    run.refuse_if_none()
    passed: set[Path] = set()
    left = 0.0  # seconds that nobody trains
    with _alone(run):
        while True:
            # Asked first: what it saved before it ended is then there.
            ended = _ended(run) or left > grace
            done = read_measures(run.path)
            path = _due(run, done[-1].images if done else 0, every, ended, passed)
            if path is None:
                if ended:
                    if left > grace:
                        warnings.warn(_abandoned(run), stacklevel=2)
                    return
                time.sleep(poll)
                left = 0.0 if run.busy() else left + poll
                continue
            try:
                with _held(run, path) as held:
                    found = dict(take(held))
                    _same_card(run, done, found["card"])
                    if best := _is_best(found.get(value, math.nan), value, lower, done):
                        run.keep_as_best(held, value)
            except (CheckpointError, FileNotFoundError) as error:
                if path.exists():
                    if isinstance(error, FileNotFoundError):
                        raise  # of something else
                    warnings.warn(f"passed over: {error}", stacklevel=2)
                    passed.add(path)
                continue
            entry = {"images": int(path.stem), **found}
            _append(run, entry)
            told(entry, best)


def _ended(run: RunDirectory) -> bool:
    """Whether the last line of its log says so; a long log is not read whole each time."""
    try:
        with run.metrics.open("rb") as file:
            file.seek(max(0, run.metrics.stat().st_size - _TAIL))
            last = json.loads(file.read().splitlines()[-1])
    except (OSError, ValueError, IndexError):  # not there yet, or being written
        return False
    return isinstance(last, dict) and last.get("event") in _ENDED


def _abandoned(run: RunDirectory) -> str:
    return (
        f"{run.path}: no process trains it any more, and its log has no end, as after a crash. What is there "
        f"is measured; `zerosum resume {run.path}` goes on with it, and this command then too"
    )


def _due(run: RunDirectory, last: int, every: int, ended: bool, passed: set[Path]) -> Path | None:
    """The oldest checkpoint that is far enough past the last; of a run that has ended the newest is."""
    newer = [path for path in reversed(run.numbered()) if int(path.stem) > last and path not in passed]
    far = [path for path in newer if int(path.stem) >= last + every]
    return next(iter(far or (newer[-1:] if ended else [])), None)


@contextmanager
def _alone(run: RunDirectory) -> Iterator[None]:
    lock = FileLock(run.path / ".measuring.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"{run.path}: another process measures it already") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _held(run: RunDirectory, path: Path) -> Iterator[Path]:
    """The checkpoint under a second name, since training may delete it any time."""
    folder = run.path / ".measuring"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
    folder.mkdir()
    try:
        second_name(path, folder / path.name)
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_best(value: float, name: str, lower: bool, done: list[Measured]) -> bool:
    """Whether it is better than all before; what is no number never is."""
    before = [one.values[name] for one in done if math.isfinite(one.values.get(name, math.nan))]
    if not math.isfinite(value):
        return False
    return not before or (value < min(before) if lower else value > max(before))


def _same_card(run: RunDirectory, done: list[Measured], card: Mapping[str, Any]) -> None:
    """Raise ValueError where measures that are there were taken otherwise: they do not compare."""
    if not done:
        return
    then, now = (_how(one) for one in (done[-1].card, json.loads(json.dumps(card))))
    for key in then.keys() | now.keys():
        if then.get(key) != now.get(key):
            raise ValueError(
                f"{run.measures}: measured with {key} {then.get(key)}, and now {now.get(key)}, which do not "
                "compare: ask for the same, or move the file away"
            )


def _how(card: Mapping[str, Any]) -> dict[str, Any]:
    """What of a card has to be the same for all checkpoints of a run."""
    fake = {name: value for name, value in card["fake"].items() if name not in ("run", "trained on")}
    return {**{k: v for k, v in card.items() if k not in ("zerosum", "torch")}, "fake": fake}


def _append(run: RunDirectory, entry: Mapping[str, Any]) -> None:
    with run.writing(run.measures), run.measures.open("ab+") as file:
        file.seek(0, 2)
        cut = b""
        if file.tell():
            file.seek(-1, 2)
            cut = b"" if file.read() == b"\n" else b"\n"  # a crash may have cut the last line
        file.write(cut + json.dumps(entry, ensure_ascii=False).encode() + b"\n")
