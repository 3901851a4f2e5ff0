"""Experiment 20: expectations in closed form, distances that shrink as 1/√m, bounds that hold."""

import math

import pytest
import torch

from zerosum.lab.generalisation import (
    SLOPE,
    linear_distance,
    memorised,
    net_distance,
    tanh_mean,
    transport_floor,
)
from zerosum.transport import wasserstein


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_mean_of_a_unit_is_exact():
    s, b = torch.tensor([0.5, 2.0], dtype=torch.float64), torch.tensor([0.3, -1.0], dtype=torch.float64)
    t = torch.randn(1_000_000, generator=random(), dtype=torch.float64)
    for k in range(2):
        values = torch.tanh(s[k] * t + b[k])
        error = values.std().item() / 1e3
        assert tanh_mean(s, b)[k].item() == pytest.approx(values.mean().item(), abs=3 * error)
    fine = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    density = torch.exp(-fine.square() / 2) / math.sqrt(2 * math.pi)
    exact = torch.trapezoid(torch.tanh(2 * fine - 1) * density, fine).item()
    assert tanh_mean(s, b)[1].item() == pytest.approx(exact, abs=1e-6)


def test_the_net_distance_is_a_supremum_over_its_class():
    x = torch.randn(50, 1, generator=random(1), dtype=torch.float64)
    found = net_distance(x, 16, 80, random(2))
    slopes, biases = torch.meshgrid(
        torch.linspace(-SLOPE, SLOPE, 81, dtype=torch.float64),
        torch.linspace(-6, 6, 241, dtype=torch.float64),
        indexing="ij",
    )
    gaps = tanh_mean(slopes.abs(), biases) - torch.tanh(slopes[..., None] * x[:, 0] + biases[..., None]).mean(
        -1
    )
    best = gaps.abs().max().item()
    assert found == pytest.approx(best, rel=0.02)
    assert found <= best * 1.01


def test_the_linear_distance_has_its_closed_form():
    m, d, repeats = 40, 5, 400
    values = torch.tensor(
        [linear_distance(torch.randn(m, d, generator=random(k))) ** 2 for k in range(repeats)]
    )
    error = values.std().item() / math.sqrt(repeats)
    assert values.mean().item() == pytest.approx(d / m, abs=3 * error)


def test_the_floor_is_below_the_transport():
    x, fresh = torch.randn(60, 3, generator=random(3)), torch.randn(60, 3, generator=random(4))
    assert transport_floor(x, fresh) < wasserstein(fresh, x).value.item()
    assert transport_floor(x, x[:10]) == pytest.approx(0, abs=1e-3)


def test_a_larger_critic_learns_more_of_a_smaller_sample():
    (few, small), (many, large) = (memorised((16, 256), width, 150, random(5)) for width in (4, 32))
    assert few == 10 * 4 + 4 + 4 * 4 + 4 + 4 + 1
    assert many > few
    assert small[1] < small[0]
    assert small[0] < large[0] <= math.log(2)
    assert large[1] < large[0]
    _, (untrained,) = memorised((16,), 4, 0, random(5))
    assert untrained == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("dimension", [2, 20])
def test_the_distance_shrinks_as_one_over_root_m(dimension):
    draws = random(6)
    means = [
        sum(net_distance(torch.randn(m, dimension, generator=draws), 8, 40, draws) for _ in range(10)) / 10
        for m in (30, 3000)
    ]
    assert math.log10(means[1] / means[0]) / 2 == pytest.approx(-0.5, abs=0.08)
