"""What is found elsewhere fills the hole: planted copies and textures."""

import pytest
import torch

from tests.inverse.known import centre_mask, random_mask
from zerosum.inverse.patches import nearest_image, patch_fill

SHAPE = (3, 16, 16)


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("own", [False, True], ids=["one mask", "a mask each"])
def test_the_image_itself_is_the_nearest(own: bool) -> None:
    train = noise(40)
    some = train[[7, 31]]
    keep = random_mask(SHAPE, 0.5, count=2) if own else centre_mask(SHAPE)
    spoilt = torch.where(keep, some, 0.0)
    assert torch.allclose(nearest_image(spoilt, keep, train, blended=False), some, atol=1e-6)
    assert torch.allclose(nearest_image(spoilt, keep, train), some, atol=1e-5)


def test_only_known_pixels_count() -> None:
    train = noise(20)
    keep = centre_mask(SHAPE)
    spoilt = torch.where(keep, train[3:4] + 0.01, 0.0)
    spoilt = torch.where(keep, spoilt, 5.0)
    found = nearest_image(spoilt, keep, train, blended=False)
    assert torch.equal(found[:, :, ~keep[0]], train[3:4][:, :, ~keep[0]])


def test_a_texture_goes_on_through_the_hole() -> None:
    rows = torch.arange(40)
    stripes = ((rows // 2) % 2 * 2.0 - 1).expand(1, 1, 40, 40)
    keep = torch.ones(1, 40, 40, dtype=torch.bool)
    keep[:, 16:24, 16:24] = False
    found = patch_fill(torch.where(keep, stripes, 0.0), keep)
    assert (found - stripes).abs().mean() < 0.02
    assert torch.equal(found[:, :, keep[0]], stripes[:, :, keep[0]])


def test_images_are_filled_one_by_one() -> None:
    images, keep = noise(2, seed=3), centre_mask(SHAPE, 0.25)
    together = patch_fill(images, keep, patch=3)
    assert torch.allclose(together[1:], patch_fill(images[1:], keep, patch=3), atol=1e-6)


def test_what_cannot_be_filled_is_refused() -> None:
    with pytest.raises(ValueError, match="no 7x7 patch"):
        patch_fill(noise(1), random_mask(SHAPE, 0.8))
    with pytest.raises(ValueError, match="--patch"):
        patch_fill(noise(1), centre_mask(SHAPE), patch=4)
    with pytest.raises(ValueError, match="training images"):
        nearest_image(noise(1), centre_mask(SHAPE), torch.zeros(3, 1, 16, 16))
