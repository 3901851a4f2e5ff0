import pytest
import torch
from torch import nn

from zerosum.nets.convolution import Conv2d, ConvTranspose2d

CASES = [
    (nn.Conv2d, Conv2d, (4, 6, 4, 2, 1), (5, 4, 8, 8)),
    (nn.Conv2d, Conv2d, (4, 6, 5, 2, 2), (5, 4, 7, 9)),
    (nn.Conv2d, Conv2d, (4, 6, (4, 3), (2, 1), (1, 1)), (5, 4, 8, 5)),
    (nn.ConvTranspose2d, ConvTranspose2d, (6, 4, 4, 2, 1), (5, 6, 4, 4)),
    (nn.ConvTranspose2d, ConvTranspose2d, (6, 4, 5, 2, 2, 1), (5, 6, 3, 4)),
]


@pytest.mark.parametrize(("plain", "ours", "arguments", "shape"), CASES)
def test_under_autocast_it_agrees_with_the_plain_layer(plain, ours, arguments, shape):
    layer, mine = plain(*arguments), ours(*arguments)
    mine.load_state_dict(layer.state_dict())
    x = torch.randn(shape)
    grads = []
    for module in (layer, mine):
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        assert y.dtype is torch.bfloat16
        assert (type(y.grad_fn).__name__ == "_ConvolveBackward") == (module is mine)
        (y.float() ** 2).sum().backward()
        grads.append((module.weight.grad, module.bias.grad))
    for a, b in zip(*grads, strict=True):
        assert b.dtype is torch.float32
        assert (a - b).norm() < 0.02 * a.norm()


def test_in_float32_it_is_the_plain_layer_to_the_bit():
    layer, mine = nn.Conv2d(3, 8, 4, 2, 1), Conv2d(3, 8, 4, 2, 1)
    mine.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(layer(x), mine(x))
