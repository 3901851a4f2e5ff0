"""KID against a loop over pairs, and the inception score against its definition."""

import math

import pytest
import torch
import torch.nn.functional as F

from zerosum.evaluation import evaluate
from zerosum.metrics.extractors import pixels
from zerosum.metrics.inception_score import inception_score
from zerosum.metrics.kid import kid, kid_subsets
from zerosum.metrics.sides import of_images


def test_equals_a_loop_over_pairs():
    draw = torch.Generator().manual_seed(0)
    real, fake = torch.randn(9, 5, generator=draw).double(), torch.randn(7, 5, generator=draw).double() + 0.5

    def k(x, y):
        return (float(x @ y) / 5 + 1) ** 3

    within = sum(k(a, b) for i, a in enumerate(real) for j, b in enumerate(real) if i != j) / (9 * 8)
    fakes = sum(k(a, b) for i, a in enumerate(fake) for j, b in enumerate(fake) if i != j) / (7 * 6)
    across = sum(k(a, b) for a in real for b in fake) / 63
    assert kid(real, fake) == pytest.approx(within + fakes - 2 * across, rel=1e-12)


def test_unbiased_at_any_count_where_the_laws_are_one():
    draw = torch.Generator().manual_seed(1)
    values = torch.tensor([kid(*torch.randn(2, 10, 4, generator=draw)) for _ in range(600)])
    assert abs(float(values.mean())) < 4 * float(values.std()) / 600**0.5
    assert float(values.min()) < 0


def test_subsets_agree_with_all_pairs():
    draw = torch.Generator().manual_seed(2)
    real, fake = torch.randn(400, 8, generator=draw), torch.randn(400, 8, generator=draw) + 0.3
    found = kid_subsets(real, fake, subsets=60, size=150)
    assert found.mean == pytest.approx(kid(real, fake), abs=4 * found.deviation / 60**0.5)
    assert kid_subsets(real, fake, subsets=60, size=150) == found
    assert kid_subsets(real, fake, subsets=60, size=150, seed=1) != found
    with pytest.raises(ValueError, match="100 subsets of 1000 from 400 real"):
        kid_subsets(real, fake)


@pytest.mark.parametrize("count", [40, 160])
def test_the_interval_is_as_wide_as_the_draws_of_so_many_differ(count: int, tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    draw = torch.Generator().manual_seed(4)
    found = []
    for number in range(24):
        real, fake = (
            of_images(f"{name} {number}", torch.rand(count, 1, 2, 2, generator=draw) * spread)
            for name, spread in (("real", 1.0), ("fake", 0.6))
        )
        found.append(evaluate(real, fake, ["kid"], pixels(2)))
    actual = float(torch.tensor([each["kid"] for each in found]).std())
    told = [(high - low) / 2 / 1.96 for low, high in (each["intervals"]["kid"] for each in found)]
    assert 0.6 * actual < sum(told) / len(told) < 1.5 * actual


def test_of_too_few_for_subsets_there_is_no_interval():
    few = of_images("few", torch.rand(3, 1, 2, 2))
    assert evaluate(few, few, ["kid"], pixels(2))["intervals"] == {}


def test_the_score_by_its_definition():
    logits = 3 * torch.randn(60, 5, generator=torch.Generator().manual_seed(3)).double()
    scores = []
    for part in logits.chunk(3):
        p = F.softmax(part, 1)
        marginal = p.mean(0)
        scores.append(math.exp(sum(float((q * (q / marginal).log()).sum()) for q in p) / len(p)))
    found = inception_score(logits, splits=3)
    mean = sum(scores) / 3
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.deviation == pytest.approx((sum((s - mean) ** 2 for s in scores) / 3) ** 0.5)


def test_the_score_is_one_for_a_classifier_that_is_undecided_and_for_one_class_alone():
    assert inception_score(torch.zeros(50, 7)).mean == pytest.approx(1)
    assert inception_score(torch.tensor([[500.0, 0, 0]]).expand(50, 3)).mean == pytest.approx(1)
    with pytest.raises(ValueError, match="N ≥ 10 splits"):
        inception_score(torch.zeros(3, 7))
    with pytest.raises(ValueError, match="not finite"):
        inception_score(torch.full((30, 7), torch.nan))
