"""The penalties on critics whose slope is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from zerosum.draws import Draws
from zerosum.objectives import wasserstein
from zerosum.penalties import (
    Penalty,
    consistency,
    dragan,
    drift,
    input_gradient,
    r1,
    r2,
    wgan_gp,
    zero_centred,
)

SLOPES = (wgan_gp(), wgan_gp(one_sided=True, target=0.1), dragan(), r1(), r2(), zero_centred())
EVERY = pytest.mark.parametrize("penalty", [*SLOPES, drift()], ids=lambda penalty: penalty.name)
OF_SLOPES = pytest.mark.parametrize("penalty", SLOPES, ids=lambda penalty: penalty.name)


def linear(weight: Tensor):
    """x ↦ ⟨w, x⟩ for x [B, …]."""
    return lambda x: x.flatten(1) @ weight


def data(batch: int, *shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Draws]:
    generator = torch.Generator().manual_seed(batch)
    real, fake = (torch.randn(batch, *shape, generator=generator, dtype=dtype) for _ in range(2))
    return real, fake, Draws(seed=1, stop=batch)


@pytest.mark.parametrize("penalty", [wgan_gp(), wgan_gp(one_sided=True), dragan()])
@pytest.mark.parametrize("batch", [1, 7, 256])
def test_unit_slope_costs_nothing(batch, penalty):
    weight = nn.functional.normalize(
        torch.randn(3 * 4 * 5, generator=torch.Generator().manual_seed(0)), dim=0
    )
    cost = penalty(linear(weight), *data(batch, 3, 4, 5))
    assert cost.shape == (batch,)
    assert cost.max() < 1e-9


@pytest.mark.parametrize("penalty", [wgan_gp(1.0), wgan_gp(1.0, one_sided=True), dragan(1.0)])
@pytest.mark.parametrize("batch", [1, 7, 256])
def test_slope_of_three_costs_four(batch, penalty):
    weight = torch.tensor([1.0, 2.0, 2.0])
    torch.testing.assert_close(penalty(linear(weight), *data(batch, 3)), torch.full((batch,), 4.0))


def test_one_sided_leaves_gentle_slopes_alone():
    gentle = linear(torch.tensor([0.3, 0.4]))
    assert wgan_gp(1.0, one_sided=True)(gentle, *data(3, 2)).tolist() == [0.0] * 3
    torch.testing.assert_close(wgan_gp(1.0)(gentle, *data(3, 2)), torch.full((3,), 0.25))


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


@OF_SLOPES
def test_no_nan_where_the_slope_is_zero(penalty):
    weight = torch.zeros(5, requires_grad=True)
    cost = penalty(linear(weight), *data(4, 5))
    assert cost.unique().tolist() in ([0.0], [penalty.weight])
    cost.sum().backward()
    assert weight.grad.isfinite().all()


@EVERY
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


@pytest.mark.parametrize("penalty", [p for p in (*SLOPES, drift()) if not p.mixes], ids=lambda p: p.name)
def test_each_sample_is_charged_alone(penalty):
    real, fake, draw = data(9, 3)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    whole = penalty(critic, real, fake, draw)
    parts = [penalty(critic, real[a:b], fake[a:b], draw.part(a, b)) for a, b in ((0, 4), (4, 9))]
    torch.testing.assert_close(torch.cat(parts), whole)


@OF_SLOPES
def test_inputs_get_no_gradient(penalty):
    real, fake, draw = data(4, 3)
    real.requires_grad_()
    fake.requires_grad_()
    critic = nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 1), nn.Flatten(0))
    penalty(critic, real, fake, draw).sum().backward()
    assert real.grad is None
    assert fake.grad is None
    assert critic[0].weight.grad.abs().sum() > 0


@EVERY
def test_bf16_and_mixed_types_give_float32(penalty):
    real, fake, draw = data(4, 3)
    critic = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1), nn.Flatten(0))
    exact = penalty(critic, real, fake, draw)
    with torch.autocast("cpu", torch.bfloat16):
        cost = penalty(critic, real, fake.bfloat16(), draw)
    assert cost.dtype == torch.float32
    torch.testing.assert_close(cost, exact, rtol=0.1, atol=0.1)
    cost.sum().backward()


@EVERY
def test_real_and_fake_are_not_confused(penalty):
    # The slope of f grows with x, and the fakes lie further out.
    real, fake, draw = data(6, 3)
    fake = fake + 4

    def critic(x: Tensor) -> Tensor:
        return x.square().sum(1)

    assert not torch.allclose(penalty(critic, real, fake, draw), penalty(critic, fake, real, draw))
    moved = penalty(critic, real, fake + 1, draw)
    only_real = penalty.name in ("r1", "dragan", "drift")
    assert torch.equal(moved, penalty(critic, real, fake, draw)) == only_real


def test_zero_centred_and_r2_look_where_they_say():
    real, fake, draw = data(6, 4)
    half = lambda x: 0.5 * x.square().sum(1)  # noqa: E731  (its slope is x)
    torch.testing.assert_close(r2(weight=1.0)(half, real, fake, draw), 0.5 * fake.square().sum(1))
    between = torch.lerp(fake, real, draw.uniform("interpolate", 1))
    torch.testing.assert_close(zero_centred(weight=1.0)(half, real, fake, draw), between.square().sum(1))


def test_dragan_looks_up_to_half_a_deviation_above_the_real_samples():
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        return x.flatten(1).sum(1)

    real, fake, draw = data(2000, 3, 2, 2)
    dragan()(critic, real, fake, draw)
    step = (seen[0] - real) / real.std(correction=0)
    assert 0 <= step.min() < 0.001
    assert 0.45 < step.max() <= 0.5 + 1e-6
    assert step.mean() == pytest.approx(0.125, abs=0.005), "ε·u/2 with ε and u uniform"
    assert len(step[0].unique()) == 12, "other noise for each number"


def test_dragan_takes_the_deviation_of_all_processes(monkeypatch):
    real, fake, draw = data(9, 3)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    parts = [(real[a:b], fake[a:b], draw.part(a, b)) for a, b in ((0, 4), (4, 9))]
    whole = dragan()(critic, real, fake, draw)
    moments = []
    monkeypatch.setattr("zerosum.penalties.processes.all_reduce", lambda x: moments.append(x) or x)
    for part in parts:
        dragan()(critic, *part)
    monkeypatch.setattr("zerosum.penalties.processes.all_reduce", lambda x: sum(moments))
    torch.testing.assert_close(torch.cat([dragan()(critic, *part) for part in parts]), whole)


def test_drift_charges_what_the_critic_says_of_real_samples():
    real, fake, draw = data(5, 2)
    weight = torch.tensor([1.0, -2.0])
    torch.testing.assert_close(drift()(linear(weight), real, fake, draw), 1e-3 * (real @ weight).square())


def shifted(image: Tensor, down: int, across: int) -> Tensor:
    """An image [C, H, W] that shows at (y, x) what was at (y+down, x+across), reflected at its border."""
    padded = nn.functional.pad(image[None], (3, 3, 3, 3), mode="reflect")[0]
    return padded[:, 3 + down :, 3 + across :][:, : image.shape[1], : image.shape[2]]


def test_consistency_compares_with_flipped_and_shifted_images():
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x)
        return x.flatten(1) @ torch.arange(2.0 * 8 * 6)

    real, fake, draw = data(300, 2, 8, 6)
    cost = consistency(weight=2.0, shift=2)(critic, real, fake, draw)
    plain, moved = seen
    assert plain is real
    torch.testing.assert_close(cost, 2.0 * (critic(plain) - critic(moved)).square())
    kinds = set()
    for image, other in zip(plain, moved, strict=True):
        candidates = {
            (flip, down, across): shifted(image.flip(2) if flip else image, down, across)
            for flip in (False, True)
            for down in range(-2, 3)
            for across in range(-2, 3)
        }
        (kind,) = (k for k, candidate in candidates.items() if torch.allclose(candidate, other, atol=1e-4))
        kinds.add(kind)
    assert len(kinds) > 45, "all 50 transformations are drawn"


def test_consistency_of_fakes_is_added_as_often_as_asked():
    real, fake, draw = data(4, 1, 8, 8)
    critic = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(108, 1), nn.Flatten(0))
    alone, both, twice = (consistency(fake=share)(critic, real, fake, draw) for share in (0.0, 1.0, 2.0))
    torch.testing.assert_close(twice - both, both - alone)
    assert (both - alone).min() > 0
    assert not torch.allclose(both, consistency(fake=1.0)(critic, fake, real, draw))
    halves = [
        consistency(fake=1.0)(critic, real[i : i + 2], fake[i : i + 2], draw.part(i, i + 2)) for i in (0, 2)
    ]
    torch.testing.assert_close(torch.cat(halves), both)
    both.sum().backward()
    assert critic[0].weight.grad.abs().sum() > 0


def test_consistency_needs_images():
    with pytest.raises(ValueError, match="needs images"):
        consistency()(linear(torch.ones(2)), *data(3, 2))
    with pytest.raises(ValueError, match="shift=8"):
        consistency(shift=8)(linear(torch.ones(64)), *data(3, 1, 8, 8))
    with pytest.raises(ValueError, match="negative"):
        consistency(fake=-1.0)


def test_only_slopes_need_each_sample_judged_alone():
    assert all(penalty.per_sample for penalty in SLOPES)
    assert not drift().per_sample
    assert not consistency().per_sample
    assert [penalty.name for penalty in SLOPES if penalty.mixes] == ["dragan"]


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


@pytest.mark.parametrize("make", [r1, r2])
def test_a_weight_may_follow_a_cosine_of_images_shown(make):
    penalty = make(0.05, final=0.005, over=1000, every=2)
    assert [penalty.at(images).weight for images in (0, 1000, 5000)] == [0.05, 0.005, 0.005]
    assert penalty.at(250).weight == pytest.approx(0.005 + 0.045 * (1 + 0.5**0.5) / 2)
    critic = linear(torch.tensor([3.0]))
    assert penalty.at(500)(critic, *data(1, 1)).item() == pytest.approx(2 * 0.0275 * 4.5)
    assert penalty.at(500).due(3) is False
    still = make(0.05)
    assert still.at(10**9) is still
    for wrong, message in (
        ({"final": -1.0}, "final must not be negative"),
        ({"over": 0}, "over must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**wrong)
