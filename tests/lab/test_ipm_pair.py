"""Experiment 17: the family's closed forms, their witnesses, and estimates that meet them or cannot."""

import math

import pytest
import torch

from zerosum.ipms import total_variation
from zerosum.kernels import mmd2, rbf
from zerosum.lab.densities import integrate, log_normal
from zerosum.lab.experiment import Settings
from zerosum.lab.ipm_pair import BINNED, CROSSING, EDGES, INTEGRAL_METRICS, METRICS, samples

# Half a step off the crossings, where witnesses jump.
X = CROSSING * (torch.arange(-8000, 8000, dtype=torch.float64) + 0.5) / 800
EXCESS = log_normal(0.0, 1.0, X).exp() - log_normal(0.0, 2.0, X).exp()
each = pytest.mark.parametrize("name", METRICS)


def test_the_values_of_the_specification():
    assert METRICS["2 × total variation"].value / 2 == pytest.approx(0.322675, abs=1e-6)
    assert METRICS["Kolmogorov"].value == pytest.approx(0.161337, abs=1e-6)
    assert METRICS["Wasserstein"].value == pytest.approx(0.797885, abs=1e-6)
    squared = 1 / math.sqrt(3) + 1 / 3 - 2 / math.sqrt(6)  # E k = (1 + s₁² + s₂²)^−½ on the line
    assert METRICS["MMD"].value ** 2 == pytest.approx(squared, abs=1e-12)


@each
def test_the_witness_attains_the_supremum(name):
    exact = METRICS[name]
    step = float(X[1] - X[0])
    assert float((exact.witness(X) * EXCESS).sum() * step) == pytest.approx(exact.value, abs=1e-6)


@each
def test_no_function_of_the_class_does_better_on_a_grid(name):
    # The laws put on the points of a grid: the library's metric finds the supremum over the whole class.
    p, q = (log_normal(0.0, std, X[::4]).exp() for std in (1.0, 2.0))
    found = METRICS[name].metric.between(p / p.sum(), q / q.sum(), X[::4])
    assert found.value.item() == pytest.approx(METRICS[name].value, abs=1e-3)


def test_bins_lose_a_little():
    inside = 0.0
    for low, high in zip([-30, *EDGES.tolist()], [*EDGES.tolist(), 30], strict=True):
        x = torch.linspace(low, high, 20_001, dtype=torch.float64)
        inside += abs(integrate(log_normal(0.0, 1.0, x).exp() - log_normal(0.0, 2.0, x).exp(), x))
    assert abs(inside - BINNED) < 1e-6
    assert METRICS["2 × total variation"].value > BINNED


def test_estimates_meet_the_closed_forms():
    random = torch.Generator().manual_seed(0)
    unbiased = torch.stack([mmd2(*samples(200, random), rbf([1.0])) for _ in range(40)])
    error = unbiased.std().item() / math.sqrt(40)
    assert unbiased.mean().item() == pytest.approx(METRICS["MMD"].value ** 2, abs=3 * error)
    pair = samples(100_000, random)
    assert METRICS["Wasserstein"].metric(*pair).value.item() == pytest.approx(
        METRICS["Wasserstein"].value, abs=0.02
    )
    assert METRICS["Kolmogorov"].metric(*pair).value.item() == pytest.approx(
        METRICS["Kolmogorov"].value, abs=0.01
    )
    assert total_variation(EDGES)(*pair).value.item() == pytest.approx(BINNED, abs=0.02)


def test_total_variation_of_samples_is_not_consistent():
    random = torch.Generator().manual_seed(0)
    for count in (10, 1000):
        assert METRICS["2 × total variation"].metric(*samples(count, random)).value.item() == pytest.approx(2)


def test_the_experiment_reports_what_it_estimates():
    numbers = INTEGRAL_METRICS.run(Settings(quick=True)).numbers
    (means,) = (value for name, value in numbers.items() if name.startswith("estimates"))
    assert means["2 × total variation"] == pytest.approx([2.0] * 5)
    for name in ("Wasserstein", "Kolmogorov", "MMD", "2 × total variation, in bins"):
        assert means[name][-1] == pytest.approx(numbers["exact"][name], abs=0.05), name
