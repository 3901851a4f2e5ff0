"""Transport against SciPy's and POT's, against its own dual, and against closed forms."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import Tensor

from zerosum.draws import Draws
from zerosum.transport import sliced_wasserstein, wasserstein, wasserstein_1d


def test_agrees_with_scipy_along_each_direction():
    real, fake = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
    fake = fake * 2 + 1
    directions = Draws(0, stop=40).normal("directions", 3)
    directions /= directions.norm(dim=1, keepdim=True)
    each = [wasserstein_distance((real @ d).numpy(), (fake @ d).numpy()) for d in directions]
    assert sliced_wasserstein(real, fake, 40) == pytest.approx(sum(each) / 40, rel=1e-5)


def test_a_shift_in_the_plane_gives_its_mean_projection():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    found = sliced_wasserstein(x, x + torch.tensor([3.0, 4.0]), 4096)
    assert found == pytest.approx(5 * 2 / torch.pi, rel=0.03)  # E|cos| = 2/π


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        sliced_wasserstein(torch.zeros(3, 2), torch.zeros(4, 2))


lines = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


@settings(max_examples=50)
@given(lines, lines)
def test_on_the_line_agrees_with_scipy_for_any_sizes(real, fake):
    found = wasserstein_1d(torch.tensor(real, dtype=torch.double), torch.tensor(fake, dtype=torch.double))
    assert found.item() == pytest.approx(wasserstein_distance(real, fake), abs=1e-12)


@settings(max_examples=50)
@given(lines, lines, st.sampled_from([1.0, 1.5, 2.0, 4.0]))
def test_on_the_line_agrees_with_pot_for_any_order(real, fake, order):
    real, fake = torch.tensor(real, dtype=torch.double), torch.tensor(fake, dtype=torch.double)
    found = wasserstein_1d(real, fake, order)
    assert found.item() ** order == pytest.approx(
        ot.wasserstein_1d(real.numpy(), fake.numpy(), p=order), abs=1e-9
    )
    assert found.dtype == torch.float64


def test_on_the_line_a_shift_costs_itself_and_a_scale_the_mean_size():
    u = (torch.arange(20_000).double() + 0.5) / 20_000
    normal = torch.distributions.Normal(0.0, 1.0).icdf(u)
    for order in (1, 2, 3):
        assert wasserstein_1d(normal, normal - 0.7, order).item() == pytest.approx(0.7, abs=1e-12)
    # N(0, 1) against N(0, 4): E|z| for p = 1, the difference of the deviations for p = 2.
    assert wasserstein_1d(normal, 2 * normal).item() == pytest.approx((2 / math.pi) ** 0.5, abs=1e-4)
    assert wasserstein_1d(normal, 2 * normal, 2).item() == pytest.approx(1, abs=1e-3)
    assert wasserstein_1d(normal, 2 * normal[::2]).item() == pytest.approx(0.797885, abs=1e-3)


def test_samples_of_normal_laws_estimate_their_distance():
    draw = torch.Generator().manual_seed(4)
    found = torch.stack(
        [
            wasserstein_1d(torch.randn(1000, generator=draw), 2 * torch.randn(1500, generator=draw))
            for _ in range(100)
        ]
    )
    assert abs(found.mean().item() - 0.797885) < 3 * found.std().item() / 10


@pytest.mark.parametrize("order", [1.0, 2.0, 3.5])
def test_on_the_line_gradients_by_finite_differences(order):
    real = torch.tensor([0.3, -1.2, 2.0]).double().requires_grad_()
    fake = torch.tensor([1.0, 0.1, 4.0, -2.0, 0.6]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: wasserstein_1d(x, y, order), (real, fake))
    same = real.detach().clone().requires_grad_()
    wasserstein_1d(real.detach(), same, order).backward()
    assert not same.grad.any()


def weights(count: int, seed: int) -> Tensor:
    drawn = torch.rand(count, generator=torch.Generator().manual_seed(seed)).double()
    drawn[0] = 0
    return drawn / drawn.sum()


def laws(n: int, m: int, size: int, grid: bool = False) -> tuple[Tensor, Tensor]:
    made = torch.randn(n + m, size, generator=torch.Generator().manual_seed(n)).double()
    made = made.round() if grid else made  # on a grid many plans are equally cheap
    return made[:n], made[n:] * 2 + 1


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("weighted", [(), (0,), (0, 1)])
@pytest.mark.parametrize(("n", "m", "size"), [(30, 30, 2), (1, 1, 3), (1, 7, 2), (20, 35, 1), (40, 25, 5)])
def test_primal_is_dual_is_pot(n, m, size, weighted, grid):
    real, fake = laws(n, m, size, grid)
    a = weights(n, 1) if 0 in weighted and n > 1 else torch.ones(n).double() / n
    b = weights(m, 2) if 1 in weighted and m > 1 else torch.ones(m).double() / m
    found = wasserstein(real, fake, a if 0 in weighted else None, b if 1 in weighted else None)
    cost = ot.dist(real.numpy(), fake.numpy(), metric="euclidean")
    assert found.value.item() == pytest.approx(ot.emd2(a.numpy(), b.numpy(), cost), abs=1e-10)
    assert found.dual.item() == pytest.approx(found.value.item(), abs=1e-10)
    assert (found.real_potential[:, None] + found.fake_potential - torch.from_numpy(cost)).max() <= 1e-12
    assert found.plan.min() >= 0
    torch.testing.assert_close(found.plan.sum(1), a, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.plan.sum(0), b, rtol=0, atol=1e-12)


def test_small_weights_and_distances_are_as_exact():
    real, fake = laws(30, 40, 2)
    a = weights(30, 3) ** 8
    a = a / a.sum()
    for scale in (1e-9, 1e9):
        found = wasserstein(scale * real, scale * fake, a)
        cost = ot.dist(real.numpy(), fake.numpy(), metric="euclidean")
        assert found.value.item() == pytest.approx(
            scale * ot.emd2(a.numpy(), np.full(40, 1 / 40), cost), rel=1e-9
        )
        assert found.dual.item() == pytest.approx(found.value.item(), rel=1e-9)


def test_in_one_dimension_it_is_the_distance_on_the_line():
    real, fake = laws(20, 31, 1)
    assert wasserstein(real, fake).value.item() == pytest.approx(wasserstein_1d(real, fake).item(), abs=1e-12)


def test_parallel_lines_lie_at_the_distance_between_them():
    # Where JSD and TV jump, W₁ = |θ| (Arjovsky et al. 2017, example 1).
    heights = torch.rand(30, generator=torch.Generator().manual_seed(5), dtype=torch.double)
    for theta in (-2.0, -0.5, 1e-6, 0.0):
        real, fake = (torch.stack([torch.full_like(heights, x), heights], 1) for x in (0.0, theta))
        assert wasserstein(real, fake.flip(0)).value.item() == pytest.approx(abs(theta), abs=1e-12)


@pytest.mark.parametrize("m", [4, 6])
def test_its_gradient_by_finite_differences(m):
    real, fake = (x.requires_grad_() for x in laws(4, m, 2))
    assert torch.autograd.gradcheck(lambda x, y: wasserstein(x, y).value, (real, fake))
    meeting = real.detach().clone().requires_grad_()
    wasserstein(real.detach(), meeting).value.backward()
    assert not meeting.grad.any()


planes = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(st.floats(-5, 5), min_size=2, max_size=2), min_size=n, max_size=n)
)


@settings(max_examples=30)
@given(planes, planes, planes, st.floats(-5, 5), st.floats(-3, 3))
def test_it_is_a_metric_that_moves_and_scales_with_the_plane(one, two, three, shift, scale):
    one, two, three = (torch.tensor(points, dtype=torch.double) for points in (one, two, three))

    def distance(x: Tensor, y: Tensor) -> float:
        return wasserstein(x, y).value.item()

    found = distance(one, two)
    assert distance(two, one) == pytest.approx(found, abs=1e-9)
    assert distance(one + shift, two + shift) == pytest.approx(found, abs=1e-9)
    assert distance(scale * one, scale * two) == pytest.approx(abs(scale) * found, abs=1e-9)
    assert distance(one, one.repeat(2, 1)) == pytest.approx(0, abs=1e-9)
    assert found <= distance(one, three) + distance(three, two) + 1e-9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wasserstein_1d(torch.zeros(3, 2), torch.zeros(3)), r"takes \[N\] and \[M\]"),
        (lambda: wasserstein_1d(torch.zeros(0), torch.zeros(3)), r"takes \[N\] and \[M\]"),
        (lambda: wasserstein_1d(torch.zeros(3), torch.zeros(3), 0.5), "at least 1, not 0.5"),
        (lambda: wasserstein(torch.zeros(3, 2), torch.zeros(3, 1)), "no transport between points of"),
        (lambda: wasserstein(torch.zeros(0, 2), torch.zeros(3, 2)), "no transport between points of"),
        (lambda: wasserstein(torch.full((1, 2), torch.nan), torch.zeros(1, 2)), "not finite"),
        (lambda: wasserstein(torch.zeros(2, 1), torch.zeros(1, 1), torch.ones(2)), "real_weights must be 2"),
        (
            lambda: wasserstein(torch.zeros(1, 1), torch.zeros(2, 1), None, torch.tensor([2.0, -1.0])),
            "fake_weights must be 2 numbers of at least 0",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
