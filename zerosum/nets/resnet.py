"""The residual family: a generator and a critic that mirror each other, for any size that halves evenly.

The nets of SN-GAN (Miyato et al. 2018, appendix B) and of WGAN-GP's CIFAR-10
(Gulrajani et al. 2017, appendix) are the same but for their width, pooling and normalisation: blocks
of two 3×3 convolutions, each after ReLU, beside a shortcut.

The generator doubles a base of 4 to 7 pixels along the shorter side k times, a block each. The critic
has k+1 blocks, of which the last `flat` do not halve. Feature maps: `width` next to the image, doubling
with each block inwards up to `growth` times that. As in the papers: for 32×32 growth 1 and flat 2, for
larger images growth 16 and flat 1. (At 48×48 SN-GAN's critic has a block more, and ends in 3×3.)
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.conditioning import class_batch_norm
from zerosum.nets.folding import ConvPool2d, UpConv2d
from zerosum.nets.minibatch import batch_layer as batch_layer_of
from zerosum.nets.norms import norm_layer, takes_bias
from zerosum.nets.plan import even_halvings

__all__ = [
    "Block",
    "MakeNorm",
    "ResNetCritic",
    "ResNetGenerator",
    "down_block",
    "feature_maps",
    "flat_block",
    "stem_block",
    "up_block",
]

MakeNorm = Callable[[int], nn.Module]


class Block(nn.Module):
    """shortcut(x) + conv2(ReLU(norm2(conv1(ReLU(norm1(x)))))).

    `norm1` None leaves out the first ReLU too, as before an image. A `condition` goes to both norms.
    """

    def __init__(
        self,
        norm1: nn.Module | None,
        conv1: nn.Module,
        norm2: nn.Module,
        conv2: nn.Module,
        shortcut: nn.Module,
    ) -> None:
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = norm1, conv1, norm2, conv2
        self.shortcut = shortcut

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        given = () if condition is None else (condition,)
        h = x
        if self.norm1 is not None:  # the shortcut needs x as it is
            h = F.relu(self.norm1(x, *given), inplace=not isinstance(self.norm1, nn.Identity))
        h = self.conv2(F.relu(self.norm2(self.conv1(h), *given), inplace=True))
        out: Tensor = h + self.shortcut(x)
        return out


def up_block(c_in: int, c_out: int, norm: MakeNorm, *, bias: bool = True, folded: bool = True) -> Block:
    """A generator's block, [B, c_in, H, W] → [B, c_out, 2H, 2W]: up-sampling before its first convolution.

    `bias` False where a norm after each convolution, also that of blocks to come, takes it off again.

    >>> up_block(8, 4, nn.BatchNorm2d, bias=False)(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2, 4, 8, 8])
    """
    return Block(
        norm(c_in),
        UpConv2d(c_in, c_out, bias=bias, folded=folded),
        norm(c_out),
        nn.Conv2d(c_out, c_out, 3, padding=1, bias=bias),
        UpConv2d(c_in, c_out, 1, bias=bias, folded=folded),
    )


def down_block(c_in: int, c_out: int, norm: MakeNorm, *, bias: bool = True, folded: bool = True) -> Block:
    """A critic's block, [B, c_in, H, W] → [B, c_out, H/2, W/2]: pooling after its second convolution.

    `bias` is the first convolution's, which the second norm may take off again.

    >>> down_block(4, 8, nn.Identity)(torch.zeros(2, 4, 8, 8)).shape
    torch.Size([2, 8, 4, 4])
    """
    return Block(
        norm(c_in),
        nn.Conv2d(c_in, c_in, 3, padding=1, bias=bias),
        norm(c_in),
        ConvPool2d(c_in, c_out, folded=folded),
        ConvPool2d(c_in, c_out, 1, folded=folded),
    )


def stem_block(c_in: int, c_out: int, *, folded: bool = True) -> Block:
    """A critic's first block, images [B, C, H, W] → [B, c_out, H/2, W/2]: no norm, and no ReLU before it.

    >>> stem_block(3, 8)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 8, 4, 4])
    """
    return Block(
        None,
        nn.Conv2d(c_in, c_out, 3, padding=1),
        nn.Identity(),
        ConvPool2d(c_out, c_out, folded=folded),
        ConvPool2d(c_in, c_out, 1, folded=folded),
    )


def flat_block(c_in: int, c_out: int, norm: MakeNorm, *, bias: bool = True) -> Block:
    """A critic's block that keeps the size; where c_in = c_out its shortcut is x itself.

    >>> flat_block(4, 4, nn.Identity)(torch.zeros(2, 4, 8, 8)).shape
    torch.Size([2, 4, 8, 8])
    """
    return Block(
        norm(c_in),
        nn.Conv2d(c_in, c_in, 3, padding=1, bias=bias),
        norm(c_in),
        nn.Conv2d(c_in, c_out, 3, padding=1),
        nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1),
    )


def feature_maps(width: int, growth: int, count: int) -> list[int]:
    """How many feature maps from the image inwards: doubled with each of `count` − 1 blocks, up to `growth`.

    >>> feature_maps(64, growth=4, count=5)
    [64, 128, 256, 256, 256]
    """
    if width < 1 or growth < 1:
        raise ValueError(
            f"--width, --critic-width and --growth must be at least 1, not width={width}, growth={growth}"
        )
    return [width * min(2**i, growth) for i in range(count)]


def _norm(name: str) -> MakeNorm:
    if name == "virtual":
        raise ValueError("residual nets have no virtual batch norm: choose batch, layer or none")
    return partial(norm_layer, name)


def _initialise(net: nn.Module, blocks: nn.Sequential) -> None:
    """Glorot's uniform law, √2 times as wide before ReLU's other half is lost (both authors' code)."""
    branches = {conv for block in blocks for conv in (block.conv1, block.conv2)}
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, 2**0.5 if module in branches else 1.0)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class ResNetGenerator(nn.Module):
    """z [B, latent] → images [B, C, H, W] in (−1, 1).

    `shape` is (C, H, W); raises ValueError, naming the nearest sizes, where H or W does not halve evenly.
    `folded=False` computes the same in plain steps, for comparison. With `classes` batch norm's gain and
    bias are each class's own, but for the last norm's, and labels [B] are asked for.

    >>> ResNetGenerator((3, 48, 80), width=8)(torch.zeros(2, 128)).shape
    torch.Size([2, 3, 48, 80])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        latent: int = 128,
        width: int = 256,
        growth: int = 1,
        norm: str = "batch",
        classes: int = 0,
        folded: bool = True,
    ) -> None:
        super().__init__()
        k = even_halvings(shape[1:])
        widths = feature_maps(width, growth, k + 1)
        make_norm, bias = _norm(norm), takes_bias(norm)
        if classes and norm != "batch":
            raise ValueError(f"--norm {norm}: a conditional residual generator has batch norm")
        of_blocks = partial(class_batch_norm, classes=classes) if classes else make_norm
        self.base = (widths[k], shape[1] >> k, shape[2] >> k)
        self.project = nn.Linear(latent, prod(self.base))
        blocks = (
            up_block(widths[i + 1], widths[i], of_blocks, bias=bias, folded=folded)
            for i in reversed(range(k))
        )
        self.blocks = nn.Sequential(*blocks)
        self.norm = make_norm(widths[0])
        self.to_image = nn.Conv2d(widths[0], shape[0], 3, padding=1)
        _initialise(self, self.blocks)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x: Tensor = self.project(z).unflatten(1, self.base)
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x, labels)
        image: Tensor = self.to_image(F.relu(self.norm(x), inplace=True))
        return torch.tanh(image)


class ResNetCritic(nn.Module):
    """Images [B, C, H, W] → logits [B]; no sigmoid, which belongs to the objective.

    `pooling` of the last maps over places: sum (SN-GAN) or mean (WGAN-GP). Where an image is so small
    that `flat` blocks would leave none to halve, fewer are flat. `batch_layer`, between the last
    features and the judgement, is one of `zerosum.nets.minibatch`. Sizes as for `ResNetGenerator`.

    >>> ResNetCritic((1, 28, 28), width=8)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 128,
        growth: int = 1,
        flat: int = 2,
        pooling: Literal["sum", "mean"] = "sum",
        norm: str = "none",
        batch_layer: str = "none",
        folded: bool = True,
    ) -> None:
        super().__init__()
        k = even_halvings(shape[1:])
        widths = feature_maps(width, growth, k + 1)
        if flat < 1:
            raise ValueError(f"--flat must be at least 1 block, not {flat}")
        if pooling not in ("sum", "mean"):
            raise ValueError(f"--pooling must be sum or mean, not {pooling!r}")
        make_norm, bias = _norm(norm), takes_bias(norm)
        blocks = [stem_block(shape[0], widths[0], folded=folded)]
        for i in range(1, k + 1):
            if i < k + 1 - flat:
                blocks += [down_block(widths[i - 1], widths[i], make_norm, bias=bias, folded=folded)]
            else:
                blocks += [flat_block(widths[i - 1], widths[i], make_norm, bias=bias)]
        self.blocks = nn.Sequential(*blocks)
        self.pooling = pooling
        self.feature_count = widths[k]
        mix, features = batch_layer_of(batch_layer, self.feature_count)
        self.judge = nn.Linear(features, 1)
        _initialise(self, self.blocks)
        self.batch_layer = mix

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, d]."""
        h = F.relu(self.blocks(x), inplace=True)
        return h.sum((2, 3)) if self.pooling == "sum" else h.mean((2, 3))

    def judge_features(self, h: Tensor) -> Tensor:
        """Logits [B] of features [B, d]."""
        logits: Tensor = self.judge(self.batch_layer(h)).squeeze(1)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.judge_features(self.features(x))
