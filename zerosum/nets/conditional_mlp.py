"""The perceptrons of conditional GANs (Mirza & Osindero 2014): sample and label are mapped, then joined."""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.mlp import Maxout, MLPCritic, MLPGenerator

__all__ = ["ConditionalMLPCritic", "ConditionalMLPGenerator"]


class ConditionalMLPGenerator(nn.Module):
    """z [B, latent] and labels [B] → samples [B, *shape]: images in (−1, 1), or points (shape (D,)).

    Latent and one-hot label are mapped to the two `branches` of ReLU units, and an `MLPGenerator` with
    `hidden` goes on from both. `dropout` is the rate at all hidden units.

    >>> generator = ConditionalMLPGenerator((1, 28, 28), classes=10)
    >>> generator(torch.zeros(2, 100), torch.tensor([3, 8])).shape
    torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        *,
        latent: int = 100,
        branches: tuple[int, int] = (200, 1000),
        hidden: Sequence[int] = (1200,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.of_latent, self.of_label = nn.Linear(latent, branches[0]), nn.Linear(classes, branches[1])
        self.drop = nn.Dropout(dropout)
        self.joint = MLPGenerator(shape, latent=sum(branches), hidden=hidden, dropout=dropout, bound=None)

    def begin_at(self, real: Tensor) -> None:
        """Start at the mean of the data, as `MLPGenerator.begin_at`."""
        self.joint.begin_at(real)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        said = F.one_hot(labels, self.classes).to(z.dtype)
        out: Tensor = self.joint(self.drop(F.relu(torch.cat([self.of_latent(z), self.of_label(said)], 1))))
        return out


class ConditionalMLPCritic(nn.Module):
    """Samples [B, *shape] and labels [B] → logits [B].

    Sample and one-hot label are mapped to the two `branches` of maxout units with `pieces` each; `hidden`
    maxout units with `joint_pieces` judge both. Images in [−1, 1] are moved to [0, 1] first, as in
    `MLPCritic`. `dropout` is (at the input, at hidden units).

    >>> ConditionalMLPCritic((1, 28, 28), classes=10)(torch.zeros(2, 1, 28, 28), torch.tensor([3, 8])).shape
    torch.Size([2])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        *,
        branches: tuple[int, int] = (240, 50),
        hidden: Sequence[int] = (240,),
        pieces: int = 5,
        joint_pieces: int = 4,
        dropout: tuple[float, float] = (0.0, 0.0),
        batch_layer: str = "none",
    ) -> None:
        super().__init__()
        self.images, self.classes = len(shape) > 1, classes
        self.drop = nn.Dropout(dropout[0])
        self.of_sample = Maxout(prod(shape), branches[0], pieces)
        self.of_label = Maxout(classes, branches[1], pieces)
        self.joint = MLPCritic(
            (sum(branches),),
            hidden=hidden,
            pieces=joint_pieces,
            dropout=(dropout[1], dropout[1]),
            bound=None,
            batch_layer=batch_layer,
        )

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        said = F.one_hot(labels, self.classes).to(x.dtype)
        seen = self.drop(((x + 1) / 2 if self.images else x).flatten(1))
        out: Tensor = self.joint(torch.cat([self.of_sample(seen), self.of_label(said)], 1))
        return out
