"""Forward and reverse KL on ½N(−3,1) + ½N(3,1), against numbers known to five digits and more."""

import math

import pytest
import torch

from zerosum.lab.densities import AXIS, kl, log_mixture, log_normal
from zerosum.lab.experiment import Settings
from zerosum.lab.two_bumps import FORWARD_AND_REVERSE, fit, forward, landscape, reverse


def test_the_forward_optimum_matches_the_moments():
    found = fit(forward, 1.0)
    assert found.mean == pytest.approx(0, abs=1e-6)
    assert found.std**2 == pytest.approx(10, abs=1e-6)
    assert found.divergence == pytest.approx(0.461995, abs=1e-6)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_reverse_optima_sit_on_one_bump(sign):
    found = fit(reverse, 2.0 * sign)
    assert found.mean == pytest.approx(2.98431 * sign, abs=5e-6)
    assert found.std == pytest.approx(1.02337, abs=5e-6)
    assert found.divergence == pytest.approx(0.688769, abs=1e-6)


def test_the_axis_is_fine_enough():
    target = log_mixture([log_normal(-3.0), log_normal(3.0)])
    mean, std = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    assert float(forward(mean, std)) == pytest.approx(kl(target, log_normal(1.0, 0.5)), abs=1e-9)
    assert float(reverse(mean, std)) == pytest.approx(kl(log_normal(1.0, 0.5), target), abs=1e-9)
    assert len(AXIS) > 30_000


def test_the_forward_map_is_its_closed_form():
    means, stds, values = landscape(forward, 12)
    assert values.shape == (12, 24)
    # −H(p) is fixed by the optimum: KL = log σ + (10 + μ²)/2σ² + constant.
    at_best = 0.5 * math.log(10) + 0.5
    closed = stds.log()[:, None] + (10 + means.square()) / (2 * stds.square()[:, None])
    assert torch.allclose(values, closed - at_best + 0.461995, atol=1e-6, rtol=0)


def test_each_is_poor_by_the_other_measure():
    numbers = FORWARD_AND_REVERSE.run(Settings(quick=True)).numbers
    assert numbers["forward KL at N(3,1)"] == pytest.approx(8.3107, abs=5e-5)
    assert numbers["reverse KL at N(0,10)"] == pytest.approx(0.937980, abs=1e-6)


def test_the_reverse_divergence_has_a_third_minimum_which_covers_both():
    third = fit(reverse, 0.5, 3.0)
    assert third.mean == pytest.approx(0, abs=1e-6)
    assert third.divergence > fit(reverse, 2.0).divergence
    for angle in torch.linspace(0, 2 * math.pi, 16, dtype=torch.float64):
        around = reverse(third.mean + 0.05 * angle.cos(), third.std + 0.05 * angle.sin())
        assert float(around) > third.divergence
