"""Proposition 1 and theorem 1 on N(0,1) against N(1,1), where everything has a closed form."""

import math

import pytest
import torch

from zerosum.lab.densities import (
    AXIS,
    integrate,
    jensen_shannon,
    kl,
    log_mixture,
    log_normal,
    total_variation,
)
from zerosum.lab.experiment import Settings
from zerosum.lab.optimal import OPTIMAL_DISCRIMINATOR, VIRTUAL_CRITERION, criterion, optimal_logit, value

P, Q = log_normal(0.0), log_normal(1.0)


def test_the_quadrature_is_exact_on_normal_laws():
    assert kl(P, log_normal(1.0, 2.0)) == pytest.approx(math.log(2) + 2 / 8 - 0.5, abs=1e-10)
    assert jensen_shannon(P, Q) == pytest.approx(0.11142148, abs=1e-8)
    assert jensen_shannon(P, Q, weight=0.3) == pytest.approx(0.09491047, abs=1e-8)
    assert total_variation(P, Q) == pytest.approx(0.38292492, abs=1e-6)
    assert integrate(log_mixture([P, Q], [0.2, 0.8]).exp() * AXIS) == pytest.approx(0.8, abs=1e-10)


def test_the_optimal_logit_is_a_half_minus_x():
    assert torch.allclose(optimal_logit(P, Q), 0.5 - AXIS, atol=1e-10, rtol=0)


def test_no_other_critic_has_a_higher_value():
    star = optimal_logit(P, Q)
    assert value(star, P, Q) == pytest.approx(-1.16345140, abs=1e-8)
    for other in (1.01 * star, star + 0.01, star + 0.1 * AXIS.sin(), torch.zeros_like(star)):
        assert value(other, P, Q) < value(star, P, Q)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 1.0), (-2.0, 0.5), (0.3, 3.0)])
def test_the_criterion_is_twice_the_jensen_shannon_divergence(mean, std):
    other = log_normal(mean, std)
    assert criterion(P, other) == pytest.approx(2 * jensen_shannon(P, other) - math.log(4), abs=1e-9)
    assert criterion(P, other) >= -math.log(4) - 1e-12


def test_a_trained_critic_comes_within_two_hundredths():
    numbers = OPTIMAL_DISCRIMINATOR.run(Settings(quick=True, seed=1)).numbers
    assert numbers["largest |D - D*| on [-3, 4]"] < 0.02
    assert numbers["largest |D - D*| at these steps"][0] > 0.1
    assert -1.1645 < numbers["V of the trained critic"] < numbers["V at D*"]
    assert numbers["D* at 0"] == pytest.approx(0.622459, abs=1e-6)


def test_both_paths_are_lowest_at_the_data():
    numbers = VIRTUAL_CRITERION.run(Settings(quick=True)).numbers
    for path, at in (("mean", 0.0), ("spread", 1.0)):
        lowest = min(range(len(numbers["C"][path])), key=numbers["C"][path].__getitem__)
        assert numbers["paths"][path][lowest] == pytest.approx(at, abs=1e-12)
        assert numbers["C"][path][lowest] == pytest.approx(-math.log(4), abs=1e-10)
    assert numbers["largest |C - (2 JSD - log 4)|"] < 1e-9
    assert numbers["C at N(1,1) by the slide, with one JSD"] == pytest.approx(-1.27487288, abs=1e-7)
