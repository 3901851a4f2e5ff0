"""Duplicates that were planted are counted, honest samples have few, a support lies within its bounds."""

import pytest
import torch

from tests.judged import judge, shades
from zerosum.evaluation import evaluate
from zerosum.metrics.sides import of_images


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))


def taken(fakes: torch.Tensor, reals: torch.Tensor) -> dict:
    return evaluate(of_images("real", reals), of_images("fake", fakes), ["duplicates", "birthday"], judge())


def test_planted_duplicates_are_counted_and_the_card_says_what_is_near():
    fakes = shades(200, 1)
    fakes[180:] = (fakes[:20] + 0.01).clamp(-1, 1)
    found = taken(fakes, shades(200, 2))
    assert 0.2 <= found["duplicates"] <= 0.22
    assert 20 <= found["repeated pairs"] <= 22
    low, high = found["intervals"]["duplicates"]
    assert low < 0.2 < high
    assert found["card"]["taken"]["twins"].startswith("of 200 samples, nearer than ")


def test_reals_that_are_there_twice_do_not_hide_them():
    fakes, reals = shades(100, 1), shades(100, 2)
    fakes[50:] = fakes[:50]
    reals[99] = reals[0]
    assert taken(fakes, reals)["duplicates"] == 1


def test_honest_samples_have_few_twins_and_no_upper_bound():
    counts = [taken(shades(150, 2 * seed), shades(150, 2 * seed + 1))["repeated pairs"] for seed in range(8)]
    assert sum(count <= 2 for count in counts) >= 6
    assert 0 in counts
    clear = taken(shades(150, 2 * counts.index(0)), shades(150, 2 * counts.index(0) + 1))
    assert "support at most" not in clear
    assert clear["support at least"] > 150 * 149 / 2 / 4


def test_the_support_of_a_generator_of_few_images_is_found():
    pictures = shades(300, 5)
    held = 0
    for seed in range(6):
        which = torch.randint(300, (120,), generator=torch.Generator().manual_seed(seed))
        found = taken(pictures[which], shades(120, 60 + seed))
        held += found["support at least"] <= 300 <= found["support at most"]
    assert held >= 5


def test_reals_that_are_all_the_same_tell_nothing():
    with pytest.raises(ValueError, match="the real images are all the same"):
        taken(shades(30, 1), torch.zeros(30, 1, 16, 16))
