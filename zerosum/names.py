"""Settings by name: unknown ones are answered with the nearest known, wrong ones with what would do."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["build_part", "check_arguments", "convert", "look_up", "unknown"]

T = TypeVar("T")


def unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known, with the nearest that is.

    >>> print(unknown("recipe", "dgcan", ["dcgan", "gan"]))
    unknown recipe 'dgcan': did you mean 'dcgan'? There are dcgan, gan
    """
    known = sorted(known)
    near = get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ValueError(f"unknown {what} {name!r}: {hint}There are {', '.join(known) or 'none'}")


def look_up(table: Mapping[str, T], name: str, what: str) -> T:
    """`table[name]`, or the error of `unknown`.

    >>> look_up({"gan": 1}, "gan", "recipe")
    1
    """
    if name not in table:
        raise unknown(what, name, table)
    return table[name]


def build_part(table: Mapping[str, Callable[..., T]], text: str, what: str) -> T:
    """A part from `name` or `name:value,key=value`; values are read as the function's hints say.

    Values without a key fill the parameters in the order of the signature, and come first.

    >>> def r1(weight: float = 10.0, every: int = 1): return weight, every
    >>> build_part({"r1": r1}, "r1:5,every=16", "penalty")
    (5.0, 16)

    Raises ValueError for an unknown name, an unknown key, a value of another type, too many values.
    """
    name, _, rest = text.partition(":")
    name = name.strip()
    function = look_up(table, name, what)
    parameters = inspect.signature(function).parameters
    given: dict[str, Any] = {}
    named = False
    for number, item in enumerate(filter(None, (item.strip() for item in rest.split(",")))):
        key, equals, value = (side.strip() for side in item.partition("="))
        if equals:
            named = True
        elif named:
            raise ValueError(f"{what} {text!r}: {item!r} comes after a key=value, so it needs its key too")
        elif number >= len(parameters):
            takes = f"only {', '.join(parameters)}" if parameters else "no settings"
            raise ValueError(f"{what} {text!r}: {item!r} is too much, {name} takes {takes}")
        else:
            key, value = list(parameters)[number], item
        if key in given:
            raise ValueError(f"{what} {text!r}: {key!r} is given twice")
        given[key] = value
    arguments = check_arguments(function, given, f"{what} {name}", strict=False)
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise ValueError(f"{what} {text!r}: needs {key}, as in {name}:{key}=…")
    return function(**arguments)


def check_arguments(
    function: Callable[..., Any], given: Mapping[str, Any], what: str, *, strict: bool = True
) -> dict[str, Any]:
    """The `given` keyword arguments, checked against a function's names and type hints.

    With `strict` off, numbers may come as text. Returns only what was given. Raises ValueError.

    >>> def f(*, weight: float = 1.0): ...
    >>> check_arguments(f, {"weight": "3"}, "penalty", strict=False)
    {'weight': 3.0}
    """
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function)
    checked = {}
    for name, value in given.items():
        if name not in parameters:
            raise unknown(f"setting of {what}", name, parameters)
        checked[name] = convert(value, hints.get(name, Any), what, name, strict=strict)
    return checked


def convert(value: Any, hint: Any, what: str, name: str, *, strict: bool = True) -> Any:
    """A setting's value as its type hint says; with `strict` off, numbers may come as text.

    >>> convert("3", float, "penalty r1", "weight", strict=False)
    3.0

    Raises ValueError that names the setting.
    """
    try:
        return msgspec.convert(value, hint, strict=strict)
    except msgspec.ValidationError as error:
        choices = ", ".join(map(str, get_args(hint))) if get_origin(hint) is Literal else ""
        reason = f"choose {choices}" if choices else error
        raise ValueError(f"{what}: {name}={value!r} is not usable: {reason}") from error
