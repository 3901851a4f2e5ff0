"""Total variation against closed forms and scikit-image, biharmonic filling, for each image by itself."""

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle, inpaint_biharmonic
from torch import Tensor

from tests.inverse.known import centre_mask, random_mask
from zerosum.inverse.filters import Blur, gaussian_kernel
from zerosum.inverse.gaussian import Gaussian
from zerosum.inverse.masks import Mask
from zerosum.inverse.smooth import (
    biharmonic,
    total_variation,
    tv_denoise,
    tv_inpaint,
    tv_reconstruct,
)


def blocky(channels: int = 3, side: int = 16) -> Tensor:
    """A bright square on a slope-free dark ground, of other colours in each channel."""
    x = torch.full((channels, side, side), -0.5, dtype=torch.float64)
    x[:, side // 4 : -side // 4, side // 4 : -side // 4] = torch.linspace(0.2, 0.8, channels)[
        :, None, None
    ].double()
    return x


def test_total_variation_is_the_length_of_the_edges():
    assert float(total_variation(blocky(1))) == pytest.approx(0.7 * (4 * 8 - 2 + 2**0.5))
    x = torch.randn(2, 5, 3, 6, 7)
    assert total_variation(x).shape == (2, 5)
    grey = x[..., :1, :, :].expand_as(x)
    assert torch.allclose(total_variation(grey), 3**0.5 * total_variation(x[..., :1, :, :]))


def test_a_step_shrinks_as_the_closed_form_says():
    """Of f = ±1 on n columns: the two sides come nearer by 2λ/n each."""
    f = torch.ones(1, 6, 10, dtype=torch.float64)
    f[..., 5:] = -1
    found = tv_denoise(f, 0.5, tolerance=1e-8)
    assert found.settled.all()
    assert torch.allclose(found.image, f * (1 - 2 * 0.5 / 10), atol=1e-5)
    assert torch.allclose(tv_denoise(f, 5.1, tolerance=1e-6).image, torch.zeros(1).double(), atol=1e-3)


@pytest.mark.parametrize("weight", [0.05, 0.3])
def test_no_objective_of_scikit_image_is_lower(weight):
    y = blocky(1, 24) + 0.2 * torch.randn(1, 24, 24, dtype=torch.float64)

    def objective(x: Tensor) -> float:
        return float((x - y).square().sum() / 2 + weight * total_variation(x))

    found = tv_denoise(y, weight, limits=None, tolerance=1e-6)
    theirs = torch.from_numpy(denoise_tv_chambolle(y[0].numpy(), weight, eps=1e-9, max_num_iter=5000))[None]
    assert objective(found.image) == pytest.approx(objective(theirs), rel=1e-3)
    assert objective(found.image) <= objective(theirs) * (1 + 1e-5)
    assert float((found.image - theirs).abs().max()) < 0.02


def test_the_general_solver_with_a_unit_blur_is_denoising():
    y = blocky() + 0.1 * torch.randn(3, 16, 16, dtype=torch.float64)
    unit = Blur((3, 16, 16), torch.ones(1, 1))
    one, other = tv_reconstruct(unit, y, 0.1, tolerance=1e-6), tv_denoise(y, 0.1, tolerance=1e-6)
    assert torch.allclose(one.image, other.image, atol=1e-4)


def test_blocky_images_come_back_from_a_third_of_their_numbers():
    x = torch.stack([blocky(1), blocky(1).flip(0).roll(3, 1)])
    operator = Gaussian((1, 16, 16), 90)
    found = tv_reconstruct(operator, operator.forward(x), 0.003)
    assert float((found.image - x).square().mean().sqrt()) < 0.02


def test_it_takes_blur_away():
    x = blocky()
    operator = Blur((3, 16, 16), gaussian_kernel(5, 1.0))
    y = operator.forward(x)
    found = tv_reconstruct(operator, y, 1e-3)
    assert float((found.image - x).square().mean()) < 0.3 * float((y - x).square().mean())


def test_a_hole_in_a_straight_edge_is_closed():
    x = torch.full((3, 12, 12), -0.5, dtype=torch.float64)
    x[..., 6:] = 0.5
    keep = centre_mask((3, 12, 12), 0.4)
    found = tv_inpaint(Mask((3, 12, 12), keep), x, tolerance=1e-6)
    assert torch.allclose(found.image, x, atol=1e-3)
    assert torch.equal(found.image[:, keep[0]], x[:, keep[0]])


def test_inpainting_finds_the_least_variation():
    x = blocky(1, 10) + 0.1 * torch.randn(1, 10, 10, dtype=torch.float64)
    mask = Mask((1, 10, 10), random_mask((1, 10, 10), 0.5))
    found = tv_inpaint(mask, x, tolerance=1e-5)
    # The limit of the penalised problem, found by the other solver.
    other = tv_reconstruct(mask, mask.forward(x), 0.003, tolerance=1e-4)
    least = float(total_variation(found.image))
    assert least == pytest.approx(float(total_variation(other.image)), rel=0.05)
    assert least < float(total_variation(x))


def test_colours_help_each_other():
    """A channel whose edge another shows has it where that is; by itself it has it anywhere in the hole."""
    x = torch.full((2, 1, 9), -0.5, dtype=torch.float64)
    x[..., 4:] = 0.5
    keep = torch.ones(2, 1, 9, dtype=torch.bool)
    keep[1, :, 2:7] = False
    found = tv_inpaint(Mask((2, 1, 9), keep), x, tolerance=1e-6)
    assert torch.allclose(found.image, x, atol=1e-3)


@pytest.mark.parametrize("fill", [lambda m, y: tv_inpaint(m, y).image, lambda m, y: biharmonic(m, y)])
def test_a_batch_with_masks_of_their_own_is_its_images_one_by_one(fill):
    torch.manual_seed(1)
    x = torch.stack([blocky(), 0.1 * blocky(), blocky().flip(1)]) + 0.05 * torch.randn(3, 3, 16, 16)
    keep = random_mask((3, 16, 16), 0.5, count=3)
    whole = fill(Mask((3, 16, 16), keep), x)
    assert torch.equal(torch.where(keep, whole, 0), torch.where(keep, x, 0))
    for i in range(3):
        assert torch.allclose(fill(Mask((3, 16, 16), keep[i]), x[i]), whole[i], atol=1e-9)
    hidden = torch.where(keep, x, torch.nan)
    assert torch.equal(fill(Mask((3, 16, 16), keep), hidden), whole)


def test_reconstruction_is_image_by_image():
    operator = Gaussian((1, 16, 16), 60)
    y = operator.forward(torch.stack([blocky(1), 0.1 * blocky(1)]))
    whole = tv_reconstruct(operator, y, 0.01, tolerance=2e-3)
    for i in range(2):
        alone = tv_reconstruct(operator, y[i], 0.01, tolerance=2e-3)
        assert torch.allclose(alone.image, whole.image[i], atol=1e-9)
        assert int(alone.steps) == int(whole.steps[i])


def test_biharmonic_is_scikit_images():
    x = blocky(2) + 0.05 * torch.randn(2, 16, 16)
    keep = random_mask((2, 16, 16), 0.4)
    expected = inpaint_biharmonic(x.permute(1, 2, 0).numpy(), ~keep[0].numpy(), channel_axis=-1)
    assert np.allclose(biharmonic(Mask((2, 16, 16), keep), x).permute(1, 2, 0).numpy(), expected)


def test_biharmonic_fills_a_slope():
    x = torch.linspace(-1, 1, 16).double().expand(2, 1, 16, 16)
    mask = Mask((1, 16, 16), centre_mask((1, 16, 16)))
    assert torch.allclose(biharmonic(mask, x), x, atol=0.02)


def test_results_are_clipped():
    y = torch.full((1, 4, 4), 3.0)
    keep = torch.eye(4)[None] > 0
    assert float(tv_denoise(y, 0.1).image.max()) == 1
    assert float(tv_inpaint(Mask((1, 4, 4), keep), y).image.max()) == 1
    assert float(biharmonic(Mask((1, 4, 4), keep), y).max()) == 1
    assert float(tv_denoise(y, 0.1, limits=None).image.max()) == pytest.approx(3, abs=1e-3)


def test_bad_input_is_refused():
    keep = centre_mask((1, 8, 8))
    mask, y = Mask((1, 8, 8), keep), torch.zeros(1, 8, 8)
    broken = y.clone()
    broken[0, 0, 0] = torch.nan
    for solve in (
        lambda y: tv_inpaint(mask, y),
        lambda y: biharmonic(mask, y),
        lambda y: tv_denoise(y, 0.1),
        lambda y: tv_reconstruct(mask, y, 0.1),
    ):
        with pytest.raises(ValueError, match="not finite"):
            solve(broken)
    for weight in (0.0, -1.0, torch.inf):
        with pytest.raises(ValueError, match="above 0"):
            tv_denoise(y, weight)
    hidden = torch.ones(2, 8, 8, dtype=torch.bool)
    hidden[1] = False
    for fill in (tv_inpaint, biharmonic):
        with pytest.raises(ValueError, match="whole of a channel"):
            fill(Mask((2, 8, 8), hidden), torch.zeros(2, 8, 8))
        with pytest.raises(ValueError, match="images of"):
            fill(mask, torch.zeros(1, 9, 8))
