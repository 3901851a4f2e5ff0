"""Pictures put together: columns of exemplars with + and − between them, and a square of results."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from zerosum.data.pictures import grid

__all__ = ["beside", "equation"]

Array = np.ndarray[Any, Any]


def beside(pictures: Sequence[Array], gap: int) -> Array:
    """Pictures [H, W, C] of one type side by side, `gap` columns of 0 between, the shorter ones centred.

    >>> beside([np.ones((2, 3, 1)), np.ones((4, 3, 1))], gap=1).shape
    (4, 7, 1)
    """
    height = max(picture.shape[0] for picture in pictures)
    parts: list[Array] = []
    for picture in pictures:
        above = (height - picture.shape[0]) // 2
        below = height - picture.shape[0] - above
        parts += [np.pad(picture, ((above, below), (0, 0), (0, 0)))]
        parts += [np.zeros((height, gap, picture.shape[2]), picture.dtype)]
    return np.concatenate(parts[:-1], 1)


def equation(concepts: Sequence[Array], signs: str, results: Sequence[Array], white: float) -> Array:
    """DCGAN's figure 7: a column for each concept, its exemplars and below them their average, then results.

    `concepts` are [n + 1, H, W, C] each, the average last; `signs` has + or - for each, the first of which
    is not drawn; each of `results` is [m², H, W, C], drawn as a square. Signs are `white`.
    Without concepts there are results alone.

    >>> tiles = np.ones((4, 8, 8, 1), np.uint8)
    >>> equation([tiles, tiles], "+-", [tiles], white=255).shape
    (42, 62, 1)
    """
    high, wide = results[0].shape[1:3]
    gap = max(8, wide // 3)
    if not concepts:
        return beside([grid(tiles) for tiles in results], gap)
    most = max(len(tiles) for tiles in concepts)
    columns = []
    for tiles in concepts:
        lift = np.zeros((most - len(tiles), *tiles.shape[1:]), tiles.dtype)  # averages stand in one row
        columns.append(grid(np.concatenate([lift, tiles]), columns=1))
    picture = beside([*columns, *(grid(tiles) for tiles in results)], gap)
    width = columns[0].shape[1]
    row = (picture.shape[0] + columns[0].shape[0]) // 2 - 2 - high // 2
    for number, sign in enumerate(signs[1:] + "=", 1):
        _draw(picture, sign, row, number * width + (number - 1) * gap + gap // 2, gap // 4, white)
    return picture


def _draw(picture: Array, sign: str, row: int, column: int, arm: int, white: float) -> None:
    thick = max(1, arm // 3)
    across = slice(column - arm, column + arm + 1)
    rows = (row - arm // 2, row + arm // 2) if sign == "=" else (row,)
    for at in rows:
        picture[at : at + thick, across] = white
    if sign == "+":
        picture[row - arm + thick // 2 : row + arm + 1 + thick // 2, column : column + thick] = white
