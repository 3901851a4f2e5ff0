import pytest
import torch
from scipy.stats import wasserstein_distance

from zerosum.draws import Draws
from zerosum.transport import sliced_wasserstein


def test_agrees_with_scipy_along_each_direction():
    real, fake = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
    fake = fake * 2 + 1
    directions = Draws(0, stop=40).normal("directions", 3)
    directions /= directions.norm(dim=1, keepdim=True)
    each = [wasserstein_distance((real @ d).numpy(), (fake @ d).numpy()) for d in directions]
    assert sliced_wasserstein(real, fake, 40) == pytest.approx(sum(each) / 40, rel=1e-5)


def test_a_shift_in_the_plane_gives_its_mean_projection():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    found = sliced_wasserstein(x, x + torch.tensor([3.0, 4.0]), 4096)
    assert found == pytest.approx(5 * 2 / torch.pi, rel=0.03)  # E|cos| = 2/π


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        sliced_wasserstein(torch.zeros(3, 2), torch.zeros(4, 2))
