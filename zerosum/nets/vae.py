"""The nets of a variational autoencoder: perceptrons, or convolutions of the DCGAN family.

Encoders give (mean, log variance) of q(z|x), decoders the samples that `Decoder` says.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator

__all__ = ["Decoder", "Encoder", "convolutional", "perceptrons"]


class Encoder(nn.Module):
    """Samples [B, *shape] → (mean [B, latent], log variance [B, latent]) of a normal law for each.

    `layers` gives both side by side, [B, 2·latent].

    >>> encoder, _ = perceptrons((1, 28, 28), latent=20, hidden=(32,))
    >>> [part.shape for part in encoder(torch.zeros(2, 1, 28, 28))]
    [torch.Size([2, 20]), torch.Size([2, 20])]
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.layers(x).chunk(2, 1)
        return mean, log_variance


class Decoder(nn.Module):
    """z [B, latent] → samples [B, *shape]: images in (−1, 1), or points anywhere.

    `layers` gives logits h [B, *shape]; images are 2σ(h)−1 = tanh(h/2), points h itself.

    >>> _, decoder = perceptrons((2,), latent=1, hidden=(8,))
    >>> decoder(torch.zeros(3, 1)).shape
    torch.Size([3, 2])
    """

    def __init__(self, layers: nn.Module, *, points: bool = False) -> None:
        super().__init__()
        self.layers, self.points = layers, points

    def logits(self, z: Tensor) -> Tensor:
        """h [B, *shape], of which Bernoulli's log likelihood is exact where samples are rounded to ±1."""
        h: Tensor = self.layers(z)
        return h

    def drawn(self, h: Tensor) -> Tensor:
        """The samples that logits stand for."""
        return h if self.points else torch.tanh(h / 2)

    def forward(self, z: Tensor) -> Tensor:
        return self.drawn(self.logits(z))


class _Unit(nn.Module):
    """Images in [−1, 1] moved to [0, 1], as perceptrons were published on."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 1) / 2


def _affine(sizes: Sequence[int]) -> list[nn.Module]:
    """Affine layers with softplus between them, weights uniform by Glorot & Bengio 2010, biases 0."""
    layers: list[nn.Module] = []
    for n, m in pairwise(sizes):
        affine = nn.Linear(n, m)
        nn.init.xavier_uniform_(affine.weight)
        nn.init.zeros_(affine.bias)
        layers += [affine, nn.Softplus()]
    return layers[:-1]


def perceptrons(shape: tuple[int, ...], *, latent: int, hidden: Sequence[int]) -> tuple[Encoder, Decoder]:
    """Softplus perceptrons; the decoder's `hidden` layers are the encoder's in reverse.

    With (500, 500) and 20 latents, 784-500-500-20-500-500-784, they are the nets of Bora et al. 2017.

    >>> encoder, decoder = perceptrons((1, 28, 28), latent=20, hidden=(500, 300))
    >>> [tuple(p.shape) for p in decoder.parameters() if p.dim() == 2]
    [(300, 20), (500, 300), (784, 500)]
    """
    points = len(shape) == 1
    down = _affine((prod(shape), *hidden, 2 * latent))
    up = _affine((latent, *reversed(hidden), prod(shape)))
    encoder = nn.Sequential(*([] if points else [_Unit(), nn.Flatten()]), *down)
    return Encoder(encoder), Decoder(nn.Sequential(*up, nn.Unflatten(1, shape)), points=points)


def convolutional(
    shape: tuple[int, int, int],
    *,
    latent: int,
    width: int = 64,
    growth: int = 8,
    kernel: int = 4,
    norm: str = "batch",
) -> tuple[Encoder, Decoder]:
    """A DCGAN's generator as decoder and its critic's layers as encoder; see `zerosum.nets.dcgan`.

    >>> encoder, decoder = convolutional((3, 32, 48), latent=5, width=4)
    >>> decoder(encoder(torch.zeros(2, 3, 32, 48))[0]).shape
    torch.Size([2, 3, 32, 48])
    """
    critic = DCGANCritic(shape, width=width, growth=growth, kernel=kernel, norm=norm)
    generator = DCGANGenerator(shape, latent=latent, width=width, growth=growth, kernel=kernel, norm=norm)
    generator.layers = nn.Sequential(*list(generator.layers)[:-1])  # without tanh: `Decoder` has its own
    statistics = nn.Linear(critic.feature_count, 2 * latent)
    return Encoder(nn.Sequential(*critic.layers, nn.Flatten(), statistics)), Decoder(generator)
