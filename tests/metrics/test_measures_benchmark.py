"""The baselines of `benchmarks.measures` are independent code: each gives the number that ours does."""

import json

import pytest
import torch

from benchmarks import measures
from zerosum.kernels import mmd2, rbf
from zerosum.metrics.frechet import Moments, frechet_distance
from zerosum.metrics.prdc import prdc

REAL, FAKE = (measures.features(600, 32, seed) for seed in (1, 2))


def test_frechet_distances_agree():
    moments = Moments.of(REAL), Moments.of(FAKE + 0.1)
    ours = frechet_distance(*moments)
    assert ours == pytest.approx(measures.by_sqrtm(*moments), rel=1e-6)
    assert ours == pytest.approx(measures.by_eigvals(*moments), rel=1e-6)


def test_prdc_agrees_with_the_package():
    fake = 0.7 * FAKE + 0.2
    assert prdc(REAL, fake)._asdict() == pytest.approx(measures.by_prdc(REAL, fake))
    assert prdc(fake, REAL)._asdict() == pytest.approx(measures.by_prdc(fake, REAL))


def test_mmd_agrees_with_geomloss():
    real, fake = torch.rand(2, 60, 784, generator=torch.Generator().manual_seed(0))
    found = [
        measures.graded(value, fake)
        for value in (
            lambda y: measures.by_geomloss(real, y),
            lambda y: mmd2(real, y, rbf(measures.WIDTHS), "biased"),
        )
    ]
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=0)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-7)


def test_the_benchmark_prints_json(capsys):
    measures.main(["--json", "--rounds", "1", "--size", "16", "--count", "60"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == list(measures.TARGETS)
    assert all(line["ratio"] > 0 for line in lines)
