"""Folded layers are the plain ones: values, gradients of every order, parameters."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zerosum.closed import Closed
from zerosum.constraints import SpectralNorm, spectral_norm
from zerosum.nets.folding import ConvPool2d, UpConv2d, pool, up
from zerosum.nets.resnet import down_block, stem_block, up_block

SIZES = [(8, 8), (7, 5), (2, 9), (1, 6)]
FORMATS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}

LAYERS: dict[str, Callable[..., nn.Module]] = {
    "up": partial(UpConv2d, 4, 6),
    "up 1×1": partial(UpConv2d, 4, 6, 1, bias=False),
    "pool": partial(ConvPool2d, 4, 6),
    "pool 1×1": partial(ConvPool2d, 4, 6, 1, bias=False),
    "up block": partial(up_block, 4, 6, nn.BatchNorm2d, bias=False),
    "up block without norm": partial(up_block, 4, 6, nn.Identity),
    "down block": partial(down_block, 4, 6, nn.Identity),
    "down block with layer norm": partial(down_block, 4, 6, partial(nn.GroupNorm, 1)),
    "stem block": partial(stem_block, 4, 6),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    folded, plain = LAYERS[name](folded=True), LAYERS[name](folded=False)
    plain.load_state_dict(folded.state_dict())
    return folded, plain


def followed(net: nn.Module, x: Tensor, closed: bool = False) -> Iterator[Tensor]:
    """The output, its gradients, and how the slope changes with the weights and x."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    weights = [*net.parameters()]
    if closed:
        with Closed():
            y = net(x)
    else:
        y = net(x)
    yield y.detach()
    direction = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
    value = (y * direction).sum()
    yield from torch.autograd.grad(value, [x, *weights], retain_graph=True)
    (slope,) = torch.autograd.grad(value, x, create_graph=True)
    moved = torch.autograd.grad(slope.square().sum(), weights, allow_unused=True)
    yield from (torch.zeros_like(w) if m is None else m for w, m in zip(weights, moved, strict=True))


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(
    ("name", "size"), [(n, s) for n in LAYERS for s in SIZES if min(s) > 1 or n.startswith("up")], ids=str
)
def test_folded_is_plain(name, size, layout):
    folded, plain = (net.to(memory_format=FORMATS[layout]) for net in pair(name))
    x = torch.randn(3, 4, *size).contiguous(memory_format=FORMATS[layout])
    values = [*followed(plain, x)]
    for closed in (False, True):
        for a, b in zip(followed(folded, x, closed), values, strict=True):
            assert (a - b).abs().max() <= 1e-5 * max(1.0, float(b.abs().max()))


@every_layer
def test_parameters_and_their_beginning_are_those_of_plain_convolutions(name):
    torch.manual_seed(3)
    folded = LAYERS[name](folded=True)
    torch.manual_seed(3)
    plain = LAYERS[name](folded=False)
    assert {k: v.shape for k, v in folded.state_dict().items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }
    for a, b in zip(folded.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    if isinstance(folded, nn.Conv2d):
        torch.manual_seed(3)
        conv = nn.Conv2d(4, 6, folded.kernel_size, padding=folded.padding, bias=folded.bias is not None)
        folded.load_state_dict(conv.state_dict())
        assert torch.equal(plain.weight, conv.weight)


@every_layer
def test_spectral_norm_is_that_of_the_plain_weight(name):
    folded, plain = pair(name)
    for net in (folded, plain):
        torch.manual_seed(5)
        spectral_norm().prepare(net)
    x = torch.randn(2, 4, 6, 8)
    for a, b in zip(followed(folded, x), followed(plain, x), strict=True):
        assert (a - b).abs().max() <= 1e-5 * max(1.0, float(b.abs().max()))
    parts = [part for part in folded.modules() if isinstance(part, SpectralNorm)]
    assert parts
    assert {part.v.numel() for part in parts} <= {4, 36, 54}, "σ of [out, in·3·3] or [out, in]"


@every_layer
def test_under_autocast_it_is_as_near_to_float32_as_the_plain_layer(name):
    folded, plain = pair(name)
    # An input that asks for no gradient makes group norm's channels_last backward crash in PyTorch 2.13.
    x = torch.randn(8, 4, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()

    def gradients(net: nn.Module, autocast: bool) -> list[Tensor]:
        net = deepcopy(net)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = net(x)
        assert y.dtype is (torch.bfloat16 if autocast else torch.float32)
        y.float().square().sum().backward()
        return [y.detach().float(), *(p.grad for p in net.parameters())]

    for a, b, exact in zip(
        gradients(folded, True), gradients(plain, True), gradients(plain, False), strict=True
    ):
        assert a.dtype is torch.float32
        assert (a - exact).norm() <= max(2 * (b - exact).norm(), 0.01 * exact.norm())


@every_layer
def test_channels_last_stays_and_work_falls(name):
    folded, plain = (net.to(memory_format=torch.channels_last) for net in pair(name))
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    assert folded(x).is_contiguous(memory_format=torch.channels_last)
    work = []
    for net in (folded, plain):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(x)
        work.append(counter.get_total_flops())
    if name in ("up", "pool"):
        assert work[0] * 9 == work[1] * 4
    elif name in ("up 1×1", "pool 1×1"):
        assert work[0] * 4 == work[1]
    else:
        assert work[0] < 0.8 * work[1]


@pytest.mark.parametrize("make", [partial(UpConv2d, 4, 6), partial(ConvPool2d, 4, 6)])
def test_derivatives_of_the_second_order_against_finite_differences(make):
    layer = make().double()
    x = torch.randn(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    weights = [p.detach().requires_grad_() for p in layer.parameters()]

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with Closed():
            return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,)).square()

    assert torch.autograd.gradcheck(run, (x, *weights), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, *weights), fast_mode=True)


def test_up_and_pool_undo_each_other():
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(pool(up(x)), x)


@pytest.mark.parametrize("make", [UpConv2d, ConvPool2d])
def test_other_sizes_are_refused(make):
    with pytest.raises(ValueError, match="only 3×3 and 1×1 convolutions are folded, not 5×5"):
        make(3, 4, 5)
