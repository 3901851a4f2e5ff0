"""Penalties: terms that hold the critic's slope or its outputs, added to the critic's loss.

A penalty is called `penalty(critic, real, fake, draw)` and gives one number per sample, [B]. `critic`
is a closure x → logits [B] into which any labels are bound, so penalties never see them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zerosum import processes
from zerosum.annealing import cosine
from zerosum.augmentation import warp
from zerosum.closed import Closed
from zerosum.draws import Draws
from zerosum.objectives import widened

__all__ = [
    "Critic",
    "Penalty",
    "consistency",
    "dragan",
    "drift",
    "input_gradient",
    "r1",
    "r2",
    "wgan_gp",
    "zero_centred",
]

Critic = Callable[[Tensor], Tensor]
_TINY = 1e-24  # below this squared norm the slope of √ is cut to 0, where it would be infinite


@dataclass(frozen=True)
class Penalty:
    """A measure per sample, its weight, and how often it is taken.

    Lazy penalties (Karras et al. 2020, appendix B) are taken at each `every`-th step only, `every`
    times as heavy: the same pull on average, for less work.

    With `final` the weight goes there from `weight` by a cosine over the first `over` images shown:
    `at(images)` is the penalty as it then is.

    `per_sample` tells that the critic must judge each sample alone, as every gradient by the input
    needs it; `mixes`, that the measure is one of the whole batch, which then cannot be cut.

    >>> wgan_gp().weight
    10.0
    """

    name: str
    measure: Callable[[Critic, Tensor, Tensor, Draws], Tensor]
    weight: float
    every: int = 1
    per_sample: bool = True
    mixes: bool = False
    final: float | None = None
    over: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"{self.name}: every must be at least 1 step, not {self.every}")
        if self.weight < 0:
            raise ValueError(f"{self.name}: weight must not be negative, and {self.weight} is")
        if self.final is not None and self.final < 0:
            raise ValueError(f"{self.name}: final must not be negative, and {self.final} is")
        if self.over < 1:
            raise ValueError(f"{self.name}: over must be at least 1 image, not {self.over}")

    def due(self, step: int) -> bool:
        """Whether the penalty is taken at this step."""
        return step % self.every == 0

    def at(self, images: int) -> "Penalty":
        """The penalty after so many real images shown.

        >>> [r1(weight=10.0, final=1.0, over=100).at(images).weight for images in (0, 100, 200)]
        [10.0, 1.0, 1.0]
        """
        if self.final is None:
            return self
        return replace(self, weight=cosine(images, self.weight, self.final, self.over), final=None)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        """weight · every · measure, [B]."""
        return self.weight * self.every * self.measure(critic, real, fake, draw)


def input_gradient(critic: Critic, x: Tensor) -> Tensor:
    """∇ₓ f(x), per sample and flat: [B, …] → [B, D] float32; differentiable in the critic's weights.

    The critic must judge each sample alone: with batch norm a sample's gradient reaches its
    neighbours, and the number means nothing. Its derivative costs what it must where the critic is of
    convolutions, linear layers, (leaky) ReLU and average pooling: see `zerosum.closed`.

    >>> input_gradient(lambda x: (3 * x).sum(1), torch.zeros(2, 1))
    tensor([[3.],
            [3.]])
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        with Closed():
            logits = critic(x)
        (gradient,) = torch.autograd.grad(widened(logits).sum(), x, create_graph=True)
    return widened(gradient.flatten(1))


def _squared(critic: Critic, x: Tensor) -> Tensor:
    return input_gradient(critic, x).square().sum(1)


def _off_target(critic: Critic, x: Tensor, target: float, one_sided: bool) -> Tensor:
    excess = _squared(critic, x).clamp_min(_TINY).sqrt() - target
    return (excess.clamp_min(0) if one_sided else excess).square()


def _share(x: Tensor, draw: Draws) -> Tensor:
    """ε ~ U(0, 1), one a sample, to multiply `x` with."""
    return draw.uniform("interpolate", *([1] * (x.dim() - 1))).to(x.dtype)


def _between(real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
    epsilon = _share(real, draw)
    return epsilon * real + (1 - epsilon) * fake.to(real.dtype)


def wgan_gp(weight: float = 10.0, target: float = 1.0, one_sided: bool = False, every: int = 1) -> Penalty:
    """(‖∇f(x̂)‖₂ − target)², x̂ = εx + (1−ε)x̃, ε~U(0,1) a sample (Gulrajani et al. 2017, eq. 3).

    `one_sided` charges slopes above the target alone, max(0, ·)² (Petzka et al. 2018: WGAN-LP).

    >>> x = torch.randn(5, 1)
    >>> unit_slope = wgan_gp()(lambda x: x.sum(1), x, -x, Draws(stop=5))
    >>> unit_slope.tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def measure(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        return _off_target(critic, _between(real, fake, draw), target, one_sided)

    return Penalty("wgan-gp", measure, weight, every)


def dragan(weight: float = 10.0, noise: float = 0.5, target: float = 1.0, every: int = 1) -> Penalty:
    """(‖∇f(x̂)‖₂ − target)² near the real samples alone (Kodali et al. 2017).

    x̂ = x + ε·noise·s·u with ε~U(0,1) a sample and u~U(0,1) a number, as in the authors' code; s is the
    standard deviation of all numbers of the batch of reals, over all processes. So the batch cannot be
    cut into micro-batches exactly.

    >>> x = torch.randn(5, 1)
    >>> dragan(weight=1.0)(lambda x: 3 * x.sum(1), x, x, Draws(stop=5)).tolist()
    [4.0, 4.0, 4.0, 4.0, 4.0]
    """

    def measure(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        wide = real.detach().double()
        moments = torch.stack([torch.ones_like(wide), wide, wide.square()]).flatten(1).sum(1)
        count, total, squares = processes.all_reduce(moments)
        deviation = (squares / count - (total / count).square()).clamp_min(0).sqrt()
        step = _share(real, draw) * noise * deviation.to(real.dtype)
        return _off_target(critic, real + step * draw.uniform("dragan", *real.shape[1:]), target, False)

    return Penalty("dragan", measure, weight, every, mixes=True)


def r1(weight: float = 10.0, every: int = 1, final: float | None = None, over: int = 1) -> Penalty:
    """½‖∇f(x)‖² at real samples, weight γ (Mescheder, Geiger & Nowozin 2018, eq. 9).

    With `final` γ goes there from `weight` over the first `over` images (R3GAN, Huang et al. 2024).

    >>> r1(weight=2.0)(lambda x: 3 * x.sum(1), torch.zeros(1, 1), torch.zeros(1, 1), Draws())
    tensor([9.])
    """

    def measure(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        return 0.5 * _squared(critic, real)

    return Penalty("r1", measure, weight, every, final=final, over=over)


def r2(weight: float = 10.0, every: int = 1, final: float | None = None, over: int = 1) -> Penalty:
    """½‖∇f(x̃)‖² at fake samples, weight γ (Mescheder, Geiger & Nowozin 2018, eq. 10); `final` as for `r1`.

    >>> r2(weight=2.0)(lambda x: 3 * x.sum(1), torch.zeros(1, 1), torch.zeros(1, 1), Draws())
    tensor([9.])
    """

    def measure(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        return 0.5 * _squared(critic, fake)

    return Penalty("r2", measure, weight, every, final=final, over=over)


def zero_centred(weight: float = 10.0, every: int = 1) -> Penalty:
    """‖∇f(x̂)‖² between real and fake, x̂ as in `wgan_gp` (Thanh-Tung, Tran & Venkatesh 2019).

    >>> zero_centred(weight=2.0)(lambda x: 3 * x.sum(1), torch.zeros(1, 1), torch.ones(1, 1), Draws())
    tensor([18.])
    """

    def measure(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        return _squared(critic, _between(real, fake, draw))

    return Penalty("zero-centred", measure, weight, every)


def drift(weight: float = 1e-3, every: int = 1) -> Penalty:
    """f(x)² at real samples: keeps logits near 0 where the loss does not (Karras et al. 2018, appendix A.1).

    >>> drift(weight=1.0)(lambda x: 3 * x.sum(1), torch.ones(1, 2), torch.zeros(1, 2), Draws())
    tensor([36.])
    """

    def measure(critic: Critic, real: Tensor, fake: Tensor, draw: Draws) -> Tensor:
        return widened(critic(real)).square()

    return Penalty("drift", measure, weight, every, per_sample=False)


def consistency(weight: float = 10.0, fake: float = 0.0, shift: int = 4, every: int = 1) -> Penalty:
    """(f(x) − f(T(x)))² at real images (Zhang et al. 2020: CR-GAN).

    T flips left and right with probability ½ and moves by up to `shift` whole pixels along each axis,
    the image reflected at its border. The same at fake images is added `fake` times: 0 in CR-GAN, 1 in
    balanced consistency (Zhao et al. 2021).

    >>> images = torch.randn(2, 1, 8, 8)
    >>> consistency()(lambda x: x.sum((1, 2, 3)) * 0, images, images, Draws(stop=2)).tolist()
    [0.0, 0.0]

    Raises ValueError for samples that are not images, and for a shift as wide as the image.
    """
    if shift < 0 or fake < 0:
        raise ValueError(f"--penalty consistency: shift={shift} and fake={fake} must not be negative")

    def change(critic: Critic, x: Tensor, draw: Draws, purpose: str) -> Tensor:
        if x.dim() != 4 or shift >= min(x.shape[2:]):
            raise ValueError(
                f"--penalty consistency needs images [B, C, H, W] wider and higher than shift={shift} "
                f"pixels, not {list(x.shape)}"
            )
        flip, down, across = draw.uniform(f"consistency/{purpose}", 3).unbind(1)
        across_by = torch.where(flip < 0.5, -1.0, 1.0)
        linear = torch.diag_embed(torch.stack([across_by, torch.ones_like(flip)], 1))
        moves = torch.stack([across, down], 1).mul(2 * shift + 1).floor() - shift
        return (widened(critic(x)) - widened(critic(warp(x, linear, moves)))).square()

    def measure(critic: Critic, real: Tensor, fakes: Tensor, draw: Draws) -> Tensor:
        cost = change(critic, real, draw, "real")
        return cost + fake * change(critic, fakes, draw, "fake") if fake else cost

    return Penalty("consistency", measure, weight, every, per_sample=False)
