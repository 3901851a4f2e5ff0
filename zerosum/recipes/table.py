"""Every recipe by name: the one place where a name becomes a function."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zerosum.names import check_arguments, look_up
from zerosum.recipes.classic import dcgan, gan, wgan_gp
from zerosum.recipes.system import System

__all__ = ["RECIPES", "Recipe", "arguments_of"]


@dataclass(frozen=True)
class Recipe:
    """A paper's system: the function that builds it, whose defaults are the paper's, and presets."""

    name: str
    build: Callable[..., System]
    paper: str
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.build) or self.name).splitlines()[0]


_SMALL_CONVOLUTIONAL = {"width": 32, "kernel": 4, "batch": 64, "fakes": "shared"}

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "gan",
            gan,
            "Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
            {"small": {"hidden": (256, 256), "critic_hidden": (64, 64), "images": 1_000_000}},
        ),
        Recipe(
            "dcgan",
            dcgan,
            "Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434",
            {"small": {**_SMALL_CONVOLUTIONAL, "images": 400_000}},
        ),
        Recipe(
            "wgan-gp",
            wgan_gp,
            "Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028",
            {"small": {**_SMALL_CONVOLUTIONAL, "images": 1_000_000}},
        ),
    )
}


def arguments_of(recipe: Recipe, given: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
    """All of a recipe's arguments: its defaults, the preset's, and those given, checked.

    >>> arguments_of(RECIPES["dcgan"], {"width": 16}, "small")["width"]
    16

    Raises ValueError for unknown presets and settings, with the nearest known, and for wrong types.
    """
    chosen = dict(look_up(recipe.presets, preset, f"preset of {recipe.name}")) if preset else {}
    chosen |= given
    checked = check_arguments(recipe.build, chosen, f"recipe {recipe.name}")
    parameters = inspect.signature(recipe.build).parameters
    defaults = {name: p.default for name, p in parameters.items() if name != "shape"}
    return {**defaults, **{name: value for name, value in checked.items() if name != "shape"}}
