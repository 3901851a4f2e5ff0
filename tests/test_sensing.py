"""Comparisons of compressed sensing: statistics against SciPy, scenes that repeat, promises that are kept."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from zerosum.sensing import Result, Scene, compare, measurements_for, paired, promises, scene


def result(method: str, m: int, errors: list[float]) -> Result:
    return Result(method, m, torch.tensor(errors), 0.0, torch.zeros(len(errors), 1, 2, 2))


def test_pairs_are_tested_as_scipy_does() -> None:
    ours, theirs = [0.010, 0.020, 0.015, 0.030], [0.012, 0.025, 0.014, 0.050]
    ratio, p = paired(result("a", 25, ours), result("b", 25, theirs))
    assert ratio == pytest.approx(sum(theirs) / sum(ours), rel=1e-5)
    assert p == pytest.approx(stats.ttest_rel(np.log(theirs), np.log(ours)).pvalue, rel=1e-4)
    assert math.isnan(paired(result("a", 25, [0.1]), result("b", 25, [0.2]))[1])


def test_intervals_are_those_of_the_mean() -> None:
    one = result("a", 25, [0.1, 0.2, 0.4])
    assert one.half == pytest.approx(1.96 * stats.sem([0.1, 0.2, 0.4]), rel=1e-5)


def test_how_many_measurements_an_error_needs() -> None:
    curve = [result("a", m, [e]) for m, e in ((100, 0.01), (25, 0.04), (400, 0.0025))]
    assert measurements_for(curve, "a", 0.01) == pytest.approx(100)
    assert measurements_for(curve, "a", 0.02) == pytest.approx(50)
    assert measurements_for(curve, "a", 0.5) == 25
    assert math.isnan(measurements_for(curve, "a", 0.001))


def test_scenes_repeat_and_their_noise_is_as_asked() -> None:
    truth = torch.rand(200, 1, 4, 4)
    one, again = scene(truth, 8, 0.5, seed=3), scene(truth[:50], 8, 0.5, seed=3)
    assert torch.equal(one.y[:50], again.y)
    left = one.y - one.operator.forward(truth)
    assert left.square().sum(1).mean() == pytest.approx(0.25, rel=0.1)
    assert one.deviation == pytest.approx(0.5 / 8**0.5)


def test_every_estimator_sees_the_same_and_is_clipped() -> None:
    truth, seen = torch.rand(3, 1, 4, 4), []

    def far(given: Scene) -> torch.Tensor:
        seen.append(given.y)
        return truth + 9

    found = compare(truth, (4, 8), {"far": far, "again": far}, noise=0.1)
    assert [(r.method, r.measurements) for r in found] == [("far", 4), ("again", 4), ("far", 8), ("again", 8)]
    assert torch.equal(seen[0], seen[1])
    assert torch.allclose(found[0].errors, (1 - truth).square().flatten(1).mean(1))


def test_the_theorem_is_told_of_the_generator() -> None:
    truth = torch.rand(4, 1, 4, 4)
    results = [Result("generator", 12, torch.zeros(4), 0.0, truth + 0.02), result("lmmse", 12, [0.1])]
    kept = promises(results, truth, truth + 0.01, noise=0.1)
    assert [one.measurements for one in kept] == [12]
    assert kept[0].error == pytest.approx(0.02 * 4)
    assert kept[0].bound >= 6 * 0.01 * 4
    assert kept[0].holds == 1
    assert kept[0].slack == pytest.approx(kept[0].bound - kept[0].error, abs=1e-5)
    with pytest.raises(ValueError, match="--noise"):
        scene(truth, 4, -0.1)
