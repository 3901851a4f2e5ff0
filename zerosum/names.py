"""Settings by name: unknown ones are answered with the nearest known, wrong ones with what would do."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_type_hints

import msgspec

__all__ = ["build_part", "check_arguments", "look_up", "unknown"]

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
    """A part from `name` or `name:key=value,key=value`; values are read as the function's hints say.

    >>> build_part({"r1": lambda weight=10.0: weight}, "r1", "penalty")
    10.0

    Raises ValueError for an unknown name, an unknown key, a value of another type.
    """
    name, _, rest = text.partition(":")
    function = look_up(table, name.strip(), what)
    given: dict[str, Any] = {}
    for item in filter(None, (item.strip() for item in rest.split(","))):
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{what} {text!r}: {item!r} should be key=value")
        if key.strip() in given:
            raise ValueError(f"{what} {text!r}: {key.strip()!r} is given twice")
        given[key.strip()] = value.strip()
    arguments = check_arguments(function, given, f"{what} {name}", strict=False)
    for key, parameter in inspect.signature(function).parameters.items():
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
        try:
            checked[name] = msgspec.convert(value, hints.get(name, Any), strict=strict)
        except msgspec.ValidationError as error:
            raise ValueError(f"{what}: {name}={value!r} is not usable: {error}") from error
    return checked
