"""The first three recipes: Goodfellow 2014, Radford 2015, Gulrajani 2017.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from dataclasses import replace
from typing import Literal

from torch import nn

from zerosum.draws import Latent
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.nets.mlp import MLPCritic, MLPGenerator
from zerosum.recipes.duel import Fakes, First, duel
from zerosum.recipes.system import System

__all__ = ["dcgan", "gan", "wgan_gp"]

Norm = Literal["batch", "layer", "none"]
Law = Literal["normal", "uniform"]


def gan(
    shape: tuple[int, ...],
    *,
    latent: int = 100,
    latent_law: Law = "normal",
    hidden: tuple[int, ...] = (1200, 1200),
    critic_hidden: tuple[int, ...] = (240, 240),
    pieces: int = 5,
    dropout: tuple[float, float] = (0.2, 0.5),
    objective: str = "non-saturating",
    penalty: tuple[str, ...] = (),
    constraint: str = "none",
    critic_steps: int = 1,
    first: First = "critic",
    fakes: Fakes = "fresh",
    optimiser: str = "sgd:momentum=0.5",
    lr: float = 0.1,
    critic_lr: float | None = 0.05,
    schedule: tuple[str, ...] = ("decay:factor=1.000004,floor=1e-6", "momentum:start=0.5,stop=0.7"),
    average: float = 0.999,
    batch: int = 100,
    images: int = 12_500_000,
) -> System:
    """The first GAN: perceptrons, maxout, momentum (Goodfellow et al. 2014).

    Settings of the paper's MNIST experiment; 12.5 million images are 250 epochs of its 50,000. The
    critic's rate is half the generator's because the authors' code halves the critic's loss. As
    there, the generator's output starts at the mean of the data.
    """
    generator = MLPGenerator(shape, latent=latent, hidden=hidden)
    critic = MLPCritic(shape, hidden=critic_hidden, pieces=pieces, dropout=dropout)
    system = duel(
        generator, critic, Latent(latent, latent_law), objective, penalty, constraint, critic_steps, first,
        fakes, optimiser, lr, critic_lr, schedule, average, batch, images,
    )  # fmt: skip
    return replace(system, begin=generator.begin_at)


def dcgan(
    shape: tuple[int, ...],
    *,
    latent: int = 100,
    latent_law: Law = "uniform",
    width: int = 128,
    kernel: int = 5,
    norm: Norm = "batch",
    critic_norm: Norm = "batch",
    objective: str = "non-saturating",
    penalty: tuple[str, ...] = (),
    constraint: str = "none",
    critic_steps: int = 1,
    first: First = "critic",
    fakes: Fakes = "fresh",
    optimiser: str = "adam:beta1=0.5,beta2=0.999",
    lr: float = 2e-4,
    critic_lr: float | None = None,
    schedule: tuple[str, ...] = (),
    average: float = 0.999,
    batch: int = 128,
    images: int = 8_750_000,
) -> System:
    """Deep convolutional GAN, all strided convolutions and batch norm (Radford et al. 2015).

    Settings of the paper; 8.75 million images are the 25 epochs of its faces.
    """
    generator, critic = _convolutional("dcgan", shape, latent, width, kernel, norm, critic_norm)
    return duel(
        generator, critic, Latent(latent, latent_law), objective, penalty, constraint, critic_steps, first,
        fakes, optimiser, lr, critic_lr, schedule, average, batch, images,
    )  # fmt: skip


def wgan_gp(
    shape: tuple[int, ...],
    *,
    latent: int = 128,
    latent_law: Law = "normal",
    width: int = 64,
    kernel: int = 5,
    norm: Norm = "batch",
    critic_norm: Norm = "layer",
    objective: str = "wasserstein",
    penalty: tuple[str, ...] = ("wgan-gp:weight=10",),
    constraint: str = "none",
    critic_steps: int = 5,
    first: First = "critic",
    fakes: Fakes = "fresh",
    optimiser: str = "adam:beta1=0,beta2=0.9",
    lr: float = 1e-4,
    critic_lr: float | None = None,
    schedule: tuple[str, ...] = (),
    average: float = 0.999,
    batch: int = 64,
    images: int = 64_000_000,
) -> System:
    """Wasserstein GAN with gradient penalty, on DCGAN nets (Gulrajani et al. 2017).

    Settings of the paper's LSUN experiment, layer norm in the critic; 64 million images are its
    200,000 steps of five critic turns with 64.
    """
    generator, critic = _convolutional("wgan-gp", shape, latent, width, kernel, norm, critic_norm)
    return duel(
        generator, critic, Latent(latent, latent_law), objective, penalty, constraint, critic_steps, first,
        fakes, optimiser, lr, critic_lr, schedule, average, batch, images,
    )  # fmt: skip


def _convolutional(
    recipe: str, shape: tuple[int, ...], latent: int, width: int, kernel: int, norm: Norm, critic_norm: Norm
) -> tuple[nn.Module, nn.Module]:
    if len(shape) != 3:
        raise ValueError(f"{recipe} builds convolutional nets for images, and the data are points: use gan")
    if not 2 <= kernel <= 9:
        raise ValueError(f"--kernel must be 2 to 9, not {kernel}")
    image = (shape[0], shape[1], shape[2])
    return (
        DCGANGenerator(image, latent=latent, width=width, kernel=kernel, norm=norm),
        DCGANCritic(image, width=width, kernel=kernel, norm=critic_norm),
    )
