"""R3GAN's nets: plain residual blocks of grouped convolutions, no normalisation, for any even size.

Huang, Gokaslan, Kuleshov & Tompkin 2024, section 4: "The GAN is dead; long live the GAN! A Modern
Baseline GAN"; what it leaves open is as in the authors' code. Generator and critic mirror each other: a
stage of blocks for each resolution, from the image's down to a base of 4 to 7 pixels along the shorter
side, and resampling by a smooth filter between them. Feature maps: `width` next to the image, doubling
with each stage inwards up to `growth` times that. What normalisation would do is left to the
initialisation: Fixup's (Zhang, Dauphin & Ma 2019) without its scalars, each block beginning as the identity.
"""

from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.folding import pool, up
from zerosum.nets.plan import even_halvings

__all__ = ["Blur", "DownBetween", "GroupedBlock", "R3GANCritic", "R3GANGenerator", "UpBetween"]

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
_SLOPE = 0.2
_GAIN = (2 / (1 + _SLOPE**2)) ** 0.5  # gives back what LeakyReLU takes of the second moment (He et al. 2015)


class Blur(nn.Module):
    """Each map by the filter [1, 2, 1] along both axes, zeros beyond the border; the size is kept.

    After `up`, or before `pool`, it makes the filter [1, 3, 3, 1] of the authors' resampling. One
    transposed convolution for both would be slower on a CPU: in bfloat16 it brings 96 maps of 64 images
    from 16×16 to 32×32 in 115 ms, these two steps in 4.

    >>> Blur(1)(torch.ones(1, 1, 3, 3))[0, 0]
    tensor([[0.5625, 0.7500, 0.5625],
            [0.7500, 1.0000, 0.7500],
            [0.5625, 0.7500, 0.5625]])
    """

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("weight", (row[:, None] * row).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=1, groups=len(self.weight))


def _he(layer: Layer, gain: float = 1.0) -> Layer:
    """N(0, gain²/fan-in), and biases 0."""
    nn.init.normal_(layer.weight, 0.0, gain * layer.weight[0].numel() ** -0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _pointwise(c_in: int, c_out: int) -> nn.Conv2d:
    return _he(nn.Conv2d(c_in, c_out, 1, bias=False))


def _mixing(c_in: int, c_out: int) -> nn.Module:
    return nn.Identity() if c_in == c_out else _pointwise(c_in, c_out)


class UpBetween(nn.Module):
    """Between a generator's stages, [B, c_in, H, W] → [B, c_out, 2H, 2W]: 1×1 where widths differ.

    >>> UpBetween(8, 4)(torch.zeros(2, 8, 4, 5)).shape
    torch.Size([2, 4, 8, 10])
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.mix, self.blur = _mixing(c_in, c_out), Blur(c_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blur(up(self.mix(x)))
        return out


class DownBetween(nn.Module):
    """Between a critic's stages, [B, c_in, H, W] → [B, c_out, H/2, W/2]: 1×1 where widths differ.

    >>> DownBetween(4, 8)(torch.zeros(2, 4, 8, 10)).shape
    torch.Size([2, 8, 4, 5])
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.blur, self.mix = Blur(c_in), _mixing(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mix(pool(self.blur(x)))
        return out


class GroupedBlock(nn.Module):
    """x + L₃φ(L₂φ(L₁x + b₁) + b₂), [B, width, H, W], φ LeakyReLU .2.

    L₁ is 1×1 to `inner` maps, L₂ 3×3 in groups of `group` maps, L₃ 1×1 back. In a net of so many
    `blocks` L₁ and L₂ begin with He's law times blocks^(−1/(2·3−2)); L₃ and the biases begin at 0.

    >>> block, x = GroupedBlock(8, inner=16, group=4), torch.randn(2, 8, 5, 5)
    >>> torch.equal(block(x), x)
    True
    """

    def __init__(self, width: int, *, inner: int, group: int, blocks: int = 1) -> None:
        super().__init__()
        gain = _GAIN * blocks**-0.25
        self.widen = _he(nn.Conv2d(width, inner, 1), gain)
        self.conv = _he(nn.Conv2d(inner, inner, 3, padding=1, groups=inner // group), gain)
        self.narrow = nn.Conv2d(inner, width, 1, bias=False)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.widen(x), _SLOPE, inplace=True)
        h = F.leaky_relu(self.conv(h), _SLOPE, inplace=True)
        out: Tensor = x + self.narrow(h)
        return out


class _Plan(NamedTuple):
    widths: list[int]  # of the stages, from the image inwards
    base: tuple[int, int]
    blocks: int
    expansion: int
    group: int

    def stage(self, i: int) -> list[nn.Module]:
        """The blocks of the i-th stage."""
        inner, total = self.expansion * self.widths[i], self.blocks * len(self.widths)
        return [
            GroupedBlock(self.widths[i], inner=inner, group=self.group, blocks=total)
            for _ in range(self.blocks)
        ]


def _plan(
    shape: tuple[int, int, int], width: int, growth: int, blocks: int, expansion: int, group: int
) -> _Plan:
    k = even_halvings(shape[1:])
    named = {"width": width, "growth": growth, "blocks": blocks, "expansion": expansion, "group": group}
    for name, value in named.items():
        if value < 1:
            raise ValueError(f"--{name} must be at least 1, not {value}")
    if width * expansion % group:
        raise ValueError(
            f"--group {group} must divide a block's inner maps, --width {width} times --expansion {expansion}"
        )
    widths = [width * min(2**i, growth) for i in range(k + 1)]
    return _Plan(widths, (shape[1] >> k, shape[2] >> k), blocks, expansion, group)


class R3GANGenerator(nn.Module):
    """z [B, latent], with `classes` also labels [B], → images [B, C, H, W]: no tanh, so unbounded.

    A learned basis of maps, each as strong as a linear map of z (and of the class's embedding beside
    it, as long as z) says; stages; a 1×1 convolution to the image. `shape` is (C, H, W); raises
    ValueError, naming the nearest sizes, where H or W does not halve evenly.

    >>> R3GANGenerator((3, 48, 80), width=8)(torch.zeros(2, 64)).shape
    torch.Size([2, 3, 48, 80])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        latent: int = 64,
        width: int = 768,
        growth: int = 1,
        blocks: int = 2,
        expansion: int = 2,
        group: int = 16,
        classes: int = 0,
    ) -> None:
        super().__init__()
        plan = _plan(shape, width, growth, blocks, expansion, group)
        outer, inner = plan.widths[0], plan.widths[-1]
        self.embed = None
        if classes:
            self.embed = nn.Embedding(classes, latent)
            nn.init.normal_(self.embed.weight, 0.0, classes**-0.5)
        self.strengths = _he(nn.Linear(2 * latent if classes else latent, inner, bias=False))
        self.basis = nn.Parameter(torch.randn(inner, *plan.base))
        layers = plan.stage(-1)
        for i in reversed(range(len(plan.widths) - 1)):
            layers += [UpBetween(plan.widths[i + 1], plan.widths[i]), *plan.stage(i)]
        self.stages = nn.Sequential(*layers)
        self.to_image = _pointwise(outer, shape[0])

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(labels)], 1)
        x = self.strengths(z)[:, :, None, None] * self.basis
        image: Tensor = self.to_image(self.stages(x.contiguous(memory_format=torch.channels_last)))
        return image


class R3GANCritic(nn.Module):
    """Images [B, C, H, W], with `classes` also labels [B], → logits [B].

    The generator's mirror: a 1×1 convolution from the image, stages, a weighted sum over places of each
    map alone, and a linear map: to the logit, or with labels to as many numbers as there are features,
    of which ⟨·, e_y⟩ is the logit, e_y the class's embedding. Sizes as for `R3GANGenerator`.

    >>> R3GANCritic((1, 28, 28), width=8)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 768,
        growth: int = 1,
        blocks: int = 2,
        expansion: int = 2,
        group: int = 16,
        classes: int = 0,
    ) -> None:
        super().__init__()
        plan = _plan(shape, width, growth, blocks, expansion, group)
        outer, inner = plan.widths[0], plan.widths[-1]
        self.from_image = _pointwise(shape[0], outer)
        layers = plan.stage(0)
        for i in range(1, len(plan.widths)):
            layers += [DownBetween(plan.widths[i - 1], plan.widths[i]), *plan.stage(i)]
        self.stages = nn.Sequential(*layers)
        self.basis = _he(nn.Conv2d(inner, inner, plan.base, groups=inner, bias=False))
        self.judge = _he(nn.Linear(inner, inner if classes else 1, bias=False))
        self.embed = None
        if classes:
            self.embed = nn.Embedding(classes, inner)
            nn.init.normal_(self.embed.weight, 0.0, (inner * classes) ** -0.5)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, d]; they do not know the label."""
        h: Tensor = self.basis(self.stages(self.from_image(x)))
        return h.flatten(1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        said: Tensor = self.judge(self.features(x))
        return said.squeeze(1) if self.embed is None else (said * self.embed(labels)).sum(1)
