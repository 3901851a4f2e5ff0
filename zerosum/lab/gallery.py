"""The gallery: one page of all experiments in a folder, which needs no network."""

import base64
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from zerosum.lab.experiment import replace_file
from zerosum.lab.table import EXPERIMENTS

__all__ = ["write_gallery"]

PAGE = "index.html"


def write_gallery(folder: Path) -> Path:
    """Write `folder`/index.html from the files that experiments left there; returns its path.

    Experiments stand in the order of their numbers; those without files are named as not run.
    Raises ValueError where a JSON file is not what `zerosum lab` writes.
    """
    shown, missing = [], []
    for name, experiment in EXPERIMENTS.items():
        record, figure = folder / f"{name}.json", folder / f"{name}.svg"
        if record.exists() and figure.exists():
            shown.append(_entry(record, figure))
        else:
            missing.append(experiment)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["minus"] = lambda text: re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)
    text = files("zerosum").joinpath("templates/gallery.html.jinja").read_text(encoding="utf-8")
    page = environment.from_string(text).render(shown=shown, missing=missing)
    path = folder / PAGE
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(path, page.encode())
    return path


def _entry(record: Path, figure: Path) -> dict[str, Any]:
    try:
        about = json.loads(record.read_bytes())
        rows = rows_of(about["numbers"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{record} is not what `zerosum lab` writes; run that experiment again") from error
    image = base64.b64encode(figure.read_bytes()).decode()
    return {**about, "rows": rows, "image": f"data:image/svg+xml;base64,{image}"}


def rows_of(numbers: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Numbers as a table: (name, value), nested names joined; a long list by its ends and length.

    >>> rows_of({"kl": 0.5, "costs": {"at 1": [1.0, 2.25]}})
    [('kl', '0.5'), ('costs · at 1', '1, 2.25')]
    """
    rows: list[tuple[str, str]] = []
    for name, value in numbers.items():
        whole = f"{before} · {name}" if before else str(name)
        if isinstance(value, Mapping):
            rows += rows_of(value, whole)
        else:
            rows.append((whole, _shown(value)))
    return rows


def _shown(value: Any) -> str:
    """
    >>> _shown(1 / 3), _shown([0.5] * 40), _shown(None)
    ('0.33333333', '0.5, 0.5, 0.5 … 0.5 (40 values)', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, list):
        parts = [f"({_shown(item)})" if isinstance(item, list) else _shown(item) for item in value]
        return (
            ", ".join(parts)
            if len(parts) <= 12
            else f"{', '.join(parts[:3])} … {parts[-1]} ({len(parts)} values)"
        )
    return str(value)
