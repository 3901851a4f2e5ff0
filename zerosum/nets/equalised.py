"""Layers with an equalised learning rate, and the pixel norm (Karras et al. 2018, arXiv:1710.10196, part 4).

Weights begin as N(0, 1) and are multiplied by c = gain/√fan_in each time they are used, He's constant
(He et al. 2015) with gain √2. Adam's step is of the same size for every weight, so each layer now learns
at the same pace, whatever its fan-in. The optimiser and the state dict see the plain N(0, 1) weights.
"""

from math import sqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.convolution import closed_where_small
from zerosum.nets.folding import conv_pool, pool, up, up_conv

__all__ = ["EqualisedConv2d", "EqualisedLinear", "leaky", "pixel_norm"]

HE = sqrt(2)  # the gain that keeps the variance through ReLU; the paper uses it for LeakyReLU .2 too


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU of slope .2, in place.

    >>> leaky(torch.tensor([-1.0, 1.0]))
    tensor([-0.2000,  1.0000])
    """
    return F.leaky_relu(x, 0.2, inplace=True)


def pixel_norm(x: Tensor) -> Tensor:
    """x/√(mean of x² over channels + 1e-8), at each pixel: [B, C, …] → the same (section 4.2).

    Each pixel's mean square becomes 1. A latent [B, C] is one pixel: it comes to lie on a sphere.

    >>> pixel_norm(torch.tensor([[3.0, 4.0]])).square().mean(1)
    tensor([1.])
    """
    # The norm over channels makes no copy of x: five times faster than x.square().mean(1) of maps.
    wide = torch.promote_types(x.dtype, torch.float32)
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide)
    return x * torch.rsqrt(norm.square() / x.shape[1] + 1e-8).to(x.dtype)


class EqualisedLinear(nn.Linear):
    """A linear layer [B, inputs] → [B, outputs] whose weight N(0, 1) is scaled as it is used; bias 0.

    >>> layer = EqualisedLinear(512, 2000)
    >>> bool(1.9 < layer(torch.randn(9, 512)).var() < 2.1)
    True
    """

    def __init__(self, inputs: int, outputs: int, gain: float = HE) -> None:
        super().__init__(inputs, outputs)
        self.scale = gain / sqrt(inputs)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.scale, self.bias)


class EqualisedConv2d(nn.Conv2d):
    """A convolution, 3×3 or 1×1, that keeps the size, or is of x up-sampled, or is averaged after.

    `resample` "up" is conv(up(x)), "down" pool(conv(x)), each in one step as in `zerosum.nets.folding`;
    `folded=False` computes the same in plain steps. Weight N(0, 1), scaled as it is used; bias 0.

    >>> EqualisedConv2d(3, 8, resample="down")(torch.zeros(2, 3, 8, 6)).shape
    torch.Size([2, 8, 4, 3])
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        size: Literal[1, 3] = 3,
        *,
        gain: float = HE,
        resample: Literal["none", "up", "down"] = "none",
        folded: bool = True,
    ) -> None:
        super().__init__(c_in, c_out, size, padding=size // 2)
        self.scale = gain / sqrt(c_in * size * size)
        self.resample, self.folded = resample, folded and size == 3
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if self.folded and self.resample != "none":
            pixels = input.shape[2] * input.shape[3]
            if self.resample == "up":
                with closed_where_small(self, input, pixels):
                    return up_conv(input, weight, self.bias)
            with closed_where_small(self, input, pixels // 4):
                return conv_pool(input, weight, self.bias)
        if self.resample == "up":
            input = up(input)
        out = F.conv2d(input, weight, self.bias, padding=self.padding)
        return pool(out) if self.resample == "down" else out
