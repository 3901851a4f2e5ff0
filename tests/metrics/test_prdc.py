"""Precision, recall, density and coverage against loops and a fixture that tells them apart."""

import pytest
import torch
from torch import Tensor

import zerosum.metrics.prdc as module
from zerosum.metrics.prdc import PRDC, prdc, radii


def slowly(real: Tensor, fake: Tensor, k: int) -> PRDC:
    """The definitions, pair by pair in float64."""

    def balls(x: Tensor) -> list[float]:
        return [float(torch.linalg.vector_norm(x - p, dim=1).sort().values[k]) for p in x]

    real, fake = real.double(), fake.double()
    of_real, of_fake = balls(real), balls(fake)
    apart = [[float(torch.linalg.vector_norm(r - f)) for f in fake] for r in real]
    n, m = len(real), len(fake)
    inside = [[apart[i][j] < of_real[i] for j in range(m)] for i in range(n)]
    return PRDC(
        sum(any(inside[i][j] for i in range(n)) for j in range(m)) / m,
        sum(any(apart[i][j] < of_fake[j] for j in range(m)) for i in range(n)) / n,
        sum(map(sum, inside)) / (k * m),
        sum(map(any, inside)) / n,
    )


@pytest.mark.parametrize("rows", [7, 16, 1000])
@pytest.mark.parametrize(("n", "m", "k"), [(40, 25, 3), (25, 40, 5), (33, 33, 1)])
def test_equals_the_definitions_whatever_the_blocks(monkeypatch, rows, n, m, k):
    monkeypatch.setattr(module, "_ROWS", rows)
    draw = torch.Generator().manual_seed(n)
    real, fake = torch.randn(n, 6, generator=draw), 0.7 * torch.randn(m, 6, generator=draw) + 0.3
    assert prdc(real, fake, k) == pytest.approx(slowly(real, fake, k))
    order = torch.randperm(m, generator=draw)
    assert prdc(real, fake[order], k) == pytest.approx(prdc(real, fake, k))


def test_fidelity_and_diversity_cannot_be_swapped():
    """Two clusters of reals: fakes on one of them, then fakes on both and on a third place."""
    draw = torch.Generator().manual_seed(0)
    here, there, nowhere = (torch.randn(200, 4, generator=draw) + 100 * i for i in range(3))
    real = torch.cat([here, there])
    collapsed = prdc(real, here + 1e-3)
    assert collapsed.precision == 1
    assert collapsed.recall == collapsed.coverage == 0.5
    strays = prdc(real, torch.cat([here + 1e-3, there + 1e-3, nowhere]))
    assert strays.precision == pytest.approx(2 / 3)
    assert strays.recall == strays.coverage == 1


def test_far_from_the_origin_distances_survive():
    draw = torch.Generator().manual_seed(1)
    real, fake = torch.randn(2, 60, 3, generator=draw)
    assert prdc(real + 1000, fake + 1000) == pytest.approx(prdc(real, fake), abs=0.03)


def test_density_of_the_same_law_is_about_one():
    draw = torch.Generator().manual_seed(2)
    real, fake = torch.randn(2, 3000, 8, generator=draw)
    found = prdc(real, fake)
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)  # 1 − 2⁻ᵏ (Naeem et al. 2020, lemma 2)


def test_radii_are_those_of_scipy():
    from scipy.spatial import cKDTree

    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(3))
    expected = cKDTree(x.numpy()).query(x.numpy(), 6)[0][:, 5]
    torch.testing.assert_close(radii(x).double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("real", "fake", "says"),
    [
        (torch.zeros(5, 2), torch.zeros(9, 2), "real: there are 5 samples, and each needs 5 neighbours"),
        (torch.zeros(9, 2), torch.zeros(3, 2), "fake: there are 3 samples"),
        (torch.zeros(9, 2), torch.zeros(9, 3), "real features have 2 numbers each, fake ones 3"),
        (torch.zeros(9, 2), torch.full((9, 2), torch.inf), "not finite"),
    ],
)
def test_what_cannot_be_measured_is_said(real, fake, says):
    with pytest.raises(ValueError, match=says):
        prdc(real, fake)


def test_balls_of_radius_zero_hold_nothing():
    draw = torch.Generator().manual_seed(4)
    points = torch.randint(-9, 10, (20, 5), generator=draw).float()
    real = torch.cat([points, -points]).repeat(3, 1)  # whole numbers of mean 0, so that no rounding helps
    assert prdc(real, real + 0, k=2) == PRDC(0.0, 0.0, 0.0, 0.0)
    assert not radii(real, 2).any()
