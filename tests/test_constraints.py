"""Spectral norm against the singular value decomposition, and clipping."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zerosum.constraints import SpectralNorm, clip, spectral_norm
from zerosum.draws import Draws
from zerosum.objectives import hinge
from zerosum.penalties import wgan_gp

# Each layer, the dimension of its weight that counts outputs, and its weight as the matrix [out, rest].
LAYERS = {
    "linear": (lambda: nn.Linear(12, 7), 0),
    "conv": (lambda: nn.Conv2d(3, 8, 4, 2, 1), 0),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 4, 2, 1), 1),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)


def with_gap(layer: nn.Module, dim: int, gap: float = 0.8) -> nn.Module:
    """The layer with weights of singular values 3, 3·gap, … so that power iteration has a gap to work on."""
    with torch.no_grad():
        matrix = layer.weight.movedim(dim, 0).flatten(1)
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        s = 3.0 * gap ** torch.arange(len(s))
        shape = layer.weight.movedim(dim, 0).shape
        layer.weight.copy_(((u * s) @ vh).reshape(shape).movedim(0, dim))
    return layer


def top(weight: Tensor, dim: int) -> float:
    """The largest singular value of the weight as [out, rest]."""
    return float(torch.linalg.matrix_norm(weight.detach().movedim(dim, 0).flatten(1), 2))


@every_layer
def test_sigma_after_fifty_steps_is_the_singular_value(kind):
    make, dim = LAYERS[kind]
    layer = with_gap(make(), dim)
    norm = SpectralNorm(layer.weight, dim, warm_up=0)
    for _ in range(50):
        norm.advance(layer.weight)
    sigma = float((layer.weight / norm(layer.weight)).detach().mean())
    assert sigma == pytest.approx(top(layer.weight, dim), abs=1e-3)
    assert top(layer.weight, dim) == pytest.approx(3.0, abs=1e-4)


@every_layer
def test_prepared_layer_has_unit_norm_and_knows_its_outputs(kind):
    make, dim = LAYERS[kind]
    net = nn.Sequential(with_gap(make(), dim))
    constraint = spectral_norm()
    constraint.prepare(net)
    for _ in range(50):
        constraint.before(net)
    assert top(net[0].weight, dim) == pytest.approx(1.0, abs=1e-3)
    assert net[0].parametrizations.weight[0].u.shape == (net[0].weight.shape[dim],)


@every_layer
def test_gradient_is_the_papers_and_finite_differences(kind):
    # d/dW ⟨A, W/σ⟩ = (A − ⟨A, W̄⟩ u₁v₁ᵀ)/σ at converged u, v.
    make, dim = LAYERS[kind]
    weight = with_gap(make().double(), dim).weight.detach().clone().requires_grad_()
    norm = SpectralNorm(weight, dim, warm_up=400)
    upstream = torch.randn_like(weight)
    (found,) = torch.autograd.grad((upstream * norm(weight)).sum(), weight)

    matrix = weight.detach().movedim(dim, 0).flatten(1)
    a = upstream.movedim(dim, 0).flatten(1)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    by_paper = (a - (a * matrix / s[0]).sum() * torch.outer(u[:, 0], vh[0])) / s[0]
    torch.testing.assert_close(found.movedim(dim, 0).flatten(1), by_paper, rtol=1e-9, atol=1e-9)

    def exact(w: Tensor) -> Tensor:
        return (upstream * w / torch.linalg.matrix_norm(w.movedim(dim, 0).flatten(1), 2)).sum()

    step, direction = 1e-6, torch.randn_like(weight)
    with torch.no_grad():
        slope = (exact(weight + step * direction) - exact(weight - step * direction)) / (2 * step)
    assert float((found * direction).sum()) == pytest.approx(float(slope), rel=1e-6, abs=1e-6)


def critic(norm: bool = False) -> nn.Sequential:
    layers = [nn.Conv2d(2, 4, 4, 2, 1), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 4 * 4, 1), nn.Flatten(0))


def test_a_forward_pass_changes_nothing():
    net = critic()
    spectral_norm().prepare(net)
    x = torch.randn(3, 2, 8, 8)
    before = deepcopy(net.state_dict())
    first = net(x)
    assert torch.equal(net(x), first)
    assert torch.equal(net.eval()(x), first)
    assert torch.equal(net.train().requires_grad_(False)(x), first)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_one_power_iteration_an_update():
    net = critic()
    constraint = spectral_norm()
    constraint.prepare(net)
    part = net[0].parametrizations.weight[0]
    matrix = net[0].parametrizations.weight.original.detach().flatten(1)
    u = part.u.clone()
    constraint.before(net)
    v = nn.functional.normalize(matrix.mT @ u, dim=0)
    torch.testing.assert_close(part.v, v)
    torch.testing.assert_close(part.u, nn.functional.normalize(matrix @ v, dim=0))


def test_preparing_twice_is_preparing_once():
    net = critic()
    spectral_norm().prepare(net)
    spectral_norm().prepare(net)
    assert len(net[0].parametrizations.weight) == 1


def test_both_passes_before_one_backward_with_batch_norm():
    net = critic(norm=True)
    constraint = spectral_norm()
    constraint.prepare(net)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        constraint.before(net)
        real, fake = torch.randn(4, 2, 8, 8), torch.randn(4, 2, 8, 8)
        optimiser.zero_grad()
        hinge().critic(net(real), net(fake)).mean().backward()
        optimiser.step()
        assert all(p.grad.isfinite().all() for p in net.parameters())


def test_a_graph_outlives_the_next_power_iteration():
    net = critic()
    constraint = spectral_norm()
    constraint.prepare(net)
    x = torch.randn(4, 2, 8, 8)
    expected = torch.autograd.grad(net(x).sum(), [*net.parameters()])
    loss = net(x).sum()
    constraint.before(net)  # moves u and v in place
    for a, b in zip(torch.autograd.grad(loss, [*net.parameters()]), expected, strict=True):
        assert torch.equal(a, b)


def test_spectral_norm_under_a_gradient_penalty():
    net = critic()
    spectral_norm().prepare(net)
    cost = wgan_gp()(net, torch.randn(4, 2, 8, 8), torch.randn(4, 2, 8, 8), Draws(stop=4))
    cost.mean().backward()
    assert net[0].parametrizations.weight.original.grad.isfinite().all()


def test_sigma_is_float32_under_autocast():
    net = nn.Sequential(nn.Linear(6, 5))
    spectral_norm().prepare(net)
    exact = net[0].weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net[0].weight, exact)


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_measured_slope_stays_below_one(seed):
    # ReLU-like layers have slope at most 1, so the product of unit norms bounds the whole.
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 10), nn.LeakyReLU(0.2), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1))
    spectral_norm().prepare(net)
    for layer in (net[0], net[2], net[4]):
        layer.parametrizations.weight[0].advance(layer.parametrizations.weight.original, 100)
    x, y = torch.randn(50, 6), torch.randn(50, 6)
    with torch.no_grad():
        slopes = (net(x) - net(y)).abs().squeeze(1) / (x - y).norm(dim=1)
    assert slopes.max() <= 1.001


def test_clip_holds_every_parameter_and_touches_no_small_one():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([-5.0, -0.004, 0.003, 5.0]).expand(3, 4))
    clip(0.01).after(net)
    torch.testing.assert_close(net[0].weight[0], torch.tensor([-0.01, -0.004, 0.003, 0.01]))
    assert all(p.abs().max() <= 0.01 for p in net.parameters())
    assert net[1].running_var.tolist() == [1.0] * 3  # buffers are no parameters


def test_clip_starts_within_its_bound():
    net = nn.Linear(4, 3)
    clip(0.01).prepare(net)
    assert net.weight.abs().max() <= 0.01


def test_a_bound_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        clip(0.0)
