"""Labels in a game of two: who is told them, and the auxiliary classifier's terms."""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from zerosum.games.game import Batch
from zerosum.games.unrolling import Judge
from zerosum.objectives import widened

__all__ = ["Auxiliary", "bound", "labels_of"]


@dataclass(frozen=True)
class Auxiliary:
    """AC-GAN's L_C: the cross-entropy −log P(C = c | x), in both players' losses (Odena et al. 2017, eq. 3).

    The critic maximises L_S + L_C, the generator L_C − L_S: both minimise the cross-entropy. `on` says
    on what the critic learns classes: "both" real and fake, as AC-GAN's paper has it, or "real" alone,
    as Gulrajani et al. 2017 and later ports do, with weights of 1 and .1; there the critic cannot learn
    to call a class by the generator's mistakes. A uniform classifier's term is log K.

    >>> import torch
    >>> Auxiliary().of_critic(torch.zeros(1, 4), torch.zeros(1, 4), torch.tensor([2]))  # 2 log 4
    tensor([2.7726])
    """

    weight: float = 1.0
    generator_weight: float = 1.0
    on: Literal["both", "real"] = "both"

    def __post_init__(self) -> None:
        if self.on not in ("both", "real"):
            raise ValueError(f"--auxiliary must be both or real, not {self.on!r}")
        weights = {"class-weight": self.weight, "generator-class-weight": self.generator_weight}
        for name, weight in weights.items():
            if not weight >= 0:
                raise ValueError(f"--{name} must not be negative, not {weight}")

    def of_critic(self, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
        """The critic's term for class logits [B, K] on real and fake of these labels, [B]."""
        term = F.cross_entropy(widened(real), labels, reduction="none")
        if self.on == "both":
            term = term + F.cross_entropy(widened(fake), labels, reduction="none")
        return self.weight * term

    def of_generator(self, fake: Tensor, labels: Tensor) -> Tensor:
        """The generator's term, [B]."""
        return self.generator_weight * F.cross_entropy(widened(fake), labels, reduction="none")


def labels_of(batch: Batch) -> Tensor:
    """The batch's labels, int64 [b]. Raises ValueError where the data have none."""
    if "labels" not in batch.data:
        raise ValueError(
            "a conditional game needs labelled data: sort images into class subfolders, or --labels"
        )
    return batch.data["labels"]


def bound(net: Judge, labels: Tensor | None) -> Judge:
    """The net with its labels given, a function of samples alone; without labels the net itself.

    So penalties never meet labels: an interpolate of real and fake keeps the label both bear.
    """
    return net if labels is None else lambda x: net(x, labels)
