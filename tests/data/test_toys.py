import numpy as np
import pytest

from zerosum.data import DataError, open_data
from zerosum.data.toys import TOYS, grid, grid_modes, moons, ring, ring_modes, swiss_roll


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_pure_functions_of_count_and_seed(name: str) -> None:
    make = TOYS[name]
    points = make(1000, 3)
    assert points.shape == (1000, 2)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, make(1000, 3))
    assert not np.array_equal(points, make(1000, 4))


@pytest.mark.parametrize(
    ("points", "modes", "std"), [(ring(8000), ring_modes(), 0.01), (grid(8000), grid_modes(), 0.025)]
)
def test_every_mode_is_drawn_alike(points: np.ndarray, modes: np.ndarray, std: float) -> None:
    distance = np.linalg.norm(points[:, None] - modes, axis=-1)
    counts = np.bincount(distance.argmin(1), minlength=len(modes))
    expected = 8000 / len(modes)
    assert counts.size == len(modes)
    assert np.abs(counts - expected).max() < 5 * expected**0.5
    assert distance.min(1).std() == pytest.approx(std * (2 - np.pi / 2) ** 0.5, rel=0.05)


def test_the_ring_has_eight_modes_and_the_grid_twenty_five() -> None:
    for modes, count in ((ring_modes(), 8), (grid_modes(), 25)):
        assert len(np.unique(modes.round(5), axis=0)) == count
        np.testing.assert_allclose(modes.mean(0), 0, atol=1e-6)


def test_the_roll_is_a_spiral_and_the_moons_are_two_half_circles() -> None:
    roll = swiss_roll(500, noise=0.0)
    radius = np.linalg.norm(roll, axis=1)
    t = radius * 4.5 * np.pi
    np.testing.assert_allclose(roll, np.stack([t * np.cos(t), t * np.sin(t)], 1) / (4.5 * np.pi), atol=1e-5)
    half = moons(2000, noise=0.0)
    upper = np.abs(np.linalg.norm(half - [-0.25, -0.125], axis=1) - 0.5) < 1e-5
    lower = np.abs(np.linalg.norm(half - [0.25, 0.125], axis=1) - 0.5) < 1e-5
    assert bool((upper | lower).all())
    assert 900 < upper.sum() < 1100


def test_toys_open_as_data_sets() -> None:
    assert open_data("moons").format.shape == (2,)
    assert open_data("moons").fingerprint == open_data("moons").fingerprint
    assert open_data("moons", split="test").fingerprint != open_data("moons").fingerprint
    with pytest.raises(DataError, match="no size"):
        open_data("ring", size=64)
