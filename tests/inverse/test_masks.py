"""Masks hide what they say, exactly as much of it, and bad ones are refused."""

import numpy as np
import pytest
import torch

from zerosum.inverse.masks import Mask, array_mask, centre_mask, half_mask, pattern_mask, random_mask

SHAPE = (3, 9, 12)


def test_a_hole_in_the_middle():
    keep = centre_mask(SHAPE)
    assert keep.shape == (1, 9, 12)
    hidden = (~keep[0]).nonzero()
    assert hidden.amin(0).tolist() == [2, 3]
    assert hidden.amax(0).tolist() == [5, 8]
    assert len(hidden) == 4 * 6


@pytest.mark.parametrize(
    ("side", "where"), [("left", (4, 0)), ("right", (4, 11)), ("top", (0, 6)), ("bottom", (8, 6))]
)
def test_a_half(side, where):
    keep = half_mask(SHAPE, side)
    assert not keep[0][where]
    assert int((~keep).sum()) == (9 * 6 if side in ("left", "right") else 4 * 12)


@pytest.mark.parametrize("make", [random_mask, pattern_mask])
def test_exactly_the_share_is_hidden_and_each_image_has_its_own(make):
    many = make(SHAPE, 0.7, count=20, seed=1)
    assert ((~many).sum((1, 2, 3)) == round(0.7 * 108)).all()
    assert len({tuple(keep.flatten().tolist()) for keep in many}) == 20
    assert torch.equal(make(SHAPE, 0.7, count=3, seed=1), many[:3])
    assert torch.equal(make(SHAPE, 0.7, seed=1), many[0])
    assert not torch.equal(make(SHAPE, 0.7, seed=2), many[0])


def test_random_pixels_are_hidden_evenly():
    share = (~random_mask((1, 6, 6), 0.5, count=2000)).float().mean(0)
    assert float((share - 0.5).abs().max()) < 0.05  # 4.5 standard errors of .011


def test_a_pattern_is_of_blobs():
    def edges(keep: torch.Tensor) -> float:
        return float((keep[..., 1:] != keep[..., :-1]).float().mean())

    shape = (1, 32, 32)
    assert edges(pattern_mask(shape, 0.25, count=10)) < 0.4 * edges(random_mask(shape, 0.25, count=10))


def test_hidden_pixels_may_be_anything():
    keep = half_mask((1, 2, 2))
    x = torch.tensor([[[1.0, torch.nan], [2.0, torch.inf]]])
    assert Mask((1, 2, 2), keep).forward(x).tolist() == [[[1, 0], [2, 0]]]


def test_a_mask_from_an_array():
    picture = np.zeros((9, 12), np.uint8)
    picture[3:] = 255
    assert array_mask(SHAPE, picture).sum() == 72
    by_channel = np.ones(SHAPE)
    by_channel[1] = 0
    assert Mask(SHAPE, array_mask(SHAPE, by_channel)).forward(torch.ones(SHAPE)).sum() == 216
    with pytest.raises(ValueError, match="does not fit"):
        array_mask(SHAPE, picture.T)
    picture[0, 0] = 128
    with pytest.raises(ValueError, match="two values"):
        array_mask(SHAPE, picture)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (torch.ones(1, 9, 11, dtype=torch.bool), "does not fit"),
        (torch.ones(2, 9, 12, dtype=torch.bool), "does not fit"),
        (torch.ones(1, 9, 12), "bool"),
        (torch.ones(1, 9, 12, dtype=torch.bool), "hides no pixel"),
        (torch.zeros(9, 12, dtype=torch.bool), "hides every pixel"),
        (torch.stack([centre_mask(SHAPE), torch.zeros(1, 9, 12).bool()]), "hides every pixel"),
    ],
)
def test_bad_masks_are_refused(keep, message):
    with pytest.raises(ValueError, match=message):
        Mask(SHAPE, keep)


@pytest.mark.parametrize("share", [0.0, 1.0, -1, 2])
def test_bad_shares_are_refused(share):
    for make in (centre_mask, random_mask, pattern_mask):
        with pytest.raises(ValueError, match="between 0 and 1"):
            make(SHAPE, share)
