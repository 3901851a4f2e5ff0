"""Adversarial objectives: pairs of losses that critic and generator minimise.

Each function below returns an `Objective`. Logits are the critic's raw outputs, shape [B]; D = σ(logit)
where an objective speaks of probabilities. Losses are per sample, shape [B], in nats where they are
cross-entropies; the caller takes the mean. Everything is computed on logits in float32, so that a
logit of ±10⁴ gives finite values and gradients.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Objective", "hinge", "least_squares", "minimax", "non_saturating", "wasserstein", "widened"]


def _identity(x: Tensor) -> Tensor:
    return x


def widened(logits: Tensor) -> Tensor:
    """Half precision widened to float32; float32 and float64 stay.

    >>> widened(torch.zeros(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return logits.float() if logits.dtype.itemsize < 4 else logits


@dataclass(frozen=True)
class Objective:
    """What each player minimises; argument order (real, fake), both logits [B] → [B].

    `critic(real, fake)` and `generator(real, fake)` where `real` is None unless `paired` says that the
    generator needs D(real) too. `reading` turns a logit into what D says (a probability, or the raw
    number), for people to watch; `bounded` tells that it is a probability.

    >>> game = non_saturating()
    >>> game.critic(torch.zeros(1), torch.zeros(1))  # 2 log 2, at D = ½
    tensor([1.3863])
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor | None, Tensor], Tensor]
    paired: bool = False
    reading: Callable[[Tensor], Tensor] = torch.sigmoid

    @property
    def bounded(self) -> bool:
        """Whether `reading` is a probability."""
        return self.reading is torch.sigmoid


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """−log D(x) − log(1−D(G(z))), by softplus: −log σ(l) = softplus(−l)."""
    return F.softplus(-widened(real)) + F.softplus(widened(fake))


def minimax() -> Objective:
    """The zero-sum game: min_G max_D E log D(x) + E log(1−D(G(z))) (Goodfellow et al. 2014, eq. 1).

    The generator minimises log(1−D(G(z))) = −softplus(l), whose gradient −σ(l) vanishes where D
    rejects the fakes; see `non_saturating`.

    >>> game = minimax()
    >>> game.generator(None, torch.tensor([0.0]))  # log ½
    tensor([-0.6931])
    """
    return Objective(_cross_entropy, lambda real, fake: -F.softplus(widened(fake)))


def non_saturating() -> Objective:
    """The critic of `minimax`; the generator minimises −log D(G(z)) (Goodfellow et al. 2014, section 3).

    >>> game = non_saturating()
    >>> game.generator(None, torch.tensor([-1e4]))  # the gradient is −1 here, not 0
    tensor([10000.])
    """
    return Objective(_cross_entropy, lambda real, fake: F.softplus(-widened(fake)))


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Objective:
    """LSGAN: ½(D(x)−b)² + ½(D(G(z))−a)²; generator ½(D(G(z))−c)² (Mao et al. 2017, eq. 2).

    `a`, `b`: the targets for fake and real; `c`: what the generator wants D to say of its fakes.
    b−c=1 with b−a=2 makes it the Pearson χ² (their theorem 1); the default 0/1 coding is their eq. 9.
    The critic has no sigmoid.

    >>> game = least_squares()
    >>> game.critic(torch.tensor([0.5]), torch.tensor([0.5]))
    tensor([0.2500])
    """
    return Objective(
        lambda real, fake: 0.5 * (widened(real) - b).square() + 0.5 * (widened(fake) - a).square(),
        lambda real, fake: 0.5 * (widened(fake) - c).square(),
        reading=_identity,
    )


def hinge() -> Objective:
    """max(0, 1−D(x)) + max(0, 1+D(G(z))); generator −D(G(z)) (Lim & Ye 2017; Miyato et al. 2018, eq. 16–17).

    >>> game = hinge()
    >>> game.critic(torch.tensor([2.0]), torch.tensor([0.5]))
    tensor([1.5000])
    """
    return Objective(
        lambda real, fake: F.relu(1.0 - widened(real)) + F.relu(1.0 + widened(fake)),
        lambda real, fake: -widened(fake),
        reading=_identity,
    )


def wasserstein() -> Objective:
    """−f(x) + f(G(z)); generator −f(G(z)) (Arjovsky et al. 2017, algorithm 1).

    The critic f must be held Lipschitz by a penalty or a constraint; minus its loss then estimates W₁
    up to the Lipschitz constant.

    >>> game = wasserstein()
    >>> game.critic(torch.tensor([3.0]), torch.tensor([1.0]))
    tensor([-2.])
    """
    return Objective(
        lambda real, fake: widened(fake) - widened(real),
        lambda real, fake: -widened(fake),
        reading=_identity,
    )
