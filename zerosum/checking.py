"""What `check-data`, `recipes` and `parts` say, as JSON-ready dictionaries and as text."""

import inspect
from collections.abc import Callable
from typing import Any

from zerosum.data import Dataset
from zerosum.divergences import DIVERGENCES
from zerosum.names import look_up
from zerosum.recipes.glossary import SETTINGS
from zerosum.recipes.parts import PARTS
from zerosum.recipes.table import RECIPES

__all__ = [
    "describe_data",
    "describe_parts",
    "describe_recipes",
    "summarise_data",
    "summarise_parts",
    "summarise_recipes",
]


def summarise_data(dataset: Dataset) -> dict[str, Any]:
    """A data set's facts and what its check found, JSON-ready."""
    check, labels = dataset.check, dataset.labels
    counts = {}
    if labels is not None:
        counts = {name: int((labels == i).sum()) for i, name in enumerate(dataset.classes)}
    return {
        "name": dataset.name,
        "found": check.found,
        "kept": check.kept,
        "shape": list(dataset.format.shape),
        "dtype": dataset.format.dtype,
        "low": dataset.format.low,
        "high": dataset.format.high,
        "classes": counts,
        "converted": dict(check.converted),
        "notes": list(check.notes),
        "set_aside": [{"path": path, "reason": reason} for path, reason in check.set_aside],
        "fingerprint": dataset.fingerprint,
    }


def describe_data(dataset: Dataset) -> str:
    """The same for people, every file that was set aside with its reason."""
    facts = summarise_data(dataset)
    shape = "×".join(map(str, facts["shape"]))
    lines = [
        f"{facts['name']}: {facts['kept']:,} of {facts['found']:,} can be used",
        f"  each {shape} ({'points' if dataset.format.points else 'channels×height×width'}), "
        f"{facts['dtype']}, {facts['low']:g} to {facts['high']:g}",
        f"  fingerprint {facts['fingerprint'][:16]}",
    ]
    if facts["classes"]:
        shown = ", ".join(f"{name} {count:,}" for name, count in list(facts["classes"].items())[:20])
        more = len(facts["classes"]) - 20
        lines.append(f"  classes: {shown}{f' and {more} more' if more > 0 else ''}")
    lines += [f"  converted: {what} ({count:,})" for what, count in facts["converted"].items()]
    lines += [f"  {note}" for note in facts["notes"]]
    lines += [f"  set aside: {item['path']}: {item['reason']}" for item in facts["set_aside"]]
    return "\n".join(lines)


def summarise_recipes(name: str | None = None) -> dict[str, Any]:
    """Each recipe's paper, defaults and presets, JSON-ready; `name` picks one."""
    chosen = RECIPES if name is None else {name: look_up(RECIPES, name, "recipe")}
    return {
        recipe.name: {
            "summary": recipe.summary,
            "paper": recipe.paper,
            "settings": {key: setting.default for key, setting in recipe.settings.items()},
            "presets": {preset: dict(values) for preset, values in recipe.presets.items()},
        }
        for recipe in chosen.values()
    }


def describe_recipes(name: str | None = None) -> str:
    """The same for people: a short list, or one recipe with every setting explained.

    >>> print(describe_recipes().splitlines()[0])
    gan: The first GAN: perceptrons, maxout, momentum (Goodfellow et al. 2014).
    """
    lines = []
    for key, facts in summarise_recipes(name).items():
        lines += [f"{key}: {facts['summary']}", f"  paper: {facts['paper']}"]
        if name is None:
            lines.append("  " + ", ".join(f"{k}={_plain(v)}" for k, v in facts["settings"].items()))
        else:
            lines += [f"  {k} = {_plain(v)}\n      {SETTINGS[k]}" for k, v in facts["settings"].items()]
        for preset, values in facts["presets"].items():
            lines.append(f"  --preset {preset}: " + ", ".join(f"{k}={_plain(v)}" for k, v in values.items()))
    return "\n".join(lines)


def summarise_parts(setting: str | None = None) -> dict[str, Any]:
    """What each of the settings that name a part may name, JSON-ready; `setting` picks one."""
    kind = (setting or "").replace("-", "_")
    chosen = {kind: look_up(PARTS, kind, "kind of part")} if kind else PARTS
    return {kind: {name: _part(part) for name, part in table.items()} for kind, table in chosen.items()}


def _part(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    settings = {p.name: None if p.default is p.empty else p.default for p in parameters}
    return {"summary": (inspect.getdoc(function) or "").splitlines()[0], "settings": settings}


def describe_parts(setting: str | None = None) -> str:
    """The same for people: a line of what each part is, and how it is spelt with its defaults.

    >>> print(describe_parts("constraint").splitlines()[1])
      --constraint clip:bound=0.01
    """
    lines = []
    for kind, table in summarise_parts(setting).items():
        lines.append(f"{kind.replace('_', ' ')}:")
        for name, facts in sorted(table.items()):
            values = ",".join(f"{k}={'…' if v is None else v}" for k, v in facts["settings"].items())
            lines.append(f"  --{kind.replace('_', '-')} {name}{values and ':' + values}")
            lines.append(f"      {facts['summary']}")
    if setting in (None, "objective"):
        lines.append(f"\nf:name=… is one of {', '.join(DIVERGENCES)}, or alpha, as in f:alpha,0.5")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "not given" if value is None else str(value)
