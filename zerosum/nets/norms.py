"""The normalisation layers that a setting may name: the one place where they are made."""

from torch import nn

from zerosum.nets.virtual import VirtualBatchNorm

__all__ = ["norm_layer", "takes_bias"]


def norm_layer(name: str, channels: int) -> nn.Module:
    """The normalisation `name` for `channels` feature maps: batch, layer (over C, H and W), virtual, none.

    >>> norm_layer("layer", 8)  # doctest: +ELLIPSIS
    GroupNorm(1, 8, ...)
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    if name == "virtual":
        return VirtualBatchNorm(channels)
    if name == "none":
        return nn.Identity()
    raise ValueError(f"norm must be batch, layer, virtual or none, not {name!r}")


def takes_bias(norm: str) -> bool:
    """Whether a convolution before this normalisation should have a bias.

    A bias before batch norm has no effect, and Adam would amplify the noise of its zero gradient.
    """
    return norm not in ("batch", "virtual")
