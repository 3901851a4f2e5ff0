"""A run's report: one HTML page that needs nothing beside itself, not even a network.

Whatever stands in a run directory is treated as untrusted: it is escaped on the page, bounded in
size, and the page's content security policy lets no script run but the page's own.
"""

import base64
import hashlib
import json
import math
import os
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import numpy as np
from jinja2 import Environment, StrictUndefined

from zerosum.charts import charts, measure_charts
from zerosum.data.pictures import ROWS
from zerosum.frames import frames, number
from zerosum.metrics_log import Metrics, read_measures, read_metrics

__all__ = ["Told", "command_line", "watched", "write_report"]

MAX_RECIPE_BYTES = 2**20
MAX_EVENTS = 100
MAX_DEPTH = 8
SECTIONS = ("arguments", "data", "training", "environment")


def write_report(run: Path) -> Path:
    """Write `run`/report.html, a self-contained page about the run, and return its path.

    What the run has not made yet (metrics, samples) is named on the page as missing. The page is
    written beside its place and moved there whole, so a reader never meets half of one.

    Raises FileNotFoundError where `run` is no run directory, and ValueError, naming the file, where
    recipe.json, metrics.jsonl or measures.jsonl is not what zerosum writes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as run:
    ...     _ = Path(run, "recipe.json").write_text('{"recipe": "dcgan", "arguments": {"latent": 100}}')
    ...     write_report(Path(run)).name
    'report.html'
    """
    recipe = _read_recipe(run)
    metrics = read_metrics(run)
    shown, left_out = frames(run / "samples", recipe["data"].get("format"))
    page = _template().render(
        name=run.resolve().name or str(run),
        recipe=recipe["recipe"],
        data=_shown(recipe["data"].get("name") or recipe["data"].get("where") or "unnamed data"),
        tables={section: _rows(recipe[section]) for section in SECTIONS},
        command=command_line(recipe),
        summary=_summary(recipe, metrics),
        metrics=metrics,
        events=_plain(metrics)[-MAX_EVENTS:],
        watched=watched(metrics.events)[-MAX_EVENTS:],
        frames=shown,
        left_out=left_out,
        rows=_rows_of_grid(recipe["data"]),
        charts=[*measure_charts(read_measures(run)), *charts(metrics.lines)],
        checkpoints=sorted(path.name for path in (run / "checkpoints").glob("*.safetensors")),
    )
    path = run / "report.html"
    part = run / f".report.html.{secrets.token_hex(4)}.partial"
    try:
        # JSON may hold half a surrogate pair, which UTF-8 cannot.
        with part.open("x", encoding="utf-8", errors="replace") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def command_line(recipe: Mapping[str, Any]) -> str:
    """The command that trains again what a recipe.json describes, quoted for a POSIX shell.

    Settings that are not set, or that a known recipe has by default, are left out.

    >>> command_line({"recipe": "dcgan", "arguments": {"latent": 100, "penalty": ["r1:weight=10"]},
    ...               "data": {"where": "my photos", "size": [48, 80]}, "training": {"clip": None}})
    "zerosum train dcgan --data 'my photos' --size 48x80 --penalty r1:weight=10"
    """
    data = dict(recipe.get("data", {}))
    sides = data.get("size")
    if isinstance(sides, list):
        data["size"] = "x".join(map(str, sides[:1] if len(set(map(str, sides))) == 1 else sides))
    if isinstance(data.get("range"), list):
        data["range"] = tuple(data["range"])
    asked = {name: data.get(name) for name in ("size", "channels", "range", "flip", "split", "labels")}
    usual, fixed = _signature(recipe["recipe"])
    settings = {**recipe.get("arguments", {}), **recipe.get("training", {})}
    options = {"data": data.get("where"), **{name: value for name, value in asked.items() if value}}
    for name, value in settings.items():
        nothing = value is None or value is False or value == []
        if value != usual[name] if name in usual else not nothing:
            options[name] = tuple(value) if name in fixed and isinstance(value, list) else value
    processes = recipe.get("environment", {}).get("processes")
    several = isinstance(processes, int) and processes > 1
    start = ["torchrun", "--nproc-per-node", str(processes), "-m", "zerosum"] if several else ["zerosum"]
    options = {name.replace("_", "-"): value for name, value in options.items() if value is not None}
    words = [word for name, value in options.items() for word in _option(name, value)]
    return shlex.join([*start, "train", recipe["recipe"], *words])


def _signature(recipe: str) -> tuple[dict[str, Any], set[str]]:
    """A known recipe's defaults, as JSON has them, and which of its settings are tuples of fixed length."""
    from zerosum.recipes.table import RECIPES

    if recipe not in RECIPES:
        return {}, set()
    settings = RECIPES[recipe].settings.values()
    defaults = {s.name: list(s.default) if isinstance(s.default, tuple) else s.default for s in settings}
    tuples = {s.name: get_args(s.hint) for s in settings if get_origin(s.hint) is tuple}
    return defaults, {name for name, kinds in tuples.items() if ... not in kinds}


def _option(name: str, value: Any) -> list[str]:
    """One setting as words: a list as one option for each item, a tuple as one option of several words."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [word for item in value or ["none"] for word in _option(name, item)]
    words = [_word(item) for item in (value if isinstance(value, tuple) else (value,))]
    joined = words and words[0].startswith("-")  # else it would be read as an option
    return [f"--{name}={words[0]}", *words[1:]] if joined else [f"--{name}", *words]


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _read_recipe(run: Path) -> dict[str, Any]:
    """recipe.json, its sections present (perhaps empty) and objects."""
    path = run / "recipe.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing, so {run} is not a run directory: name the one given to `zerosum train --out`"
        )
    if path.stat().st_size > MAX_RECIPE_BYTES:
        raise ValueError(
            f"{path} is over {MAX_RECIPE_BYTES >> 20} MiB: it is not what `zerosum train` writes"
        )
    try:
        recipe = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): restore it from a copy") from error
    if not isinstance(recipe, dict) or not isinstance(recipe.get("recipe"), str):
        raise ValueError(f'{path} names no "recipe": restore it from a copy')
    if _depth(recipe) > MAX_DEPTH:
        raise ValueError(f"{path} is nested over {MAX_DEPTH} deep: restore it from a copy")
    for section in SECTIONS:
        if not isinstance(recipe.setdefault(section, {}), dict):
            raise ValueError(f'{path}: "{section}" is not an object: restore it from a copy')
    return recipe


def _rows_of_grid(data: Mapping[str, Any]) -> str:
    """Which class each row of the sample grids is of, in words; "" where rows are of no class."""
    classes, form = data.get("classes"), data.get("format")
    points = isinstance(form, dict) and isinstance(form.get("shape"), list) and len(form["shape"]) == 1
    if data.get("labels") is None or not isinstance(classes, list) or not classes or points:
        return ""
    shown = ", ".join(str(name)[:40] for name in classes[:ROWS])
    more = f"; the other {len(classes) - ROWS} classes are not shown" if len(classes) > ROWS else ""
    return f"Each row is of one class, from the top: {shown}{more}."


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [
            item.values() if isinstance(item, dict) else item
            for item in level
            if isinstance(item, dict | list)
        ]
        level = [child for children in inner for child in children]
    return depth


class Told(NamedTuple):
    """A diagnosis of the watch: from how many images to how many it held ("" if it still does), and why."""

    diagnosis: str
    begin: str
    end: str
    evidence: str
    remedies: str


def watched(events: Sequence[Mapping[str, str]]) -> list[Told]:
    """What the watch told during a run, each diagnosis with its end, in the order of their beginnings.

    >>> begins = {"event": "watch", "images": "640", "diagnosis": "oscillation", "state": "begins"}
    >>> watched([begins, {**begins, "images": "960", "state": "ends"}])[0][:3]
    ('oscillation', '640', '960')
    """
    found: list[Told] = []
    for event in events:
        if event["event"] != "watch":
            continue
        images, name = event.get("images", ""), event.get("diagnosis", "")
        if event.get("state") == "ends":
            for place, told in enumerate(found):
                if told.diagnosis == name and not told.end:
                    found[place] = told._replace(end=images)
        else:
            found.append(Told(name, images, "", event.get("evidence", ""), event.get("remedies", "")))
    return found


def _plain(metrics: Metrics) -> list[dict[str, str]]:
    """The events but for the watch's, which tell nothing of whether a run is running."""
    return [event for event in metrics.events if event["event"] != "watch"]


class _Summary(NamedTuple):
    images: float
    target: float | None
    seconds: float | None
    rate: float | None
    state: str
    message: str


_STATES = {
    "started": "running, or cut off without a word",
    "resumed": "running, or cut off without a word",
    None: "not started",
}


def _summary(recipe: Mapping[str, Any], metrics: Metrics) -> _Summary:
    last = metrics.lines[-1] if metrics.lines else {}
    rates = [line["rate"] for line in metrics.lines if math.isfinite(line.get("rate", math.nan))]
    event = (_plain(metrics) or [{}])[-1]
    told = float(event["images"]) if re.fullmatch(r"\d{1,15}", event.get("images", "")) else 0.0
    return _Summary(
        images=max(last.get("images", 0.0), told),
        target=number(recipe["training"].get("images")),
        seconds=last.get("seconds"),
        rate=float(np.median(rates)) if rates else None,
        state=_STATES.get(event.get("event"), event.get("event", "")),
        message=event.get("message", ""),
    )


def _template() -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": _count, "duration": _duration, "shown": _shown, "digest": _digest}
    text = files("zerosum").joinpath("templates/report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


def _count(number: float) -> str:
    return f"{number:,.0f}" if abs(number) < 1e15 else f"{number:g}"


def _duration(seconds: float) -> str:
    """
    >>> _duration(5025.0), _duration(65.0), _duration(3.2)
    ('1 h 23 min', '1 min 5 s', '3 s')
    """
    if not 0 <= seconds < 1e12:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _shown(value: Any) -> str:
    """A setting as people read it; long ones are cut short.

    >>> _shown([28, 28]), _shown(None), _shown(True)
    ('28, 28', 'not set', 'yes')
    """
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ", ".join(map(_shown, value)) or "none"
    else:
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return text if len(text) <= 400 else text[:400] + " …"


def _rows(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A section of recipe.json as a table: (name, value) in people's words."""
    rows = []
    for name, value in section.items():
        if name == "format" and isinstance(value, dict):
            rows += _rows(value)
        elif name == "classes" and isinstance(value, list):
            rows.append((name, f"{len(value)}: {_shown(value)}" if value else "none"))
        else:
            rows.append((name.replace("_", " "), _shown(value)))
    return rows


def _digest(script: str) -> str:
    """What a content security policy names a script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
