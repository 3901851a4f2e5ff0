import pytest
import torch
from torch import nn

from zerosum.nets.convolution import Conv2d, ConvTranspose2d, _Convolve

CASES = [
    (nn.Conv2d, Conv2d, (4, 6, 4, 2, 1), (5, 4, 8, 8), False),
    (nn.Conv2d, Conv2d, (4, 6, 5, 2, 2), (5, 4, 7, 9), False),
    (nn.Conv2d, Conv2d, (4, 6, (4, 3), (2, 1), (1, 1)), (5, 4, 8, 5), False),
    (nn.ConvTranspose2d, ConvTranspose2d, (6, 4, 4, 2, 1), (5, 6, 4, 4), True),
    (nn.ConvTranspose2d, ConvTranspose2d, (6, 4, 5, 2, 2, 1), (5, 6, 3, 4), True),
]


@pytest.mark.parametrize(("plain", "ours", "arguments", "shape", "transposed"), CASES)
def test_gradients_are_the_plain_ones(plain, ours, arguments, shape, transposed):
    layer = plain(*arguments, bias=False).double()
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    settings = layer.stride, layer.padding, getattr(layer, "output_padding", (0, 0)), transposed
    settings = (*settings[:2], settings[2] if transposed else (0, 0), transposed)
    y, z = layer(x), _Convolve.apply(x, layer.weight, *settings)
    torch.testing.assert_close(z, y)
    direction = torch.randn_like(y)
    expected = torch.autograd.grad(y, (x, layer.weight), direction)
    found = torch.autograd.grad(z, (x, layer.weight), direction)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("transposed", [False, True])
def test_it_is_twice_differentiable(transposed):
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradgradcheck(
        lambda x, w: _Convolve.apply(x, w, (2, 2), (1, 1), (0, 0), transposed), (x, w)
    )


@pytest.mark.parametrize(("plain", "ours", "arguments", "shape", "transposed"), CASES)
def test_under_autocast_it_agrees_with_the_plain_layer(plain, ours, arguments, shape, transposed):
    layer, mine = plain(*arguments), ours(*arguments)
    mine.load_state_dict(layer.state_dict())
    x = torch.randn(shape)
    grads = []
    for module in (layer, mine):
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        assert y.dtype is torch.bfloat16
        assert (type(y.grad_fn).__name__ == "_ConvolveBackward") or module is layer or mine.bias is not None
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
