"""Experiment 18: the birthday problem exactly, and detectors that catch what they should and no more."""

import math

import pytest
import torch

from zerosum.lab.experiment import Settings
from zerosum.lab.memorisation import (
    COLLAPSED,
    MEMORISATION,
    TRAIN,
    collision_chance,
    first_repeats,
    gaussian_per_class,
    nearest,
    nearest_variant,
    repeating,
    support_from,
    variants,
)


@pytest.fixture(scope="module")
def numbers():
    return MEMORISATION.run(Settings(quick=True)).numbers


def test_the_birthday_problem():
    assert collision_chance(365, torch.tensor([1, 22, 23])).tolist() == pytest.approx(
        [0, 0.475695, 0.507297], abs=1e-6
    )
    assert collision_chance(3, torch.tensor([2, 3, 4, 9])).tolist() == pytest.approx([1 / 3, 7 / 9, 1, 1])
    for support in (50, 2000):
        s = math.sqrt(2 * math.log(2) * support)
        assert support_from(s) == pytest.approx(support)
        assert collision_chance(support, torch.tensor([round(s)])).item() == pytest.approx(0.5, abs=0.06)


def test_repeats_come_when_they_should():
    images, tries = torch.rand(40, 5, 5, generator=torch.Generator().manual_seed(0)), 2000
    first = first_repeats(repeating(images), 0.1, 30, tries, torch.Generator().manual_seed(1))
    sizes = torch.tensor([2, 5, 8, 15, 30])
    chance = collision_chance(40, sizes)
    error = (chance * (1 - chance) / tries).sqrt()
    assert (((first[:, None] <= sizes).double().mean(0) - chance).abs() <= 3 * error).all()
    alone = first_repeats(
        lambda n, random: torch.rand(n, 5, 5, generator=random), 1e-6, 30, 5, torch.Generator()
    )
    assert alone.tolist() == [31] * 5


def test_a_first_repeat_is_counted_from_one():
    same = torch.zeros(6, 2, 2)
    assert first_repeats(lambda n, random: same[:n], 0.5, 6, 1, torch.Generator()).tolist() == [2]


def test_a_moved_or_mirrored_copy_is_found_by_its_variants_only():
    random = torch.Generator().manual_seed(0)
    train = torch.nn.functional.pad(torch.rand(20, 6, 6, generator=random), (1, 1, 1, 1), value=-1.0)
    assert variants(train).shape == (18, 20, 8, 8)
    assert torch.equal(variants(train)[0], train)
    distance, which = nearest(train[:5], train)
    assert distance.max() < 1e-3
    assert which.tolist() == [0, 1, 2, 3, 4]
    for copy in (train.roll((-1, 1), (1, 2)), train.flip(2), train.flip(2).roll(1, 2)):
        assert nearest(copy, train)[0].min() > 1
        assert nearest_variant(copy, train).max() < 1e-2
    fresh = torch.rand(20, 8, 8, generator=random)
    assert (nearest_variant(fresh, train) <= nearest(fresh, train)[0]).all()
    assert nearest_variant(fresh, train).min() > 1


def test_the_normal_law_of_a_class_has_its_mean_and_spread():
    random = torch.Generator().manual_seed(0)
    images = 0.2 * torch.randn(400, 3, 3, generator=random) * torch.linspace(0.5, 1.5, 9).view(3, 3)
    labels = torch.arange(400) % 2
    images += torch.where(labels == 0, -0.3, 0.3)[:, None, None]
    drawn = gaussian_per_class(images, labels, directions=9)(20_000, random)
    assert drawn.abs().max() <= 1
    left = drawn[drawn.mean((1, 2)) < 0]
    assert len(left) / len(drawn) == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(left.mean(0), images[labels == 0].mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(left.std(0), images[labels == 0].std(0), atol=0.02, rtol=0)


def test_who_is_caught_by_what(numbers):
    plain, tolerant = list(numbers.values())[1:3]
    assert plain["memoriser"] < 1e-3
    assert plain["memoriser, moved a pixel"] > 1
    assert plain["memoriser, mirrored"] > 1
    assert all(tolerant[name] < 1e-2 for name in tolerant if name.startswith("memoriser"))
    for ratios in (plain, tolerant):
        assert ratios["honest"] == pytest.approx(1, abs=0.2)
        assert ratios["collapsed"] == pytest.approx(1, abs=0.3)
    half, support = numbers["samples for a repeat, even chance"], numbers["support, s²/(2 ln 2)"]
    assert half["honest"] is None
    assert support["collapsed"] == pytest.approx(
        COLLAPSED, rel=0.35
    )  # s is a whole number: 8 gives 46, 9 gives 58
    assert support["memoriser"] == pytest.approx(TRAIN, rel=0.25)


def test_shares_of_repeats_meet_the_exact_chances(numbers):
    (shares,) = (value for name, value in numbers.items() if name.startswith("share of"))
    sizes, tries = torch.tensor(numbers["samples"]), 150
    for name, support in (("collapsed", COLLAPSED), ("memoriser", TRAIN)):
        chance = collision_chance(support, sizes)
        error = (chance * (1 - chance) / tries).sqrt()
        assert (
            (torch.tensor(shares[name]).double() - chance).abs() <= 4 * error + 1e-9
        ).double().mean() > 0.95
    assert max(shares["honest"]) < 0.05
