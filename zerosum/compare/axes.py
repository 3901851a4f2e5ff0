"""The axes of a comparison, and how they are read from the command line."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_origin

from zerosum.names import build_part
from zerosum.recipes.parts import PARTS
from zerosum.recipes.table import Recipe

__all__ = ["Axis", "Choice", "Text", "bundle", "merged", "seeds_of", "settings_of", "typed", "unique"]


class Text(tuple[str, ...]):
    """A setting as it was written, once or several times; its type is the recipe's to say."""


@dataclass(frozen=True)
class Choice:
    """One value of an axis: a label, and what it fixes of a cell.

    Settings are the recipe's own values, or `Text`.
    """

    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: str | None = None
    data: str | None = None


Axis = tuple[Choice, ...]


def settings_of(words: Iterable[str], flag: str) -> dict[str, Text]:
    """NAME=VALUE words by name; a name that comes several times holds several values.

    >>> settings_of(["width=16", "hidden=8", "hidden=4"], "--set")
    {'width': ('16',), 'hidden': ('8', '4')}

    Raises ValueError for a word without a name or a value.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise ValueError(f"{flag} {word!r} should be NAME=VALUE, as in width=32")
        found.setdefault(name.strip().replace("-", "_"), []).append(value.strip())
    return {name: Text(values) for name, values in found.items()}


def bundle(text: str) -> Choice:
    """A network, or any other set of settings, with a name: "NAME setting=value setting=value …".

    >>> bundle("bare norm=none critic_norm=none").settings
    {'norm': ('none',), 'critic_norm': ('none',)}

    Raises ValueError where there is no name or no setting.
    """
    words = shlex.split(text)
    if len(words) < 2 or "=" in words[0]:
        raise ValueError(
            f"--net {text!r} should be a name and settings, as in --net 'bare norm=none critic_norm=none'"
        )
    return Choice(words[0], settings_of(words[1:], "--net"))


def seeds_of(text: str) -> tuple[int, ...]:
    """Seeds from "0", "0,3,5" or "0-2".

    >>> seeds_of("0-2,7")
    (0, 1, 2, 7)

    Raises ValueError for anything else, for none, and for one that comes twice.
    """
    seeds: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if match is None:
            raise ValueError(f"--seeds {text!r} should be numbers and ranges, as in 0,3 or 0-2")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + 1000:
            raise ValueError(f"--seeds {part} should go upwards, and over at most 1000 seeds")
        seeds += range(first, last + 1)
    if not seeds:
        raise ValueError("--seeds is empty: give at least one, as in --seeds 0")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {text!r}: a seed comes twice")
    return tuple(seeds)


def unique(axis: Sequence[Choice], flag: str) -> Axis:
    """The axis, or ValueError where one of its choices comes twice."""
    labels = [choice.label for choice in axis]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"{flag} {label} is given twice")
    return tuple(axis)


def merged(choices: Sequence[Choice]) -> Choice:
    """One choice of each axis as one, or ValueError where two fix the same setting.

    >>> merged([Choice("a", {"lr": 1}), Choice("b", {"width": 2})]).label
    'a · b'
    """
    settings: dict[str, Any] = {}
    for choice in choices:
        for name in settings.keys() & choice.settings.keys():
            raise ValueError(f"{name} is set by two axes, the second time by {choice.label!r}: leave one out")
        settings |= choice.settings
    return Choice(
        " · ".join(choice.label for choice in choices),
        settings,
        next((choice.recipe for choice in choices if choice.recipe), None),
        next((choice.data for choice in choices if choice.data), None),
    )


def typed(recipe: Recipe, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as values of the recipe's types, `Text` read as they say.

    >>> from zerosum.recipes.table import RECIPES
    >>> typed(RECIPES["gan"], {"lr": Text(["1e-3"]), "hidden": Text(["8", "4"])})
    {'lr': 0.001, 'hidden': (8, 4)}

    Raises ValueError for a setting that the recipe lacks, a value of another type, an unknown part.
    """
    known = recipe.settings
    values: dict[str, Any] = {}
    for name, value in settings.items():
        one = isinstance(value, Text) and name in known and get_origin(known[name].hint) is not tuple
        if one and len(value) > 1:
            raise ValueError(f"recipe {recipe.name}: {name} takes one value, not {', '.join(value)}")
        values[name] = value[0] if one else value
    read = recipe.check(values, strict=False)
    for name, value in read.items():
        table = PARTS.get(name.removeprefix("generator_"), {})
        texts = value if isinstance(value, tuple) else (value,)
        for text in texts if table and name != "batch_layer" else ():  # that one is built for a critic
            if text != "none":
                build_part(table, text, name)
    return read
