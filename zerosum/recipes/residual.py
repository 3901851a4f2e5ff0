"""Recipes on residual nets: SN-GAN, and WGAN-GP as on CIFAR-10.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from dataclasses import dataclass
from typing import Literal, cast

from torch import nn

from zerosum.draws import Latent
from zerosum.games.conditional import Auxiliary
from zerosum.nets.bottleneck import BottleneckCritic, BottleneckGenerator
from zerosum.nets.conditioning import ClassifyingCritic, Featured
from zerosum.nets.resnet import ResNetCritic, ResNetGenerator
from zerosum.recipes.duel import Law, Rules, duel, image_shape, packed
from zerosum.recipes.system import System

__all__ = ["ResNets", "residual_nets", "sngan", "wgan_gp_resnet"]

Norm = Literal["batch", "layer", "none"]


@dataclass(frozen=True, kw_only=True)
class ResNets:
    """A residual generator and critic; each field is a setting of the recipe.

    With `depth` they are bottleneck nets of so many layers instead.

    >>> ResNets(width=64).critic_width
    128
    """

    latent: int = 128
    latent_law: Law = "normal"
    width: int
    critic_width: int = 128
    growth: int = 1
    depth: int = 0
    flat: int = 2
    pooling: Literal["sum", "mean"] = "sum"
    norm: Norm = "batch"
    critic_norm: Norm = "none"
    batch_layer: str = "none"


_SNGAN_NETS = ResNets(width=256)
_SNGAN = Rules(
    objective="hinge",
    constraint="spectral-norm",
    critic_steps=5,
    optimiser="adam:beta1=0,beta2=0.9",
    lr=2e-4,
    schedule=("linear:start=0,stop=16000000",),
    batch=64,
    images=16_000_000,
)
_WGAN_GP_NETS = ResNets(width=128, pooling="mean")
_WGAN_GP = Rules(
    objective="wasserstein",
    penalty=("wgan-gp:weight=10",),
    critic_steps=5,
    optimiser="adam:beta1=0,beta2=0.9",
    lr=2e-4,
    schedule=("linear:start=0,stop=32000000",),
    batch=64,
    images=32_000_000,
)


def sngan(shape: tuple[int, ...], *, nets: ResNets = _SNGAN_NETS, rules: Rules = _SNGAN) -> System:
    """Spectral normalisation on residual nets, hinge loss (Miyato et al. 2018).

    Settings of the paper's CIFAR-10 ResNet, its best without labels, with the schedule of its authors'
    code: the rate falls in a line to 0 over 50,000 updates of the generator, which after five critic
    turns with 64 each are 16 million images. The preset `large` has its nets for 48×48 and more.
    """
    return _residual("sngan", shape, nets, rules)


def wgan_gp_resnet(
    shape: tuple[int, ...], classes: int = 0, *, nets: ResNets = _WGAN_GP_NETS, rules: Rules = _WGAN_GP
) -> System:
    """Wasserstein GAN with gradient penalty, on residual nets (Gulrajani et al. 2017).

    Settings of the paper's CIFAR-10 experiment without labels: no norm in the critic, the learning rate
    falling in a line to 0 over 100,000 updates of the generator, which are 32 million images. With
    labels it is the supervised one: class batch norm in the generator, an auxiliary classifier that
    learns from reals, of weight 1 in the critic's loss and .1 in the generator's.
    """
    return _residual("wgan-gp-resnet", shape, nets, rules, classes)


def _residual(recipe: str, shape: tuple[int, ...], nets: ResNets, rules: Rules, classes: int = 0) -> System:
    generator, critic = residual_nets(recipe, shape, nets, rules, classes)
    latent = Latent(nets.latent, nets.latent_law)
    if not classes:
        return duel(generator, critic, latent, rules)
    telling = ClassifyingCritic(cast(Featured, critic), classes)
    return duel(generator, telling, latent, rules, classes=classes, auxiliary=Auxiliary(1.0, 0.1, "real"))


def residual_nets(
    recipe: str, shape: tuple[int, ...], nets: ResNets, rules: Rules, classes: int = 0
) -> tuple[nn.Module, nn.Module]:
    """A recipe's generator, told labels where there are classes, and its critic, which is told none.

    Raises ValueError for data that are no images, and for bottleneck nets with classes.
    """
    made, judged = image_shape(recipe, shape), image_shape(recipe, packed(shape, rules))
    if nets.depth and classes:
        raise ValueError(f"--depth {nets.depth}: bottleneck nets take no labels: choose --depth 0")
    return _deep(made, judged, nets) if nets.depth else _shallow(made, judged, nets, classes)


def _shallow(
    made: tuple[int, int, int], judged: tuple[int, int, int], nets: ResNets, classes: int
) -> tuple[nn.Module, nn.Module]:
    generator = ResNetGenerator(
        made, latent=nets.latent, width=nets.width, growth=nets.growth, norm=nets.norm, classes=classes
    )
    critic = ResNetCritic(
        judged,
        width=nets.critic_width,
        growth=nets.growth,
        flat=nets.flat,
        pooling=nets.pooling,
        norm=nets.critic_norm,
        batch_layer=nets.batch_layer,
    )
    return generator, critic


def _deep(
    made: tuple[int, int, int], judged: tuple[int, int, int], nets: ResNets
) -> tuple[nn.Module, nn.Module]:
    generator = BottleneckGenerator(
        made, depth=nets.depth, latent=nets.latent, width=nets.width, growth=nets.growth, norm=nets.norm
    )
    critic = BottleneckCritic(
        judged,
        depth=nets.depth,
        width=nets.critic_width,
        growth=nets.growth,
        pooling=nets.pooling,
        norm=nets.critic_norm,
        batch_layer=nets.batch_layer,
    )
    return generator, critic
