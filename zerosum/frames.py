"""Sample grids as pictures inside a page: few enough, small enough, and in 8 bits."""

import base64
import io
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

__all__ = ["Frame", "frames", "latest", "number"]

MAX_PIXELS = 2**25  # a grid of 8×8 pictures of 512×512 has half of this
MAX_FRAMES = 12


class Frame(NamedTuple):
    """A grid made after `images` real images, as a data URI; `size` is the embedded (width, height)."""

    images: int
    uri: str
    size: tuple[int, int]


def frames(folder: Path, form: Any) -> tuple[list[Frame], list[str]]:
    """At most `MAX_FRAMES` sample grids, oldest first, and what cannot be shown, each with its reason.

    `form` is the data's format in recipe.json, whose low and high are black and white of 16-bit grids.
    Frames lie closer together at the start, where pictures change fastest; the latest is largest.

    >>> frames(Path("nowhere"), None)
    ([], [])
    """
    grids = sorted(path for path in folder.glob("*") if re.fullmatch(r"\d{12}\.(png|tiff?)", path.name))
    left_out = [f"{path.name}: browsers cannot show it" for path in grids if path.suffix != ".png"]
    grids = [path for path in grids if path.suffix == ".png"]
    if not grids:
        return [], left_out
    spread = np.geomspace(1, len(grids), MAX_FRAMES).round().astype(int) - 1
    chosen = sorted(set(spread.tolist())) if len(grids) > MAX_FRAMES else range(len(grids))
    shown = []
    for index in chosen:
        path = grids[index]
        latest = index == len(grids) - 1
        try:
            picture = _eight_bits(path, form)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            left_out.append(f"{path.name}: {error}")
            continue
        uri = _data_uri(picture, side=1200 if latest else 640, limit=1_200_000 if latest else 160_000)
        shown.append(Frame(int(path.stem), uri, picture.size))
    return shown, left_out


def latest(folder: Path, form: Any, side: int = 600, limit: int = 300_000) -> Frame | None:
    """The newest sample grid that can be shown, at most `side` pixels and about `limit` bytes; None if none.

    >>> latest(Path("nowhere"), None)
    """
    for path in sorted(folder.glob("*.png"), reverse=True):
        if re.fullmatch(r"\d{12}\.png", path.name):
            try:
                picture = _eight_bits(path, form)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
            return Frame(int(path.stem), _data_uri(picture, side, limit), picture.size)
    return None


def _eight_bits(path: Path, form: Any) -> Image.Image:
    """The picture at `path` as 8-bit grey or RGB; 16-bit values from the data's low..high (or 0..65535)."""
    if not path.is_file():
        raise ValueError("not a regular file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound here is tighter
        picture = Image.open(path, formats=["PNG"])
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(f"{picture.width}×{picture.height} pixels are too many to show")
        if not picture.mode.startswith("I"):
            return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
        values = np.asarray(picture, dtype=np.float64)
    known = form if isinstance(form, dict) else {}
    low, high = number(known.get("low")), number(known.get("high"))
    if low is None or high is None or not values.min() >= low < high >= values.max():
        low, high = 0.0, 65535.0
    scaled = (values - low) / (high - low) * 255
    return Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def _data_uri(picture: Image.Image, side: int, limit: int) -> str:
    """A data URI of at most about `limit` bytes: PNG if that fits, else JPEG, else smaller."""
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)  # in place; never enlarges
    while True:
        for form, options in (("PNG", {}), ("JPEG", {"quality": 88})):
            buffer = io.BytesIO()
            picture.save(buffer, form, **options)
            text = base64.b64encode(buffer.getvalue()).decode()
            if len(text) <= limit:
                return f"data:image/{form.lower()};base64,{text}"
        picture.thumbnail((picture.width // 2, picture.height // 2))


def number(value: Any) -> float | None:
    """`value` if it is a number that can be drawn and compared, else None.

    >>> number(3), number("3"), number(10**400)
    (3.0, None, None)
    """
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if known else None
