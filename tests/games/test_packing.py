"""Packs: which samples are together, and what each is given back."""

import pytest
import torch

from zerosum.draws import Draws
from zerosum.games.packing import packed, packs_of, unpacked


def test_neighbours_are_joined_along_channels():
    x = torch.randn(6, 2, 4, 5)
    packs = packed(x, 3, total=6)
    assert packs.shape == (2, 6, 4, 5)
    assert torch.equal(packs[1], torch.cat([x[3], x[4], x[5]]))
    assert torch.equal(packed(x.contiguous(memory_format=torch.channels_last), 3, total=6), packs)
    points = torch.randn(4, 2)
    assert torch.equal(packed(points, 2, total=4), points.view(2, 4))
    assert packed(x, 1, total=6) is x


@pytest.mark.parametrize(("total", "here"), [(7, 7), (8, 3), (9, 4)])
def test_a_batch_that_cannot_be_shared_out_is_refused(total, here):
    with pytest.raises(ValueError, match="--pack 2: --batch"):
        packed(torch.zeros(here, 2), 2, total)


def test_packs_of_parts_draw_what_packs_of_the_whole_do():
    whole = packs_of(Draws(seed=3, stop=24), 2)
    part = packs_of(Draws(seed=3, start=8, stop=14), 2)
    assert len(whole) == 12
    assert torch.equal(whole.normal("x", 2)[4:7], part.normal("x", 2))


def test_each_sample_has_its_packs_number():
    x = torch.randn(6, 2)
    assert torch.equal(
        unpacked(packed(x, 3, total=6).sum(1), 3)[3:], packed(x, 3, total=6)[1].sum().expand(3)
    )
    assert unpacked(torch.tensor(2.0), 3).item() == 2.0
