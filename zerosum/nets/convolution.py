"""Convolutions whose weight gradient, on small maps in bfloat16 on a CPU, is one matrix product.

The processor's own kernel for that gradient parallelises over a map's pixels and starves where there
are few: at 4×4 it runs at half the speed of a plain product. Parameters, state dict and results (up to
rounding) are those of PyTorch's layers; elsewhere these are PyTorch's layers.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Conv2d", "ConvTranspose2d"]

_FEW_PIXELS = 64
Pair = tuple[int, int]


def _weight_gradient(large: Tensor, small: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """Σ over batch and places of small ⊗ the window of `large` it came from: [C_small, C_large, k_h, k_w]."""
    padded = F.pad(large, (padding[1], padding[1], padding[0], padding[0])).permute(0, 2, 3, 1)
    windows = padded.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1])
    rows = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel[0] * kernel[1] * large.shape[1])
    product: Tensor = small.permute(0, 2, 3, 1).reshape(-1, small.shape[1]).T @ rows
    weight: Tensor = product.unflatten(1, (*kernel, large.shape[1]))
    return weight.permute(0, 3, 1, 2)


class _Convolve(torch.autograd.Function):
    """Convolution or its transpose; its backward is made of differentiable operations, so it has one too."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, extra: Pair, transposed: bool
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = stride, padding, extra, transposed
        if transposed:
            return F.conv_transpose2d(x, weight, None, stride, padding, extra)
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, extra, transposed = ctx.settings
        (g,) = grads
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.aten.convolution_backward(
                g, x, weight, None, stride, padding, (1, 1), transposed, extra, 1, (True, False, False)
            )[0]
        if ctx.needs_input_grad[1]:
            large, small = (g, x) if transposed else (x, g)
            dw = _weight_gradient(large, small, tuple(weight.shape[2:]), stride, padding)
        return dx, dw, None, None, None, None


def _worth_it(x: Tensor, weight: Tensor, pixels: int) -> bool:
    return (
        pixels <= _FEW_PIXELS
        and x.device.type == "cpu"
        and weight.requires_grad
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") is torch.bfloat16
    )


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    # Autocast does not reach into a Function: the casts are made, and differentiated, outside it.
    y: Tensor = _Convolve.apply(x.bfloat16(), weight.bfloat16(), *settings)
    return y if bias is None else y + bias.bfloat16().view(1, -1, 1, 1)


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, without groups, dilation or padding modes.

    >>> Conv2d(3, 8, 4, 2, 1)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 8, 4, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        weight, stride = self.weight, self.stride
        pixels = (input.shape[2] // stride[0]) * (input.shape[3] // stride[1])
        if not _worth_it(input, weight, pixels):
            return F.conv2d(input, weight, self.bias, stride, self.padding)
        return _convolve(input, weight, self.bias, stride, self.padding, (0, 0), False)


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`, without groups or dilation.

    >>> ConvTranspose2d(8, 3, 4, 2, 1)(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2, 3, 8, 8])
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        weight, stride, extra = self.weight, self.stride, self.output_padding
        if output_size is not None or not _worth_it(input, weight, input.shape[2] * input.shape[3]):
            return super().forward(input, output_size)
        return _convolve(input, weight, self.bias, stride, self.padding, extra, True)
