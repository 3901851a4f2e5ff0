import math

import pytest
import torch
from torch import Tensor

from zerosum.data.toys import grid, grid_modes, ring, ring_modes
from zerosum.metrics.modes import modes

RING = torch.from_numpy(ring_modes())


def drawn(shares: list[int], spread: float = 0.0) -> Tensor:
    """So many samples at each mode of the ring, moved outwards by `spread`."""
    return torch.cat([centre.mul(1 + spread).expand(n, 2) for centre, n in zip(RING, shares, strict=True)])


@pytest.mark.parametrize(
    ("samples", "centres", "sigma"),
    [
        (ring(2500, 1, std=0.02), ring_modes(), 0.02),
        (grid(2500, 1), grid_modes(), 0.025),
        (ring(2500, 1, modes=5, radius=3.0, std=0.1), ring_modes(5, 3.0), 0.1),
    ],
    ids=["ring", "grid of 25", "five modes"],
)
def test_the_mixture_itself(samples, centres, sigma):
    found = modes(torch.from_numpy(samples), torch.from_numpy(centres), sigma)
    assert found.hit == len(centres)
    p = 1 - math.exp(-4.5)  # of a two-dimensional normal within 3σ
    assert found.share_high_quality == pytest.approx(p, abs=3 * math.sqrt(p * (1 - p) / 2500))
    freedom = len(centres) - 1  # 2N·KL of a fair histogram is nearly χ² with so many degrees of freedom
    assert 0 < 2 * 2500 * found.kl < freedom + 4 * math.sqrt(2 * freedom)


def test_a_mode_needs_twenty_samples_of_its_own():
    assert modes(drawn([20, 19, 0, 0, 0, 0, 0, 2461]), RING, 0.02).hit == 2
    assert modes(drawn([20, 19, 0, 0, 0, 0, 0, 2461]), RING, 0.02, least=19).hit == 3


def test_a_sample_is_good_up_to_three_sigma():
    assert modes(drawn([10] * 8, 0.0599), RING, 0.02).share_high_quality == 1
    assert modes(drawn([10] * 8, 0.0601), RING, 0.02).share_high_quality == 0
    assert modes(drawn([30] * 8, 0.0601), RING, 0.02).hit == 0
    assert modes(drawn([10] * 8, 0.0601), RING, 0.02, within=4).share_high_quality == 1


def test_the_histogram_counts_all_samples_and_is_measured_in_nats():
    assert modes(drawn([100] * 8, spread=0.2), RING, 0.02).kl == pytest.approx(0, abs=1e-12)
    assert modes(drawn([100, *[0] * 7]), RING, 0.02).kl == pytest.approx(math.log(8))
    assert modes(drawn([300, 100, *[0] * 6]), RING, 0.02).kl == pytest.approx(
        math.log(8) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    )


def test_far_from_the_origin_nothing_is_lost():
    moved = torch.tensor([1000.0, -1000.0])
    assert modes(drawn([20] * 8) + moved, RING + moved, 1e-3).share_high_quality == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_samples_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="not finite"):
        modes(torch.tensor([[0.0, bad]]), RING, 0.02)


@pytest.mark.parametrize("shape", [(0, 2), (5, 3), (5,)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"samples \[N, D\]"):
        modes(torch.zeros(shape), RING, 0.02)
