"""How a convolutional net goes from an image's size down to about four pixels, and back."""

from typing import NamedTuple

__all__ = ["Stage", "stages"]


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
    for name, side in zip(("height", "width"), size, strict=True):
        if not 8 <= side <= 512:
            raise ValueError(f"an image's {name} must be 8 to 512 pixels, not {side}: choose another --size")
    out: list[Stage] = []
    outer = size
    while True:
        stride = tuple(2 if (n + 1) // 2 >= smallest else 1 for n in outer)
        if stride == (1, 1):
            return out
        inner = (-(-outer[0] // stride[0]), -(-outer[1] // stride[1]))
        out.append(Stage(outer, inner, (stride[0], stride[1])))
        outer = inner
