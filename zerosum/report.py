"""A run's report: one HTML page that needs nothing beside itself, not even a network.

Whatever stands in a run directory is treated as untrusted: it is escaped on the page, bounded in
size, and the page's content security policy lets no script run but the page's own.
"""

import base64
import hashlib
import io
import json
import math
import os
import re
import secrets
import shlex
import warnings
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image

from zerosum.charts import charts
from zerosum.metrics_log import Metrics, read_metrics

__all__ = ["command_line", "write_report"]

MAX_RECIPE_BYTES = 2**20
MAX_PIXELS = 2**25  # a grid of 8×8 pictures of 512×512 has half of this
MAX_FRAMES = 12
MAX_EVENTS = 100
MAX_DEPTH = 8
SECTIONS = ("arguments", "data", "training", "environment")


def write_report(run: Path) -> Path:
    """Write `run`/report.html, a self-contained page about the run, and return its path.

    What the run has not made yet (metrics, samples) is named on the page as missing. The page is
    written beside its place and moved there whole, so a reader never meets half of one.

    Raises FileNotFoundError where `run` is no run directory, and ValueError, naming the file, where
    recipe.json or metrics.jsonl is not what `zerosum train` writes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as run:
    ...     _ = Path(run, "recipe.json").write_text('{"recipe": "dcgan", "arguments": {"latent": 100}}')
    ...     write_report(Path(run)).name
    'report.html'
    """
    recipe = _read_recipe(run)
    metrics = read_metrics(run)
    frames, left_out = _frames(run / "samples", recipe["data"].get("format"))
    page = _template().render(
        name=run.resolve().name or str(run),
        recipe=recipe["recipe"],
        data=_shown(recipe["data"].get("name") or recipe["data"].get("where") or "unnamed data"),
        tables={section: _rows(recipe[section]) for section in SECTIONS},
        command=command_line(recipe),
        summary=_summary(recipe, metrics),
        metrics=metrics,
        events=metrics.events[-MAX_EVENTS:],
        frames=frames,
        left_out=left_out,
        charts=charts(metrics.lines),
        checkpoints=sorted(path.name for path in (run / "checkpoints").glob("*.safetensors")),
    )
    path = run / "report.html"
    part = run / f".report-{secrets.token_hex(4)}.part"
    try:
        with part.open(
            "x", encoding="utf-8", errors="replace"
        ) as file:  # JSON may hold half a surrogate pair
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def command_line(recipe: Mapping[str, Any]) -> str:
    """The command that trains again what a recipe.json describes, quoted for a POSIX shell.

    Settings that are null are left out; true and false become `--x` and `--no-x`, a list one option
    for each of its values, an image size HxW.

    >>> command_line({"recipe": "dcgan", "arguments": {"latent": 100, "penalty": ["r1:weight=10"]},
    ...               "data": {"where": "my photos", "size": [48, 80]}, "training": {"clip": None}})
    "zerosum train dcgan --data 'my photos' --size 48x80 --latent 100 --penalty r1:weight=10"
    """
    data = recipe.get("data", {})
    size = data.get("size")
    if isinstance(size, list):
        sides = [str(side) for side in size]
        size = sides[0] if len(set(sides)) == 1 else "x".join(sides)
    span = data.get("range")
    options = {
        "data": data.get("where"),
        "size": size,
        "channels": data.get("channels"),
        "range": ",".join(map(str, span)) if isinstance(span, list) else span,
        "flip": data.get("flip"),
        "split": data.get("split"),
        **recipe.get("arguments", {}),
        **recipe.get("training", {}),
    }
    processes = recipe.get("environment", {}).get("processes")
    several = isinstance(processes, int) and processes > 1
    start = ["torchrun", "--nproc-per-node", str(processes), "-m", "zerosum"] if several else ["zerosum"]
    words = [*start, "train", recipe["recipe"]]
    for name, value in options.items():
        words += _option(name.replace("_", "-"), value)
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [word for item in value for word in _option(name, item)] or [f"--empty-{name}"]
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]


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


def _number(value: Any) -> float | None:
    """`value` if it is a number that can be drawn and compared, else None."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if known else None


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
    event = metrics.events[-1] if metrics.events else {}
    told = float(event["images"]) if re.fullmatch(r"\d{1,15}", event.get("images", "")) else 0.0
    return _Summary(
        images=max(last.get("images", 0.0), told),
        target=_number(recipe["training"].get("images")),
        seconds=last.get("seconds"),
        rate=float(np.median(rates)) if rates else None,
        state=_STATES.get(event.get("event"), event.get("event", "")),
        message=event.get("message", ""),
    )


class _Frame(NamedTuple):
    images: int
    uri: str
    size: tuple[int, int]  # of the embedded picture: width, height


def _frames(folder: Path, form: Any) -> tuple[list[_Frame], list[str]]:
    """At most `MAX_FRAMES` sample grids, oldest first, and what cannot be shown, each with its reason.

    Frames lie closer together at the start, where pictures change fastest; the latest is largest.
    """
    grids = sorted(path for path in folder.glob("*") if re.fullmatch(r"\d{12}\.(png|tiff?)", path.name))
    left_out = [f"{path.name}: browsers cannot show it" for path in grids if path.suffix != ".png"]
    grids = [path for path in grids if path.suffix == ".png"]
    if not grids:
        return [], left_out
    spread = np.geomspace(1, len(grids), MAX_FRAMES).round().astype(int) - 1
    chosen = sorted(set(spread.tolist())) if len(grids) > MAX_FRAMES else range(len(grids))
    frames = []
    for index in chosen:
        path = grids[index]
        latest = index == len(grids) - 1
        try:
            picture = _eight_bits(path, form)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            left_out.append(f"{path.name}: {error}")
            continue
        uri = _data_uri(picture, side=1200 if latest else 640, limit=1_200_000 if latest else 160_000)
        frames.append(_Frame(int(path.stem), uri, picture.size))
    return frames, left_out


def _eight_bits(path: Path, form: Any) -> Image.Image:
    """The picture at `path` as 8-bit grey or RGB; 16-bit values from the data's low..high (or 0..65535)."""
    if not path.is_file():
        raise ValueError("not a regular file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound here is tighter
        picture = Image.open(path, formats=["PNG"])
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(f"{picture.width}×{picture.height} pixels are too many to show")
        if not picture.mode.startswith("I"):
            return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
        values = np.asarray(picture, dtype=np.float64)
    known = form if isinstance(form, dict) else {}
    low, high = _number(known.get("low")), _number(known.get("high"))
    if low is None or high is None or not values.min() >= low < high >= values.max():
        low, high = 0.0, 65535.0
    scaled = (values - low) / (high - low) * 255
    return Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def _data_uri(picture: Image.Image, side: int, limit: int) -> str:
    """A data URI of at most about `limit` bytes: PNG if that fits, else JPEG, else smaller."""
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)  # in place; never enlarges
    while True:
        for form, options in (("PNG", {}), ("JPEG", {"quality": 88})):
            buffer = io.BytesIO()
            picture.save(buffer, form, **options)
            text = base64.b64encode(buffer.getvalue()).decode()
            if len(text) <= limit:
                return f"data:image/{form.lower()};base64,{text}"
        picture.thumbnail((picture.width // 2, picture.height // 2))


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
