"""Frames as a film: .gif by Pillow, .mp4 (H.264) by PyAV, which is an extra."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data.cache import replacing

__all__ = ["save_video"]

Array = np.ndarray[Any, Any]
LEAST_SIDE = 256  # smaller frames are enlarged, each pixel to a square: players blur them otherwise


def save_video(path: Path, frames: Array, rate: int = 12) -> None:
    """Write frames [T, H, W, 1 or 3] uint8 at `rate` a second; the file is whole or not there at all.

    The suffix tells the format. Small frames are enlarged by a whole number; for .mp4 an odd side has its
    last row or column twice, as H.264 halves the colour. A .gif goes round for ever.

    Raises ValueError for another suffix, type or shape, for a rate outside 1 … 50, and, naming the extra,
    where PyAV is missing.
    """
    kind = path.suffix.lower()
    if kind not in (".mp4", ".gif"):
        raise ValueError(f"--video {path}: name a file ….mp4 or ….gif")
    if not 1 <= rate <= 50:
        raise ValueError(f"--rate must be from 1 to 50 frames a second, not {rate}")
    if frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[3] not in (1, 3) or not len(frames):
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; expected uint8 [T, H, W, 1 or 3]")
    times = max(1, LEAST_SIDE // min(frames.shape[1:3]))
    shown = frames.repeat(times, 1).repeat(times, 2)
    content = _gif(shown, rate) if kind == ".gif" else _mp4(shown, rate)
    with replacing(path) as stream:
        stream.write(content.getbuffer())


def _gif(frames: Array, rate: int) -> io.BytesIO:
    from PIL import Image

    content = io.BytesIO()
    first, *rest = (Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame) for frame in frames)
    first.save(content, "GIF", save_all=True, append_images=rest, duration=1000 / rate, loop=0)
    return content


def _mp4(frames: Array, rate: int) -> io.BytesIO:
    try:
        import av
    except ImportError as error:
        raise ValueError(
            "an .mp4 needs PyAV: pip install 'zerosum[video]', or name the file ….gif"
        ) from error
    odd = [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]
    even = np.pad(frames, odd, mode="edge")
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = even.shape[1], even.shape[2], "yuv420p"
        for frame in even:
            colour = np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
            film.mux(stream.encode(av.VideoFrame.from_ndarray(colour, format="rgb24")))
        film.mux(stream.encode())
    return content
