"""The one-player game of a variational autoencoder: the evidence lower bound (ELBO).

Kingma & Welling 2014, eq. 3: log p(x) ≥ E_{z~q(z|x)} log p(x|z) − KL(q(z|x) ‖ p(z)), with p(z) = N(0, I)
and q(z|x) = N(μ(x), diag σ²(x)).
"""

import math
from collections.abc import Callable, Generator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.games.fitting import mixes_batch
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.nets.vae import Decoder
from zerosum.objectives import widened

__all__ = ["Likelihood", "Variational", "bernoulli", "gaussian", "kl_to_standard"]

Likelihood = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(real [b, …], the decoder's logits h, its samples) → log p(real | z), [b], in nats."""


def bernoulli() -> Likelihood:
    """Each pixel y = (x+1)/2 in [0, 1] a coin of chance σ(h): log p = Σ y log σ(h) + (1−y) log(1−σ(h)).

    Kingma & Welling 2014, appendix C.1. For grey values between 0 and 1 it is no density, but a bound's form.

    >>> black = torch.full((1, 1, 2, 2), -1.0)
    >>> bernoulli()(black, torch.zeros_like(black), black)  # 4 log ½
    tensor([-2.7726])
    """

    def log_p(real: Tensor, h: Tensor, drawn: Tensor) -> Tensor:
        pixels = F.binary_cross_entropy_with_logits(widened(h), (widened(real) + 1) / 2, reduction="none")
        return -pixels.flatten(1).sum(1)

    return log_p


def gaussian(deviation: float = 0.1) -> Likelihood:
    """Each number normal about the decoder's, with one standard deviation, in units of [−1, 1].

    log p = −‖x − G(z)‖²/2s² − n/2·log 2πs² (Kingma & Welling 2014, appendix C.2, with s given).

    >>> x = torch.zeros(1, 2)
    >>> gaussian(deviation=1)(x, x, x)  # −log 2π
    tensor([-1.8379])

    Raises ValueError unless the deviation is positive.
    """
    if not deviation > 0:
        raise ValueError(f"--likelihood gaussian: deviation must be positive, not {deviation}")

    def log_p(real: Tensor, h: Tensor, drawn: Tensor) -> Tensor:
        gaps = (widened(real) - widened(drawn)).flatten(1) / deviation
        return -gaps.square().sum(1) / 2 - gaps.shape[1] * math.log(deviation * math.sqrt(2 * math.pi))

    return log_p


def kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ(μ² + σ² − 1 − log σ²), [b], in nats.

    Kingma & Welling 2014, appendix B. Both arguments are [b, k].

    >>> kl_to_standard(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    tensor([0.5000])
    """
    mean, log_variance = widened(mean), widened(log_variance)
    # σ² − 1 as expm1: no digits are lost where σ is almost 1.
    return (mean.square() + torch.expm1(log_variance) - log_variance).sum(1) / 2


class Variational(Game):
    """Encoder and decoder as one player, `autoencoder`, that minimises −ELBO, one latent a sample.

    `encoder(x)` gives (mean, log variance) [b, k] of q(z|x); the decoder, `generator`, is one of
    `zerosum.nets.vae`. The terms `reconstruction` = −log p(x|z) and `kl` are in nats a sample, and z is
    μ + σε, so that gradients reach the encoder (their section 2.4).

    >>> from zerosum.nets.vae import perceptrons
    >>> game = Variational(*perceptrons((1, 8, 8), latent=2, hidden=(4,)), bernoulli())
    >>> [turn.player for turn in game.turns(Clock())]
    ['autoencoder']
    """

    def __init__(self, encoder: nn.Module, generator: Decoder, likelihood: Likelihood) -> None:
        super().__init__()
        self.encoder, self.generator, self.likelihood = encoder, generator, likelihood
        self._splits = not (mixes_batch(encoder) or mixes_batch(generator))

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        """One turn of the autoencoder."""
        yield Turn("autoencoder", self._terms, splits=self._splits)

    def _terms(self, batch: Batch) -> Terms:
        real = batch.data["real"]
        mean, log_variance = self.encoder(real)
        noise = batch.draw.normal("posterior", mean.shape[1]).to(mean.dtype)
        h = self.generator.logits(mean + torch.exp(log_variance / 2) * noise)
        reconstruction = -self.likelihood(real, h, self.generator.drawn(h))
        return Terms({"reconstruction": reconstruction, "kl": kl_to_standard(mean, log_variance)})
