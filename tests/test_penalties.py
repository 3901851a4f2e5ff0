"""The penalties on critics whose slope is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from zerosum.draws import Draws
from zerosum.objectives import wasserstein
from zerosum.penalties import Penalty, input_gradient, r1, wgan_gp

BOTH = pytest.mark.parametrize("penalty", [wgan_gp(), r1()], ids=["wgan_gp", "r1"])


def linear(weight: Tensor):
    """x ↦ ⟨w, x⟩ for x [B, …]."""
    return lambda x: x.flatten(1) @ weight


def data(batch: int, *shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Draws]:
    generator = torch.Generator().manual_seed(batch)
    real, fake = (torch.randn(batch, *shape, generator=generator, dtype=dtype) for _ in range(2))
    return real, fake, Draws(seed=1, stop=batch)


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_unit_slope_costs_nothing(batch):
    weight = nn.functional.normalize(
        torch.randn(3 * 4 * 5, generator=torch.Generator().manual_seed(0)), dim=0
    )
    cost = wgan_gp()(linear(weight), *data(batch, 3, 4, 5))
    assert cost.shape == (batch,)
    assert cost.max() < 1e-9


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_slope_of_three_costs_four(batch):
    weight = torch.tensor([1.0, 2.0, 2.0])
    torch.testing.assert_close(
        wgan_gp(weight=1.0)(linear(weight), *data(batch, 3)), torch.full((batch,), 4.0)
    )


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(0, 20), st.floats(0, 3))
def test_linear_critics_cost_what_their_norm_says(weights, heavy, target):
    weight = torch.tensor(weights)
    norm = float(weight.double().norm())
    given_ = data(3, len(weights))
    expected = torch.full((3,), heavy * (norm - target) ** 2)
    torch.testing.assert_close(
        wgan_gp(heavy, target)(linear(weight), *given_), expected, rtol=1e-4, atol=1e-4, check_dtype=False
    )
    expected = torch.full((3,), heavy * 0.5 * norm**2)
    torch.testing.assert_close(
        r1(heavy)(linear(weight), *given_), expected, rtol=1e-4, atol=1e-4, check_dtype=False
    )


@pytest.mark.parametrize(("gap", "heavy"), [(1.0, 10.0), (0.5, 10.0), (2.0, 1.0)])
def test_best_slope_overshoots_by_gap_over_two_lambda(gap, heavy):
    # Minimise over s: −sΔ + λ(s−1)², for a critic x ↦ sx and masses at Δ and 0: s = 1 + Δ/2λ.
    slope = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    real, fake = torch.full((4, 1), gap, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    optimiser = torch.optim.LBFGS([slope], max_iter=50, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def closure() -> Tensor:
        optimiser.zero_grad()

        def critic(x: Tensor) -> Tensor:
            return (x * slope).squeeze(1)

        loss = wasserstein().critic(critic(real), critic(fake)).mean()
        loss = loss + wgan_gp(heavy)(critic, real, fake, Draws(stop=4)).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert slope.item() == pytest.approx(1 + gap / (2 * heavy), abs=1e-5)


@BOTH
def test_no_nan_where_the_slope_is_zero(penalty):
    weight = torch.zeros(5, requires_grad=True)
    cost = penalty(linear(weight), *data(4, 5))
    assert cost.tolist() == [penalty.weight if penalty.name == "wgan-gp" else 0.0] * 4
    cost.sum().backward()
    assert weight.grad.isfinite().all()


@BOTH
@pytest.mark.parametrize("batch", [1, 5])
def test_gradient_against_finite_differences(penalty, batch):
    torch.manual_seed(0)
    real, fake, draw = data(batch, 3, dtype=torch.float64)
    w1 = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    w2 = torch.randn(8, dtype=torch.float64, requires_grad=True)

    def cost(w1: Tensor, w2: Tensor) -> Tensor:
        return penalty(lambda x: torch.tanh(x @ w1) @ w2, real, fake, draw)

    assert torch.autograd.gradcheck(cost, (w1, w2), eps=1e-6, atol=1e-6)


def test_wgan_gp_looks_between_real_and_fake_one_place_a_sample():
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        return x.flatten(1).sum(1)

    draw = Draws(seed=2, stop=40)
    wgan_gp()(critic, torch.ones(40, 3, 2, 2), torch.zeros(40, 3, 2, 2), draw)
    (between,) = seen
    shares = between.flatten(1)
    assert torch.equal(shares, shares[:, :1].expand_as(shares)), "one ε a sample, not one a pixel"
    assert len(shares[:, 0].unique()) == 40
    assert 0 <= shares.min() < 0.2
    assert 0.8 < shares.max() < 1
    # ε weighs the real sample: x̂ = εx + (1−ε)x̃.
    assert torch.equal(shares[:, 0], draw.uniform("interpolate", 1, 1, 1).flatten())


def test_r1_looks_at_real_samples():
    # f = ½‖x‖² has slope x.
    real, fake, draw = data(6, 4)
    cost = r1(weight=1.0)(lambda x: 0.5 * x.square().sum(1), real, fake, draw)
    torch.testing.assert_close(cost, 0.5 * real.square().sum(1))


@BOTH
def test_each_sample_is_charged_alone(penalty):
    real, fake, draw = data(9, 3)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    whole = penalty(critic, real, fake, draw)
    parts = [penalty(critic, real[a:b], fake[a:b], draw.part(a, b)) for a, b in ((0, 4), (4, 9))]
    torch.testing.assert_close(torch.cat(parts), whole)


@BOTH
def test_inputs_get_no_gradient(penalty):
    real, fake, draw = data(4, 3)
    real.requires_grad_()
    fake.requires_grad_()
    critic = nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 1), nn.Flatten(0))
    penalty(critic, real, fake, draw).sum().backward()
    assert real.grad is None
    assert fake.grad is None
    assert critic[0].weight.grad.abs().sum() > 0


@BOTH
def test_bf16_and_mixed_types_give_float32(penalty):
    real, fake, draw = data(4, 3)
    critic = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1), nn.Flatten(0))
    exact = penalty(critic, real, fake, draw)
    with torch.autocast("cpu", torch.bfloat16):
        cost = penalty(critic, real, fake.bfloat16(), draw)
    assert cost.dtype == torch.float32
    torch.testing.assert_close(cost, exact, rtol=0.1, atol=0.1)
    cost.sum().backward()


def test_lazy_penalties_pull_alike_on_average():
    always, lazy = r1(weight=2.0), r1(weight=2.0, every=4)
    real, fake, draw = data(3, 2)
    critic = linear(torch.tensor([1.0, -2.0]))
    total = {
        p.every: sum(p(critic, real, fake, draw).sum() for step in range(8) if p.due(step))
        for p in (always, lazy)
    }
    assert total[1] == total[4] > 0
    assert [step for step in range(9) if lazy.due(step)] == [0, 4, 8]


@pytest.mark.parametrize(("weight", "every", "what"), [(-1.0, 1, "weight"), (1.0, 0, "every")])
def test_impossible_settings_are_refused(weight, every, what):
    with pytest.raises(ValueError, match=what):
        Penalty("mine", lambda critic, real, fake, draw: real, weight, every)


def test_input_gradient_works_where_gradients_are_off():
    with torch.no_grad():
        found = input_gradient(linear(torch.tensor([2.0, 3.0])), torch.zeros(2, 2))
    assert found.tolist() == [[2.0, 3.0], [2.0, 3.0]]
