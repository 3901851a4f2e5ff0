"""Warping, recolouring and cutting against what NumPy-like indexing gives."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.augmentation import cut, recolour, rotation, warp

EYE, FLIP = torch.eye(2)[None], torch.diag(torch.tensor([-1.0, 1.0]))[None]
NOWHERE = torch.zeros(1, 2)


def picture(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


def to(*shift: float) -> Tensor:
    return torch.tensor([shift])


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("size", [(8, 8), (9, 16), (64, 48), (1, 5)])
def test_nothing_and_a_flip_keep_every_pixel(size, exact):
    x = picture(1, 3, *size)
    torch.testing.assert_close(warp(x, EYE, NOWHERE, exact=exact), x, atol=2e-5, rtol=0)
    torch.testing.assert_close(warp(x, FLIP, NOWHERE, exact=exact), x.flip(3), atol=2e-5, rtol=0)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_keep_every_pixel(quarters):
    x = picture(1, 2, 9, 9)
    turned = warp(x, rotation(torch.tensor([quarters * math.pi / 2])), NOWHERE)
    torch.testing.assert_close(turned, x.rot90(quarters, (2, 3)), atol=1e-5, rtol=0)


def test_a_whole_shift_reflects_or_brings_in_zeros():
    x = picture(1, 3, 8, 12)
    reflected = warp(x, EYE, to(3, -2))
    torch.testing.assert_close(reflected, F.pad(x, (0, 3, 2, 0), "reflect")[:, :, :8, 3:], atol=1e-5, rtol=0)
    assert torch.equal(warp(x, EYE, to(3, -2), exact=True), F.pad(x, (0, 3, 2, 0))[:, :, :8, 3:])


def test_a_slope_stays_a_slope():
    # Bilinear interpolation is exact on ax + by + c: any map shows the slope that it should.
    across, down = torch.arange(21.0) - 10, torch.arange(13.0) - 6
    slopes = torch.stack(torch.meshgrid(across, down, indexing="xy"))[None]
    linear, shift = torch.tensor([[[0.4, -0.3], [0.2, 0.5]]]), to(0.7, -0.4)
    expected = torch.einsum("ij,jhw->ihw", linear[0], slopes[0]) + shift[0, :, None, None]
    torch.testing.assert_close(warp(slopes, linear, shift)[0], expected, atol=1e-5, rtol=0)


def test_each_sample_has_a_map_of_its_own():
    x = picture(2, 1, 8, 8)
    both = warp(x, torch.cat([EYE, FLIP]), torch.cat([to(1, 0), to(0, 2)]))
    torch.testing.assert_close(both[:1], warp(x[:1], EYE, to(1, 0)))
    torch.testing.assert_close(both[1:], warp(x[1:], FLIP, to(0, 2)))


def test_recolouring_is_an_affine_map_of_the_channels():
    x, matrix = picture(2, 4, 3, 5), picture(2, 4, 4)
    expected = torch.einsum("bij,bjhw->bihw", matrix, x) + torch.tensor([1.0, -2.0])[:, None, None, None]
    torch.testing.assert_close(recolour(x, matrix, torch.tensor([1.0, -2.0])), expected)


def test_a_cut_is_a_window_clipped_at_the_border():
    x = torch.ones(3, 2, 6, 8)
    out = cut(x, torch.tensor([[3.0, 4.0], [0.0, 8.0], [-99.0, 4.0]]), (2, 4))
    expected = x.clone()
    expected[0, :, 2:4, 2:6] = 0
    expected[1, :, :1, 6:] = 0
    assert torch.equal(out, expected)


SHIFTS = torch.tensor([[0.3, 1.0], [2.0, 0.0]])
OPERATIONS = {
    "warp": lambda x: warp(x, rotation(torch.tensor([0.3, 2.0])) * 1.1, SHIFTS),
    "exact": lambda x: warp(x, EYE.expand(2, 2, 2), torch.tensor([[1.0, -1.0], [0.0, 2.0]]), exact=True),
    "recolour": lambda x: recolour(x, picture(2, 2, 2), torch.tensor([0.1, 0.2])),
    "cut": lambda x: cut(x, torch.tensor([[1.0, 2.0], [3.0, 3.0]]), (2, 2)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_are_those_of_finite_differences(name):
    x = picture(2, 2, 4, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(OPERATIONS[name], x)
    assert torch.autograd.gradgradcheck(OPERATIONS[name], x)


@pytest.mark.parametrize("name", OPERATIONS)
def test_autocast_does_not_coarsen(name):
    x = picture(2, 2, 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        under = OPERATIONS[name](x)
    assert torch.equal(under, OPERATIONS[name](x))
