"""Equalised layers against plain formulas: scaled once, the size of what comes out, folded as plain."""

from math import sqrt
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.nets.equalised import EqualisedConv2d, EqualisedLinear, leaky, pixel_norm


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


LAYERS: dict[str, Any] = {
    "linear": lambda gain: (EqualisedLinear(64, 80, gain), torch.randn(400, 64), 64),
    "1×1": lambda gain: (EqualisedConv2d(32, 40, 1, gain=gain), torch.randn(40, 32, 8, 8), 32),
    "3×3": lambda gain: (EqualisedConv2d(24, 40, gain=gain), torch.randn(40, 24, 8, 8), 24 * 9),
}


@pytest.mark.parametrize("gain", [1.0, sqrt(2)])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_the_plain_one_with_he_s_constant_taken_once(name: str, gain: float) -> None:
    layer, x, fan_in = LAYERS[name](gain)
    nn.init.normal_(layer.bias)
    plain = F.linear if name == "linear" else F.conv2d
    padding = {} if name == "linear" else {"padding": layer.padding}
    assert torch.allclose(
        layer(x), plain(x, layer.weight * (gain / sqrt(fan_in)), layer.bias, **padding), atol=1e-6
    )


@pytest.mark.parametrize("gain", [1.0, sqrt(2)])
@pytest.mark.parametrize("name", LAYERS)
def test_weights_begin_standard_normal_and_outputs_have_the_gain_s_variance(name: str, gain: float) -> None:
    layer, x, _ = LAYERS[name](gain)
    assert layer.weight.detach().std() == pytest.approx(1, abs=0.05)
    assert not layer.bias.any()
    out = layer(x).detach()
    if name == "3×3":
        out = out[:, :, 1:-1, 1:-1]  # the border sees zeros
    assert out.var() == pytest.approx(gain**2, rel=0.1)
    after = gain**2 * (1 + 0.2**2) / 2  # of LeakyReLU .2
    assert leaky(out).square().mean() == pytest.approx(after, rel=0.1)


@pytest.mark.parametrize("resample", ["up", "down"])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("shape", [(2, 5, 4, 6), (3, 5, 10, 2)])
def test_folded_is_plain_with_its_gradients(
    resample: Literal["up", "down"], size: Literal[1, 3], shape: tuple[int, ...]
) -> None:
    layer = EqualisedConv2d(5, 7, size, resample=resample)
    plain = EqualisedConv2d(5, 7, size, resample=resample, folded=False)
    plain.load_state_dict(layer.state_dict())
    x, found = torch.randn(shape), []
    for one in (layer, plain):
        own = x.clone().requires_grad_()
        out: Tensor = one(own)
        gradients = torch.autograd.grad(out.square().sum(), (own, *one.parameters()))
        found.append((out.detach(), *gradients))
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(b.abs().max()))
    expected = [n * 2 if resample == "up" else n // 2 for n in shape[2:]]
    assert list(found[0][0].shape) == [shape[0], 7, *expected]


@pytest.mark.parametrize("shape", [(6, 512), (3, 8, 5, 4), (2, 1, 3, 3)])
def test_after_pixel_norm_each_pixel_s_mean_square_is_one(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape) * torch.tensor([0.01, 1.0, 100.0]).repeat(2)[: shape[0]].view(
        -1, *[1] * (len(shape) - 1)
    )
    out = pixel_norm(x)
    squares = out.square().mean(1)
    assert torch.allclose(squares, x.square().mean(1) / (x.square().mean(1) + 1e-8), atol=1e-5)
    assert torch.allclose(out, x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt(), atol=1e-5)
    assert pixel_norm(x.bfloat16()).dtype is torch.bfloat16
    assert torch.allclose(pixel_norm(x.bfloat16()).float(), out, atol=0.05 * float(out.abs().max()))


def test_pixel_norm_of_nothing_is_nothing_and_its_gradient_finite() -> None:
    x = torch.zeros(2, 4, 3, 3, requires_grad=True)
    out = pixel_norm(x)
    assert not out.any()
    out.sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())


def test_pixel_norm_s_gradient_is_that_of_the_formula() -> None:
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pixel_norm, (x,))
