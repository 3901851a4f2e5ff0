"""The nonlinearities that a setting may name: the one place where they are made."""

import torch
from torch import Tensor, nn

__all__ = ["Gate", "activation", "maps_for"]


class Gate(nn.Module):
    """tanh(a) ⊙ σ(b), a and b the halves of the channels: [B, 2C, …] → [B, C, …].

    The gated unit of PixelCNN (van den Oord et al. 2016b, eq. 2).

    >>> Gate()(torch.tensor([[9.0, 0.0]]))
    tensor([[0.5000]])
    """

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        return torch.tanh(a) * torch.sigmoid(b)


def activation(name: str, slope: float = 0.0) -> nn.Module:
    """The nonlinearity `name`: relu (leaky where `slope` is not 0), tanh or gated.

    >>> activation("relu", slope=0.2)
    LeakyReLU(negative_slope=0.2, inplace=True)

    Raises ValueError for another name.
    """
    if name == "relu":
        return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
    if name == "tanh":
        return nn.Tanh()
    if name == "gated":
        return Gate()
    raise ValueError(f"--activation must be relu, tanh or gated, not {name!r}")


def maps_for(name: str) -> int:
    """How many feature maps this nonlinearity takes for each that it gives: gates take two.

    >>> maps_for("relu"), maps_for("gated")
    (1, 2)
    """
    return 2 if name == "gated" else 1
