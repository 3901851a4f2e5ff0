"""R3GAN: what is left of a GAN when every trick is taken out again.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from dataclasses import asdict, dataclass

from zerosum.draws import Latent
from zerosum.nets.r3gan import R3GANCritic, R3GANGenerator
from zerosum.recipes.duel import Law, Rules, duel, image_shape, packed
from zerosum.recipes.system import System

__all__ = ["GroupedNets", "r3gan"]


@dataclass(frozen=True, kw_only=True)
class GroupedNets:
    """A generator and a critic of grouped convolutions; each field is a setting of the recipe.

    >>> GroupedNets(width=32).group
    16
    """

    width: int = 768
    growth: int = 1
    blocks: int = 2
    expansion: int = 2
    group: int = 16


_NETS = GroupedNets()
_RULES = Rules(
    objective="relativistic",
    penalty=("r1:weight=0.05,final=0.005,over=20000000", "r2:weight=0.05,final=0.005,over=20000000"),
    corruption=("ada-ramp:p=0.55,images=20000000",),
    optimiser="adam:beta1=0,beta2=0.9",
    lr=2e-4,
    schedule=("cosine:images=20000000,to=0.25", "betas:images=20000000,beta1=0,start=0.9,stop=0.99"),
    average=0.99993,
    batch=512,
    images=200_000_000,
)


def r3gan(
    shape: tuple[int, ...],
    classes: int = 0,
    *,
    latent: int = 64,
    latent_law: Law = "normal",
    nets: GroupedNets = _NETS,
    rules: Rules = _RULES,
) -> System:
    """A modern baseline: relativistic pairs, R1 and R2, and no normalisation (Huang et al. 2024).

    Settings of the authors' CIFAR-10 experiment, with its labels. γ, the learning rate, Adam's β₂ and the
    share of augmented images go by cosines over the first 20 million images. `average` halves a weight
    in 5 million images, as theirs does after those. The presets `ffhq-64` and `ffhq-256` have their nets
    and γ for faces.
    """
    image, judged = image_shape("r3gan", shape), image_shape("r3gan", packed(shape, rules))
    generator = R3GANGenerator(image, latent=latent, classes=classes, **asdict(nets))
    critic = R3GANCritic(judged, classes=classes, **asdict(nets))
    return duel(generator, critic, Latent(latent, latent_law), rules, classes=classes)
