"""Every recipe by name: the one place where a name becomes a function."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, NamedTuple, get_type_hints

from zerosum.names import convert, look_up, unknown
from zerosum.recipes.attentive import biggan, sagan
from zerosum.recipes.classic import dcgan, gan, wgan_gp
from zerosum.recipes.growing import progan
from zerosum.recipes.inpainting import PRESETS as CONTEXT
from zerosum.recipes.inpainting import context_encoder
from zerosum.recipes.labelled import PRESETS as LABELLED
from zerosum.recipes.labelled import acgan, cgan, projection_gan
from zerosum.recipes.likelihood import PRESETS as VAE
from zerosum.recipes.likelihood import vae
from zerosum.recipes.modern import r3gan
from zerosum.recipes.mri import PRESETS as MRI
from zerosum.recipes.mri import gancs
from zerosum.recipes.residual import sngan, wgan_gp_resnet
from zerosum.recipes.system import System

__all__ = ["RECIPES", "Recipe", "Setting", "arguments_of"]


class Setting(NamedTuple):
    """A setting of a recipe: its name, its default, the type of its values."""

    name: str
    default: Any
    hint: Any


@dataclass(frozen=True)
class Recipe:
    """A paper's system: the function that builds it, whose defaults are the paper's, and presets.

    `function(shape, *, …)` takes keyword arguments with defaults. Where a default is a dataclass, such
    as the `Rules` that all two-player recipes share, each of its fields is a setting of the recipe.
    `labels` tells whether it makes samples by class: a function to which they are not "unused" is
    called `function(shape, classes, *, …)`, with 0 classes for none.
    """

    name: str
    function: Callable[..., System]
    paper: str
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    labels: Literal["unused", "optional", "needed"] = "unused"

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or self.name).splitlines()[0]

    @property
    def settings(self) -> Mapping[str, Setting]:
        """All settings by name, the shared ones last.

        >>> RECIPES["dcgan"].settings["lr"].default
        0.0002
        """
        return {setting.name: setting for _, setting in self._walk()}

    def _walk(self) -> Iterator[tuple[str | None, Setting]]:
        """Each setting with the argument whose field it is, if any."""
        hints = get_type_hints(self.function)
        for name, parameter in inspect.signature(self.function).parameters.items():
            if parameter.kind is not parameter.KEYWORD_ONLY:
                continue
            default = parameter.default
            if is_dataclass(default) and not isinstance(default, type):
                inner = get_type_hints(type(default))
                for one in fields(default):
                    yield name, Setting(one.name, getattr(default, one.name), inner[one.name])
            elif default is parameter.empty:
                raise TypeError(f"recipe {self.name}: {name} has no default")
            else:
                yield None, Setting(name, default, hints[name])

    def check(self, given: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
        """What was given, checked by names and types; with `strict` off, numbers may come as text.

        >>> RECIPES["dcgan"].check({"width": "16"}, strict=False)
        {'width': 16}

        Raises ValueError for an unknown setting, naming the nearest, and for a value of another type.
        """
        settings = self.settings
        for name in given:
            if name not in settings:
                raise unknown(f"setting of recipe {self.name}", name, settings)
        what = f"recipe {self.name}"
        return {
            name: convert(value, settings[name].hint, what, name, strict=strict)
            for name, value in given.items()
        }

    def build(
        self, shape: tuple[int, ...], settings: Mapping[str, Any] | None = None, classes: int = 0
    ) -> System:
        """The system for samples of this shape; settings that are not given have their defaults.

        >>> RECIPES["dcgan"].build((1, 16, 16), {"width": 4, "lr": 1e-3}).batch
        128

        Raises ValueError as `check` does, where settings contradict each other, and where labels are
        given to a recipe that has no use for them or are not given to one that needs them.
        """
        if classes and self.labels == "unused":
            able = ", ".join(name for name, recipe in RECIPES.items() if recipe.labels != "unused")
            raise ValueError(
                f"recipe {self.name} takes no labels: leave --labels out, or choose one of {able}"
            )
        if not classes and self.labels == "needed":
            raise ValueError(
                f"recipe {self.name} makes samples by class, and the data have no labels: sort the images "
                "into class subfolders, or give an array of them with --labels"
            )
        given = self.check(settings or {})
        parameters = inspect.signature(self.function).parameters
        arguments: dict[str, Any] = {}
        shared: dict[str, dict[str, Any]] = {}
        for argument, setting in self._walk():
            if setting.name in given:
                into = arguments if argument is None else shared.setdefault(argument, {})
                into[setting.name] = given[setting.name]
        changed = {name: replace(parameters[name].default, **values) for name, values in shared.items()}
        labels = () if self.labels == "unused" else (classes,)
        return self.function(shape, *labels, **arguments, **changed)


_SMALL_CONVOLUTIONAL = {"width": 32, "kernel": 4, "batch": 64, "fakes": "shared"}
_SMALL_RESIDUAL = {"width": 64, "critic_width": 64, "flat": 1, "fakes": "shared"}
_SMALL_ATTENTIVE = {
    **_SMALL_RESIDUAL,
    "growth": 1,
    "lr": 2e-4,
    "critic_lr": 4e-4,
    "batch": 64,
    "images": 400_000,
}

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "gan",
            gan,
            "Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
            {"small": {"hidden": (256, 256), "critic_hidden": (64, 64), "images": 3_000_000}},
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
            {"small": {**_SMALL_CONVOLUTIONAL, "lr": 5e-4, "images": 500_000}},
        ),
        Recipe(
            "wgan-gp-resnet",
            wgan_gp_resnet,
            "Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028",
            {
                "small": {
                    **_SMALL_RESIDUAL,
                    "lr": 5e-4,
                    "schedule": ("linear:start=0,stop=500000",),
                    "images": 500_000,
                }
            },
            labels="optional",
        ),
        Recipe(
            "sngan",
            sngan,
            "Miyato et al. 2018, Spectral Normalization for GANs, arXiv:1802.05957",
            {
                "small": {
                    **_SMALL_RESIDUAL,
                    "critic_steps": 1,
                    "critic_lr": 4e-4,
                    "schedule": ("linear:start=0,stop=500000",),
                    "images": 500_000,
                },
                "large": {"width": 64, "critic_width": 64, "growth": 16, "flat": 1},
            },
        ),
        Recipe(
            "sagan",
            sagan,
            "Zhang et al. 2019, Self-Attention Generative Adversarial Networks, arXiv:1805.08318",
            {"small": _SMALL_ATTENTIVE},
            labels="optional",
        ),
        Recipe(
            "biggan",
            biggan,
            "Brock, Donahue & Simonyan 2019, Large Scale GAN Training for High Fidelity Natural Image "
            "Synthesis, arXiv:1809.11096",
            {
                "small": {**_SMALL_ATTENTIVE, "critic_steps": 1, "average": 0.999},
                "cifar": {
                    "latent": 128,
                    "shared": 0,
                    "latent_to": "first",
                    "width": 256,
                    "critic_width": 256,
                    "growth": 1,
                    "flat": 2,
                    "attention": 0,
                    "init": "normal",
                    "regulariser": (),
                    "critic_steps": 4,
                    "lr": 2e-4,
                    "critic_lr": 2e-4,
                    "batch": 50,
                    "images": 25_000_000,
                },
            },
            labels="optional",
        ),
        Recipe(
            "cgan",
            cgan,
            "Mirza & Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784",
            LABELLED["cgan"],
            labels="needed",
        ),
        Recipe(
            "acgan",
            acgan,
            "Odena, Olah & Shlens 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, "
            "arXiv:1610.09585",
            LABELLED["acgan"],
            labels="needed",
        ),
        Recipe(
            "projection-gan",
            projection_gan,
            "Miyato & Koyama 2018, cGANs with Projection Discriminator, arXiv:1802.05637",
            LABELLED["projection-gan"],
            labels="needed",
        ),
        Recipe(
            "progan",
            progan,
            "Karras et al. 2018, Progressive Growing of GANs, arXiv:1710.10196",
            {
                "small": {
                    "latent": 64,
                    "fmap_base": 512,
                    "fmap_max": 64,
                    "objective": "non-saturating",
                    "penalty": ("r1:weight=0.1,every=4",),
                    "stable": 8_000,
                    "fade": 8_000,
                    "lr": 2e-3,
                    "average": 0.995,
                    "fakes": "shared",
                    "images": 200_000,
                }
            },
        ),
        Recipe(
            "r3gan",
            r3gan,
            "Huang et al. 2024, The GAN is dead; long live the GAN! A Modern Baseline GAN, arXiv:2501.05441",
            {
                "small": {
                    "width": 32,
                    "growth": 4,
                    "blocks": 1,
                    "penalty": ("r1:weight=0.05,every=4", "r2:weight=0.05,every=4"),
                    "corruption": (),
                    "optimiser": "adam:beta1=0,beta2=0.95",
                    "lr": 1e-3,
                    "schedule": ("cosine:images=200000,to=0.25",),
                    "average": 0.998,
                    "batch": 32,
                    "images": 200_000,
                    "fakes": "shared",
                },
                "ffhq-256": {
                    "width": 96,
                    "growth": 8,
                    "penalty": (
                        "r1:weight=150,final=15,over=20000000",
                        "r2:weight=150,final=15,over=20000000",
                    ),
                    "corruption": ("ada-ramp:p=0.3,images=20000000",),
                    "average": 0.99965,
                    "batch": 256,
                },
            },
            labels="optional",
        ),
        Recipe(
            "vae",
            vae,
            "Kingma & Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114",
            VAE,
        ),
        Recipe(
            "context-encoder",
            context_encoder,
            "Pathak et al. 2016, Context Encoders: Feature Learning by Inpainting, arXiv:1604.07379",
            CONTEXT,
        ),
        Recipe(
            "gancs",
            gancs,
            "Mardani et al. 2017, Deep Generative Adversarial Networks for Compressed Sensing Automates MRI, "
            "arXiv:1706.00051",
            MRI,
        ),
    )
}


def arguments_of(recipe: Recipe, given: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
    """All of a recipe's settings: its defaults, the preset's, and those given, checked.

    >>> arguments_of(RECIPES["dcgan"], {"width": 16}, "small")["width"]
    16

    Raises ValueError for unknown presets and settings, with the nearest known, and for wrong types.
    """
    chosen = dict(look_up(recipe.presets, preset, f"preset of {recipe.name}")) if preset else {}
    defaults = {name: setting.default for name, setting in recipe.settings.items()}
    return {**defaults, **recipe.check({**chosen, **given})}
