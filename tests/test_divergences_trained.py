"""What f-GAN trains with: a critic that finds D_f, the generator's gradients, and what huge outputs do."""

from math import e, exp, inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.quadrature import normal, panels
from zerosum.divergences import DIVERGENCES, alpha_divergence, divergence, f
from zerosum.objectives import LIMIT, minimax, non_saturating

ORDERS = (-1.0, 0.0, 0.3, 0.5, 1.0, 2.0, 3.0)
ROWS = {**DIVERGENCES, **{row.name: row for row in map(alpha_divergence, ORDERS)}}
every = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
V = torch.linspace(-8, 8, 33, dtype=torch.float64)


@every
def test_a_trained_critic_recovers_the_divergence(row):
    # Two points, as samples: P has 7 : 3, Q has 2 : 8.
    real, fake = torch.tensor([0] * 7 + [1] * 3), torch.tensor([0] * 2 + [1] * 8)
    exact = row.between(torch.tensor([0.7, 0.3]), torch.tensor([0.2, 0.8])).item()
    objective = row.objective()
    output = torch.full((2,), 0.1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [output], max_iter=200, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = objective.critic(output[real], output[fake]).mean()
        value.backward()
        return value

    optimiser.step(loss)
    assert -loss().item() == pytest.approx(exact, abs=1e-6)
    assert row.bound(output[real], output[fake]).item() == pytest.approx(exact, abs=1e-6)
    if row.name != "total-variation":
        best = row.output(torch.tensor([3.5, 0.375], dtype=torch.float64))
        torch.testing.assert_close(output.detach(), best, rtol=0, atol=1e-4)


# Pair A with D* held fixed, d/dθ at θ = 1 in closed form: of D_f(N(0, 1)‖N(θ, 1)), and of −E T*.
# At α = 3 the tail of the pair exceeds the limit.
SLIDING = {
    **{"kl": (1, 1), "reverse-kl": (1, e), "pearson": (2 * e, 2), "neyman": (2 * e, 2 * exp(3))},
    **{"hellinger": (exp(-1 / 8) / 2, exp(3 / 8) / 2)},
    **dict.fromkeys(("jensen-shannon", "gan"), (0.39797287, 0.60202713)),
    **{f"alpha={a:g}": (exp(a * (a - 1) / 2), exp((a - 1) * (a - 2) / 2)) for a in ORDERS if a < 3},
}


@pytest.mark.parametrize("name", SLIDING)
def test_generator_s_gradients(name):
    x, weight = panels()
    for form, expected in zip(("saturating", "non-saturating"), SLIDING[name], strict=True):
        theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
        best = ROWS[name].output(torch.exp(0.5 - (x + theta)))  # the fakes move, D* stays
        loss = (weight * normal(x, 1, 1) * ROWS[name].objective(form).generator(None, best)).sum()
        (slope,) = torch.autograd.grad(loss, theta)
        assert slope.item() == pytest.approx(expected, abs=1e-7), form


@every
@pytest.mark.parametrize("form", ["saturating", "non-saturating"])
def test_objective_is_the_row_within_its_limit(row, form):
    v = V.clamp(-min(row.limit, 8), min(row.limit, 8))
    objective = row.objective(form)
    torch.testing.assert_close(objective.critic(v, v.flip(0)), row.cost(v.flip(0)) - row.activation(v))
    part = row.cost if form == "saturating" else row.activation
    torch.testing.assert_close(objective.generator(None, v), -part(v))
    assert objective.bounded == row.logit
    assert not objective.paired


LIMITED = [name for name, row in ROWS.items() if row.limit < inf]


@pytest.mark.parametrize("name", LIMITED)
def test_exponentials_go_on_in_a_line(name):
    row = ROWS[name]
    assert row.limit == LIMIT / {"alpha=3": 3, "alpha=2": 2, "alpha=-1": 2}.get(name, 1)
    objective = row.objective()
    for side in (-1, 1):
        v = side * (row.limit + torch.tensor([-1e-9, 0.0, 1e-9, 1.0, 10.0, 19.0], dtype=torch.float64))
        v.requires_grad_()
        for loss in (objective.critic(v, torch.zeros(())), objective.generator(None, v)):
            (slope,) = torch.autograd.grad(loss.sum(), v, retain_graph=True)
            # C¹, and one slope beyond.
            torch.testing.assert_close(slope, slope[1].expand(6), rtol=1e-7, atol=0)
            torch.testing.assert_close(loss[5] - loss[4], slope[4] * (v[5] - v[4]), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LIMITED)
@settings(max_examples=25)
@given(st.floats(-18, 18))
def test_beyond_the_limit_a_critic_is_pulled_back_to_the_optimum(name, log_ratio):
    row = ROWS[name]
    u = torch.tensor(log_ratio, dtype=torch.float64).exp()
    if abs(row.output(u)) >= row.limit:
        return
    ends = torch.tensor([-1e3, 1e3], dtype=torch.float64, requires_grad=True)
    objective = row.objective()
    zero = torch.zeros(())
    loss = u * objective.critic(ends, zero) + objective.critic(zero, ends)
    slopes = torch.autograd.grad(loss.sum(), ends)[0]
    assert slopes[0] <= 0 <= slopes[1]


def test_the_gan_row_is_the_first_game():
    real, fake = torch.randn(9), torch.randn(9)
    for form, first in (("saturating", minimax()), ("non-saturating", non_saturating())):
        row = DIVERGENCES["gan"].objective(form)
        torch.testing.assert_close(row.critic(real, fake), first.critic(real, fake))
        torch.testing.assert_close(row.generator(None, fake), first.generator(None, fake))
        assert row.reading is first.reading


def test_bound_of_samples():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0, 2.0])
    expected = 2 - (exp(-1) + 1 + e) / 3
    assert DIVERGENCES["kl"].bound(real, fake).item() == pytest.approx(expected)
    assert DIVERGENCES["kl"].bound(fake, real).item() != pytest.approx(expected, abs=0.1)
    # Beyond the limit the estimate stays a lower bound, though a useless one.
    far = torch.tensor([1e4])
    assert DIVERGENCES["kl"].bound(far, far) == -inf
    assert DIVERGENCES["reverse-kl"].bound(-far, -far) == -inf
    assert DIVERGENCES["kl"].objective().critic(far, far).isfinite()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("helinger",), "unknown divergence 'helinger': did you mean 'hellinger'.* alpha, gan"),
        (("alpha",), "f:alpha needs its order, as in f:alpha,alpha=0.5"),
        (("kl", 0.5), "f:kl has no alpha: leave it out, or choose f:alpha,alpha=0.5"),
        (("alpha", inf), "alpha must be a finite number, not inf"),
        (("kl", None, "saturated"), "unknown generator of f 'saturated': did you mean 'saturating'"),
    ],
)
def test_what_f_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        f(*arguments)


def test_rows_by_name():
    assert all(divergence(name) is row and row.name == name for name, row in DIVERGENCES.items())
    assert divergence("alpha", 0.25).name == "alpha=0.25"
