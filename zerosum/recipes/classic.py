"""The first three recipes: Goodfellow 2014, Radford 2015, Gulrajani 2017.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from zerosum.draws import Draws, Latent
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.nets.mlp import MLPCritic, MLPGenerator
from zerosum.nets.virtual import REFERENCE
from zerosum.recipes.duel import Law, Rules, duel, image_shape, packed
from zerosum.recipes.system import System

__all__ = ["ConvNets", "dcgan", "gan", "wgan_gp"]

Norm = Literal["batch", "layer", "virtual", "none"]


@dataclass(frozen=True, kw_only=True)
class ConvNets:
    """A DCGAN's generator and critic; each field is a setting of the recipe.

    With `hidden` the generator is a perceptron of these ReLU layers instead.

    >>> ConvNets(width=64).critic_norm
    'batch'
    """

    latent: int = 100
    latent_law: Law = "uniform"
    width: int
    growth: int = 8
    critic_growth: int = 8
    kernel: int = 5
    norm: Norm = "batch"
    critic_norm: Norm = "batch"
    activation: Literal["relu", "tanh", "gated"] = "relu"
    hidden: tuple[int, ...] = ()
    batch_layer: str = "none"


_GAN = Rules(
    optimiser="sgd:momentum=0.5",
    lr=0.1,
    critic_lr=0.05,
    schedule=("decay:factor=1.000004,floor=1e-6", "momentum:start=0.5,stop=0.7"),
    batch=100,
    images=12_500_000,
)
_DCGAN_NETS = ConvNets(width=128)
_DCGAN = Rules(lr=2e-4, batch=128, images=8_750_000)
_WGAN_GP_NETS = ConvNets(latent=128, latent_law="normal", width=64, critic_norm="layer")
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


def dcgan(shape: tuple[int, ...], *, nets: ConvNets = _DCGAN_NETS, rules: Rules = _DCGAN) -> System:
    """Deep convolutional GAN, all strided convolutions and batch norm (Radford et al. 2015).

    Settings of the paper; 8.75 million images are the 25 epochs of its faces.
    """
    return _convolutional("dcgan", shape, nets, rules)


def wgan_gp(shape: tuple[int, ...], *, nets: ConvNets = _WGAN_GP_NETS, rules: Rules = _WGAN_GP) -> System:
    """Wasserstein GAN with gradient penalty, on DCGAN nets (Gulrajani et al. 2017).

    Settings of the paper's LSUN experiment, layer norm in the critic; 64 million images are its
    200,000 steps of five critic turns with 64.
    """
    return _convolutional("wgan-gp", shape, nets, rules)


def _convolutional(recipe: str, shape: tuple[int, ...], nets: ConvNets, rules: Rules) -> System:
    if not 2 <= nets.kernel <= 9:
        raise ValueError(f"--kernel must be 2 to 9, not {nets.kernel}")
    image, judged = image_shape(recipe, shape), image_shape(recipe, packed(shape, rules))
    latent = Latent(nets.latent, nets.latent_law)
    generator = _perceptron(image, nets) if nets.hidden else _deconvolution(image, nets)
    critic = DCGANCritic(
        judged,
        width=nets.width,
        growth=nets.critic_growth,
        kernel=nets.kernel,
        norm=nets.critic_norm,
        activation=nets.activation,
        batch_layer=nets.batch_layer,
    )

    def begin(real: Tensor) -> None:
        critic.refer_to(real)
        if isinstance(generator, DCGANGenerator):
            generator.refer_to(latent(Draws(stop=REFERENCE)))

    return duel(generator, critic, latent, rules, begin=begin)


def _deconvolution(shape: tuple[int, int, int], nets: ConvNets) -> DCGANGenerator:
    return DCGANGenerator(
        shape,
        latent=nets.latent,
        width=nets.width,
        growth=nets.growth,
        kernel=nets.kernel,
        norm=nets.norm,
        activation=nets.activation,
    )


def _perceptron(shape: tuple[int, int, int], nets: ConvNets) -> MLPGenerator:
    generator = MLPGenerator(shape, latent=nets.latent, hidden=nets.hidden)
    for layer in generator.modules():
        if isinstance(layer, nn.Linear):  # four layers deep, the first GAN's narrow law lets nothing through
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    return generator
