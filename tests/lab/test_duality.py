"""Experiment 11: both sides of the duality, each bounded by the other."""

import pytest
import torch

from zerosum.lab.duality import DUALITY, Laws, any_function, any_plan, best_function, extend, laws
from zerosum.lab.experiment import Settings
from zerosum.transport import wasserstein


@pytest.mark.parametrize("seed", range(3))
def test_primal_is_dual(seed):
    both = laws(13, 9, torch.Generator().manual_seed(seed))
    moved = wasserstein(*both)
    gain, values = best_function(both)
    assert gain == pytest.approx(moved.value.item(), abs=1e-8)
    points = torch.cat([both.real, both.fake])
    rise = (values[:, None] - values).abs()
    assert (rise <= torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") + 1e-9).all()
    assert gain == pytest.approx(
        float(both.real_weights @ values[:13] - both.fake_weights @ values[13:]), abs=1e-12
    )


def test_a_shift_is_transported_by_its_length():
    real = torch.randn(7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.full((7,), 1 / 7, dtype=torch.float64)
    both = Laws(real, real + torch.tensor([3.0, 4.0]), weights, weights)
    assert best_function(both)[0] == pytest.approx(5.0, abs=1e-9)


def test_the_laws_are_laws():
    both = laws(5, 4, torch.Generator().manual_seed(0))
    for weights in both[2:]:
        assert weights.sum().item() == pytest.approx(1)
        assert weights.min() > 0
        assert weights.max() > weights.min()


def test_extension_keeps_the_values_and_the_slope():
    both = laws(6, 6, torch.Generator().manual_seed(4))
    points = torch.cat([both.real, both.fake])
    _, values = best_function(both)
    torch.testing.assert_close(extend(points, points, values), values)
    x = 3 * torch.randn(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    f = extend(x, points, values)
    assert ((f[:, None] - f).abs() <= (x[:, None] - x).norm(dim=-1) + 1e-12).all()


def test_any_plan_costs_more_and_any_function_gains_less():
    both, random = laws(8, 5, torch.Generator().manual_seed(2)), torch.Generator().manual_seed(3)
    w = wasserstein(*both).value.item()
    plans = [any_plan(both, random) for _ in range(200)]
    functions = [any_function(both, random) for _ in range(200)]
    assert max(functions) <= w <= min(plans)
    assert max(functions) > 0.5 * w
    assert len(set(plans)) > 100


def test_a_plan_moves_all_of_the_mass():
    # All fakes at one place: every plan costs the same.
    both = laws(6, 3, torch.Generator().manual_seed(5))
    both = both._replace(fake=torch.zeros(3, 2, dtype=torch.float64))
    expected = float(both.real_weights @ both.real.norm(dim=1))
    for _ in range(5):
        assert any_plan(both, torch.Generator().manual_seed(6)) == pytest.approx(expected)


def test_the_experiment():
    numbers = DUALITY.run(Settings(quick=True)).numbers
    assert numbers["their gap"] < 1e-8
    assert numbers["the plan's own potentials give"] == pytest.approx(
        numbers["W1 as the cheapest plan's cost"], abs=1e-8
    )
    assert numbers["largest miss of slope 1 along them"] < 1e-8
    primal, dual = numbers["on 40 and 40 points"]
    assert primal == pytest.approx(dual, abs=1e-8)
