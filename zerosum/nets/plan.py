"""How a convolutional net goes from an image's size down to about four pixels, and back."""

from typing import NamedTuple

__all__ = ["Stage", "even_halvings", "stages"]


class Stage(NamedTuple):
    """One halving: sizes (height, width) outside (nearer the image) and inside, and the strides."""

    outer: tuple[int, int]
    inner: tuple[int, int]
    stride: tuple[int, int]


def stages(size: tuple[int, int], smallest: int = 4) -> list[Stage]:
    """The halvings from an image of `size` (height, width) inwards, rounding up.

    An axis is halved while that leaves it at least `smallest`; the longer axis of an oblong image is
    halved more often. Sizes of 8 to 512 a side are served.

    >>> [stage.inner for stage in stages((64, 64))]
    [(32, 32), (16, 16), (8, 8), (4, 4)]
    >>> [stage.inner for stage in stages((28, 60))]
    [(14, 30), (7, 15), (4, 8), (4, 4)]
    """
    _refuse_sides(size)
    out: list[Stage] = []
    outer = size
    while True:
        stride = tuple(2 if (n + 1) // 2 >= smallest else 1 for n in outer)
        if stride == (1, 1):
            return out
        inner = (-(-outer[0] // stride[0]), -(-outer[1] // stride[1]))
        out.append(Stage(outer, inner, (stride[0], stride[1])))
        outer = inner


def even_halvings(size: tuple[int, int], smallest: int = 4) -> int:
    """How often both sides of `size` (height, width) are halved without rest.

    That is, until the shorter is `smallest` to 2·`smallest` − 1. Raises ValueError with the nearest
    sizes that can be halved so; sides of 8 to 512 are served.

    >>> even_halvings((64, 64)), even_halvings((28, 40))
    (4, 2)
    >>> even_halvings((30, 30))
    Traceback (most recent call last):
    ValueError: images of 30×30 do not halve evenly 2 times: choose --size 28 or 32
    """
    _refuse_sides(size)
    k = _halvings(size, smallest)
    if all(side % 2**k == 0 for side in size):
        return k
    below = tuple(side >> k << k for side in size)
    above = size
    while any(side % 2 ** _halvings(above, smallest) for side in above):
        step = 2 ** _halvings(above, smallest)
        above = (-(-above[0] // step) * step, -(-above[1] // step) * step)
    near = (f"{h}" if h == w and size[0] == size[1] else f"{h}x{w}" for h, w in (below, above))
    raise ValueError(
        f"images of {size[0]}×{size[1]} do not halve evenly {k} times: choose --size {' or '.join(near)}"
    )


def _halvings(size: tuple[int, int], smallest: int) -> int:
    return (min(size) // smallest).bit_length() - 1


def _refuse_sides(size: tuple[int, int]) -> None:
    for name, side in zip(("height", "width"), size, strict=True):
        if not 8 <= side <= 512:
            raise ValueError(f"an image's {name} must be 8 to 512 pixels, not {side}: choose another --size")
