"""Resampling folded into the convolution beside it: the same map for fewer multiplications.

A 3×3 convolution after up-sampling, or before pooling, becomes one 4×4 convolution of stride 2: 16
multiplications where there were 36. A 1×1 convolution is done where the maps are small. Parameters,
their initialisation and the state dict are those of a plain `nn.Conv2d`; constraints and regularisers
meet its weight, and each forward pass folds what they make of it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.convolution import closed_where_small

__all__ = ["ConvPool2d", "UpConv2d", "conv_pool", "pool", "up", "up_conv"]


def up(x: Tensor) -> Tensor:
    """Each pixel twice along both axes: [B, C, H, W] → [B, C, 2H, 2W].

    >>> up(torch.tensor([[[[1.0, 2.0]]]]))
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def pool(x: Tensor) -> Tensor:
    """Means over 2×2: [B, C, H, W] → [B, C, ⌊H/2⌋, ⌊W/2⌋].

    >>> pool(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    tensor([[[[3.]]]])
    """
    return F.avg_pool2d(x, 2)


def _quads(weight: Tensor) -> Tensor:
    """Kernels [·, ·, 3, 3] convolved in full with 2×2 ones: [·, ·, 4, 4]."""
    # The copy costs less than average pooling's slow path for 3×3 maps that are not channels_last.
    weight = weight.contiguous(memory_format=torch.channels_last)
    return F.avg_pool2d(weight, 2, stride=1, padding=1, divisor_override=1)


def up_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """up(x) convolved with a 3×3 weight [c_out, c_in, 3, 3]: [B, c_in, H, W] → [B, c_out, 2H, 2W].

    An output pixel sees 2×2 pixels of x, to each of which goes the sum of the weights that fall on it.

    >>> x, weight = torch.randn(2, 3, 5, 4), torch.randn(8, 3, 3, 3)
    >>> torch.allclose(up_conv(x, weight), F.conv2d(up(x), weight, padding=1), atol=1e-4)
    True
    """
    return F.conv_transpose2d(x, _quads(weight.transpose(0, 1).flip(2, 3)), bias, stride=2, padding=1)


def conv_pool(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Means over 2×2 of x convolved with a 3×3 weight: [B, c_in, H, W] → [B, c_out, ⌊H/2⌋, ⌊W/2⌋].

    >>> x, weight = torch.randn(2, 3, 6, 4), torch.randn(8, 3, 3, 3)
    >>> torch.allclose(conv_pool(x, weight), pool(F.conv2d(x, weight, padding=1)), atol=1e-4)
    True
    """
    return F.conv2d(x, _quads(weight) / 4, bias, stride=2, padding=1)


class _Folded(nn.Conv2d):
    """A convolution that keeps the size, 3×3 or 1×1; `folded=False` computes the same in plain steps."""

    def __init__(
        self, c_in: int, c_out: int, size: int = 3, *, bias: bool = True, folded: bool = True
    ) -> None:
        if size not in (1, 3):
            raise ValueError(f"only 3×3 and 1×1 convolutions are folded, not {size}×{size}")
        super().__init__(c_in, c_out, size, padding=size // 2, bias=bias)
        self.folded = folded


class UpConv2d(_Folded):
    """conv(up(x)): [B, c_in, H, W] → [B, c_out, 2H, 2W].

    Folded, a 3×3 is a transposed convolution: see `up_conv`.

    >>> layer, x = UpConv2d(3, 8), torch.randn(2, 3, 5, 4)
    >>> torch.allclose(layer(x), F.conv2d(up(x), layer.weight, layer.bias, padding=1), atol=1e-5)
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.folded:
            return super().forward(up(input))
        if self.kernel_size == (1, 1):
            return up(super().forward(input))
        with closed_where_small(self, input, input.shape[2] * input.shape[3]):
            return up_conv(input, self.weight, self.bias)


class ConvPool2d(_Folded):
    """pool(conv(x)): [B, c_in, H, W] → [B, c_out, ⌊H/2⌋, ⌊W/2⌋].

    >>> layer, x = ConvPool2d(3, 8), torch.randn(2, 3, 7, 6)
    >>> torch.allclose(layer(x), pool(F.conv2d(x, layer.weight, layer.bias, padding=1)), atol=1e-5)
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.folded:
            return pool(super().forward(input))
        if self.kernel_size == (1, 1):
            return super().forward(pool(input))
        with closed_where_small(self, input, (input.shape[2] // 2) * (input.shape[3] // 2)):
            return conv_pool(input, self.weight, self.bias)
