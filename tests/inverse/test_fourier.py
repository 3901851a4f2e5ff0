"""The transform's convention at odd and even sizes, masks exact in their lines, coils."""

import math

import pytest
import torch

from zerosum.inverse.fourier import (
    Fourier,
    coil_sensitivities,
    equispaced,
    fourier,
    inverse_fourier,
    line_mask,
    variable_density,
)

SIZES = [(4, 6), (5, 7), (4, 7), (1, 5)]


@pytest.mark.parametrize("size", SIZES)
def test_the_transform_is_the_centred_orthonormal_sum(size):
    height, width = size
    x = torch.randn(size, dtype=torch.float64)
    down, across = (torch.arange(n, dtype=torch.float64) - n // 2 for n in size)
    rows = torch.exp(-2j * math.pi * torch.outer(down, down) / height)
    columns = torch.exp(-2j * math.pi * torch.outer(across, across) / width)
    expected = rows @ x.to(torch.complex128) @ columns.T / math.sqrt(height * width)
    assert torch.allclose(fourier(x), expected, atol=1e-12)
    assert torch.allclose(inverse_fourier(expected), x.to(torch.complex128), atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_energy_is_kept_and_the_mean_is_in_the_middle(size):
    x = torch.randn(3, *size, dtype=torch.float64)
    assert torch.allclose(fourier(x).abs().square().sum(), x.square().sum())
    middle = fourier(x)[:, size[0] // 2, size[1] // 2]
    assert torch.allclose(middle.real, x.sum((1, 2)) / math.sqrt(size[0] * size[1]))


@pytest.mark.parametrize("size", [16, 63, 217])
@pytest.mark.parametrize("acceleration", [1, 2, 3.5, 4, 8])
@pytest.mark.parametrize("centre", [0, 1, 2])
def test_masks_have_exactly_their_lines(size, acceleration, centre):
    lines = round(size / acceleration)
    many = variable_density(size, acceleration, centre=centre, count=5, seed=2)
    assert many.sum(1).tolist() == [lines] * 5
    even = equispaced(size, acceleration, centre=centre)
    assert int(even.sum()) == lines
    for mask in (*many, even):
        assert mask[size // 2 - centre // 2 :][:centre].all()


@pytest.mark.parametrize(("size", "acceleration"), [(64, 4), (63, 3), (60, 7), (217, 4)])
def test_equispaced_lines_are_evenly_spaced(size, acceleration):
    mask = equispaced(size, acceleration)
    places = mask.nonzero()[:, 0]
    gaps = {*places.diff().tolist(), int(places[0] + size - places[-1])}
    assert max(gaps) - min(gaps) <= (0 if size % acceleration == 0 else 1)
    assert mask[size // 2]
    assert torch.equal(equispaced(size, acceleration, offset=1), mask.roll(1))


def test_lines_thin_out_as_the_power_says():
    share = variable_density(65, 8, power=2.0, count=3000, seed=1).double().mean(0)
    assert share[32] > share[36] > share[48]
    # Far out, where few are drawn, a line's share goes as its weight: (30/15)² = 4.
    outer, inner = share[[2, 62]].mean(), share[[17, 47]].mean()
    assert float(inner / outer) == pytest.approx(4, rel=0.25)
    flat = variable_density(65, 8, power=0.0, count=3000, seed=1).double().mean(0)
    assert float((flat - 8 / 65).abs().max()) < 0.03


def test_masks_do_not_depend_on_how_many_are_drawn():
    assert torch.equal(variable_density(64, 4, count=9)[:3], variable_density(64, 4, count=3))
    assert not torch.equal(variable_density(64, 4, seed=1), variable_density(64, 4, seed=2))


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 15, 16)])
def test_full_measurements_give_the_image_back(shape):
    keep = torch.ones(1, *shape[1:], dtype=torch.bool)
    maps = coil_sensitivities(5, *shape[1:])
    x = torch.randn(3, *shape)
    for operator in (Fourier(shape, keep, None, len(x[0]) == 2), Fourier(shape, keep, maps, len(x[0]) == 2)):
        assert torch.allclose(operator.adjoint(operator.forward(x)), x, atol=1e-5)


def test_consistency_with_what_was_measured_is_a_projection():
    shape = (2, 8, 9)
    operator = Fourier(shape, line_mask(shape, variable_density(9, 2)[0]), paired=True)
    x, other = torch.randn(2, 1, *shape, dtype=torch.float64)

    def consistent(z: torch.Tensor) -> torch.Tensor:
        return z + operator.adjoint(operator.forward(x) - operator.forward(z))

    once = consistent(other)
    assert torch.allclose(consistent(once), once, atol=1e-12)
    assert torch.allclose(operator.forward(once), operator.forward(x), atol=1e-12)


def test_coils_see_their_own_side_and_are_smooth():
    maps = coil_sensitivities(4, 33, 33)
    assert torch.allclose(maps.abs().square().sum(0), torch.ones(33, 33), atol=1e-6)
    assert int(maps[0, 16].abs().argmax()) == 32
    assert int(maps[1, :, 16].abs().argmax()) == 32
    assert float(maps.diff(dim=1).abs().max()) < 0.15
    assert torch.allclose(coil_sensitivities(1, 4, 4).abs(), torch.ones(1, 4, 4))


def test_a_mask_for_each_image():
    shape = (1, 8, 8)
    keep = line_mask(shape, variable_density(8, 2, count=3))
    operator = Fourier(shape, keep, coil_sensitivities(2, 8, 8))
    x = torch.randn(4, 3, *shape)
    y = operator.forward(x)
    assert y.shape == (4, 3, 2, 8, 8)
    one = Fourier(shape, keep[1], coil_sensitivities(2, 8, 8))
    assert torch.allclose(y[:, 1], one.forward(x[:, 1]), atol=1e-6)
    assert 0 < one.norm <= operator.norm <= 1 + 1e-9


def test_bad_settings_are_refused():
    shape = (1, 8, 8)
    with pytest.raises(ValueError, match="measures no frequency"):
        Fourier(shape, torch.zeros(1, 8, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match="does not fit"):
        Fourier(shape, torch.ones(1, 8, 9, dtype=torch.bool))
    keep = torch.ones(1, 8, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match="2 channels"):
        Fourier(shape, keep, paired=True)
    with pytest.raises(ValueError, match="do not fit"):
        Fourier(shape, keep, coil_sensitivities(2, 8, 9))
    with pytest.raises(ValueError, match="one channel"):
        Fourier((3, 8, 8), keep, coil_sensitivities(2, 8, 8))
    for acceleration in (0.5, 100, math.nan):
        with pytest.raises(ValueError, match="--acceleration"):
            equispaced(8, acceleration)
    with pytest.raises(ValueError, match="--centre 5"):
        variable_density(16, 4, centre=5)
    with pytest.raises(ValueError, match="--coils"):
        coil_sensitivities(0, 8, 8)
