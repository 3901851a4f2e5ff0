"""Recipes on residual nets with a non-local block: SAGAN and BigGAN.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from zerosum.draws import Latent
from zerosum.nets.attention import Form
from zerosum.nets.biggan import WEIGHT_LAWS, BigGANCritic, BigGANGenerator
from zerosum.nets.conditioning import ProjectedCritic
from zerosum.recipes.duel import Law, Rules, duel, image_shape, packed
from zerosum.recipes.system import System

__all__ = ["AttentiveNets", "biggan", "sagan"]


@dataclass(frozen=True, kw_only=True)
class AttentiveNets:
    """A generator and critic of the SAGAN and BigGAN family; each field is a setting of the recipe.

    >>> AttentiveNets(width=64).attention
    64
    """

    latent: int = 120
    latent_law: Law = "normal"
    shared: int = 128
    latent_to: Literal["all", "first"] = "all"
    width: int = 96
    critic_width: int = 96
    growth: int = 16
    flat: int = 1
    attention: int = 64
    attention_form: Form = "pooled"
    init: Literal["orthogonal", "glorot", "normal"] = "orthogonal"


_SAGAN_NETS = AttentiveNets(
    latent=128, shared=0, latent_to="first", width=64, critic_width=64, attention=32, init="glorot"
)
_SAGAN = Rules(
    objective="hinge",
    constraint="spectral-norm",
    generator_constraint="spectral-norm",
    optimiser="adam:beta1=0,beta2=0.9",
    lr=1e-4,
    critic_lr=4e-4,
    batch=256,
    images=256_000_000,
)
_BIGGAN_NETS = AttentiveNets()
_BIGGAN = Rules(
    objective="hinge",
    constraint="spectral-norm",
    generator_constraint="spectral-norm",
    regulariser=("orthogonal:weight=1e-4",),
    critic_steps=2,
    optimiser="adam:beta1=0,beta2=0.999",
    lr=5e-5,
    critic_lr=2e-4,
    average=0.9999,
    batch=2048,
    images=675_840_000,
)


def sagan(
    shape: tuple[int, ...], classes: int = 0, *, nets: AttentiveNets = _SAGAN_NETS, rules: Rules = _SAGAN
) -> System:
    """Self-attention in both players, spectral norm on both, by class (Zhang et al. 2019, SAGAN).

    Settings of the paper's ImageNet at 128×128: class-conditional batch norm, a projection critic, one
    turn each; 256 million images are its million steps.
    """
    return _attentive("sagan", shape, classes, nets, rules)


def biggan(
    shape: tuple[int, ...], classes: int = 0, *, nets: AttentiveNets = _BIGGAN_NETS, rules: Rules = _BIGGAN
) -> System:
    """SAGAN made wide, with large batches, shared embedding and split latents (Brock et al. 2019, BigGAN).

    Settings of the paper's ImageNet at 128×128; 676 million images are its 165,000 updates of the
    generator (table 1), after two critic turns with 2,048 each. The preset `cifar` has those of its
    authors' code for CIFAR-10: no attention, no shared embedding, no orthogonal term.
    """
    return _attentive("biggan", shape, classes, nets, rules)


def _attentive(
    recipe: str, shape: tuple[int, ...], classes: int, nets: AttentiveNets, rules: Rules
) -> System:
    generator = BigGANGenerator(
        image_shape(recipe, shape),
        classes=classes,
        latent=nets.latent,
        width=nets.width,
        growth=nets.growth,
        shared=nets.shared,
        split_latent=nets.latent_to == "all",
        attention=nets.attention,
        form=nets.attention_form,
        init=nets.init,
    )
    features = BigGANCritic(
        image_shape(recipe, packed(shape, rules)),
        width=nets.critic_width,
        growth=nets.growth,
        flat=nets.flat,
        attention=nets.attention,
        form=nets.attention_form,
        init=nets.init,
    )
    critic: nn.Module = features
    if classes:
        critic = projected = ProjectedCritic(features, classes)
        WEIGHT_LAWS[nets.init](projected.embed.weight)
    return duel(generator, critic, Latent(nets.latent, nets.latent_law), rules, classes=classes)
