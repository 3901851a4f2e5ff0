"""How labels enter nets of any family: by concatenation, by a class's own norm, by projection.

Labels are int64 [B], 0 … K−1. A conditional generator is called `generator(z, labels)`, a conditional
critic `critic(x, labels)`; one with an auxiliary classifier is called `critic(x)`, and `critic.judged(x)`
gives its class logits too.
"""

from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "ClassVectors",
    "ClassifyingCritic",
    "ConcatenatedCritic",
    "ConcatenatedGenerator",
    "ConditionalBatchNorm2d",
    "Featured",
    "ProjectedCritic",
    "class_batch_norm",
    "vector_batch_norm",
]


class Featured(Protocol):
    """A critic that names its last hidden features: `judge_features(features(x))` is `critic(x)`."""

    feature_count: int

    def features(self, x: Tensor) -> Tensor:
        """[B, …] → [B, feature_count]."""
        ...

    def judge_features(self, h: Tensor) -> Tensor:
        """[B, feature_count] → logits [B]."""
        ...


def _at_least_one(classes: int) -> int:
    if classes < 1:
        raise ValueError(f"a conditional net needs at least 1 class, not {classes}")
    return classes


class ClassVectors(nn.Embedding):
    """An embedding whose vectors are inputs or gains, no linear map's rows: spectral norm leaves it alone.

    Else a class's gains of 1 would become 1/√(K·C).
    """

    unbounded = True


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose gain and bias are functions of a condition (de Vries et al. 2017, eq. 3).

    y = γ(c) ⊙ (x − μ)/√(σ² + ε) + β(c), x [B, C, H, W]; `gain` and `bias` map c to [B, C].
    """

    def __init__(self, channels: int, gain: nn.Module, bias: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = gain, bias

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        out: Tensor = self.norm(x)
        # Of the maps' type, or embeddings would turn bf16 maps into wider ones; one pass, not two.
        gain, bias = (law(condition)[:, :, None, None].to(out.dtype) for law in (self.gain, self.bias))
        return torch.addcmul(bias, out, gain)


class _OnePlus(nn.Linear):
    """1 + Wc."""

    def forward(self, input: Tensor) -> Tensor:
        return 1 + super().forward(input)


def class_batch_norm(channels: int, classes: int) -> ConditionalBatchNorm2d:
    """Batch norm with a gain and a bias of each class's own, 1 and 0 at the start; called `norm(x, labels)`.

    As in Miyato & Koyama 2018 and SAGAN.

    >>> norm, x = class_batch_norm(4, classes=3), torch.randn(2, 4, 5, 5)
    >>> torch.equal(norm(x, torch.tensor([0, 2])), nn.BatchNorm2d(4)(x))
    True
    """
    gain, bias = (ClassVectors(_at_least_one(classes), channels) for _ in range(2))
    nn.init.ones_(gain.weight)
    nn.init.zeros_(bias.weight)
    return ConditionalBatchNorm2d(channels, gain, bias)


def vector_batch_norm(channels: int, size: int) -> ConditionalBatchNorm2d:
    """Batch norm with gain 1 + Wc and bias Vc for a vector c [B, size]; called `norm(x, c)`.

    As in BigGAN (Brock et al. 2019, appendix B), whose c is a shared embedding of the class beside a
    chunk of the latent.

    >>> vector_batch_norm(4, size=6)(torch.randn(2, 4, 5, 5), torch.randn(2, 6)).shape
    torch.Size([2, 4, 5, 5])
    """
    gain, bias = _OnePlus(size, channels, bias=False), nn.Linear(size, channels, bias=False)
    return ConditionalBatchNorm2d(channels, gain, bias)


class ConcatenatedGenerator(nn.Module):
    """A generator whose latent is continued by the label, one-hot (Mirza & Osindero 2014).

    `net` takes latents [B, latent + classes].

    >>> ConcatenatedGenerator(nn.Linear(4 + 3, 2), classes=3)(torch.randn(5, 4), torch.arange(5) % 3).shape
    torch.Size([5, 2])
    """

    def __init__(self, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.net, self.classes = net, _at_least_one(classes)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        out: Tensor = self.net(torch.cat([z, F.one_hot(labels, self.classes).to(z.dtype)], 1))
        return out


class ConcatenatedCritic(nn.Module):
    """A critic that sees the label, one-hot, as further channels: constant maps, or numbers beside a point's.

    `net` takes samples of `classes` more channels.

    >>> net = nn.Sequential(nn.Conv2d(1 + 3, 1, 8), nn.Flatten(0))
    >>> ConcatenatedCritic(net, classes=3)(torch.zeros(2, 1, 8, 8), torch.tensor([0, 2])).shape
    torch.Size([2])
    """

    def __init__(self, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.net, self.classes = net, _at_least_one(classes)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        said = F.one_hot(labels, self.classes).to(x.dtype)
        maps = said.reshape(*said.shape, *(1 for _ in x.shape[2:])).expand(-1, -1, *x.shape[2:])
        out: Tensor = self.net(torch.cat([x, maps], 1))
        return out


class ProjectedCritic(nn.Module):
    """f(x, y) = ψ(φ(x)) + ⟨e_y, φ(x)⟩ (Miyato & Koyama 2018, 3): φ a critic's features, ψ its judgement.

    >>> from zerosum.nets.resnet import ResNetCritic
    >>> critic = ProjectedCritic(ResNetCritic((3, 32, 32), width=8), classes=10)
    >>> critic(torch.zeros(2, 3, 32, 32), torch.tensor([1, 7])).shape
    torch.Size([2])
    """

    def __init__(self, critic: Featured, classes: int) -> None:
        super().__init__()
        self.critic = cast(nn.Module, critic)
        self.embed = nn.Embedding(_at_least_one(classes), critic.feature_count)
        nn.init.xavier_uniform_(self.embed.weight)
        self.feature_count = critic.feature_count

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, d]; they do not know the label."""
        return cast(Featured, self.critic).features(x)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        h = self.features(x)
        projected: Tensor = (self.embed(labels) * h).sum(1)
        return cast(Featured, self.critic).judge_features(h) + projected


class ClassifyingCritic(nn.Module):
    """A critic that also tells the class, from the same features (AC-GAN, Odena et al. 2017).

    >>> from zerosum.nets.dcgan import DCGANCritic
    >>> logits, of_class = ClassifyingCritic(DCGANCritic((1, 28, 28), width=8), classes=10).judged(
    ...     torch.zeros(2, 1, 28, 28))
    >>> logits.shape, of_class.shape
    (torch.Size([2]), torch.Size([2, 10]))
    """

    def __init__(self, critic: Featured, classes: int) -> None:
        super().__init__()
        self.critic = cast(nn.Module, critic)
        self.classify = nn.Linear(critic.feature_count, _at_least_one(classes))
        self.feature_count = critic.feature_count

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, d]."""
        return cast(Featured, self.critic).features(x)

    def judged(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of being real [B], and of each class [B, K], in one pass."""
        h = self.features(x)
        return cast(Featured, self.critic).judge_features(h), self.classify(h)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Featured, self.critic).judge_features(self.features(x))
