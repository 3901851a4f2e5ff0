"""The objectives against closed forms, on P = N(0, 1) and Q = N(1, 1), and against hand-worked numbers."""

from collections.abc import Callable
from math import exp, log, log1p, tanh

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.quadrature import PAIRS, normal, panels
from zerosum.divergences import DIVERGENCES
from zerosum.objectives import (
    LIMIT,
    Objective,
    hinge,
    least_squares,
    maximum_likelihood,
    minimax,
    non_saturating,
    wasserstein,
    weighted,
)
from zerosum.recipes.parts import OBJECTIVES, objective_of


# real = 2, fake = −1: what each loss is by its paper's formula; swapped arguments give other numbers.
def log_sigmoid(x: float) -> float:
    return -log1p(exp(-x))


CROSS = -log_sigmoid(2) - log_sigmoid(1)
WORKED = {
    "minimax": (CROSS, log_sigmoid(1)),
    "minimax:0.1": (CROSS + 0.1 * (log_sigmoid(2) - log_sigmoid(-2)), log_sigmoid(1)),
    "non-saturating": (CROSS, -log_sigmoid(-1)),
    "non-saturating:0.1": (-0.9 * log_sigmoid(2) - 0.1 * log_sigmoid(-2) - log_sigmoid(1), -log_sigmoid(-1)),
    "least-squares": (0.5 * (2 - 1) ** 2 + 0.5 * (-1 - 0) ** 2, 0.5 * (-1 - 1) ** 2),
    "least-squares:-1,1,0": (0.5 * (2 - 1) ** 2 + 0.5 * (-1 + 1) ** 2, 0.5 * (-1 - 0) ** 2),
    "hinge": (0.0 + 0.0, 1.0),
    "wasserstein": (-1.0 - 2.0, 1.0),
    "maximum-likelihood": (CROSS, -0.5 * exp(-1)),
    "weighted:0.3": (-0.3 * log_sigmoid(2) - 0.7 * log_sigmoid(1), 0.7 * log_sigmoid(1)),
    "weighted:0.3,non-saturating": (-0.3 * log_sigmoid(2) - 0.7 * log_sigmoid(1), -0.7 * log_sigmoid(-1)),
    "relativistic": (-log_sigmoid(3), -log_sigmoid(-3)),
    "relativistic:hinge": (0.0, 4.0),
    "relativistic:least-squares": (4.0, 16.0),
    "relativistic-average": (-2 * log_sigmoid(3), -2 * log_sigmoid(-3)),
    "relativistic-average:hinge": (0.0, 8.0),
    "relativistic-average:least-squares": (8.0, 32.0),
    "f:kl": (-2 + exp(-2), -exp(-2)),
    "f:kl,generator=non-saturating": (-2 + exp(-2), 1.0),
    "f:reverse-kl": (exp(-2) - 2, 2.0),
    "f:pearson": (-2 - 0.75, 0.75),
    "f:hellinger": (exp(-2) - 1 + exp(-1) - 1, 1 - exp(-1)),
    "f:jensen-shannon": (CROSS - 2 * log(2), log(2) + log_sigmoid(1)),
    "f:gan": (CROSS, log_sigmoid(1)),
    "f:neyman": (exp(-2) - 1 + 2 - 2 * exp(0.5), 2 * exp(0.5) - 2),
    "f:total-variation": (-0.5 * tanh(2) - 0.5 * tanh(1), 0.5 * tanh(1)),
    "f:alpha,0.5": (2 * (exp(-1) - 1) + 2 * (exp(-0.5) - 1), 2 * (1 - exp(-0.5))),
    "f:alpha,3": (-(exp(4) - 1) / 2 + (exp(-3) - 1) / 3, (1 - exp(-3)) / 3),
}
ALL = {text: objective_of(text) for text in [*WORKED, *(f"f:{name}" for name in DIVERGENCES)]}
every = pytest.mark.parametrize("objective", ALL.values(), ids=ALL)
logits = st.floats(-30, 30, width=32)

# Gauss–Hermite: ∫ g(x) N(x; 0, 1) dx = Σ w g(x), exact far beyond float32 for these smooth g.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def mean(g: Callable[[Tensor], Tensor], shift: Tensor | float) -> Tensor:
    """E g(x) for x ~ N(shift, 1), differentiable in the shift."""
    x = torch.from_numpy(NODES) + shift
    return (torch.from_numpy(WEIGHTS) * g(x).double()).sum()


def best(x: Tensor) -> Tensor:
    """The logit of D* = p/(p+q): log p/q = ½ − x."""
    return 0.5 - x


def critic_loss(objective: Objective, f: Callable[[Tensor], Tensor]) -> Tensor:
    """E_P + E_Q of the critic's loss, one half at a time: each depends on one argument alone."""
    zero = torch.zeros(len(NODES))
    at_zero = objective.critic(zero[:1], zero[:1]).double().squeeze()
    on_real = mean(lambda x: objective.critic(f(x), zero), 0.0)
    on_fake = mean(lambda x: objective.critic(zero, f(x)), 1.0)
    return on_real + on_fake - at_zero


def test_every_registered_objective_is_here():
    assert {text.split(":")[0] for text in WORKED} == OBJECTIVES.keys()


def judged(objective: Objective, real: Tensor, fake: Tensor) -> Tensor:
    """The generator's loss, which needs the real samples only if it says so."""
    return objective.generator(real if objective.paired else None, fake)


@pytest.mark.parametrize("name", WORKED)
def test_worked_numbers_real_first(name):
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    on_critic, on_generator = WORKED[name]
    assert ALL[name].critic(real, fake).item() == pytest.approx(on_critic, abs=1e-6)
    assert judged(ALL[name], real, fake).item() == pytest.approx(on_generator, abs=1e-6)
    assert ALL[name].critic(fake, real).item() != pytest.approx(on_critic, abs=0.1)
    assert judged(ALL[name], fake, real).item() != pytest.approx(on_generator, abs=0.1)


def test_hinge_margin_is_one_on_either_side():
    real, fake = torch.tensor([0.5, 1.0, 3.0]), torch.tensor([-3.0, -1.0, -0.25])
    assert hinge().critic(real, fake).tolist() == [0.5, 0.0, 0.75]


def test_value_at_one_half():
    zero = torch.zeros(1)  # D = ½ everywhere
    assert -minimax().critic(zero, zero).item() == pytest.approx(-1.386294, abs=1e-6)
    assert non_saturating().critic(zero, zero).item() == pytest.approx(1.386294, abs=1e-6)
    assert minimax().generator(None, zero).item() == pytest.approx(-log(2), abs=1e-6)
    assert non_saturating().generator(None, zero).item() == pytest.approx(log(2), abs=1e-6)


@pytest.mark.parametrize(("objective", "slope"), [(minimax(), 0.39797287), (non_saturating(), 0.60202713)])
def test_gradient_in_theta_at_the_fixed_best_critic(objective, slope):
    # Minimax is 2 JSD′, non-saturating (KL(q‖p) − 2 JSD)′; their sum is KL(q‖p)′ = θ = 1.
    theta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    mean(lambda x: objective.generator(None, best(x)), theta).backward()
    assert theta.grad.item() == pytest.approx(slope, abs=1e-6)


def test_value_of_the_best_critic():
    # V(D*) = 2 JSD − log 4, with JSD = .11142148.
    assert -critic_loss(minimax(), best).item() == pytest.approx(-1.16345140, abs=1e-6)


@given(st.floats(-1, 1), st.floats(0.1, 3), st.floats(-3, 3))
def test_no_critic_beats_the_best_one(size, frequency, phase):
    other = critic_loss(minimax(), lambda x: best(x) + size * torch.sin(frequency * x + phase))
    assert other.item() >= 1.16345140 - 1e-6


def test_least_squares_loss_at_equal_laws():
    # With 0/1 coding and p = q the best critic says ½.
    half = torch.full((1,), 0.5)
    assert least_squares().critic(half, half).item() == pytest.approx(0.25)


def test_least_squares_is_pearson_chi2():
    # D* = (bp + aq)/(p + q); 2C = ∫ (2q − (p+q))²/(p+q) where C = ½E_P(D*−c)² + ½E_Q(D*−c)².
    objective = least_squares(a=-1.0, b=1.0, c=0.0)

    def judged(x: Tensor) -> Tensor:
        return torch.tanh(best(x) / 2)  # (p − q)/(p + q)

    cost = sum(mean(lambda x: objective.generator(None, judged(x)), shift) for shift in (0.0, 1.0))
    assert 2 * float(cost) == pytest.approx(0.40810853, abs=1e-6)
    at_best = critic_loss(objective, judged)
    for step in (-0.05, 0.05):
        assert critic_loss(objective, lambda x, step=step: judged(x) + step) > at_best


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_huge_logits_stay_finite(objective, dtype):
    values = torch.tensor([-1e4, -1.0, 0.0, 1.0, 1e4], dtype=dtype)
    real, fake = (x.flatten().clone().requires_grad_() for x in torch.meshgrid(values, values, indexing="ij"))
    for loss in (objective.critic(real, fake), judged(objective, real, fake)):
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        gradients = torch.autograd.grad(loss.sum(), (real, fake), allow_unused=True)
        assert all(g.isfinite().all() for g in gradients if g is not None)


def test_non_saturating_pulls_where_minimax_lets_go():
    logit = torch.tensor([-1e4, -40.0, 0.0, 1e4])
    slopes = {}
    for objective in (minimax(), non_saturating()):
        leaf = logit.clone().requires_grad_()
        objective.generator(None, leaf).sum().backward()
        slopes[objective] = leaf.grad.tolist()
    vanishing, steady = slopes.values()
    assert steady == [-1.0, -1.0, -0.5, 0.0]
    assert vanishing == pytest.approx([0.0, 0.0, -0.5, -1.0], abs=1e-12)


@every
def test_losses_are_one_a_sample_in_its_order(objective):
    real, fake = torch.randn(6), torch.randn(6)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    for loss in (objective.critic, lambda real, fake: judged(objective, real, fake)):
        assert loss(real, fake).shape == (6,)
        torch.testing.assert_close(loss(real, fake)[order], loss(real[order], fake[order]))
        # A part of the batch can be judged alone, but for those that say otherwise.
        assert torch.equal(loss(real, fake)[:3], loss(real[:3], fake[:3])) is not objective.mixes


@every
@settings(max_examples=20)
@given(st.floats(-0.9, 0.9), st.floats(0.1, 3))
def test_critic_wants_real_up_and_fake_down(objective, real, fake):
    # Within the targets of those that have them: beyond, least squares turns back.
    on_real, on_fake = torch.tensor([real], requires_grad=True), torch.tensor([fake], requires_grad=True)
    objective.critic(on_real, on_fake).sum().backward()
    assert on_real.grad.item() < 0.0
    assert on_fake.grad.item() > 0.0


@given(logits, logits, logits)
@pytest.mark.parametrize("objective", [minimax(), wasserstein(), weighted(0.3)])
def test_zero_sum(objective, real, fake, other):
    # What the generator gains on a fake, the critic loses: the sum does not depend on the fake.
    real, fake, other = (torch.tensor([value]) for value in (real, fake, other))
    one = objective.critic(real, fake) + objective.generator(None, fake)
    two = objective.critic(real, other) + objective.generator(None, other)
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-4)


@given(logits, logits, st.floats(-3, 3), st.floats(-3, 3))
def test_least_squares_swaps_with_its_targets(real, fake, a, b):
    real, fake = torch.tensor([real]), torch.tensor([fake])
    torch.testing.assert_close(
        least_squares(a=a, b=b).critic(real, fake), least_squares(a=b, b=a).critic(fake, real)
    )


def test_what_is_read_is_a_probability_where_the_objective_has_one():
    probable = {"minimax", "non-saturating", "maximum-likelihood", "weighted"}
    rows = {"f:alpha,0.5", "f:alpha,3", *(f"f:{name}" for name, row in DIVERGENCES.items() if row.logit)}
    assert {name for name, o in ALL.items() if o.bounded} == rows | {
        name for name in ALL if name.split(":")[0] in probable
    }
    assert minimax().reading(torch.zeros(1)).item() == 0.5
    assert wasserstein().reading(torch.tensor([3.0])).item() == 3.0


def test_what_needs_the_pair_and_the_whole_batch():
    assert {name.split(":")[0] for name, o in ALL.items() if o.paired} == {
        "relativistic",
        "relativistic-average",
    }
    assert {name.split(":")[0] for name, o in ALL.items() if o.mixes} == {"relativistic-average"}


def test_maximum_likelihood_s_gradient_is_half_that_of_kl():
    # KL(p‖q)′ = θ = 1 on pair A, and the loss has a factor of ½.
    theta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    mean(lambda x: maximum_likelihood().generator(None, best(x)), theta).backward()
    assert 2 * theta.grad.item() == pytest.approx(1.0, abs=1e-9)


def test_maximum_likelihood_is_exact_up_to_its_limit_and_straight_beyond():
    logit = torch.tensor([-1e4, LIMIT - 1e-9, LIMIT, LIMIT + 1, LIMIT + 9], dtype=torch.float64)
    logit.requires_grad_()
    loss = maximum_likelihood().generator(None, logit)
    (slope,) = torch.autograd.grad(loss.sum(), logit)
    torch.testing.assert_close(loss[:3], -0.5 * logit[:3].exp())
    torch.testing.assert_close(slope[1:], slope[2].expand(4), rtol=1e-8, atol=0)
    torch.testing.assert_close(loss[4] - loss[3], 8 * slope[2])


@pytest.mark.parametrize(
    ("d", "costs"), [(0.01, (-0.0050, 2.3026, -0.0051)), (0.99, (-2.3026, 0.0050, -49.5))]
)
def test_the_costs_of_the_comparison_figure(d, costs):
    # The figure halves all three; the first two have no ½ here.
    logit = torch.tensor([log(d / (1 - d))])
    halved = [minimax().generator(None, logit) / 2, non_saturating().generator(None, logit) / 2]
    found = [*halved, maximum_likelihood().generator(None, logit)]
    assert [x.item() for x in found] == pytest.approx(costs, abs=5e-5)


def test_a_trained_critic_finds_the_best_one():
    # A cubic logit on pair A: D* is linear in x, and D is within .02 of it everywhere.
    x, weight = panels()
    p, q = weight * normal(x, 0, 1), weight * normal(x, 1, 1)
    powers = torch.stack([x**k / 10**k for k in range(4)])
    factors = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([factors], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        logit, zero = factors @ powers, torch.zeros(())
        critic = minimax().critic
        value = (p * critic(logit, zero) + q * critic(zero, logit)).sum() - 2 * log(2)
        value.backward()
        return value

    optimiser.step(loss)
    assert -loss().item() == pytest.approx(-1.16345140, abs=1e-6)
    found = minimax().reading(factors.detach() @ powers)
    assert (found - torch.sigmoid(0.5 - x))[x.abs() < 8].abs().max() < 0.02
    assert torch.sigmoid(best(torch.zeros(1))).item() == pytest.approx(0.622459, abs=1e-6)


def information(pi: float, p: Tensor, q: Tensor) -> float:
    """H(π) minus the loss of the best critic πp/(πp + (1−π)q), on discrete laws."""
    entropy = -pi * log(pi) - (1 - pi) * log(1 - pi)
    logit = (pi * p / ((1 - pi) * q)).log().clamp(-500, 500)
    zero = torch.zeros((), dtype=torch.float64)
    critic = weighted(pi).critic
    loss = (p * critic(logit, zero) + q * critic(zero, logit)).sum() - critic(zero, zero)
    return entropy - loss.item()


def test_weighted_is_the_mutual_information():
    assert information(0.3, *PAIRS["A"]) == pytest.approx(0.09491047, abs=1e-8)
    assert information(0.5, *PAIRS["A"]) == pytest.approx(0.11142148, abs=1e-8)
    p, q = (torch.tensor(law, dtype=torch.float64) for law in ([1.0, 0.0], [0.0, 1.0]))
    assert information(0.3, p, q) == pytest.approx(-0.3 * log(0.3) - 0.7 * log(0.7))
    real, fake = torch.randn(5), torch.randn(5)
    torch.testing.assert_close(2 * weighted().critic(real, fake), minimax().critic(real, fake))
    torch.testing.assert_close(2 * weighted().generator(None, fake), minimax().generator(None, fake))


@pytest.mark.parametrize("make", [minimax, non_saturating])
def test_smoothing_is_one_sided(make):
    # The loss is least at D = (1−s)p/(p+q), here for p = q: the fake's target stays 0.
    logit = torch.tensor([log(0.45 / 0.55)], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(make(0.1).critic(logit, logit), logit)
    assert slope.item() == pytest.approx(0.0, abs=1e-12)
    fake = torch.randn(5)
    assert torch.equal(make(0.1).generator(None, fake), make().generator(None, fake))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: minimax(1.0), "smoothing must be at least 0 and below 1, not 1.0"),
        (lambda: non_saturating(-0.1), "smoothing must be at least 0 and below 1, not -0.1"),
        (lambda: weighted(3.14), "weighted: pi is the share of real samples, between 0 and 1, not 3.14"),
        (
            lambda: weighted(0.5, "satured"),
            "unknown generator of weighted 'satured': did you mean 'saturating'",
        ),
    ],
)
def test_what_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
