"""Very deep residual nets: a generator and a critic of bottleneck blocks, whose depth is counted in layers.

A bottleneck (He et al. 2016a, figure 5; its activations before its convolutions as in He et al. 2016b)
is a branch of three convolutions, 1×1, 3×3 and 1×1, between them half as many feature maps; it has one
norm, as those of WGAN-GP's robustness table (Gulrajani et al. 2017, figure 2). Their 101 layers are
counted along the branches: 33 blocks of three, one layer before them and one after them.

The sizes are those of `zerosum.nets.resnet`: a base of 4 to 7 pixels along the shorter side, doubled k
times. Each of the k+1 sizes has as many blocks as the others, the inner ones one more where it does not
come out even.
"""

from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.folding import ConvPool2d, UpConv2d
from zerosum.nets.minibatch import batch_layer as batch_layer_of
from zerosum.nets.norms import norm_layer
from zerosum.nets.plan import even_halvings
from zerosum.nets.resnet import feature_maps

__all__ = ["Bottleneck", "BottleneckCritic", "BottleneckGenerator"]

Resample = Literal["none", "up", "down"]


class Bottleneck(nn.Module):
    """shortcut(x) + f(x), f a norm and three times ReLU and convolution; its 3×3 doubles or halves the size.

    [B, c_in, H, W] → [B, c_out, H, W], or 2H×2W ("up"), or H/2×W/2 ("down").

    >>> Bottleneck(8, 4, "batch", "up")(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2, 4, 8, 8])
    """

    def __init__(self, c_in: int, c_out: int, norm: str, resample: Resample = "none") -> None:
        super().__init__()
        inner = max(1, c_out // 2)
        self.norm = norm_layer(norm, c_in)
        self.conv1 = nn.Conv2d(c_in, inner, 1)
        self.conv2 = _convolution(inner, inner, 3, resample)
        self.conv3 = nn.Conv2d(inner, c_out, 1)
        same = c_in == c_out and resample == "none"
        self.shortcut = nn.Identity() if same else _convolution(c_in, c_out, 1, resample)

    def branch(self) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
        """The three convolutions beside the shortcut."""
        return self.conv1, self.conv2, self.conv3

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(x), inplace=not isinstance(self.norm, nn.Identity))  # x goes on beside it
        for conv in (self.conv1, self.conv2):
            h = F.relu(conv(h), inplace=True)
        out: Tensor = self.conv3(h) + self.shortcut(x)
        return out


def _convolution(c_in: int, c_out: int, size: int, resample: Resample) -> nn.Conv2d:
    if resample == "up":
        return UpConv2d(c_in, c_out, size)
    if resample == "down":
        return ConvPool2d(c_in, c_out, size)
    return nn.Conv2d(c_in, c_out, size, padding=size // 2)


def _blocks_a_size(depth: int, sizes: int) -> list[int]:
    """How many blocks each size has, from the image inwards."""
    blocks, rest = divmod(depth - 2, 3)
    if rest or blocks < sizes:
        least = 3 * sizes + 2
        near = sorted({max(least, 3 * blocks + 2), max(least, 3 * blocks + 5)})
        raise ValueError(
            f"--depth {depth}: bottleneck nets have 3 layers a block, at least a block for each of {sizes} "
            f"sizes, and 2 more layers: choose {' or '.join(map(str, near))}"
        )
    return [(blocks + i) // sizes for i in range(sizes)]


def _initialise(net: nn.Module, blocks: list[Bottleneck]) -> None:
    """He's law in the branches, each scaled so that all together add as much as the shortcuts carry."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in blocks:
        for conv in block.branch():
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        with torch.no_grad():
            block.conv3.weight /= len(blocks) ** 0.5


class BottleneckGenerator(nn.Module):
    """z [B, latent] → images [B, C, H, W] in (−1, 1), through `depth` layers.

    A linear layer, (depth − 2)/3 blocks and a convolution. `width` and `growth` as for `ResNetGenerator`.
    Raises ValueError, naming what is near, for sizes that do not halve evenly and depths that do not fit.

    >>> BottleneckGenerator((1, 16, 16), depth=11, width=8)(torch.zeros(2, 128)).shape
    torch.Size([2, 1, 16, 16])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        depth: int = 101,
        latent: int = 128,
        width: int = 32,
        growth: int = 16,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        k = even_halvings(shape[1:])
        widths = feature_maps(width, growth, k + 1)
        counts = _blocks_a_size(depth, k + 1)
        self.base = (widths[k], shape[1] >> k, shape[2] >> k)
        self.project = nn.Linear(latent, prod(self.base))
        blocks = [Bottleneck(widths[k], widths[k], norm) for _ in range(counts[k])]
        for i in reversed(range(k)):
            blocks += [Bottleneck(widths[i + 1], widths[i], norm, "up")]
            blocks += [Bottleneck(widths[i], widths[i], norm) for _ in range(counts[i] - 1)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm_layer(norm, widths[0])
        self.to_image = nn.Conv2d(widths[0], shape[0], 3, padding=1)
        _initialise(self, blocks)

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.project(z).unflatten(1, self.base)
        x = self.blocks(x.contiguous(memory_format=torch.channels_last))
        return torch.tanh(self.to_image(F.relu(self.norm(x))))


class BottleneckCritic(nn.Module):
    """Images [B, C, H, W] → logits [B], through `depth` layers: the generator's mirror image.

    A convolution, (depth − 2)/3 blocks, ReLU, a sum or mean over places (`pooling`) and a linear layer.

    >>> BottleneckCritic((1, 16, 16), depth=11, width=8)(torch.zeros(2, 1, 16, 16)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        depth: int = 101,
        width: int = 32,
        growth: int = 16,
        pooling: Literal["sum", "mean"] = "sum",
        norm: str = "none",
        batch_layer: str = "none",
    ) -> None:
        super().__init__()
        k = even_halvings(shape[1:])
        widths = feature_maps(width, growth, k + 1)
        counts = _blocks_a_size(depth, k + 1)
        self.from_image = nn.Conv2d(shape[0], widths[0], 3, padding=1)
        blocks: list[Bottleneck] = []
        for i in range(k):
            blocks += [Bottleneck(widths[i], widths[i], norm) for _ in range(counts[i] - 1)]
            blocks += [Bottleneck(widths[i], widths[i + 1], norm, "down")]
        blocks += [Bottleneck(widths[k], widths[k], norm) for _ in range(counts[k])]
        self.blocks = nn.Sequential(*blocks)
        self.pooling = pooling
        self.feature_count = widths[k]
        mix, features = batch_layer_of(batch_layer, self.feature_count)
        self.judge = nn.Linear(features, 1)
        _initialise(self, blocks)
        self.batch_layer = mix

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, d]."""
        h = F.relu(self.blocks(self.from_image(x)))
        return h.sum((2, 3)) if self.pooling == "sum" else h.mean((2, 3))

    def judge_features(self, h: Tensor) -> Tensor:
        """Logits [B] of features [B, d]."""
        logits: Tensor = self.judge(self.batch_layer(h)).squeeze(1)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.judge_features(self.features(x))
