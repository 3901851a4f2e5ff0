"""The objectives against closed forms, on P = N(0, 1) and Q = N(1, 1), and against hand-worked numbers."""

from collections.abc import Callable
from math import exp, log, log1p

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zerosum.objectives import Objective, hinge, least_squares, minimax, non_saturating, wasserstein

ALL = {
    "minimax": minimax(),
    "non_saturating": non_saturating(),
    "least_squares": least_squares(),
    "least_squares_chi2": least_squares(a=-1.0, b=1.0, c=0.0),
    "hinge": hinge(),
    "wasserstein": wasserstein(),
}
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


def log_sigmoid(x: float) -> float:
    return -log1p(exp(-x))


# real = 2, fake = −1: what each loss is by its paper's formula; swapped arguments give other numbers.
WORKED = {
    "minimax": (-log_sigmoid(2) - log_sigmoid(1), log_sigmoid(1)),
    "non_saturating": (-log_sigmoid(2) - log_sigmoid(1), -log_sigmoid(-1)),
    "least_squares": (0.5 * (2 - 1) ** 2 + 0.5 * (-1 - 0) ** 2, 0.5 * (-1 - 1) ** 2),
    "least_squares_chi2": (0.5 * (2 - 1) ** 2 + 0.5 * (-1 + 1) ** 2, 0.5 * (-1 - 0) ** 2),
    "hinge": (0.0 + 0.0, 1.0),
    "wasserstein": (-1.0 - 2.0, 1.0),
}


@pytest.mark.parametrize("name", ALL)
def test_worked_numbers_real_first(name):
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    on_critic, on_generator = WORKED[name]
    assert ALL[name].critic(real, fake).item() == pytest.approx(on_critic, abs=1e-6)
    assert ALL[name].generator(None, fake).item() == pytest.approx(on_generator, abs=1e-6)
    assert ALL[name].critic(fake, real).item() != pytest.approx(on_critic, abs=0.1)


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
    for loss in (objective.critic(real, fake), objective.generator(None, fake)):
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
def test_losses_are_per_sample(objective):
    real, fake = torch.randn(6), torch.randn(6)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert objective.critic(real, fake).shape == (6,)
    assert torch.equal(objective.critic(real, fake)[order], objective.critic(real[order], fake[order]))
    assert torch.equal(objective.generator(None, fake)[order], objective.generator(None, fake[order]))


@every
@given(st.floats(-0.9, 0.9), st.floats(0.1, 3))
def test_critic_wants_real_up_and_fake_down(objective, real, fake):
    # Within the targets of those that have them: beyond, least squares turns back.
    on_real, on_fake = torch.tensor([real], requires_grad=True), torch.tensor([fake], requires_grad=True)
    objective.critic(on_real, on_fake).sum().backward()
    assert on_real.grad.item() < 0.0
    assert on_fake.grad.item() > 0.0


@given(logits, logits, logits)
@pytest.mark.parametrize("objective", [minimax(), wasserstein()])
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
    zero = torch.zeros(1)
    assert {name for name, o in ALL.items() if o.bounded} == {"minimax", "non_saturating"}
    assert minimax().reading(zero).item() == 0.5
    assert wasserstein().reading(torch.tensor([3.0])).item() == 3.0
