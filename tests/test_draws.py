"""Random numbers that depend on (seed, purpose, step, turn, sample) alone."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zerosum.draws import BLOCK, Draws, Latent, _cut_normal, mix


@given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 70), st.sampled_from([(), (1,), (3,), (2, 5)]))
def test_a_part_is_a_slice_of_the_whole(a, b, c, shape):
    a, b, c = sorted((a, b, c))
    whole = Draws(seed=3, step=4, turn=1, start=0, stop=c)
    part = whole.part(a, b)
    assert len(part) == b - a
    for law in ("normal", "uniform"):
        numbers = getattr(part, law)("latent", *shape)
        assert numbers.shape == (b - a, *shape)
        assert torch.equal(numbers, getattr(whole, law)("latent", *shape)[a:b])


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"seed": 2**32}, {"seed": 2**62}, {"step": 1}, {"step": 2**32}, {"turn": 1}],
    ids=lambda change: "-".join(f"{k}{v}" for k, v in change.items()),
)
def test_another_seed_step_or_turn_gives_other_numbers(change):
    # 2³² and more: a CPU generator keeps only the low 32 bits of its seed.
    base = Draws(stop=2 * BLOCK)
    one, two = base.normal("latent", 8), replace(base, **change).normal("latent", 8)
    assert not (one == two).any()


def test_another_purpose_or_block_gives_other_numbers():
    draw = Draws(stop=3 * BLOCK)
    latent, noise = draw.normal("latent", 8), draw.normal("noise", 8)
    assert not (latent == noise).any()
    assert len(latent.flatten().unique()) == latent.numel()


def test_asking_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    Draws(stop=20).normal("latent", 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_asking_twice_gives_the_same():
    draw = Draws(seed=5, step=2, stop=7)
    draw.normal("noise", 3)
    assert torch.equal(draw.normal("latent", 3), draw.normal("latent", 3))


def test_normal_numbers_are_standard_normal():
    x = Draws(seed=1, stop=1000).normal("latent", 100).double().flatten()
    n = len(x)
    assert abs(x.mean()) < 3 / n**0.5
    assert abs(x.var() - 1) < 3 * (2 / n) ** 0.5
    assert abs(x.pow(3).mean()) < 3 * (15 / n) ** 0.5
    assert abs(x.pow(4).mean() - 3) < 3 * (96 / n) ** 0.5
    # Kolmogorov–Smirnov, at 1 %.
    ranks = (torch.arange(n) + 0.5) / n
    normal = 0.5 * torch.erfc(-x.sort().values / 2**0.5)
    assert (normal - ranks).abs().max() < 1.63 / n**0.5


def test_samples_and_columns_do_not_correlate():
    x = Draws(seed=2, stop=400).normal("latent", 100)
    assert torch.corrcoef(x).fill_diagonal_(0).abs().max() < 0.6  # 400 samples of 100: 6 standard errors
    assert torch.corrcoef(x.T).fill_diagonal_(0).abs().max() < 0.3


def test_uniform_numbers_fill_the_unit_interval():
    x = Draws(seed=1, stop=1000).uniform("interpolate", 10).double().flatten()
    assert x.min() >= 0
    assert x.max() < 1
    assert abs(x.mean() - 0.5) < 3 / (12 * len(x)) ** 0.5
    assert abs(x.var() - 1 / 12) < 3 * (1 / 180 / len(x)) ** 0.5


def test_latents():
    draw = Draws(seed=3, stop=200)
    normal, uniform = Latent(50)(draw), Latent(50, "uniform")(draw)
    assert normal.shape == uniform.shape == (200, 50)
    assert normal.abs().max() > 2
    assert uniform.min() < -0.9
    assert 0.9 < uniform.max() <= 1
    assert abs(uniform.mean()) < 3 / (3 * uniform.numel()) ** 0.5


@pytest.mark.parametrize("threshold", [0.02, 0.5, 1.0, 2.0, 9.0, float("inf")])
def test_truncated_latents_have_the_normal_law_between_the_thresholds(threshold):
    latent = Latent(100).truncated(threshold)
    z = latent(Draws(seed=1, stop=1000))
    assert z.dtype == torch.float32
    assert z.isfinite().all()
    assert z.abs().max() <= threshold
    law = stats.truncnorm(-threshold, threshold)
    assert stats.kstest(z.double().flatten().numpy(), law.cdf).pvalue > 0.01
    assert torch.equal(z[10:20], latent(Draws(seed=1, start=10, stop=20)))


def test_the_ends_of_the_unit_interval_are_cut_to_finite_numbers():
    ends = torch.tensor([0.0, 1 - 2**-24])
    z = _cut_normal(ends, float("inf"))
    expected = stats.norm.isf(2**-25)
    torch.testing.assert_close(z.double(), torch.tensor([-expected, expected]).double(), rtol=1e-5, atol=0.0)
    torch.testing.assert_close(_cut_normal(ends, 1e-3), torch.tensor([-1e-3, 1e-3]))


def test_a_smaller_threshold_draws_the_same_latents_towards_the_middle():
    draw = Draws(seed=4, stop=50)
    wide, narrow = (Latent(20).truncated(t)(draw) for t in (2.0, 0.5))
    assert torch.equal(wide.sign(), narrow.sign())
    assert (narrow.abs() <= wide.abs()).all()
    assert not Latent(20).truncated(0)(draw).any()
    assert Latent(3).truncated(0.5).truncated(2.0) == Latent(3).truncated(0.5)


@pytest.mark.parametrize("threshold", [-1e-9, -1.0, float("nan")])
def test_a_negative_threshold_is_refused(threshold):
    with pytest.raises(ValueError, match="--truncation must be at least 0, not"):
        Latent(3).truncated(threshold)


def test_uniform_latents_have_no_tails_to_cut():
    with pytest.raises(ValueError, match=r"--truncation cuts .* and these latents are uniform"):
        Latent(3, "uniform").truncated(1.0)


@given(
    st.lists(st.one_of(st.integers(), st.text()), max_size=4), st.lists(st.integers() | st.text(), max_size=4)
)
def test_mix_tells_parts_apart(one, two):
    assert 0 <= mix(*one) < 2**63
    assert (mix(*one) == mix(*two)) == (one == two)


def test_mix_tells_types_and_borders_apart():
    assert len({mix(1, 23), mix(12, 3), mix("1", 23), mix(123), mix("ab", "c"), mix("a", "bc")}) == 6


def test_mix_fills_the_low_bits():
    seeds = {mix(0, "latent", step, 0, 0) & 0xFFFFFFFF for step in range(20_000)}
    assert len(seeds) > 20_000 - 3  # a birthday's chance: 20,000²/2³³ ≈ .05 collisions expected
