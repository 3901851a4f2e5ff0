"""Data consistency is the orthogonal projection on what was measured; masks are each sample's own."""

import math

import pytest
import torch

from zerosum.draws import Draws
from zerosum.kspace import SAMPLINGS, consistent, fourier, line_mask, variable_density
from zerosum.names import build_part

SIZES = [(8, 12), (9, 7), (6, 9)]


def case(size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Truth, another image, masks, measurements."""
    truth, other = torch.randn(2, 3, 1, *size, dtype=torch.float64)
    keep = line_mask((1, *size), variable_density(size[1], 3, count=3, seed=4))
    return truth, other, keep, torch.where(keep, fourier(truth), math.nan)


@pytest.mark.parametrize("size", SIZES)
def test_consistency_is_a_projection_that_replaces_known_samples_and_moves_no_further(size):
    truth, other, keep, y = case(size)
    once = consistent(other, y, keep)
    assert torch.allclose(consistent(once, y, keep), once, atol=1e-12)
    assert torch.allclose(fourier(once)[keep], y[keep], atol=1e-12)
    assert torch.allclose(consistent(truth, y, keep), truth, atol=1e-12)
    # Orthogonal: the step is at right angles to what it leaves undone.
    assert torch.allclose(
        ((once - other) * (truth - once)).sum((1, 2, 3)), torch.zeros(3).double(), atol=1e-9
    )
    assert bool(((truth - once).norm(dim=(2, 3)) < (truth - other).norm(dim=(2, 3))).all())


@pytest.mark.parametrize("size", SIZES)
def test_the_soft_form_goes_a_share_of_the_way(size):
    _, other, keep, y = case(size)
    whole = consistent(other, y, keep)
    torch.testing.assert_close(consistent(other, y, keep, 0.25), other + 0.25 * (whole - other))
    torch.testing.assert_close(consistent(other, y, keep, 0.0), other)


def test_samples_that_contradict_each_other_are_met_halfway():
    """Noise at k and −k is not conjugate; the nearest real image takes the mean, once and for all."""
    keep = torch.ones(1, 4, 5, dtype=torch.bool)
    y = torch.randn(1, 4, 5, dtype=torch.complex128)
    zero = torch.zeros(1, 4, 5, dtype=torch.float64)
    once = consistent(zero, y, keep)
    assert torch.allclose(consistent(once, y, keep), once, atol=1e-12)
    least = min(
        float((fourier(once + 1e-3 * torch.randn(1, 4, 5)) - y).abs().square().sum()) for _ in range(20)
    )
    assert float((fourier(once) - y).abs().square().sum()) < least


@pytest.mark.parametrize("text", ["variable", "variable:fixed=3", "variable:power=3", "equispaced"])
def test_masks_have_their_lines_whoever_asks(text):
    sampling = build_part(SAMPLINGS, text, "sampling")
    masks = sampling(Draws(5, stop=40), (4, 32))
    assert masks.shape == (40, 1, 4, 32)
    assert masks.dtype is torch.bool
    assert masks[:, 0, 0].sum(1).tolist() == [8] * 40
    assert masks[:, 0, 0, 15:18].all()
    assert bool((masks == masks[:, :, :1]).all())
    assert torch.equal(sampling(Draws(5, start=20, stop=30), (4, 32)), masks[20:30])
    alike = torch.equal(masks[1:], masks[:-1])
    assert alike == (text in ("equispaced", "variable:fixed=3"))
    assert torch.equal(sampling(Draws(6, stop=40), (4, 32)), masks) == alike


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variable:acceleration=0.5", "--acceleration must be at least 1, not 0.5"),
        ("equispaced:acceleration=nan", "--acceleration must be at least 1"),
        ("equispaced:acceleration=100", "--acceleration 100 of 32 lines leaves none: give 1 to 32"),
        ("variable:centre=1", "--centre is a share of the lines"),
        ("variable:centre=0.5", "--centre 16: with --acceleration 4 there are 8 lines"),
        ("variable:power=inf", "power must be finite"),
        ("radial", "unknown sampling 'radial'"),
    ],
)
def test_masks_that_cannot_be_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        build_part(SAMPLINGS, text, "sampling")(Draws(stop=1), (4, 32))
