"""The variational autoencoder: a decoder by maximum likelihood, whose encoder stays at hand.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from zerosum.draws import Latent
from zerosum.games.likelihood import Variational
from zerosum.nets.vae import Decoder, Encoder, convolutional, perceptrons
from zerosum.recipes.parts import likelihood_of, optimiser_of, schedule_of
from zerosum.recipes.system import System

__all__ = ["PRESETS", "vae"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {"images": 1_500_000},
    "convolutional": {
        "form": "convolutional",
        "latent": 100,
        "width": 32,
        "likelihood": "gaussian:deviation=0.2",
        "batch": 64,
        "images": 500_000,
    },
}


def vae(
    shape: tuple[int, ...],
    *,
    latent: int = 20,
    form: Literal["perceptron", "convolutional"] = "perceptron",
    hidden: tuple[int, ...] = (500, 500),
    width: int = 64,
    growth: int = 8,
    kernel: int = 4,
    norm: Literal["batch", "layer", "none"] = "batch",
    likelihood: str = "bernoulli",
    optimiser: str = "adam:beta1=0.9,beta2=0.999",
    lr: float = 1e-3,
    schedule: tuple[str, ...] = (),
    average: float = 0.999,
    batch: int = 100,
    images: int = 4_125_000,
) -> System:
    """Variational autoencoder: encoder and decoder that raise the ELBO (Kingma & Welling 2014).

    Settings of the compressed-sensing paper's MNIST experiment (Bora et al. 2017), 784-500-500-20-500-500-784
    with softplus and Adam; 4,125,000 images are its code's 75 epochs of 55,000 digits. The first paper has
    one hidden layer of 500, tanh and Adagrad. `game.encoder(x)` gives mean and log variance of q(z|x).
    """
    if latent < 1:
        raise ValueError(f"--latent must be at least 1, not {latent}")
    points = len(shape) != 3
    if points and (form == "convolutional" or likelihood.startswith("bernoulli")):
        raise ValueError(
            "vae on points, not images, needs --form perceptron and --likelihood gaussian:deviation=…"
        )
    encoder, decoder = _nets(shape, latent, form, hidden, width, growth, kernel, norm)
    game = Variational(encoder, decoder, likelihood_of(likelihood))
    law = schedule_of(schedule, lr)
    return System(
        game,
        {"autoencoder": optimiser_of(optimiser, game, lr)},
        Latent(latent),
        batch,
        images,
        average,
        schedules={} if law is None else {"autoencoder": law},
    )


def _nets(
    shape: tuple[int, ...],
    latent: int,
    form: str,
    hidden: tuple[int, ...],
    width: int,
    growth: int,
    kernel: int,
    norm: str,
) -> tuple[Encoder, Decoder]:
    if form == "perceptron":
        return perceptrons(shape, latent=latent, hidden=hidden)
    if not 2 <= kernel <= 9:
        raise ValueError(f"--kernel must be 2 to 9, not {kernel}")
    channels, height, side = shape
    return convolutional(
        (channels, height, side), latent=latent, width=width, growth=growth, kernel=kernel, norm=norm
    )
