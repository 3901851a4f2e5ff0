"""Yeh's weight by its closed values, and Poisson blending against a dense solve."""

import pytest
import torch

from tests.inverse.known import centre_mask, left_mask, random_mask
from zerosum.inverse.descent import Momentum
from zerosum.inverse.inpainting import blend, context, context_weight, paste
from zerosum.inverse.masks import Mask
from zerosum.inverse.misfit import Prior
from zerosum.inverse.search import search

SHAPE = (2, 12, 10)


def picture(seed: int, count: int = 3) -> torch.Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_weight_is_the_share_missing_around() -> None:
    keep = torch.ones(1, 32, 32, dtype=torch.bool)
    keep[:, :, 16:] = False
    weight = context_weight(keep)[0]
    assert weight[16, 15] == pytest.approx(21 / 49)  # beside a straight edge
    assert weight[16, 13] == pytest.approx(7 / 49)
    assert weight[16, 12] == 0
    assert weight[16, 16:].sum() == 0
    # At the border the window is cut, and with it what is counted: still 3 of 7 columns.
    assert weight[0, 15] == pytest.approx(3 / 7)


def test_the_context_loss_is_the_weighted_sum() -> None:
    keep = centre_mask(SHAPE)
    real, drawn = picture(0), picture(1)
    by_hand = (context_weight(keep) * (drawn - real).abs()).sum((1, 2, 3))
    assert torch.allclose(context(Mask(SHAPE, keep), real)(drawn[None])[0], by_hand, rtol=1e-5)


def dense_blend(image: torch.Tensor, drawn: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """min Σ (∇x − ∇drawn)² by dense least squares over the hole's pixels."""
    height, width = keep.shape
    edges = [((i, j), (i, j + 1)) for i in range(height) for j in range(width - 1)]
    edges += [((i, j), (i + 1, j)) for i in range(height - 1) for j in range(width)]
    matrix = torch.zeros(len(edges), height * width, dtype=torch.float64)
    for number, ((a, b), (c, d)) in enumerate(edges):
        matrix[number, a * width + b], matrix[number, c * width + d] = -1, 1
    hole = ~keep.flatten()
    out = image.double().clone().flatten(1)
    for channel in range(len(image)):
        slopes = matrix @ drawn[channel].double().flatten()
        known = image[channel].double().flatten() * ~hole
        out[channel, hole] = torch.linalg.lstsq(matrix[:, hole], (slopes - matrix @ known)[:, None]).solution[
            :, 0
        ]
    return out.view(image.shape)


@pytest.mark.parametrize("kind", ["centre", "half", "random"])
def test_blending_is_the_least_squares_of_gradients(kind: str) -> None:
    keep = {
        "centre": centre_mask(SHAPE),
        "half": left_mask(SHAPE),
        "random": random_mask(SHAPE, 0.7),
    }[kind]
    real, drawn = picture(0), picture(1)
    found = blend(real, drawn, keep)
    assert torch.equal(found[:, :, keep[0]], real[:, :, keep[0]])  # to the last bit
    for one in range(3):
        assert torch.allclose(found[one].double(), dense_blend(real[one], drawn[one], keep[0]), atol=1e-5)


def test_each_image_may_have_a_mask_of_its_own() -> None:
    keep = random_mask(SHAPE, 0.6, count=3)
    real, drawn = picture(0), picture(1)
    together = blend(real, drawn, keep)
    for one in range(3):
        alone = blend(real[one : one + 1], drawn[one : one + 1], keep[one])
        assert torch.allclose(together[one], alone[0], atol=1e-6)


def test_a_shift_of_what_was_drawn_is_taken_out() -> None:
    real = picture(0)
    found = blend(real, real + 0.3, centre_mask(SHAPE))
    assert torch.allclose(found, real, atol=1e-5)
    assert not torch.allclose(paste(real, real + 0.3, centre_mask(SHAPE)), real)


def test_a_hole_is_filled_by_the_image_that_fits_its_surroundings() -> None:
    basis = picture(2, 4).flatten(1)
    truth = torch.tensor([[0.5, -0.5, 0.3, 0.1], [-0.2, 0.4, 0.0, 0.6]])

    def decode(z: torch.Tensor) -> torch.Tensor:
        return (z @ basis).view(-1, *SHAPE)

    mask = Mask(SHAPE, centre_mask(SHAPE))
    found = search(
        decode,
        context(mask, decode(truth)),
        torch.zeros(1, 2, 4),
        method=Momentum(rate=2e-3, steps=800),
        prior=Prior(within=1.0),
    )
    assert torch.allclose(found.latent, truth, atol=0.05)


def test_what_cannot_be_filled_is_refused() -> None:
    with pytest.raises(ValueError, match="--window"):
        context_weight(centre_mask(SHAPE), 4)
    with pytest.raises(ValueError, match="hides every pixel"):
        blend(picture(0), picture(1), torch.zeros(1, 12, 10, dtype=torch.bool))
    with pytest.raises(ValueError, match="one mask for all channels"):
        blend(picture(0), picture(1), torch.ones(3, 2, 12, 10, dtype=torch.bool))
