"""The pushed law against changes of variables, and the four stages of the 2014 paper's figure."""

import math

import pytest
import torch
from torch import nn

from zerosum.lab.convergence import CONVERGENCE, DATA, Z, game, pushed, schedules, view
from zerosum.lab.densities import jensen_shannon, log_normal
from zerosum.lab.experiment import Settings


def test_the_identity_pushes_the_latent_to_itself():
    mass = pushed(Z)
    assert mass.sum().item() == pytest.approx(1, abs=1e-9)
    assert (mass - DATA).abs().sum().item() < 3e-3  # what lies beyond the first and last quantile


def test_a_map_that_folds_adds_up_its_branches():
    z = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    edges = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert torch.allclose(pushed(z.square(), edges), edges.sqrt().diff(), atol=1e-8)  # p_g = ½x^(−½)


def test_a_constant_map_puts_all_its_mass_in_one_bin():
    assert pushed(torch.full((5,), 0.25), torch.tensor([0.0, 0.2, 0.4, 1.0])).tolist() == [0, 1, 0]


class Line(nn.Module):
    """x ↦ scale·x + shift."""

    def __init__(self, scale: float, shift: float, flat: bool = False) -> None:
        super().__init__()
        self.scale, self.shift, self.flat = scale, shift, flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.scale * x + self.shift
        return y.flatten() if self.flat else y


def test_a_view_of_pair_a_is_the_closed_form():
    best = view(Line(1, 1), Line(-1, 0.5, flat=True))  # G(z) = z+1, and D* = σ(½−x)
    assert best.divergence == pytest.approx(jensen_shannon(log_normal(0.0), log_normal(1.0)), abs=1e-3)
    assert best.off_best < 1e-2
    x = torch.linspace(-2.5, 2.5, 2001, dtype=torch.float64)
    assert best.off_half == pytest.approx((torch.sigmoid(0.5 - x) - 0.5).abs().mean().item(), abs=2e-3)
    half = view(Line(1, 1), Line(0, 0, flat=True))
    assert (half.off_half, half.taken_for_real) == (0, 0.5)
    assert half.off_best > 0.15


def test_the_start_is_near_a_normal_law():
    playing = game(3, Settings(seed=3).generator("convergence"))
    start = view(playing.generator, playing.critic)
    assert start.values.mean().item() == pytest.approx(1.2, abs=0.02)
    assert start.values.std().item() == pytest.approx(0.75, rel=0.1)


def test_who_stands_still_when():
    from zerosum.games.game import Clock

    laws = schedules(1000)
    rates = [
        {player: law(Clock(step))["lr"] for player, law in laws.items()}
        for step in (0, 149, 155, 162, 750, 1000)
    ]
    assert [rate["generator"] > 0 for rate in rates] == [False, False, True, True, True, False]
    assert [rate["critic"] > 0 for rate in rates] == [True, True, False, True, True, False]
    assert rates[4]["critic"] == pytest.approx(rates[3]["critic"] / 2)


def test_the_four_stages():
    numbers = CONVERGENCE.run(Settings(quick=True, seed=1)).numbers
    a, b, c, d = (numbers["stages"][name] for name in "abcd")
    away, best, taken, divergence = (
        "mean |D - 1/2| on the support",
        "mean |D - D*|",
        "mean D(G(z))",
        "JSD(p, p_g)",
    )
    assert a[divergence] == b[divergence]  # the generator stood still
    assert b[best] < 0.1 < numbers["history"][best][0]
    assert b[away] == c[away] > 0.2  # the critic stood still
    assert c[taken] > b[taken] + 0.03
    assert d[away] < 0.05
    assert d[divergence] < 0.05 * a[divergence]
    assert d[taken] == pytest.approx(0.5, abs=0.05)
    assert a[divergence] < math.log(2)
