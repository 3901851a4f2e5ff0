"""The first three recipes: Goodfellow 2014, Radford 2015, Gulrajani 2017.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from typing import Literal

from torch import Tensor

from zerosum.draws import Draws, Latent
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.nets.mlp import MLPCritic, MLPGenerator
from zerosum.nets.virtual import REFERENCE
from zerosum.recipes.duel import Law, Rules, duel, image_shape, packed
from zerosum.recipes.system import System

__all__ = ["dcgan", "gan", "wgan_gp"]

Norm = Literal["batch", "layer", "virtual", "none"]

_GAN = Rules(
    optimiser="sgd:momentum=0.5",
    lr=0.1,
    critic_lr=0.05,
    schedule=("decay:factor=1.000004,floor=1e-6", "momentum:start=0.5,stop=0.7"),
    batch=100,
    images=12_500_000,
)
_DCGAN = Rules(lr=2e-4, batch=128, images=8_750_000)
_WGAN_GP = Rules(
    objective="wasserstein",
    penalty=("wgan-gp:weight=10",),
    critic_steps=5,
    optimiser="adam:beta1=0,beta2=0.9",
    lr=1e-4,
    batch=64,
    images=64_000_000,
)


def gan(
    shape: tuple[int, ...],
    *,
    latent: int = 100,
    latent_law: Law = "normal",
    hidden: tuple[int, ...] = (1200, 1200),
    critic_hidden: tuple[int, ...] = (240, 240),
    pieces: int = 5,
    dropout: tuple[float, float] = (0.2, 0.5),
    batch_layer: str = "none",
    rules: Rules = _GAN,
) -> System:
    """The first GAN: perceptrons, maxout, momentum (Goodfellow et al. 2014).

    Settings of the paper's MNIST experiment; 12.5 million images are 250 epochs of its 50,000. The
    critic's rate is half the generator's because the authors' code halves the critic's loss. As
    there, the generator's output starts at the mean of the data.
    """
    generator = MLPGenerator(shape, latent=latent, hidden=hidden)
    critic = MLPCritic(
        packed(shape, rules), hidden=critic_hidden, pieces=pieces, dropout=dropout, batch_layer=batch_layer
    )
    return duel(generator, critic, Latent(latent, latent_law), rules, begin=generator.begin_at)


def dcgan(
    shape: tuple[int, ...],
    *,
    latent: int = 100,
    latent_law: Law = "uniform",
    width: int = 128,
    kernel: int = 5,
    norm: Norm = "batch",
    critic_norm: Norm = "batch",
    batch_layer: str = "none",
    rules: Rules = _DCGAN,
) -> System:
    """Deep convolutional GAN, all strided convolutions and batch norm (Radford et al. 2015).

    Settings of the paper; 8.75 million images are the 25 epochs of its faces.
    """
    return _convolutional(
        "dcgan", shape, Latent(latent, latent_law), width, kernel, norm, critic_norm, batch_layer, rules
    )


def wgan_gp(
    shape: tuple[int, ...],
    *,
    latent: int = 128,
    latent_law: Law = "normal",
    width: int = 64,
    kernel: int = 5,
    norm: Norm = "batch",
    critic_norm: Norm = "layer",
    batch_layer: str = "none",
    rules: Rules = _WGAN_GP,
) -> System:
    """Wasserstein GAN with gradient penalty, on DCGAN nets (Gulrajani et al. 2017).

    Settings of the paper's LSUN experiment, layer norm in the critic; 64 million images are its
    200,000 steps of five critic turns with 64.
    """
    return _convolutional(
        "wgan-gp", shape, Latent(latent, latent_law), width, kernel, norm, critic_norm, batch_layer, rules
    )


def _convolutional(
    recipe: str,
    shape: tuple[int, ...],
    latent: Latent,
    width: int,
    kernel: int,
    norm: Norm,
    critic_norm: Norm,
    batch_layer: str,
    rules: Rules,
) -> System:
    if not 2 <= kernel <= 9:
        raise ValueError(f"--kernel must be 2 to 9, not {kernel}")
    image, judged = image_shape(recipe, shape), image_shape(recipe, packed(shape, rules))
    generator = DCGANGenerator(image, latent=latent.size, width=width, kernel=kernel, norm=norm)
    critic = DCGANCritic(judged, width=width, kernel=kernel, norm=critic_norm, batch_layer=batch_layer)

    def begin(real: Tensor) -> None:
        critic.refer_to(real)
        generator.refer_to(latent(Draws(stop=REFERENCE)))

    return duel(generator, critic, latent, rules, begin=begin)
