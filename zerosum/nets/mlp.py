"""Multilayer perceptrons: the nets of Goodfellow et al. 2014, and plain ones, for images or points."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from zerosum.nets.minibatch import batch_layer as batch_layer_of

__all__ = ["MLPCritic", "MLPGenerator", "Maxout"]


class Maxout(nn.Module):
    """max over k of the k affine maps of each unit: [B, n] → [B, units] (Goodfellow et al. 2013, eq. 1–2).

    >>> Maxout(6, 4, pieces=5)(torch.zeros(2, 6)).shape
    torch.Size([2, 4])
    """

    def __init__(self, inputs: int, units: int, pieces: int = 5) -> None:
        super().__init__()
        self.units, self.pieces = units, pieces
        self.affine = nn.Linear(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        pieces: Tensor = self.affine(x)
        out: Tensor = pieces.unflatten(1, (self.units, self.pieces)).amax(2)
        return out


def _uniform(net: nn.Module, bound: float | None) -> None:
    if bound is None:
        return
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


class MLPGenerator(nn.Module):
    """z [B, latent] → samples [B, *shape]: images in (−1, 1), or points (shape (D,)) anywhere.

    Images end in 2σ(h)−1 = tanh(h/2), the paper's sigmoid on [0, 1] moved to [−1, 1]. `bound`: weights
    start uniform in ±bound; None leaves PyTorch's default. `dropout` is the rate at hidden units.

    >>> MLPGenerator((1, 28, 28), latent=100, hidden=(32, 32))(torch.zeros(2, 100)).shape
    torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        latent: int = 100,
        hidden: Sequence[int] = (1200, 1200),
        dropout: float = 0.0,
        bound: float | None = 0.05,
    ) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        for n, m in pairwise((latent, *hidden)):
            layers += [nn.Linear(n, m), nn.ReLU(inplace=True)]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*layers, nn.Linear((latent, *hidden)[-1], prod(shape)))
        _uniform(self, bound)

    @torch.no_grad()
    def begin_at(self, real: Tensor) -> None:
        """Set the output's bias so that generation starts at the mean of `real` [N, *shape].

        For images it is the logit of the mean, kept within ±7; for points the mean itself.
        """
        mean = real.flatten(1).mean(0)
        bias = torch.logit((mean + 1) / 2, eps=1e-3) if len(self.shape) > 1 else mean
        cast(nn.Linear, self.layers[-1]).bias.copy_(bias)

    def forward(self, z: Tensor) -> Tensor:
        h = self.layers(z)
        if len(self.shape) > 1:
            h = torch.tanh(h / 2)
        out: Tensor = h.unflatten(1, self.shape)
        return out


class MLPCritic(nn.Module):
    """Samples [B, *shape] → logits [B], through maxout layers or, with `pieces=1`, LeakyReLU .2.

    Images in [−1, 1] are moved to [0, 1] first, as the paper's were: a learning rate of .1 diverges
    on inputs whose background is −1 and not 0.
    `dropout` is (at the input, at hidden units), rates of what is dropped; the paper's are .2 and .5.
    `batch_layer`, between the last features and the judgement, is one of `zerosum.nets.minibatch`.

    >>> MLPCritic((2,), hidden=(16, 16), pieces=1)(torch.zeros(3, 2)).shape
    torch.Size([3])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        hidden: Sequence[int] = (240, 240),
        pieces: int = 5,
        dropout: tuple[float, float] = (0.0, 0.0),
        bound: float | None = 0.005,
        batch_layer: str = "none",
    ) -> None:
        super().__init__()
        self.images = len(shape) > 1
        layers: list[nn.Module] = [nn.Dropout(dropout[0])] if dropout[0] else []
        for n, m in pairwise((prod(shape), *hidden)):
            layers += [Maxout(n, m, pieces)] if pieces > 1 else [nn.Linear(n, m), nn.LeakyReLU(0.2)]
            layers += [nn.Dropout(dropout[1])] if dropout[1] else []
        self.feature_count = (prod(shape), *hidden)[-1]
        mix, features = batch_layer_of(batch_layer, self.feature_count)
        self.layers = nn.Sequential(*layers, nn.Linear(features, 1))
        _uniform(self, bound)
        self.batch_layer = mix

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, d]."""
        x = ((x + 1) / 2 if self.images else x).flatten(1)
        *hidden, _ = self.layers
        for layer in hidden:
            x = layer(x)
        return x

    def judge_features(self, h: Tensor) -> Tensor:
        """Logits [B] of features [B, d]."""
        logits: Tensor = self.layers[-1](self.batch_layer(h)).squeeze(1)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.judge_features(self.features(x))
