"""Experiment 10: inequalities on the pair of the specification, sequences by their closed forms."""

import math

import pytest
import torch

from zerosum import ipms
from zerosum.lab.densities import log_normal
from zerosum.lab.experiment import Settings
from zerosum.lab.topology import (
    TOPOLOGY,
    between,
    contaminated,
    distances,
    far,
    finer_grid,
    least_jsd,
    random_pairs,
    shifted,
    stretched,
    wasserstein_of,
)


@pytest.fixture(scope="module")
def numbers():
    return TOPOLOGY.run(Settings(quick=True)).numbers


def test_pair_a(numbers):
    pair = numbers["N(0,1), N(1,1)"]
    expected = {"KL": 0.5, "JSD": 0.11142148, "TV": 0.38292492, "W1": 1.0, "√(KL/2)": 0.5}
    for name, value in expected.items():
        assert pair[name] == pytest.approx(value, abs=1e-6), name
    assert pair["TV²/2"] == pytest.approx(0.0733, abs=5e-5)
    assert pair["TV·log 2"] == pytest.approx(0.2654, abs=5e-5)


def test_wasserstein_by_densities():
    assert wasserstein_of(log_normal(0.0), log_normal(0.0, 2.0)) == pytest.approx(
        math.sqrt(2 / math.pi), abs=1e-6
    )
    assert wasserstein_of(log_normal(-1.0), log_normal(2.5)) == pytest.approx(3.5, abs=1e-6)


def test_random_pairs_are_measured_right_and_keep_the_inequalities(numbers):
    found = between(*random_pairs(300, torch.Generator().manual_seed(3)))
    tv, slack = found["TV"], 1e-12
    assert (tv.square() / 2 <= least_jsd(tv) + slack).all()
    assert (least_jsd(tv) <= found["JSD"] + slack).all()
    assert (found["JSD"] <= tv * math.log(2) + slack).all()
    assert (2 * tv.square() <= found["KL"] + slack).all()
    assert (found["W1"] <= tv + slack).all()
    assert tv.min() < 0.1
    assert tv.max() > 0.9
    (kept,) = (value for name, value in numbers.items() if name.startswith("kept"))
    assert kept == dict.fromkeys(kept, True)


def test_random_pairs_against_the_metrics_of_the_library():
    p, q = random_pairs(4, torch.Generator().manual_seed(3))
    found = between(p, q)
    places = torch.linspace(0, 1, 6, dtype=torch.float64)
    for k in range(4):
        assert found["W1"][k] == pytest.approx(ipms.wasserstein().between(p[k], q[k], places).value.item())
        assert found["TV"][k] == pytest.approx(
            ipms.total_variation().between(p[k], q[k], places).value.item() / 2
        )
        kl = (p[k] * (p[k] / q[k]).log()).sum().item()
        assert found["KL"][k] == pytest.approx(kl)


def test_the_least_jsd_is_met():
    p = torch.tensor([0.8, 0.2], dtype=torch.float64)
    jsd = (p * (p / 0.5).log()).sum()  # its mirror image is as far from their middle, (½, ½)
    assert least_jsd(torch.tensor(0.6, dtype=torch.float64)) == pytest.approx(jsd.item())


def test_a_shift_converges_in_all():
    for n in (1, 10, 100):
        found = shifted(n)
        assert found["KL"] == pytest.approx(1 / (2 * n**2), abs=1e-9)
        assert found["W1"] == pytest.approx(1 / n, abs=1e-6)
        assert found["TV"] == pytest.approx(math.erf(1 / (2 * n * math.sqrt(2))), abs=1e-6)


def test_a_grid_converges_in_w1_alone():
    found = finer_grid(4)
    fine = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    coarse = (torch.arange(4, dtype=torch.float64) + 0.5) / 4
    assert ipms.wasserstein()(fine, coarse).value.item() == pytest.approx(found["W1"], abs=1e-6)
    assert (found["TV"], found["JSD"], found["KL"]) == (1.0, math.log(2), math.inf)


def test_a_share_moved_away_parts_kl_from_the_rest():
    last = stretched(1000)
    assert last["W1"] == pytest.approx(math.sqrt(2 / 1000), abs=1e-6)
    assert last["TV"] == pytest.approx(1e-3, rel=1e-3)
    assert last["JSD"] < 1e-3
    assert last["KL"] == pytest.approx(1 - math.log(1000) / 1000 - 1e-3, abs=1e-4)
    assert abs(stretched(10_000)["KL"] - 1) < abs(last["KL"] - 1)


def test_without_a_bound_on_the_space_tv_does_not_bring_w1():
    for n in (10, 100):
        found = far(n)
        assert found["W1"] == pytest.approx(1, abs=1e-6)
        assert found["TV"] == pytest.approx(1 / n, rel=1e-4)
    assert far(100)["KL"] == pytest.approx(50 - math.log(100) / 100 - 0.01, abs=0.01)
    assert contaminated(1, 1.0) == pytest.approx(distances(log_normal(1.0), log_normal(0.0)), abs=1e-6)
