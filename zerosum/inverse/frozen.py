"""A generator made ready to be searched: in evaluation mode, batch norm folded into the layers before it."""

from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

__all__ = ["frozen"]


def frozen(generator: nn.Module) -> nn.Module:
    """A copy in evaluation mode, without gradients of its own, that computes the same in fewer passes.

    In evaluation mode batch norm is γ(h − m)/√(v + ε) + β with m, v fixed, an affine map, so a convolution
    or linear layer before it in an `nn.Sequential` takes it in.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU())
    >>> len(frozen(net)), torch.allclose(frozen(net)(torch.ones(1, 3)), net.eval()(torch.ones(1, 3)))
    (2, True)
    """
    copy = deepcopy(generator).eval().requires_grad_(False)
    for module in list(copy.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    return copy


def _fold(layers: nn.Sequential) -> None:
    index = 1
    while index < len(layers):
        before, norm = layers[index - 1], layers[index]
        fused: nn.Module | None = None
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.running_mean is not None:
            if isinstance(before, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                fused = fuse_linear_bn_eval(before, norm)
            elif isinstance(before, nn.Conv2d | nn.ConvTranspose2d) and before.groups == 1:
                fused = fuse_conv_bn_eval(before, norm, isinstance(before, nn.ConvTranspose2d))
        if fused is None:
            index += 1
        else:
            layers[index - 1] = fused.requires_grad_(False)
            del layers[index]
