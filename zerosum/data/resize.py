"""One antialiased resize after a central crop, for any depth and number of channels."""

from typing import Any

import numpy as np

from zerosum.data.containers import SetAside

LEAST, MOST = 8, 512  # pixels a side


def central(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest central box (top, left, height, width) of the target's aspect ratio.

    >>> central(109, 89, (64, 64))
    (10, 0, 89, 89)
    """
    scale = min(height / size[0], width / size[1])
    high, wide = min(height, round(size[0] * scale)), min(width, round(size[1] * scale))
    return (height - high) // 2, (width - wide) // 2, high, wide


def resized(image: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """[H, W, C] of uint8, uint16 or float32 → [*size, C]: central crop, then one antialiased Lanczos resize.

    16-bit and float values are filtered in float32, channel by channel, and kept within the image's own
    range, which Lanczos would overshoot. Raises SetAside for images with a side under 8 pixels.

    >>> resized(np.full((20, 10, 5), 7, np.uint16), (8, 8)).shape
    (8, 8, 5)
    """
    from PIL import Image

    height, width, channels = image.shape
    if min(height, width) < LEAST:
        raise SetAside(f"{height}x{width} pixels: a side under {LEAST} is too small to learn from")
    top, left, high, wide = central(height, width, size)
    cut = image[top : top + high, left : left + wide]
    if cut.shape[:2] == size:
        return np.ascontiguousarray(cut)
    target = (size[1], size[0])
    if image.dtype == np.uint8 and channels in (1, 3):
        pixels = np.ascontiguousarray(cut[..., 0] if channels == 1 else cut)
        done = np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.LANCZOS))
        return done.reshape(*size, channels)
    planes = []
    for channel in range(channels):
        plane = np.ascontiguousarray(cut[..., channel], dtype=np.float32)
        filtered = np.asarray(Image.fromarray(plane).resize(target, Image.Resampling.LANCZOS))
        planes.append(np.clip(filtered, plane.min(), plane.max()))
    values = np.stack(planes, -1)
    return values if image.dtype == np.float32 else np.rint(values).astype(image.dtype)
