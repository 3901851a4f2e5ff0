"""Where the tiles of an equation stand, and its signs."""

import numpy as np

from zerosum.data.montage import beside, equation


def tiles(count: int, value: int, side: int = 16) -> np.ndarray:
    return np.full((count, side, side, 1), value, np.uint8)


def test_shorter_pictures_are_centred():
    found = beside([np.full((6, 2, 1), 1), np.full((2, 3, 1), 2)], gap=1)
    assert found[..., 0].tolist() == [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 2, 2, 2],
        [1, 1, 0, 2, 2, 2],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
    ]


def test_columns_end_in_their_averages_with_signs_between():
    # Columns of 20, gaps of 8; three exemplars and an average, and one exemplar and an average below.
    concepts = [tiles(4, 10), tiles(2, 20), tiles(4, 30)]
    found = equation(concepts, "+-+", [tiles(9, 40)], white=255)[..., 0]
    assert found.shape == (4 * 18 + 2, 3 * 20 + 3 * 8 + 3 * 18 + 2)
    assert (found[:, 28:48].max(1) > 0).nonzero()[0].min() == 2 * 18 + 2
    row = slice(3 * 18 + 2, 4 * 18)
    assert [int(found[row, left].max()) for left in (10, 38, 66, 100)] == [10, 20, 30, 40]
    gaps = [found[row, left : left + 8] == 255 for left in (20, 48, 76)]
    assert [int(gap.any(0).sum()) for gap in gaps] == [5, 5, 5]
    assert [int(gap.any(1).sum()) for gap in gaps] == [1, 5, 2]
    assert not (found[: 3 * 18] == 255).any()


def test_without_concepts_there_are_results_alone():
    found = equation([], "+-", [tiles(9, 40), tiles(9, 50)], white=255)
    assert found.shape == (3 * 18 + 2, 2 * (3 * 18 + 2) + 8, 1)
    assert found.max() == 50
