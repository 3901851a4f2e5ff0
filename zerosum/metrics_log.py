"""Reading a run's metrics.jsonl, which a crash may have cut and anybody may have edited."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Metrics", "read_metrics"]

MAX_BYTES = 64 * 2**20  # some 200,000 lines of a usual game
MAX_NAMES = 256


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
    path = run / "metrics.jsonl"
    if not path.exists():
        return Metrics([], [], [])
    if not path.is_file():  # a pipe would never end
        raise ValueError(f"{path} is not a regular file: move it away")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(
            f"{path} is over {MAX_BYTES >> 20} MiB: thin it out, for instance to every tenth line"
        )
    lines: list[dict[str, float]] = []
    events: list[dict[str, str]] = []
    cut: list[int] = []
    names: set[str] = set()
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                entry = json.loads(text)
            except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, or endless digits
                cut.append(number)
                continue
            where = f"{path}, line {number}"
            if isinstance(entry, dict) and "event" in entry:
                events.append(_event(entry, where))
                continue
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
