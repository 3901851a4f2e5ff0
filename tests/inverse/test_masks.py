"""Masks hide what they say, exactly as much of it, and bad ones are refused."""

import numpy as np
import pytest
import torch

from tests.inverse.known import centre_mask
from zerosum.holes import random
from zerosum.inverse.masks import Mask, array_mask, hidden_by

SHAPE = (3, 9, 12)


def test_each_image_has_a_mask_of_its_own():
    many = hidden_by(random(0.7), SHAPE, count=20, seed=1)
    assert many.dtype is torch.bool
    assert many.shape == (20, 1, 9, 12)
    assert len({tuple(keep.flatten().tolist()) for keep in many}) == 20
    assert torch.equal(hidden_by(random(0.7), SHAPE, count=3, seed=1), many[:3])
    assert torch.equal(hidden_by(random(0.7), SHAPE, seed=1), many[0])
    assert not torch.equal(hidden_by(random(0.7), SHAPE, seed=2), many[0])


def test_hidden_pixels_may_be_anything():
    keep = torch.tensor([[[True, False], [True, False]]])
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
