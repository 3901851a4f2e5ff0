"""Convolutions whose weight gradient, on small maps in bfloat16 on a CPU, is one matrix product.

Parameters, state dict and results (up to rounding) are those of PyTorch's layers; elsewhere these are
PyTorch's layers. See `zerosum.closed`.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from zerosum.closed import FEW_PIXELS, Closed

__all__ = ["Conv2d", "ConvTranspose2d", "closed_where_small"]


def closed_where_small(layer: nn.Module, x: Tensor, pixels: int) -> AbstractContextManager[object]:
    """The region for a strided convolution whose smaller maps have `pixels`: closed if that is the faster.

    >>> closed_where_small(nn.Conv2d(3, 8, 4, 2, 1), torch.zeros(2, 3, 8, 8), 16)  # not under autocast
    <contextlib.nullcontext object at ...>
    """
    worth_it = (
        pixels <= FEW_PIXELS
        and x.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") is torch.bfloat16
        and any(parameter.requires_grad for parameter in layer.parameters())
    )
    return Closed() if worth_it else nullcontext()


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`.

    >>> Conv2d(3, 8, 4, 2, 1)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 8, 4, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        pixels = (input.shape[-2] // self.stride[0]) * (input.shape[-1] // self.stride[1])
        with closed_where_small(self, input, pixels):
            return super().forward(input)


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`.

    >>> ConvTranspose2d(8, 3, 4, 2, 1)(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2, 3, 8, 8])
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        with closed_where_small(self, input, input.shape[-2] * input.shape[-1]):
            return super().forward(input, output_size)
