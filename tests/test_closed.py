"""The closed family gives autograd's numbers for less work."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from zerosum.closed import Closed, _one_product, _Sliding
from zerosum.constraints import spectral_norm
from zerosum.nets.dcgan import DCGANCritic
from zerosum.nets.mlp import MLPCritic
from zerosum.nets.resnet import ResNetCritic

SHAPE = (3, 32, 32)


def points(*layers: nn.Module) -> nn.Sequential:
    """A net on [B, 3, 32, 32] that ends in one number a sample."""
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(1), nn.Flatten(0))


def normed() -> nn.Module:
    net = DCGANCritic(SHAPE, width=4, norm="none")
    spectral_norm().prepare(net)
    return net


def upwards() -> nn.Module:
    return points(
        nn.Conv2d(3, 4, 4, 4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, 5, (2, 3), 2, (1, 2), groups=2, dilation=(1, 2)),
        nn.LeakyReLU(0.3),
        nn.ConvTranspose2d(6, 2, 4, 2, 1, bias=False),
    )


def odd() -> nn.Module:
    return points(
        nn.Conv2d(3, 4, (3, 5), (2, 1), (1, 0), padding_mode="reflect"),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 8, 3, dilation=2, groups=2, padding="valid"),
        nn.ReLU(),
        nn.AvgPool2d((2, 3), (2, 1), (1, 0), ceil_mode=True, count_include_pad=False),
        nn.Conv2d(8, 4, 3, padding="same"),
        nn.ReLU(),
        nn.AvgPool2d(2, divisor_override=3),
    )


def volumes() -> nn.Module:
    return points(
        nn.Unflatten(2, (4, 8)),
        nn.Conv3d(3, 2, 2, 2),
        nn.ReLU(),
        nn.Flatten(2),
        nn.Conv1d(2, 3, 5, 2),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """What an in-place activation did to its input is seen by the shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.judge = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x)
        h = h + self.two(F.leaky_relu(h, 0.2, inplace=True))
        torch.relu_(h)
        return self.judge(h.mean((2, 3))).squeeze(1)


# Nets that are wholly of the family, and nets of which a part is autograd's.
CLOSED: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLPCritic(SHAPE, hidden=(16, 12), pieces=1, bound=None),
    "dcgan": lambda: DCGANCritic(SHAPE, width=4, norm="none"),
    "resnet": lambda: ResNetCritic(SHAPE, width=4, pooling="mean"),
    "plain resnet": lambda: ResNetCritic(SHAPE, width=4, pooling="mean", folded=False),
    "spectral norm": normed,
    "transposed": upwards,
    "volumes": volumes,
    "in place": Residual,
}
MIXED: dict[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: DCGANCritic(SHAPE, width=4, norm="layer"),
    "maxout": lambda: MLPCritic(SHAPE, hidden=(8, 6), pieces=3, bound=None),
    "tanh": lambda: points(nn.Conv2d(3, 4, 4, 2, 1), nn.Tanh(), nn.Conv2d(4, 4, 4, 2, 1), nn.Softplus()),
    "max pooling": lambda: points(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3), nn.ReLU()
    ),
    "negative slope": lambda: points(nn.Conv2d(3, 4, 3), nn.LeakyReLU(-0.5), nn.Conv2d(4, 2, 3)),
    "odd": odd,
}


def made(make: Callable[[], nn.Module], batch: int = 5) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    x = torch.randn(batch, *SHAPE)
    net = make()
    net(x)  # lazy layers
    # Small weights would make ‖∇‖−1 about −1, and hide what is wrong in ‖∇‖.
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(3).add_(0.01)
    return net, x


def slopes(net: nn.Module, x: Tensor, closed: bool) -> Tensor:
    x = x.clone().requires_grad_()
    with Closed() if closed else nullcontext():
        y = net(x)
    (gradient,) = torch.autograd.grad(y.float().sum(), x, create_graph=True)
    return gradient.float().flatten(1)


def penalised(net: nn.Module, x: Tensor, closed: bool) -> tuple[Tensor, list[Tensor]]:
    """WGAN-GP's penalty at x, [B], and what it tells each parameter; none is zero."""
    net.zero_grad()
    cost = (slopes(net, x, closed).norm(dim=1) - 1).square()
    cost.mean().backward()
    return cost.detach(), [
        torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in net.parameters()
    ]


def off(found: Tensor, expected: Tensor) -> float:
    """The error relative to what is expected; absolute where that is 0."""
    return float((found - expected).detach().norm() / (float(expected.detach().norm()) or 1))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("name", [*CLOSED, *MIXED])
def test_penalty_and_its_gradients_are_those_of_autograd(name, layout):
    net, x = made({**CLOSED, **MIXED}[name])
    if name != "volumes":
        net, x = net.to(memory_format=layout), x.contiguous(memory_format=layout)
    cost, gradients = penalised(net, x, closed=True)
    expected, by_autograd = penalised(net, x, closed=False)
    assert off(cost, expected) < 2e-5
    for (parameter, _), a, b in zip(net.named_parameters(), gradients, by_autograd, strict=True):
        assert off(a, b) < 2e-5, parameter
    assert sum(float(g.norm()) for g in gradients) > 1e-3


@pytest.mark.parametrize("name", CLOSED)
def test_nothing_leads_back_into_the_forward_graph(name):
    net, x = made(CLOSED[name])
    x.requires_grad_()
    with Closed():
        y = net(x)
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert torch.autograd.grad(gradient.square().sum(), x, allow_unused=True) == (None,)


def test_curvature_still_leads_back():
    net, x = made(MIXED["tanh"])
    x.requires_grad_()
    found = []
    for region in (Closed(), nullcontext()):
        with region:
            y = net(x)
        (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found += torch.autograd.grad(gradient.square().sum(), x)
    assert off(*found) < 2e-5
    assert found[0].norm() > 1e-3


class Work(TorchDispatchMode):
    """Counts multiplications and additions."""

    flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


@pytest.mark.parametrize("name", ["dcgan", "resnet", "spectral norm"])
def test_work_is_four_forwards_not_six(name):
    net, x = made(CLOSED[name])

    def work(run: Callable[[], object]) -> int:
        with Work() as counter:
            run()
        return counter.flops

    forward = work(lambda: net(x))
    assert work(lambda: penalised(net, x, closed=True)) == pytest.approx(4 * forward, rel=0.02)
    assert work(lambda: penalised(net, x, closed=False)) > 5.9 * forward


@pytest.mark.parametrize("name", ["dcgan", "resnet", "spectral norm", "layer norm", "maxout"])
def test_under_autocast_it_agrees_with_autograd_as_bf16_can(name):
    net, x = made({**CLOSED, **MIXED}[name])
    exact, in_float32 = penalised(net, x, closed=False)
    with torch.autocast("cpu", torch.bfloat16):
        cost, gradients = penalised(net, x, closed=True)
        _, by_autograd = penalised(net, x, closed=False)
    assert off(cost, exact) < 0.05
    for (parameter, p), a, b, c in zip(
        net.named_parameters(), gradients, by_autograd, in_float32, strict=True
    ):
        assert a.dtype is p.dtype
        assert off(a, c) < max(0.05, 2 * off(b, c)), parameter


def test_weights_made_of_the_input_are_followed():
    # A weight whose gradient is not asked for may still be the way to the input.
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    base = torch.randn(4, 3, 3, 3, requires_grad=True)
    found = []
    for region in (Closed(), nullcontext()):
        with region:
            y = F.conv2d(x, base * x.mean(), x.mean((0, 2, 3)).repeat(2)[:4]).relu()
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        found.append((gradient, *torch.autograd.grad(gradient.square().sum(), (x, base))))
    for a, b in zip(*found, strict=True):
        assert off(a, b) < 2e-5


LAYERS = {
    "conv": lambda: nn.Conv2d(4, 2, 3, 2, 1, groups=2),
    "dilated": lambda: nn.Conv2d(4, 2, 2, 1, 1, dilation=2),
    "transposed": lambda: nn.ConvTranspose2d(4, 2, 3, 2, 1, 1, groups=2),
    "volume": lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.ConvTranspose3d(2, 1, 2, (1, 2, 1))),
    "pool": lambda: nn.AvgPool2d(2, 1, 1),
    "leaky": lambda: nn.LeakyReLU(0.2),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_derivatives_up_to_the_third_against_finite_differences(kind):
    torch.manual_seed(0)
    layer = LAYERS[kind]().double()
    x = torch.randn(2, 4, 4, 3, dtype=torch.float64, requires_grad=True)
    weights = [p.detach().requires_grad_() for p in layer.parameters()]

    def run(x: Tensor, *given: Tensor) -> Tensor:
        with Closed():
            return torch.func.functional_call(layer, dict(zip(names, given, strict=True)), (x,)).square()

    def slope(x: Tensor, *given: Tensor) -> Tensor:
        return torch.autograd.grad(run(x, *given).square().sum(), x, create_graph=True)[0]

    names = [name for name, _ in layer.named_parameters()]
    assert torch.autograd.gradcheck(run, (x, *weights), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, *weights), fast_mode=True)
    assert torch.autograd.gradgradcheck(slope, (x, *weights), fast_mode=True)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, 4, 2, 1), (5, 4, 8, 8)),
        (nn.Conv2d(4, 6, (5, 3), (2, 3), (2, 1)), (5, 4, 7, 9)),
        (nn.ConvTranspose2d(6, 4, 4, 2, 1), (5, 6, 4, 4)),
        (nn.ConvTranspose2d(6, 4, 5, 2, 2, 1), (5, 6, 3, 4)),
    ],
)
def test_one_matrix_product_is_the_weight_gradient(layer, shape):
    layer, x = layer.double(), torch.randn(shape, dtype=torch.float64)
    y = layer(x)
    g = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, layer.weight, g)
    transposed = isinstance(layer, nn.ConvTranspose2d)
    large, small = (g, x) if transposed else (x, g)
    sliding = _Sliding(layer.stride, layer.padding, (1, 1), transposed, layer.output_padding, 1)
    torch.testing.assert_close(_one_product(large, small, layer.kernel_size, sliding), expected)


def test_what_it_does_not_know_is_refused_or_done_as_ever():
    with Closed():
        assert F.conv2d(torch.ones(1, 4, 4), torch.ones(1, 1, 3, 3)).shape == (1, 2, 2)  # no batch axis
        assert F.relu(torch.tensor([-1, 2])).tolist() == [0, 2]
        with pytest.raises(RuntimeError, match="channels"):
            F.conv2d(torch.ones(1, 2, 4, 4), torch.ones(1, 1, 3, 3))
        assert F.avg_pool2d(torch.ones(1, 4, 4), 2).shape == (1, 2, 2)


def test_frozen_weights_get_nothing():
    net, x = made(CLOSED["dcgan"])
    net.requires_grad_(False)
    net.judge.weight.requires_grad_(True)
    slopes(net, x, closed=True).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is not None] == ["judge.weight"]
