"""How a setting goes from one value to another while images are shown."""

import math

__all__ = ["cosine"]


def cosine(images: int, start: float, stop: float, over: int) -> float:
    """stop + (start − stop)·½(1 + cos(π·images/over)), and `stop` after `over` images.

    Slow at both ends (Loshchilov & Hutter 2017, eq. 5, without restarts). Raises ValueError unless
    `over` is at least 1.

    >>> [round(cosine(images, 2.0, 1.0, over=100), 6) for images in (0, 50, 100, 200)]
    [2.0, 1.5, 1.0, 1.0]
    """
    if over < 1:
        raise ValueError(f"a change must take at least 1 image, not {over}")
    share = min(1.0, images / over)
    return stop + (start - stop) * 0.5 * (1 + math.cos(math.pi * share))
