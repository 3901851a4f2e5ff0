"""Reading a run's metrics.jsonl and measures.jsonl, which a crash may have cut and anybody edited."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import msgspec

__all__ = ["Measured", "Metrics", "read_measures", "read_metrics"]

MAX_BYTES = 64 * 2**20  # some 200,000 lines of a usual game
MAX_NAMES = 256

_CUT = object()


class Metrics(NamedTuple):
    """What metrics.jsonl holds: `lines` by images shown, `events` by time, and what could not be read.

    `cut` numbers (from 1) the lines that are not JSON, as a crash leaves them.
    """

    lines: list[dict[str, float]]
    events: list[dict[str, str]]
    cut: list[int]


def read_metrics(run: Path) -> Metrics:
    """The numbers and events logged in `run`; empty where nothing has been logged yet.

    A line that is not JSON is left out and its number kept in `cut`. Where a resume went back to a
    checkpoint, the lines it trained again replace the earlier ones, so `images` always grows.

    Raises ValueError, naming the file and line, where a line is JSON but no log line, where nothing
    at all can be read, or where the file is over 64 MiB or names over 256 quantities.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as run:
    ...     _ = Path(run, "metrics.jsonl").write_text('{"images": 64, "rate": 3.5}\\n{"images": 12')
    ...     read_metrics(Path(run))
    Metrics(lines=[{'images': 64.0, 'rate': 3.5}], events=[], cut=[2])
    """
    lines: list[dict[str, float]] = []
    events: list[dict[str, str]] = []
    cut: list[int] = []
    names: set[str] = set()
    path = run / "metrics.jsonl"
    for number, where, entry in _entries(path):
        if entry is _CUT:
            cut.append(number)
        elif isinstance(entry, dict) and "event" in entry:
            events.append(_event(entry, where))
        else:
            line = _line(entry, where)
            names.update(line)
            if len(names) > MAX_NAMES:
                raise ValueError(
                    f"{where} brings the quantities to over {MAX_NAMES}: remove what is not needed"
                )
            while lines and lines[-1]["images"] >= line["images"]:
                lines.pop()
            lines.append(line)
    if len(cut) > 1 and not lines and not events:
        raise ValueError(f"{path} holds no line of JSON: it is not a run's log; move it away")
    return Metrics(lines, events, cut)


class _Side(TypedDict):
    count: int


class _Card(TypedDict):
    """What a card has to hold to be shown in a line."""

    real: _Side
    fake: _Side
    extractor: NotRequired[str]
    side: NotRequired[int]
    weights: NotRequired[str]


class Measured(NamedTuple):
    """A checkpoint's measures: their values and 95 % intervals by name, warnings, and the whole card."""

    images: int
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    warnings: list[str]
    card: dict[str, Any]


def read_measures(run: Path) -> list[Measured]:
    """What `zerosum evaluate RUN --every N` measured, by images; [] where nothing is.

    Lines that are not JSON are left out, and a checkpoint measured again replaces what it was. Raises
    ValueError, naming the file and line, where a line is JSON but no measures.

    >>> read_measures(Path("nowhere"))
    []
    """
    found: dict[int, Measured] = {}
    for _, where, entry in _entries(run / "measures.jsonl"):
        if entry is not _CUT:
            measured = _measured(entry, where)
            found[measured.images] = measured
    return [found[images] for images in sorted(found)]


def _measured(entry: Any, where: str) -> Measured:
    try:
        msgspec.convert(entry["card"], _Card)
        return Measured(
            msgspec.convert(entry["images"], int),
            {name: float(value) for name, value in entry.items() if _is_number(value) and name != "images"},
            msgspec.convert(entry["intervals"], dict[str, tuple[float, float]]),
            msgspec.convert(entry["warnings"], list[str]),
            entry["card"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{where} holds no measures ({error}): remove the line") from error


def _entries(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Number, place in words and JSON of each line; `_CUT` where it is none."""
    if not path.exists():
        return
    if not path.is_file():  # a pipe would never end
        raise ValueError(f"{path} is not a regular file: move it away")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(
            f"{path} is over {MAX_BYTES >> 20} MiB: thin it out, for instance to every tenth line"
        )
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                try:
                    entry = json.loads(text)
                except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, or endless digits
                    entry = _CUT
                yield number, f"{path}, line {number}", entry


def _event(entry: dict[str, Any], where: str) -> dict[str, str]:
    if not all(isinstance(value, str | int | float | None) for value in entry.values()):
        raise ValueError(f"{where} is an event that holds more than text and numbers: remove the line")
    return {key: str(value) for key, value in entry.items() if value is not None}


def _line(entry: Any, where: str) -> dict[str, float]:
    """`entry` as numbers by name; ValueError, naming `where`, if it is anything else."""
    if not isinstance(entry, dict) or "images" not in entry:
        raise ValueError(f'{where} is neither an object with "images" nor an event: remove the line')
    try:
        line = {key: float(value) for key, value in entry.items() if _is_number(value)}
    except OverflowError as error:
        raise ValueError(f"{where} holds an integer beyond all floats: remove the line") from error
    if len(line) < len(entry):
        key = next(key for key in entry if key not in line)
        raise ValueError(f"{where}: {key[:80]!r} is not a number: remove the line")
    if not 0 <= line["images"] < math.inf:
        raise ValueError(f'{where}: "images" is {line["images"]}: remove the line')
    return line


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
