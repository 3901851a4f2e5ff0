"""Low-rank completion: exact recovery, the closed form of shrinkage, soft-impute's optimum."""

import pytest
import torch
from torch import Tensor

from tests.inverse.known import random_mask
from zerosum.inverse.lowrank import complete, shrink
from zerosum.inverse.masks import Mask


def low(rank: int, side: int = 40, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    x = torch.randn(2, side, rank, dtype=torch.float64) @ torch.randn(2, rank, side, dtype=torch.float64)
    return x / 4 - 0.2


@pytest.mark.parametrize(("rank", "missing"), [(1, 0.5), (2, 0.3)])
def test_a_matrix_of_low_rank_comes_back_exactly(rank, missing):
    x = low(rank)
    mask = Mask((2, 40, 40), random_mask((2, 40, 40), missing))
    found = complete(mask, mask.forward(x), limits=None, tolerance=1e-8)
    assert found.settled.all()
    assert float((found.image - x).norm() / x.norm()) < 1e-5
    assert torch.allclose(mask.forward(found.image), mask.forward(x), atol=1e-12)


def test_shrinkage_is_the_proximal_point_of_the_nuclear_norm():
    x = torch.randn(5, 6, 4, dtype=torch.float64)
    z = shrink(x, 0.7)
    values = torch.linalg.svdvals(x)
    assert torch.allclose(torch.linalg.svdvals(z), (values - 0.7).clamp_min(0), atol=1e-9)

    def objective(z: Tensor) -> Tensor:
        return (z - x).square().sum((1, 2)) / 2 + 0.7 * torch.linalg.svdvals(z).sum(1)

    for _ in range(20):
        assert (objective(z + 1e-3 * torch.randn_like(z)) > objective(z)).all()


def test_with_noise_it_is_soft_imputes_optimum():
    """A fixed point of x ← shrink(known y, elsewhere x; weight)."""
    mask = Mask((1, 20, 20), random_mask((1, 20, 20), 0.4))
    y = low(2, 20)[:1] + 0.1 * torch.randn(1, 20, 20, dtype=torch.float64)
    found = complete(mask, y, 0.3, limits=None, tolerance=1e-9, limit=5000)
    mean = y[mask.keep].mean()
    x = torch.zeros_like(y)
    for _ in range(3000):
        x = shrink(torch.where(mask.keep, y - mean, x), 0.3)
    assert torch.allclose(found.image, x + mean, atol=1e-5)


def test_each_image_and_channel_is_by_itself():
    keep = random_mask((2, 16, 16), 0.5, count=3)
    x = torch.stack([low(2, 16), 0.1 * low(2, 16, 1), low(1, 16, 2)])
    whole = complete(Mask((2, 16, 16), keep), x)
    for i in range(3):
        alone = complete(Mask((2, 16, 16), keep[i]), x[i])
        assert torch.allclose(alone.image, whole.image[i], atol=1e-9)
        assert int(alone.steps) == int(whole.steps[i])
    hidden = torch.where(keep, x, torch.inf)
    assert torch.equal(complete(Mask((2, 16, 16), keep), hidden).image, whole.image)


def test_results_are_clipped_and_bad_input_is_refused():
    mask = Mask((1, 8, 8), random_mask((1, 8, 8), 0.5))
    assert float(complete(mask, torch.full((1, 8, 8), 2.0)).image.max()) == 1
    with pytest.raises(ValueError, match="at least 0"):
        complete(mask, torch.zeros(1, 8, 8), -1.0)
    with pytest.raises(ValueError, match="not finite"):
        complete(mask, torch.full((1, 8, 8), torch.nan))
