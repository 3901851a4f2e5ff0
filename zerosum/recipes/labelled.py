"""Recipes that make samples by class: conditional GAN, AC-GAN, the projection critic.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

from zerosum.draws import Latent
from zerosum.games.conditional import Auxiliary
from zerosum.nets.conditional_mlp import ConditionalMLPCritic, ConditionalMLPGenerator
from zerosum.nets.conditioning import ClassifyingCritic, ConcatenatedGenerator, Featured, ProjectedCritic
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.recipes.duel import Law, Rules, duel, image_shape
from zerosum.recipes.residual import ResNets, residual_nets
from zerosum.recipes.system import System

__all__ = ["PRESETS", "acgan", "cgan", "projection_gan"]

_CGAN = Rules(
    optimiser="sgd:momentum=0.5",
    lr=0.1,
    schedule=("decay:factor=1.00004,floor=1e-6", "momentum:start=0.5,stop=0.7,images=28800000"),
    batch=100,
    images=28_800_000,
)
_ACGAN = Rules(lr=2e-4, batch=100, images=5_000_000)
_PROJECTION_NETS = ResNets(width=64, critic_width=64, growth=16, flat=1)
_PROJECTION = Rules(
    objective="hinge",
    constraint="spectral-norm",
    critic_steps=5,
    optimiser="adam:beta1=0,beta2=0.9",
    lr=2e-4,
    schedule=("linear:start=512000000,stop=576000000",),
    batch=256,
    images=576_000_000,
)


PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "cgan": {
        "small": {
            "branches": (100, 100),
            "hidden": (400,),
            "generator_dropout": 0.0,
            "critic_branches": (128, 64),
            "critic_hidden": (128,),
            "dropout": (0.0, 0.0),
            "penalty": ("r1:weight=5,every=4",),
            "fakes": "shared",
            "optimiser": "adam:beta1=0.5,beta2=0.999",
            "lr": 1e-3,
            "schedule": ("linear:start=175000,stop=350000,to=0.05",),
            "batch": 50,
            "images": 350_000,
        }
    },
    "acgan": {
        "small": {
            "width": 32,
            "critic_width": 32,
            "kernel": 4,
            "fakes": "shared",
            "lr": 1e-3,
            "schedule": ("linear:start=80000,stop=160000,to=0.05",),
            "batch": 64,
            "images": 160_000,
        }
    },
    "projection-gan": {
        "small": {
            "width": 16,
            "critic_width": 16,
            "growth": 4,
            "critic_steps": 1,
            "fakes": "shared",
            "lr": 1e-3,
            "critic_lr": 2e-3,
            "schedule": ("linear:start=50000,stop=90000,to=0.05",),
            "batch": 32,
            "images": 90_000,
        },
        "cifar": {
            "width": 256,
            "critic_width": 128,
            "growth": 1,
            "flat": 2,
            "batch": 64,
            "schedule": ("linear:start=0,stop=16000000",),
            "images": 16_000_000,
        },
    },
}


def cgan(
    shape: tuple[int, ...],
    classes: int,
    *,
    latent: int = 100,
    latent_law: Law = "uniform",
    branches: tuple[int, int] = (200, 1000),
    hidden: tuple[int, ...] = (1200,),
    generator_dropout: float = 0.5,
    critic_branches: tuple[int, int] = (240, 50),
    critic_hidden: tuple[int, ...] = (240,),
    pieces: int = 5,
    joint_pieces: int = 4,
    dropout: tuple[float, float] = (0.0, 0.5),
    batch_layer: str = "none",
    rules: Rules = _CGAN,
) -> System:
    """Conditional GAN: perceptrons that are told the label (Mirza & Osindero 2014).

    Settings of the paper's MNIST experiment. It gives no length: after 28.8 million images the learning
    rate has come down to its floor. The generator's output starts at the mean of the data, as in `gan`.
    """
    generator = ConditionalMLPGenerator(
        shape, classes, latent=latent, branches=branches, hidden=hidden, dropout=generator_dropout
    )
    critic = ConditionalMLPCritic(
        shape,
        classes,
        branches=critic_branches,
        hidden=critic_hidden,
        pieces=pieces,
        joint_pieces=joint_pieces,
        dropout=dropout,
        batch_layer=batch_layer,
    )
    return duel(generator, critic, Latent(latent, latent_law), rules, generator.begin_at, classes=classes)


def acgan(
    shape: tuple[int, ...],
    classes: int,
    *,
    latent: int = 100,
    latent_law: Law = "normal",
    width: int = 96,
    critic_width: int = 128,
    kernel: int = 5,
    norm: Literal["batch", "layer", "none"] = "batch",
    critic_norm: Literal["batch", "layer", "none"] = "batch",
    batch_layer: str = "none",
    auxiliary: Literal["both", "real"] = "both",
    class_weight: float = 1.0,
    generator_class_weight: float = 1.0,
    rules: Rules = _ACGAN,
) -> System:
    """AC-GAN: the critic tells classes too, and the generator is to be told right (Odena et al. 2017).

    Settings of the paper's CIFAR-10 experiment on nets of the DCGAN family: the generator is the
    paper's (384, 192 and 96 maps at 32×32), the critic ends in as many maps as its, in half the
    layers and without dropout. 5 million images are its 50,000 updates with 100.
    """
    image = image_shape("acgan", shape)
    generator = DCGANGenerator(image, latent=latent + classes, width=width, kernel=kernel, norm=norm)
    critic = DCGANCritic(image, width=critic_width, kernel=kernel, norm=critic_norm, batch_layer=batch_layer)
    return duel(
        ConcatenatedGenerator(generator, classes),
        ClassifyingCritic(critic, classes),
        Latent(latent, latent_law),
        rules,
        classes=classes,
        auxiliary=Auxiliary(class_weight, generator_class_weight, auxiliary),
    )


def projection_gan(
    shape: tuple[int, ...],
    classes: int,
    *,
    nets: ResNets = _PROJECTION_NETS,
    rules: Rules = _PROJECTION,
) -> System:
    """Projection critic and class batch norm on spectrally normed residual nets (Miyato & Koyama 2018).

    Settings of the paper's ImageNet experiment at 128×128; 576 million images are its 450,000 updates
    of the generator, after five critic turns with 256 each. The preset `cifar` has the authors' code's
    for CIFAR-10.
    """
    generator, critic = residual_nets("projection-gan", shape, nets, rules, classes)
    told = ProjectedCritic(cast(Featured, critic), classes)
    return duel(generator, told, Latent(nets.latent, nets.latent_law), rules, classes=classes)
