"""Closed optima of clipped and penalised critics, and W₁ as what no 1-Lipschitz critic exceeds."""

import math

import pytest
import torch
from torch import nn

from zerosum.constraints import clip
from zerosum.lab.clipping import CLIPPING, clipped, fit, penalised, potential, slide_slope, slope
from zerosum.lab.experiment import Settings
from zerosum.transport import wasserstein


@pytest.mark.parametrize("weight", [0.5, 10.0])
@pytest.mark.parametrize("gap", [[0.3], [1.0], [3.0, -4.0]])
def test_the_penalised_linear_critic_has_slope_one_and_half_the_gap_over_lambda(gap, weight):
    delta = torch.tensor(gap, dtype=torch.float64)
    w = penalised(delta, weight)
    assert w.norm().item() == pytest.approx(slope(delta.norm().item(), weight), abs=1e-6)
    assert torch.allclose(w / w.norm(), delta / delta.norm(), atol=1e-6)


def test_at_a_gap_of_one_the_published_weight_is_five_per_cent_high():
    assert slope(1, 10) == 1.05


@pytest.mark.parametrize(("gap", "weight"), [(0.1, 10), (1, 10), (2, 1), (50, 0.1)])
def test_the_slides_slope_is_where_its_derivative_vanishes(gap, weight):
    s = slide_slope(gap, weight)
    assert 4 * weight * s * (s * s - 1) == pytest.approx(gap, rel=1e-9)
    assert 1 < s < slope(gap, weight)


@pytest.mark.parametrize("gap", [[1.0, 0.0], [0.6, -0.8], [-3.0, 2.0, 0.5]])
def test_the_clipped_linear_critics_optimum_is_c_times_the_one_norm(gap):
    delta = torch.tensor(gap)
    w = clipped(delta, 0.01, steps=200)
    assert torch.allclose(w[delta != 0], 0.01 * delta[delta != 0].sign())
    assert (w @ delta).item() == pytest.approx(0.01 * delta.abs().sum().item(), rel=1e-6)


def test_fitting_keeps_the_weights_within_the_bound():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
    real, fake = torch.randn(2, 32, 2)
    fit(critic, real + 1, fake, 20, 1e-2, constraint=clip(0.05))
    assert max(p.abs().max().item() for p in critic.parameters()) == pytest.approx(0.05)
    assert critic(real + 1).mean() > critic(fake).mean()


def test_the_potential_attains_the_distance_and_is_one_lipschitz():
    real, fake = torch.randn(2, 30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fake = 2 * fake + 1
    moved = wasserstein(real, fake)
    f = potential(moved, fake, real).mean() - potential(moved, fake, fake).mean()
    assert f.item() == pytest.approx(moved.value.item(), abs=1e-6)
    points = torch.randn(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    heights = potential(moved, fake, points)
    rises = (heights[:, None] - heights).abs() - torch.cdist(points, points)
    assert rises.max() < 1e-6


def test_the_experiment():
    numbers = CLIPPING.run(Settings(quick=True, seed=1)).numbers
    tight, penalty = numbers["clipped at 0.01"], numbers["gradient penalty"]
    share, pushed = "estimate over slope and W1", "share of weights within 1 % of the largest"
    assert 0 < tight[share] < penalty[share] < 1.001
    assert tight[pushed] > 0.9
    assert penalty[pushed] < 0.01
    assert tight["steepest slope"] < 0.01 < 1 < penalty["steepest slope"]
    assert numbers["mean slope of a small net, gap 1, weight 1"] == pytest.approx(1.5, abs=0.02)
    for name, found in numbers["slope of the best linear critic, by weight"].items():
        assert found == pytest.approx(numbers["the same by 1 + gap/(2 weight)"][name], abs=1e-6)
    by_way = numbers["estimate at a gap of length 1, by its direction (clipped: over the bound)"]
    for angle, value in zip(numbers["angle, degrees"], by_way["clipped"], strict=True):
        turn = math.radians(angle)
        assert value == pytest.approx(math.cos(turn) + math.sin(turn), abs=1e-5)
    assert by_way["gradient penalty"] == pytest.approx([1.05] * 13, abs=1e-6)
