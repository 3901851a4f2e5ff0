"""Adversarial objectives: pairs of losses that critic and generator minimise.

Each function below returns an `Objective`. Logits are the critic's raw outputs, shape [B]; D = σ(logit)
where an objective speaks of probabilities. Losses are per sample, shape [B], in nats where they are
cross-entropies; the caller takes the mean. Everything is computed on logits in float32, so that a
logit of ±10⁴ gives finite values and gradients. Those that compare D(x) with D(G(z)) are in
`zerosum.relativistic`, those made from an f-divergence in `zerosum.divergences`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.names import look_up

__all__ = [
    "LIMIT",
    "GeneratorForm",
    "Objective",
    "as_it_is",
    "hinge",
    "least_squares",
    "maximum_likelihood",
    "minimax",
    "non_saturating",
    "wasserstein",
    "weighted",
    "widened",
]

LIMIT = 20.0  # exponentials of a logit are exact up to here (e²⁰ = 4.9·10⁸), and go on in a line beyond
GeneratorForm = Literal["saturating", "non-saturating"]


def as_it_is(logits: Tensor) -> Tensor:
    """The reading of a critic that is no probability: the raw number.

    >>> as_it_is(torch.tensor(3.0))
    tensor(3.)
    """
    return logits


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
    generator needs D(real) too. `mixes` says that a sample's loss depends on the whole batch, which then
    may not be cut into parts. `reading` turns a logit into what D says (a probability, or the raw
    number), for people to watch; `bounded` tells that it is a probability. `signed` says that a positive
    logit speaks for real, a negative one for fake, which adaptive augmentation counts.

    >>> game = non_saturating()
    >>> game.critic(torch.zeros(1), torch.zeros(1))  # 2 log 2, at D = ½
    tensor([1.3863])
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor | None, Tensor], Tensor]
    paired: bool = False
    mixes: bool = False
    reading: Callable[[Tensor], Tensor] = torch.sigmoid
    signed: bool = True

    @property
    def bounded(self) -> bool:
        """Whether `reading` is a probability."""
        return self.reading is torch.sigmoid


def _cross_entropy(smoothing: float = 0.0) -> Callable[[Tensor, Tensor], Tensor]:
    """−(1−s) log D(x) − s log(1−D(x)) − log(1−D(G(z))), by softplus: −log σ(l) = softplus(−l)."""
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be at least 0 and below 1, not {smoothing}: try 0.1")

    def critic(real: Tensor, fake: Tensor) -> Tensor:
        logit = widened(real)
        # −log(1−D) + log D = l, so the smoothed target adds s·l.
        return F.softplus(-logit) + smoothing * logit + F.softplus(widened(fake))

    return critic


def minimax(smoothing: float = 0.0) -> Objective:
    """The zero-sum game: min_G max_D E log D(x) + E log(1−D(G(z))) (Goodfellow et al. 2014, eq. 1).

    The generator minimises log(1−D(G(z))) = −softplus(l), whose gradient −σ(l) vanishes where D
    rejects the fakes; see `non_saturating`. `smoothing`, in [0, 1), is one-sided: the critic's target
    for real samples becomes 1−smoothing, that for fakes stays 0, and the best critic is
    (1−smoothing)·p/(p+q) (Salimans et al. 2016, section 3.4). Raises ValueError outside.

    >>> game = minimax()
    >>> game.generator(None, torch.tensor([0.0]))  # log ½
    tensor([-0.6931])
    """
    return Objective(_cross_entropy(smoothing), lambda real, fake: -F.softplus(widened(fake)))


def non_saturating(smoothing: float = 0.0) -> Objective:
    """The critic of `minimax`; the generator minimises −log D(G(z)) (Goodfellow et al. 2014, section 3).

    >>> game = non_saturating()
    >>> game.generator(None, torch.tensor([-1e4]))  # the gradient is −1 here, not 0
    tensor([10000.])
    """
    return Objective(_cross_entropy(smoothing), lambda real, fake: F.softplus(-widened(fake)))


def maximum_likelihood() -> Objective:
    """The critic of `minimax`; the generator minimises −½ exp(σ⁻¹(D)) = −½ D/(1−D) (Goodfellow 2016, 3.2.4).

    At the best critic exp(logit) = p/q, and the generator's gradient is ½ of that of KL(p‖q): the factor ½
    is the paper's. Exact up to a logit of `LIMIT`; beyond, the exponential continues along its tangent.

    >>> game = maximum_likelihood()
    >>> game.generator(None, torch.tensor([0.0, 1e4]))  # at D = ½, and far beyond the limit
    tensor([-5.0000e-01, -2.4212e+12])
    """

    def generator(real: Tensor | None, fake: Tensor) -> Tensor:
        logit = widened(fake)
        return -0.5 * logit.clamp_max(LIMIT).exp() * (1 + F.relu(logit - LIMIT))

    return Objective(_cross_entropy(), generator)


def weighted(pi: float = 0.5, generator: GeneratorForm = "saturating") -> Objective:
    """The π-weighted Jensen–Shannon divergence: −π log D(x) − (1−π) log(1−D(G(z))) (Huszár 2015).

    A sample is real with probability `pi`, in (0, 1), and D guesses which. H(π) minus the critic's loss is
    a lower bound of the mutual information πKL(p‖m) + (1−π)KL(q‖m), m = πp + (1−π)q, in nats, and equal to
    it at the best critic πp/m. The generator minimises (1−π) log(1−D(G(z))), or in the non-saturating form
    −(1−π) log D(G(z)). At π = ½ both are half of `minimax`. Raises ValueError for `pi` outside (0, 1).

    >>> game = weighted(0.25)
    >>> game.critic(torch.zeros(1), torch.zeros(1))  # log 2, at D = ½
    tensor([0.6931])
    """
    if not 0 < pi < 1:
        raise ValueError(f"weighted: pi is the share of real samples, between 0 and 1, not {pi}")
    sign = look_up({"saturating": 1, "non-saturating": -1}, generator, "generator of weighted")
    return Objective(
        lambda real, fake: pi * F.softplus(-widened(real)) + (1 - pi) * F.softplus(widened(fake)),
        lambda real, fake: -sign * (1 - pi) * F.softplus(sign * widened(fake)),
    )


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
        reading=as_it_is,
        signed=a + b == 0,
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
        reading=as_it_is,
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
        reading=as_it_is,
        signed=False,
    )
