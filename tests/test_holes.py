"""Masks with holes: how much is missing, where, and that sample i has its own whoever asks."""

import pytest
import torch

from zerosum.draws import Draws
from zerosum.holes import HOLES, blocks, centre, draw_holes, half, pattern, random
from zerosum.names import build_part

MANY = Draws(3, stop=200)
SIZES = [(8, 8), (64, 64), (9, 17), (8, 512)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", HOLES)
def test_a_mask_a_sample_of_zeros_and_ones_that_depends_on_its_number_alone(
    name: str, size: tuple[int, int]
) -> None:
    hole = build_part(HOLES, name, "hole")
    whole = hole(Draws(1, stop=20), size)
    assert (whole.shape, whole.dtype) == ((20, 1, *size), torch.float32)
    assert whole.unique().tolist() == [0, 1]
    assert torch.equal(hole(Draws(1, start=5, stop=9), size), whole[5:9])
    if name != "centre":
        assert not torch.equal(hole(Draws(2, stop=20), size), whole)


def missing(hole: torch.Tensor) -> torch.Tensor:
    return 1 - hole.mean((1, 2, 3))


def test_the_centre_is_the_published_one() -> None:
    """Of 64×64 the inner 32×32, from 16 to 47."""
    rows, columns = (centre()(Draws(stop=1), (64, 64))[0, 0] == 0).nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 47, 16, 47)
    assert len(rows) == 32 * 32


def test_shares_of_what_is_missing() -> None:
    torch.testing.assert_close(
        missing(random(0.8)(MANY, (32, 32))).mean(), torch.tensor(0.8), atol=3e-3, rtol=0
    )
    assert (missing(pattern(0.25)(MANY, (32, 32))) == 0.25).all()
    assert (missing(half()(MANY, (8, 8))) == 0.5).all()
    some = missing(blocks(count=4, side=0.25)(MANY, (32, 32)))
    assert some.min() >= 1 / 16
    assert some.max() <= 4 / 16
    assert some.unique().numel() > 20


def test_all_four_halves_and_all_places_of_blocks_come() -> None:
    assert len({tuple(mask.flatten().tolist()) for mask in half()(MANY, (8, 8))}) == 4
    corners = blocks(count=1, side=0.5)(MANY, (8, 8))[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).any(0).all(), "a block may touch every corner"


def test_stains_are_stains_and_noise_is_noise() -> None:
    def changes(mask: torch.Tensor) -> float:
        return (mask[..., 1:] != mask[..., :-1]).float().mean().item()

    assert changes(pattern(0.25)(MANY, (64, 64))) < 0.05
    assert changes(random(0.25)(MANY, (64, 64))) == pytest.approx(2 * 0.25 * 0.75, abs=0.01)


def test_each_kind_is_as_likely() -> None:
    masks = draw_holes([centre(), random(0.8), half()], Draws(5, stop=3000), (8, 8))
    shares = missing(masks)
    kinds = [shares == 0.25, shares == 0.5, ~((shares == 0.25) | (shares == 0.5))]
    for kind in kinds[:1]:
        assert kind.float().mean() == pytest.approx(1 / 3, abs=0.04)
    middle = masks[:, 0, 2:6, 2:6].sum((1, 2)) == 0
    assert (middle & kinds[0]).sum() == kinds[0].sum()


@pytest.mark.parametrize(
    "text", ["centre:1", "blocks:side=0", "random:missing=1.5", "pattern:0", "pattern:0.2,2"]
)
def test_shares_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must lie between 0 and 1, not"):
        build_part(HOLES, text, "hole")


def test_no_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="count must be at least 1, not 0"):
        blocks(0)
