"""The score: reals against reals are the floor, collapse has no spread, and everything is drawn once."""

import numpy as np
import pytest
import torch

from tests import small
from zerosum.compare.score import COUNT, Yardstick, yardstick
from zerosum.data import Check, Dataset, Format


def test_it_is_the_mean_over_directions_of_distances_on_the_line():
    real, fake = torch.randn(5, 1, 2, 2), torch.randn(5, 1, 2, 2)
    measure = Yardstick(real, 0.0, "")
    assert measure.distance(real) == 0
    assert measure.distance(real + 0.5) == pytest.approx(0.5 * _mean_of_a_direction(), rel=0.05)
    assert measure.distance(fake) == measure.distance(fake.flip(0)), "order is no matter"


def _mean_of_a_direction() -> float:
    """E|Σθ| over unit θ in four dimensions: that of 2θ₁, 2·Γ(2)/(√π Γ(5/2))."""
    theta = torch.randn(200_000, 4)
    return float((theta.sum(1) / theta.norm(dim=1)).abs().mean())


def test_spread_is_one_for_the_data_and_nothing_for_one_image():
    real = torch.rand(40, 3, 4, 4) * 2 - 1
    measure = Yardstick(real, 0.0, "")
    assert measure.spread(real.flip(0)) == pytest.approx(1)
    assert measure.spread(real[:1].expand(40, 3, 4, 4)) == 0
    assert measure.spread(0.25 * real) == pytest.approx(0.25)
    pairs = [(a - b).norm() for i, a in enumerate(real) for b in real[:i]]
    assert measure.spread(torch.cat([real[:1], real[:1] + 1])) == pytest.approx(
        float(48**0.5 / torch.stack(pairs).mean())
    )


def test_reals_are_drawn_once_and_the_floor_is_of_others():
    data = small.images(60)
    measure = yardstick(data)
    assert measure.real.shape == (30, 1, 8, 8)
    assert torch.equal(measure.real, yardstick(data).real)
    shown = {tuple(image.flatten().tolist()) for image in measure.real}
    everything = {tuple(i.flatten().tolist()) for i in data.format.decode(data.format.tensor(data.samples))}
    assert len(shown) == 30
    assert shown < everything
    assert 0.05 < measure.floor < 0.5
    assert measure.fingerprint == data.fingerprint
    assert yardstick(small.images(2 * COUNT + 99)).count == COUNT


def test_large_images_are_averaged_down_first():
    real = torch.randn(4, 1, 128, 64)
    coarse = Yardstick(real.unflatten(2, (64, 2)).mean(3), 0.0, "")
    assert coarse.distance(real) == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="too few samples to score by, 3; it takes 4"):
        yardstick(small.images(3))
    form = Format((1, 8, 8), "uint8", 0, 255)
    alike = Dataset("grey", form, np.full((9, 8, 8, 1), 7, np.uint8), None, (), "f", Check(9, 9))
    with pytest.raises(ValueError, match="grey: its samples are all the same"):
        yardstick(alike)
