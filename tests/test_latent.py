"""Ways between latents against closed forms, squares, sums of means, and how smoothness is told."""

import math

import pytest
import torch
from torch import Tensor

from zerosum import latent
from zerosum.draws import Draws, Latent
from zerosum.latent import lerp, path, slerp, square

T = torch.linspace(0, 1, 9, dtype=torch.float64)


def pair(seed: int, size: int = 50) -> tuple[Tensor, Tensor]:
    a, b = Latent(size)(Draws(seed, stop=2)).double()
    return a, b


@pytest.mark.parametrize("seed", range(3))
def test_slerp_is_shoemakes_formula_at_the_interpolated_radius(seed):
    a, b = pair(seed)
    angle = math.acos(float(a @ b / (a.norm() * b.norm())))
    for t, z in zip(T.tolist(), slerp(a, b, T), strict=True):
        unit = math.sin((1 - t) * angle) * a / a.norm() + math.sin(t * angle) * b / b.norm()
        radius = (1 - t) * a.norm() + t * b.norm()
        assert torch.allclose(z, radius * unit / math.sin(angle), rtol=0, atol=1e-12)
        assert float(z.norm()) == pytest.approx(float(radius), rel=1e-12)
    turned = [float(z @ a / (z.norm() * a.norm())) for z in slerp(a, b, T)]
    assert [math.acos(min(1, c)) for c in turned] == pytest.approx((T * angle).tolist(), abs=1e-7)


def test_a_straight_line_leaves_the_sphere_and_slerp_does_not():
    a, b = Latent(512)(Draws(stop=2))
    half = torch.tensor(0.5)
    assert lerp(a, b, half).norm() < 0.75 * 512**0.5
    assert slerp(a, b, half).norm() == pytest.approx(512**0.5, rel=0.05)


@pytest.mark.parametrize("factor", [1.0, 2.5, 1 + 1e-12])
def test_slerp_of_parallel_latents_is_a_straight_line(factor):
    a, _ = pair(0)
    assert torch.allclose(slerp(a, factor * a, T), lerp(a, factor * a, T), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [2, 50])
@pytest.mark.parametrize("factor", [-1.0, -3.0])
def test_slerp_of_opposite_latents_goes_round(size, factor):
    a, _ = pair(1, size)
    z = slerp(a, factor * a, T)
    radii = (1 - T) * a.norm() + T * a.norm() * abs(factor)
    assert torch.allclose(z.norm(dim=1), radii, rtol=1e-9)
    assert torch.allclose(z[[0, -1]], torch.stack([a, factor * a]), rtol=0, atol=1e-9)
    assert abs(float(z[4] @ a)) < 1e-9
    single = slerp(a.float(), factor * a.float(), T)
    assert bool(torch.isfinite(single).all())
    assert torch.allclose(single.norm(dim=1), radii.float(), rtol=1e-5)


def test_nearly_parallel_latents_keep_their_ends_in_float32():
    a, _ = (z.float() for z in pair(2))
    for gap in (1e-3, 1e-6, 1e-7):
        b = a.clone()
        b[0] += gap
        z = slerp(a, b, T)
        assert torch.allclose(z[0], a, rtol=1e-6)
        assert torch.allclose(z[-1], b, rtol=1e-6)
        assert torch.allclose(z, lerp(a, b, T), rtol=0, atol=1e-5)


def test_slerp_from_zero_is_straight():
    _, b = pair(0)
    zero = torch.zeros_like(b)
    assert torch.allclose(slerp(zero, b, T), lerp(zero, b, T), rtol=0, atol=1e-12)
    assert torch.allclose(slerp(b, zero, T), lerp(b, zero, T), rtol=0, atol=1e-12)
    assert torch.equal(slerp(zero, zero, T), torch.zeros(9, 50, dtype=torch.float64))


def test_uniform_latents_never_leave_their_cube():
    law = Latent(30, "uniform")
    points = law(Draws(stop=5))
    way = latent.WAYS[latent.way_for(law)]
    assert path(points, 20, way, loop=True).abs().max() <= 1
    assert square(points[:4], 9, way).abs().max() <= 1
    far = latent.within(latent.along(points[0], torch.eye(30)[:2]), law)
    assert far.abs().max() == 1
    assert torch.equal(latent.within(3 * points, Latent(30)), 3 * points)
    with pytest.raises(ValueError, match="--how slerp is for normal latents, and these are uniform"):
        latent.way_for(law, "slerp")


@pytest.mark.parametrize("way", [slerp, lerp])
def test_a_path_passes_through_its_points_and_a_loop_stops_a_step_before_its_first(way):
    points = Latent(20)(Draws(stop=3))
    open_way, loop = path(points, 5, way), path(points, 5, way, loop=True)
    assert len(open_way) == 9
    assert torch.allclose(open_way[[0, 4, 8]], points, rtol=1e-6)
    assert len(loop) == 12
    assert torch.allclose(loop[:9], open_way)
    closed = torch.cat([loop, loop[:1]])
    gaps = (closed[1:] - closed[:-1]).norm(dim=1)
    assert gaps.max() < 1.5 * gaps.mean()
    assert torch.allclose(loop[-1], way(points[2], points[0], torch.tensor(0.75)), rtol=1e-5, atol=1e-6)


def test_a_square_has_its_corners_and_is_bilinear_by_lerp():
    corners = Latent(20)(Draws(stop=4))
    for way in (slerp, lerp):
        found = square(corners, 4, way)
        assert found.shape == (4, 4, 20)
        ends = torch.stack([found[0, 0], found[0, -1], found[-1, 0], found[-1, -1]])
        assert torch.allclose(ends, corners, rtol=1e-5, atol=1e-6)
    middle = square(corners, 3, lerp)[1, 1]
    assert torch.allclose(middle, corners.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: path(torch.zeros(1, 3), 4), r"at least two points \[m, k\], not \[1, 3\]"),
        (lambda: path(torch.zeros(2, 3), 1), "--steps must be at least 2"),
        (lambda: square(torch.zeros(3, 2), 4), "four corners"),
        (lambda: latent.along(torch.zeros(2), torch.eye(2), steps=1), "--steps must be at least 2"),
        (lambda: latent.arithmetic([], []), "a concept to add"),
        (lambda: latent.arithmetic([torch.zeros(1, 2)], [torch.zeros(0, 2)]), "an exemplar of each"),
        (lambda: latent.smoothness(torch.zeros(1, 2), latent.l2, 1.0), "at least two images"),
        (lambda: latent.smoothness(torch.zeros(3, 2), latent.l2, 1.0), "every image of the walk is the same"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_arithmetic_of_averages_is_exact():
    # Quarters of whole numbers: float32 sums of them have no rounding.
    draw = torch.Generator().manual_seed(0)
    a, b, c, d = (torch.randint(-8, 9, (4, 6), generator=draw) / 4 for _ in range(4))
    found = latent.arithmetic([a, c], [b, d])
    assert torch.equal(found, a.sum(0) / 4 - b.sum(0) / 4 + c.sum(0) / 4 - d.sum(0) / 4)


def test_three_normal_exemplars_each_give_a_latent_of_the_usual_length():
    lengths = []
    for seed in range(40):
        z = Latent(100)(Draws(seed, stop=9))
        lengths.append(float(latent.arithmetic([z[:3], z[3:6]], [z[6:]]).norm()))
    assert sum(lengths) / 40 == pytest.approx(10, rel=0.03)


def test_neighbours_are_within_the_noise_and_seeded():
    z = Latent(50)(Draws())[0]
    near = latent.neighbours(z, 8, 0.25, seed=1)
    moved = (near - z).abs()
    assert moved.max() <= 0.25 + 1e-6
    assert moved.mean() == pytest.approx(0.125, rel=0.1)
    assert torch.equal(near[:3], latent.neighbours(z, 3, 0.25, seed=1))
    assert not torch.equal(near, latent.neighbours(z, 8, 0.25, seed=2))


def test_a_jump_and_a_loop_are_told():
    even, jump = torch.arange(5.0)[:, None], torch.tensor([0.0, 0.1, 0.2, 3.9, 4.0])[:, None]
    assert latent.smoothness(even, latent.l2, 2.0) == (1.0, 1.0, 4.0, 2.0)
    assert latent.smoothness(jump, latent.l2, 2.0).ratio == pytest.approx(3.7)
    there_and_back = torch.tensor([0.0, 2.0, 1.0])[:, None]
    assert latent.smoothness(there_and_back, latent.l2, 2.0, end=1).ends == 2.0


def test_even_steps_are_even_where_the_walk_hurries_in_its_middle():
    where = torch.linspace(-1, 1, 201).mul(8).sigmoid()[:, None]
    coarse, fine = where[::20], where[latent.evenly(where, latent.l2, 11)]
    ratios = [latent.smoothness(walk, latent.l2, 1.0).ratio for walk in (coarse, fine)]
    assert ratios[0] > 3
    assert ratios[1] < 1.2
    assert torch.equal(fine[[0, -1]], where[[0, -1]])
