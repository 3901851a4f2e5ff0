"""The power iteration against its closed form, slopes against their bound, convolutions against dense SVD."""

import math

import pytest
import torch
from torch import nn

from zerosum.constraints import spectral_norm
from zerosum.lab.experiment import Settings
from zerosum.lab.spectral import (
    SPECTRAL_NORM,
    bound,
    convolution_matrix,
    estimates,
    iterated,
    layer_norms,
    ratio,
    steepest,
    with_spectrum,
)
from zerosum.nets.mlp import MLPCritic


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_matrix_has_the_spectrum_it_was_given():
    spectrum = torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)
    weight, left = with_spectrum(spectrum, random())
    assert torch.allclose(torch.linalg.svdvals(weight), spectrum)
    assert torch.allclose((left.T @ weight).norm(dim=1), spectrum)


@pytest.mark.parametrize("gap", [0.3, 0.9, 0.99])
def test_the_librarys_power_iteration_is_the_closed_form(gap):
    spectrum = torch.tensor([1.0, gap, 0.2, 0.1], dtype=torch.float64)
    weight, left = with_spectrum(spectrum, random(1))
    start = torch.tensor([0.1, 0.7, -0.5, 0.5], dtype=torch.float64)
    found, closed = iterated(weight, left @ start, 30), estimates(spectrum, start, 30)
    assert found == pytest.approx(closed, abs=1e-13)
    assert found[0] < found[-1]


def test_fifty_iterations_find_sigma_to_a_thousandth_when_there_is_a_gap():
    spectrum = torch.cat([torch.ones(1), torch.linspace(0.9, 0.1, 30)]).double()
    weight, _ = with_spectrum(spectrum, random(2))
    start = torch.randn(31, dtype=torch.float64, generator=random(3))
    assert iterated(weight, start / start.norm(), 50)[-1] == pytest.approx(1, abs=1e-3)


def test_the_error_falls_by_the_fourth_power_of_the_gap():
    spectrum, start = (
        torch.tensor([1.0, 0.8], dtype=torch.float64),
        torch.tensor([1.0, 1.0], dtype=torch.float64),
    )
    errors = [1 - s for s in estimates(spectrum, start, 25)]
    assert errors[24] / errors[23] == pytest.approx(0.8**4, rel=1e-3)


def test_a_slope_never_exceeds_the_product_and_spectral_norm_makes_that_one():
    torch.manual_seed(0)
    critic = MLPCritic((2,), hidden=(16, 16), pieces=1, bound=None)
    points = 2 * torch.randn(500, 2, generator=random())
    with torch.no_grad():
        critic.layers[0].weight.mul_(3)
    plain = math.prod(layer_norms(critic))
    assert 0 < steepest(critic, points) <= plain
    spectral_norm().prepare(critic)
    assert layer_norms(critic) == pytest.approx([1, 1, 1], abs=0.05)
    assert steepest(critic, points) <= math.prod(layer_norms(critic))
    assert plain > 1.5


def test_the_slope_of_a_linear_critic_is_its_norm():
    critic = nn.Linear(2, 1)
    assert steepest(critic, torch.zeros(3, 2)) == pytest.approx(layer_norms(critic)[0], rel=1e-6)


def test_the_steepest_place_counts():
    class Bowl(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.square().sum(1)

    assert steepest(Bowl(), torch.tensor([[0.0, 1.0], [3.0, 4.0], [1.0, 1.0]])) == pytest.approx(10)


def test_the_matrix_is_the_convolution():
    weight, image = torch.randn(3, 2, 3, 3, generator=random()), torch.randn(1, 2, 6, 6, generator=random(1))
    for stride in (1, 2):
        made = nn.functional.conv2d(image, weight, stride=stride, padding=1).flatten()
        assert torch.allclose(convolution_matrix(weight, 6, stride) @ image.flatten(), made, atol=1e-5)


@pytest.mark.parametrize("side", [4, 9])
def test_equal_weights_have_the_norm_of_a_tridiagonal_matrix(side):
    one_way = 1 + 2 * math.cos(math.pi / (side + 1))
    assert ratio(torch.ones(1, 1, 3, 3), side) == pytest.approx(one_way**2 / 3, rel=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (4, 1), (4, 2), (5, 2), (3, 3)])
def test_the_ratio_lies_between_one_and_the_bound(kernel, stride):
    for seed in range(3):
        weight = torch.randn(3, 2, kernel, kernel, generator=random(seed))
        assert 1 - 1e-5 <= ratio(weight, 10, stride) <= bound(kernel, stride) + 1e-5
    equal = ratio(torch.ones(1, 1, kernel, kernel), 16, stride)
    assert (
        0.8 * bound(kernel, stride) < equal <= bound(kernel, stride) + 1e-5
    )  # so that no smaller bound would do


def test_the_experiment():
    numbers = SPECTRAL_NORM.run(Settings(quick=True, seed=2)).numbers
    assert numbers["largest difference from the closed form"] < 1e-12
    plain, normed = numbers["training"]["plain"], numbers["training"]["spectral norm"]
    for found in (plain, normed):
        assert all(
            slope <= product * (1 + 1e-5)
            for slope, product in zip(found["slope"], found["product"], strict=True)
        )
    assert all(1 - 1e-5 <= product < 1.5 for product in normed["product"])
    assert plain["product"][-1] > 1.5
    assert normed["error"][-1] < 0.3 < plain["error"][-1]
