"""The integral probability metrics against closed forms, and each against its own witness."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, wasserstein_distance
from torch import Tensor

from zerosum.ipms import IPM, IPMS, kolmogorov, mmd, total_variation, wasserstein
from zerosum.kernels import mmd2, rbf

# Each metric with an argument of its own, and how it grows as the line is stretched.
EVERY = {
    "wasserstein": (wasserstein(), lambda s: (wasserstein(), abs(s))),
    "total-variation": (total_variation(), lambda s: (total_variation(), 1.0)),
    "kolmogorov": (kolmogorov(), lambda s: (kolmogorov(), 1.0)),
    "mmd": (mmd(rbf([1.0])), lambda s: (mmd(rbf([abs(s)])), 1.0)),
}
BINS = torch.linspace(-6, 6, 25)
every = pytest.mark.parametrize("name", EVERY)


def bell(x: Tensor, deviation: float = 1.0, mean: float = 0.0) -> Tensor:
    """A normal density on a grid, as a discrete law."""
    density = torch.exp(-0.5 * ((x - mean) / deviation) ** 2)
    return density / density.sum()


def normals(count: int, seed: int, deviation: float = 2.0, mean: float = 0.0) -> tuple[Tensor, Tensor]:
    real, fake = torch.randn(2, count, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return real, deviation * fake + mean


def attained(ipm: IPM, real: Tensor, fake: Tensor) -> float:
    """E_P f − E_Q f of the witness."""
    f = ipm(real, fake).witness
    return (f(real).mean() - f(fake).mean()).item()


def test_the_table_holds_each():
    assert IPMS.keys() == EVERY.keys()
    assert {IPMS["wasserstein"]().functions, IPMS["mmd"](rbf([1.0])).functions} == {
        "1-Lipschitz functions",
        "the unit ball of a kernel's Hilbert space",
    }


@pytest.mark.parametrize(
    ("ipm", "exact"),
    [
        (wasserstein(), 0.797885),
        (total_variation(), 2 * 0.322675),  # ‖f‖∞ ≤ 1 gives twice the distance
        (total_variation(torch.tensor([-1.35956, 1.35956])), 2 * 0.322675),  # where the densities cross
        (kolmogorov(), 0.161337),
    ],
)
def test_n01_against_n04_by_quadrature(ipm, exact):
    x = torch.linspace(-20, 20, 16_001, dtype=torch.double)
    found = ipm.between(bell(x), bell(x, 2), x)
    assert found.value.item() == pytest.approx(exact, abs=2e-6)
    f = found.witness(x)
    assert ((bell(x) - bell(x, 2)) @ f).item() == pytest.approx(found.value.item(), abs=1e-12)


def test_the_closed_forms_themselves():
    cross = math.sqrt(8 / 3 * math.log(2))  # where N(0, 1) and N(0, 4) have one density
    phi = torch.distributions.Normal(0.0, 1.0).cdf
    gap = (phi(torch.tensor(cross)) - phi(torch.tensor(cross / 2))).item()
    assert gap == pytest.approx(0.161337, abs=1e-6)
    assert 2 * gap == pytest.approx(0.322675, abs=1e-6)
    assert math.sqrt(2 / math.pi) == pytest.approx(0.797885, abs=1e-6)


def test_mmd_of_pair_a_by_quadrature():
    x = torch.linspace(-9, 10, 400, dtype=torch.double)
    found = mmd(rbf([1.0])).between(bell(x), bell(x, mean=1.0), x)
    assert found.value.item() ** 2 == pytest.approx(0.17726763, abs=1e-8)
    # The witness: E k(x, ·) is a wider bell about each mean.
    wide = torch.exp(-(x**2) / 4) - torch.exp(-((x - 1) ** 2) / 4)
    torch.testing.assert_close(found.witness(x), wide / math.sqrt(2) / found.value, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("ipm", "exact"),
    [
        (wasserstein(), 0.797885),
        (total_variation(torch.linspace(-8, 8, 65)), 2 * 0.322675),
        (kolmogorov(), 0.161337),
    ],
)
def test_samples_estimate_n01_against_n04(ipm, exact):
    found = torch.stack([ipm(*normals(4000, seed)).value for seed in range(30)])
    assert abs(found[0].item() - exact) < 3 * found.std().item()
    assert abs(found.mean().item() - exact) < 3 * found.std().item()


def test_samples_of_densities_share_no_point():
    # Item by item the plug-in says "as different as can be", even of one law against itself.
    assert total_variation()(*normals(500, 1, deviation=1.0)).value.item() == pytest.approx(2)


def test_mmd_of_samples_is_the_root_of_the_biased_estimate():
    real, fake = normals(300, 2, 1.0, 1.0)
    found = mmd(rbf([1.0]))(real, fake[:200]).value.item()
    assert found**2 == pytest.approx(mmd2(real, fake[:200], rbf([1.0]), "biased").item(), rel=1e-9)
    at_once = torch.stack([mmd(rbf([1.0]))(*normals(300, seed, 1.0, 1.0)).value for seed in range(30)]) ** 2
    bias = 2 / 300 * (1 - 3**-0.5)
    assert abs(at_once.mean().item() - 0.17726763 - bias) < 3 * at_once.std().item() / math.sqrt(30)


def test_samples_on_the_line_agree_with_scipy():
    real, fake = normals(80, 3)
    fake = fake[:50].round(decimals=1)  # with ties
    a, b = real[:, 0].numpy(), fake[:, 0].numpy()
    assert kolmogorov()(real, fake).value.item() == pytest.approx(ks_2samp(a, b).statistic, abs=1e-12)
    assert wasserstein()(real, fake).value.item() == pytest.approx(wasserstein_distance(a, b), abs=1e-12)


@every
def test_the_witness_attains_the_value_and_lies_in_its_class(name):
    ipm, _ = EVERY[name]
    x = torch.linspace(-9, 9, 500, dtype=torch.double)
    for sign in (1, -1):
        real, fake = normals(40, 4, 1.5, sign * 0.7)
        fake = torch.cat([fake[:25], real[:3]])  # unequal sizes, points in common
        value, f = ipm(real, fake).value.item(), ipm(real, fake).witness
        assert attained(ipm, real, fake) == pytest.approx(value, abs=1e-12)
        if name == "wasserstein":
            assert (f(x).diff() / x.diff()).abs().max() <= 1 + 1e-9
        elif name == "mmd":
            # ‖f‖_H ≤ 1 bounds every value by √k(x, x) = 1, and every step by ‖φ(x) − φ(y)‖.
            assert f(x).abs().max() <= 1 + 1e-9
            assert (f(x).diff().abs() <= (2 - 2 * torch.exp(-(x.diff() ** 2) / 2)).sqrt() + 1e-9).all()
        else:
            assert set(f(torch.cat([real[:, 0], fake[:, 0], x])).tolist()) <= {-1.0, 0.0, 1.0}
            if name == "kolmogorov":
                assert (f(x).diff() != 0).sum() <= 1


@pytest.mark.parametrize("ipm", [wasserstein(), total_variation(), mmd(rbf([1.0]))])
def test_witnesses_in_the_plane(ipm):
    real, fake = torch.randn(2, 12, 2, dtype=torch.double)
    fake = torch.cat([fake[:9] + 1, real[:2]])
    found = ipm(real, fake)
    assert attained(ipm, real, fake) == pytest.approx(found.value.item(), abs=1e-12)
    if ipm.functions == "1-Lipschitz functions":
        x = 3 * torch.randn(60, 2, dtype=torch.double)
        f = found.witness(x)
        assert ((f[:, None] - f).abs() <= torch.cdist(x, x) + 1e-9).all()


def test_wasserstein_in_the_plane_is_that_on_the_line():
    real, fake = normals(20, 5)
    flat = wasserstein()(*(torch.cat([x, torch.zeros_like(x)], 1) for x in (real, fake[:13])))
    assert flat.value.item() == pytest.approx(wasserstein()(real, fake[:13]).value.item(), abs=1e-12)


@pytest.mark.parametrize("name", ["wasserstein", "total-variation", "mmd"])
def test_parallel_lines(name):
    # Disjoint however near: TV stays at its most, W₁ = |θ|, and MMD follows too.
    heights = torch.linspace(0, 1, 10, dtype=torch.double)
    found = [
        EVERY[name][0](
            *(torch.stack([torch.full_like(heights, at), heights], 1) for at in (0.0, theta))
        ).value.item()
        for theta in (1.0, 0.1, 0.0)
    ]
    if name == "mmd":
        assert found[0] > 5 * found[1] > found[2] == 0
    else:
        assert found == pytest.approx(
            [1.0, 0.1, 0.0] if name == "wasserstein" else [2.0, 2.0, 0.0], abs=1e-12
        )


points = st.lists(st.integers(-20, 20).map(lambda i: i / 4), min_size=1, max_size=6)


def column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.double)[:, None]


@settings(max_examples=25)
@given(points, points, points, st.integers(-8, 8), st.sampled_from([-4.0, -0.5, 2.0]))
@every
def test_it_is_a_pseudometric_that_moves_and_scales(name, one, two, three, shift, scale):
    ipm, stretched = EVERY[name]
    one, two, three = column(one), column(two), column(three)

    def distance(x: Tensor, y: Tensor, ipm: IPM = ipm) -> float:
        return ipm(x, y).value.item()

    found = distance(one, two)
    assert 0 <= found <= distance(one, three) + distance(three, two) + 1e-9
    assert distance(two, one) == pytest.approx(found, abs=1e-9)
    assert distance(one, one) == 0
    assert distance(one.repeat(3, 1), two) == pytest.approx(found, abs=1e-9)
    assert distance(one + shift, two + shift) == pytest.approx(found, abs=1e-9)
    other, factor = stretched(scale)
    assert distance(scale * one, scale * two, other) == pytest.approx(factor * found, abs=1e-9)
    assert attained(ipm, one, two) == pytest.approx(found, abs=1e-9)


@settings(max_examples=50)
@given(points, points)
def test_wasserstein_lies_below_total_variation_times_the_diameter(one, two):
    one, two = column(one), column(two)
    both = torch.cat([one, two])
    distance = total_variation()(one, two).value / 2
    assert wasserstein()(one, two).value <= (both.max() - both.min()) * distance + 1e-9
    assert kolmogorov()(one, two).value <= distance + 1e-9
    assert total_variation(BINS)(one, two).value / 2 <= distance + 1e-9


def test_two_laws_are_their_samples():
    real, fake = torch.tensor([0.0, 0.0, 1.0, 3.0]), torch.tensor([1.0, -0.0])
    p, q, common = (
        torch.tensor([0.5, 0.25, 0.25]),
        torch.tensor([0.5, 0.5, 0.0]),
        torch.tensor([0.0, 1.0, 3.0]),
    )
    for ipm, _ in EVERY.values():
        assert ipm.between(p, q, common).value.item() == pytest.approx(
            ipm(real, fake).value.item(), abs=1e-12
        )
    assert total_variation().between(p, q, common).value == 0.5
    assert kolmogorov().between(p, q, common).value == 0.25
    assert wasserstein().between(p, q, common).value == 0.25 * 2


def law(*values: float) -> Tensor:
    return torch.tensor(values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wasserstein()(torch.zeros(0, 1), torch.zeros(2, 1)), "no metric between samples of"),
        (lambda: wasserstein()(torch.zeros(2, 1), torch.zeros(2, 2)), "no metric between samples of"),
        (lambda: wasserstein()(torch.full((1, 1), torch.inf), torch.zeros(2, 1)), "not finite"),
        (
            lambda: kolmogorov()(torch.zeros(2, 2), torch.zeros(2, 2)),
            "Kolmogorov distance is defined on the line",
        ),
        (lambda: total_variation(BINS)(torch.zeros(2, 2), torch.zeros(2, 2)), "bins is defined on the line"),
        (lambda: total_variation(law(1, 1)), "one row of rising numbers"),
        (lambda: mmd(rbf([1.0])).between(law(1), law(0.5, 0.5), law(0, 1)), "p must be 2 numbers"),
        (lambda: mmd(rbf([1.0])).between(law(0.5, 0.5), law(2, -1), law(0, 1)), "q must be 2 numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], message: str):
    with pytest.raises(ValueError, match=message):
        make()
