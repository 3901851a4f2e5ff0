"""The f-divergence table: each row against brute force, closed forms, quadrature and its own kind."""

from collections.abc import Callable
from math import e, exp, inf, log, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor

from tests.quadrature import PAIRS, pair
from zerosum.divergences import DIVERGENCES, Divergence, alpha_divergence

ORDERS = (-1.0, 0.0, 0.3, 0.5, 1.0, 2.0, 3.0)
ROWS = {**DIVERGENCES, **{row.name: row for row in map(alpha_divergence, ORDERS)}}
SMOOTH = {name: row for name, row in ROWS.items() if name != "total-variation"}
every = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
smooth = pytest.mark.parametrize("row", SMOOTH.values(), ids=SMOOTH)

U = torch.tensor([0.05, 0.3, 0.9, 1.0, 1.4, 3.0, 12.0], dtype=torch.float64)
V = torch.linspace(-8, 8, 33, dtype=torch.float64)


def scalar(function: Callable[[Tensor], Tensor], at: float) -> float:
    return function(torch.tensor(at, dtype=torch.float64)).item()


JSD_A, CHI2_A, HELLINGER_A = 0.11142148, e - 1, 2 * (1 - exp(-1 / 8))
VALUES = {
    "A": {
        **{"kl": 0.5, "reverse-kl": 0.5, "pearson": CHI2_A, "neyman": CHI2_A, "hellinger": 0.23500619},
        **{"jensen-shannon": 0.22284296, "gan": -1.16345140, "total-variation": 0.38292492},
        **{"alpha=-1": CHI2_A / 2, "alpha=0": 0.5, "alpha=0.5": 2 * HELLINGER_A, "alpha=1": 0.5},
        # ∫ p^α q^{1−α} = exp(α(α−1)/2) for a unit shift.
        **{"alpha=2": CHI2_A / 2, "alpha=3": (exp(3) - 1) / 6, "alpha=0.3": (exp(-0.105) - 1) / -0.21},
    },
    "B": {
        "kl": 0.02954378,
        "reverse-kl": 0.03767844,
        "pearson": 0.05022794,
        "neyman": 1 / (1.2 * sqrt(0.56)) - 1,
    },
}


def test_every_row_has_a_value():
    assert VALUES["A"].keys() == ROWS.keys()


@pytest.mark.parametrize(("which", "name"), [(which, name) for which in VALUES for name in VALUES[which]])
def test_value_on_the_pairs_of_normal_laws(which, name):
    p, q = PAIRS[which]
    assert ROWS[name].between(p, q).item() == pytest.approx(VALUES[which][name], abs=1e-8)


@every
@pytest.mark.parametrize("which", PAIRS)
def test_bound_is_tight_at_the_optimum(row, which):
    p, q = PAIRS[which]
    best = row.output(p / q)
    bound = (p * row.activation(best) - q * row.cost(best)).sum()
    assert bound.item() == pytest.approx(row.between(p, q).item(), abs=1e-8)
    for step in (-0.1, 0.1):
        assert (p * row.activation(best + step) - q * row.cost(best + step)).sum() <= bound


def test_a_wider_law_is_not_as_far_as_a_narrower_one():
    near, far = pair(1, 2)  # N(0, 1) and N(1, 4)
    assert DIVERGENCES["kl"].between(near, far).item() == pytest.approx(0.443147, abs=1e-6)
    assert DIVERGENCES["reverse-kl"].between(near, far).item() == pytest.approx(2 - log(2), abs=1e-6)


def test_slips_of_the_slides():
    p, q = PAIRS["A"]
    # The generator of the Jensen–Shannon row gives twice the divergence whose supremum is log 2.
    middle = (p + q) / 2
    kl = DIVERGENCES["kl"].between
    halves = (kl(p, middle) + kl(q, middle)) / 2
    assert halves.item() == pytest.approx(JSD_A, abs=1e-8)
    assert DIVERGENCES["jensen-shannon"].between(p, q).item() == pytest.approx(2 * JSD_A, abs=2e-8)
    apart = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert DIVERGENCES["jensen-shannon"].between(*apart).item() == pytest.approx(2 * log(2))
    # V(D*) = 2 JSD − log 4: the GAN row's f(1) is not 0, and at equal laws its D_f is −log 4.
    gan = DIVERGENCES["gan"]
    assert gan.between(p, q).item() == pytest.approx(2 * JSD_A - log(4), abs=2e-8)
    assert scalar(gan.f, 1.0) == pytest.approx(-log(4))
    assert gan.between(q, q).item() == pytest.approx(-log(4))
    # (u − 1)² divides by q; dividing by p is Neyman's χ². On pair B they differ.
    p, q = PAIRS["B"]
    squares = (p - q).square()
    assert DIVERGENCES["pearson"].between(p, q).item() == pytest.approx((squares / q).sum().item())
    assert DIVERGENCES["neyman"].between(p, q).item() == pytest.approx((squares / p).sum().item())


SLOPES = {
    **{"kl": 1, "reverse-kl": -1, "pearson": 0, "hellinger": 0, "jensen-shannon": 0},
    **{"gan": -log(2), "neyman": 0, "total-variation": 0},
}


@every
def test_slope_at_one_and_where_the_critic_changes_its_mind(row):
    assert row.slope == pytest.approx(SLOPES.get(row.name, 0), abs=1e-15)
    one = torch.ones((), dtype=torch.float64)
    assert row.output(one).item() == (1 if row.name == "kl" else 0)
    assert row.activation(row.output(one)).item() == pytest.approx(row.slope, abs=1e-15)


@smooth
def test_fenchel_young_with_equality_at_the_slope(row):
    t = row.optimum(U)
    torch.testing.assert_close(row.conjugate(t), U * t - row.f(U), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(row.activation(row.output(U)), t, rtol=1e-13, atol=1e-13)
    (slope,) = torch.autograd.grad(row.f(u := U.clone().requires_grad_()).sum(), u)
    torch.testing.assert_close(slope, t, rtol=1e-12, atol=1e-12)
    other = row.activation(V[:, None])
    assert (row.f(U) + row.conjugate(other) >= U * other - 1e-12).all()


def by_search(row: Divergence, t: float) -> float:
    """sup over u ≥ 0 of tu − f(u), by golden section in log u and at the end u = 0."""

    def loss(x: float) -> float:
        return scalar(row.f, exp(x)) - t * exp(x)

    found = minimize_scalar(loss, bounds=(-30, 12), method="bounded", options={"xatol": 1e-10})
    return max(-found.fun, -scalar(row.f, 0.0))


@every
def test_conjugate_is_the_supremum(row):
    inside = [scalar(row.activation, v) for v in (-2.0, -0.7, 0.0, 0.4, 1.5)]
    within = 1e-13 if row.name in SMOOTH else 1e-9  # at a corner the search is no better than its step
    for t in inside:
        assert scalar(row.conjugate, t) == pytest.approx(by_search(row, t), abs=within, rel=within), t


@pytest.mark.parametrize("name", ["pearson", "total-variation", "alpha=2", "alpha=3"])
def test_conjugate_is_flat_where_the_supremum_is_at_zero(name):
    row = ROWS[name]
    for t in (-3.0, -50.0):
        assert scalar(row.conjugate, t) == -scalar(row.f, 0.0)
        assert by_search(row, t) == -scalar(row.f, 0.0)


@every
def test_domain_ends_where_f_s_last_slope_does(row):
    large = torch.tensor([1e100, 1e150], dtype=torch.float64)
    slopes = row.f(large) / large
    if row.domain == inf:
        assert slopes[0] > 200
        assert scalar(row.conjugate, 40.0) < inf
    else:
        assert slopes[1].item() == pytest.approx(row.domain, abs=1e-12)
        assert scalar(row.conjugate, row.domain + 1e-6) == inf
    # g_f keeps every V within, also where it rounds.
    far = torch.tensor([-1e4, -30.0, 0.0, 30.0, 1e4], dtype=torch.float64)
    assert (row.activation(far) <= row.domain).all()
    assert (row.activation(V).diff() > 0).all()  # increasing: V speaks for real


@every
def test_cost_is_the_conjugate_of_the_activation(row):
    torch.testing.assert_close(row.cost(V), row.conjugate(row.activation(V)), rtol=1e-10, atol=1e-12)


laws = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(
    lambda x: torch.tensor(x, dtype=torch.float64) / sum(x)
)


@every
@settings(max_examples=25)
@given(laws, laws, st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_divergences_of_discrete_laws(row, p, q, outputs):
    d = row.between(p, q)
    assert d >= scalar(row.f, 1.0) - 1e-14  # Jensen
    assert row.between(q, q).item() == pytest.approx(scalar(row.f, 1.0), abs=1e-14)
    # Any critic is below; a coarser view of the laws is below too.
    v = torch.tensor(outputs, dtype=torch.float64)
    assert (p * row.activation(v) - q * row.cost(v)).sum() <= d + 1e-12
    assert row.between(p.view(2, 2).sum(1), q.view(2, 2).sum(1)) <= d + 1e-12
    assert torch.equal(
        row.between(torch.stack((p, q)), torch.stack((q, p))), torch.stack((d, row.between(q, p)))
    )


SAME = {  # D(P‖Q) = factor · other(Q‖P if turned)
    **{"kl": ("reverse-kl", 1, True), "pearson": ("neyman", 1, True)},
    **{
        name: (name, 1, True)
        for name in ("hellinger", "jensen-shannon", "gan", "total-variation", "alpha=0.5")
    },
    **{"alpha=1": ("kl", 1, False), "alpha=0": ("reverse-kl", 1, False), "alpha=2": ("pearson", 0.5, False)},
    **{"alpha=-1": ("neyman", 0.5, False), "alpha=0.3": ("alpha=0.7", 1, True)},
}


@pytest.mark.parametrize("name", SAME)
@settings(max_examples=25)
@given(laws, laws)
def test_divergences_that_are_each_other(name, p, q):
    other, factor, turned = SAME[name]
    same = ROWS.get(other) or alpha_divergence(0.7)
    found = same.between(q, p) if turned else same.between(p, q)
    assert ROWS[name].between(p, q).item() == pytest.approx(factor * found.item(), abs=1e-13, rel=1e-12)


def test_alpha_half_is_twice_hellinger_and_its_limits_are_smooth():
    p, q = torch.tensor([0.7, 0.3]), torch.tensor([0.2, 0.8])
    hellinger = DIVERGENCES["hellinger"].between(p, q)
    torch.testing.assert_close(alpha_divergence(0.5).between(p, q), 2 * hellinger)
    for limit in (0.0, 1.0):
        for order in (limit - 1e-9, limit + 1e-9):
            torch.testing.assert_close(
                alpha_divergence(order).between(p, q),
                alpha_divergence(limit).between(p, q),
                rtol=1e-8,
                atol=0,
            )


@pytest.mark.parametrize("order", [-2.0, -1.0, 0.3, 0.5, 2.0, 3.0])
def test_alpha_s_f_is_the_paper_s(order):
    paper = (U**order - order * U + order - 1) / (order * (order - 1))
    torch.testing.assert_close(alpha_divergence(order).f(U), paper, rtol=1e-12, atol=1e-13)


# P misses what Q has, and the other way round: q·f(0) and p·f′(∞).
ZEROS = {
    **{"kl": (log(2), inf), "reverse-kl": (inf, log(2)), "pearson": (1, inf), "neyman": (inf, 1)},
    **{"hellinger": (2 - sqrt(2), 2 - sqrt(2)), "total-variation": (0.5, 0.5)},
    **{"alpha=-1": (inf, 0.5), "alpha=3": (0.5, inf), "alpha=0.5": (4 - 2 * sqrt(2),) * 2},
}


@pytest.mark.parametrize("name", ZEROS)
def test_zeros_of_a_law(name):
    narrow, wide = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.5, 0.5, 0.0])
    row = ROWS[name]
    found = row.between(narrow, wide).item(), row.between(wide, narrow).item()
    assert found == pytest.approx(ZEROS[name])
    assert row.between(narrow, narrow).item() == pytest.approx(scalar(row.f, 1.0))


@pytest.mark.parametrize("law", [[0.5, 0.6], [1.5, -0.5], [0.0, 0.0], [float("nan"), 1.0]])
def test_what_is_no_law_is_refused(law):
    good = torch.tensor([0.5, 0.5])
    for laws in ((good, torch.tensor(law)), (torch.tensor(law), good)):
        with pytest.raises(ValueError, match="kl: a law has numbers of 0 or more with sum 1"):
            DIVERGENCES["kl"].between(*laws)
