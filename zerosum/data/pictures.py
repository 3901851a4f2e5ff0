"""Stored samples as picture files: tiled, in their own depth and channels, and as 8-bit previews."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data.cache import replacing
from zerosum.data.formats import Format

Array = np.ndarray[Any, Any]
TIFFS = (".tif", ".tiff")
ROWS, PER_ROW = 32, 8  # of a grid by class: at most so many classes, and samples of each


def grid(stored: Array, columns: int | None = None, padding: int = 2) -> Array:
    """Tile [N, H, W, C] into one picture of the same type, row by row; gaps and missing tiles are zero.

    `columns` defaults to a picture about as many tiles wide as high.

    >>> grid(np.ones((6, 8, 8, 3), np.uint8), columns=3, padding=2).shape
    (22, 32, 3)
    """
    if stored.ndim != 4 or not len(stored):
        raise ValueError(f"samples of shape {stored.shape}: expected [N, H, W, C] with N of at least 1")
    count, height, width, channels = stored.shape
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    high, wide = height + padding, width + padding
    picture = np.zeros((rows * high + padding, columns * wide + padding, channels), stored.dtype)
    for index in range(count):
        top, left = (index // columns) * high + padding, (index % columns) * wide + padding
        picture[top : top + height, left : left + width] = stored[index]
    return picture


def class_rows(stored: Array, rows: int) -> Array:
    """Tile samples that go through `rows` classes in turn, one row a class; see `grid`.

    >>> class_rows(np.ones((5, 8, 8, 1), np.uint8), rows=2).shape  # 3 of one class, 2 of the other
    (22, 32, 1)
    """
    columns = math.ceil(len(stored) / rows)
    whole = np.zeros((columns * rows, *stored.shape[1:]), stored.dtype)
    whole[: len(stored)] = stored
    by_class = whole.reshape(columns, rows, *stored.shape[1:]).swapaxes(0, 1)
    return grid(by_class.reshape(whole.shape), columns)


def picture(stored: Array, form: Format, classes: int = 0) -> Array:
    """Samples as one picture: a grid, with a row a class where they go through `classes`; points scattered.

    >>> picture(np.ones((20, 8, 8, 1), np.uint8), Format((1, 8, 8), "uint8", 0, 255), classes=10).shape
    (102, 22, 1)
    """
    if form.points:
        return preview(stored, form)
    return class_rows(stored, classes) if 0 < classes <= min(ROWS, len(stored)) else grid(stored)


def suffix_of(image: Array) -> str:
    """The file suffix that keeps the depth and channels of [..., C]: .png where PNG does, else .tiff.

    Of points [N, D] the picture is a drawing, .png.

    >>> suffix_of(np.zeros((8, 8, 1), np.uint16)), suffix_of(np.zeros((8, 8, 3), np.uint16))
    ('.png', '.tiff')
    """
    if image.ndim == 2:
        return ".png"
    channels = image.shape[-1]
    png = (image.dtype == np.uint8 and channels in (1, 3, 4)) or (image.dtype == np.uint16 and channels == 1)
    return ".png" if png else ".tiff"


def save_image(path: Path, image: Array) -> None:
    """Write [H, W, C] in its own depth; the file is whole or not there at all.

    PNG for 8 bits of 1, 3 or 4 channels and 16-bit grey; TIFF for all; .npy for all. Raises ValueError, which
    names the right suffix, for one that would lose depth or channels.
    """
    if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(
            f"{path}: {image.dtype} {image.shape}; expected [H, W, C] of uint8, uint16 or float32"
        )
    kind, right = path.suffix.lower(), suffix_of(image)
    content = io.BytesIO()
    if kind == ".npy":
        np.save(content, image, allow_pickle=False)
    elif kind in TIFFS:
        _tiff(content, image)
    elif kind == ".png" and right == ".png":
        from PIL import Image

        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(content, "PNG")
    else:
        raise ValueError(
            f"{path}: {image.dtype} with {image.shape[2]} channels is kept whole as {right}; "
            f"name it {path.with_suffix(right).name}"
        )
    with replacing(path) as stream:
        stream.write(content.getbuffer())


def _tiff(content: io.BytesIO, image: Array) -> None:
    import tifffile

    channels = image.shape[2]
    colour = channels in (3, 4)
    tifffile.imwrite(
        content,
        image[..., 0] if channels == 1 else image,
        photometric="rgb" if colour else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unspecified"] * (channels - (3 if colour else 1)),
        compression="zlib",
        metadata=None,
    )


def save_samples(
    path: Path,
    stored: Array,
    form: Format,
    labels: Array | None = None,
    classes: Sequence[str] = (),
    rows: int = 0,
) -> None:
    """Write samples as the path's suffix says, with the `classes` that the labels [N] number, if any.

    .npy: one array; .npz: with the labels, in the form in which both are read as data; other suffixes:
    one picture, of a row a class where the samples go through `rows` classes; none: a folder with a
    file each, 000000.png and so on, .tiff where PNG would lose something, 000000-cat.png with labels,
    and one array of points. Raises ValueError as `save_image` does.
    """
    if path.suffix in (".npy", ".npz"):
        with replacing(path) as stream:
            if path.suffix == ".npy":
                np.save(stream, stored, allow_pickle=False)
            else:
                said = () if labels is None else (("labels", labels), ("class_names", np.array(classes)))
                np.savez(stream, allow_pickle=False, images=stored, **dict(said))
    elif path.suffix:
        save_image(path, picture(stored, form, rows))
    elif form.points:
        name = "points.npy" if labels is None else "points.npz"
        save_samples(path / name, stored, form, labels, classes)
    else:
        right = suffix_of(stored)
        for index, image in enumerate(stored):
            name = "" if labels is None else "-" + re.sub(r"[^\w.]+", "_", classes[labels[index]])[:60]
            save_image(path / f"{index:06d}{name}{right}", image)


def preview(stored: Array, form: Format) -> Array:
    """8-bit grey or RGB for a page: [N, H, W, 1 or 3], or [H, W, 3], a scatter picture, for points [N, 2].

    Of other numbers of channels the first three are shown, of two the first. `form.low` is black, `form.high`
    white. Points of more than two dimensions are shown by their first two.

    >>> preview(np.full((1, 8, 8, 1), 65535, np.uint16), Format((1, 8, 8), "uint16", 0, 65535)).max()
    np.uint8(255)
    """
    if form.points:
        return _scatter(stored)
    shown = stored[..., :3] if stored.shape[-1] >= 3 else stored[..., :1]
    if form.dtype == "uint8" and (form.low, form.high) == (0, 255):
        return shown
    unit = (shown.astype(np.float64) - form.low) / (form.high - form.low)
    picture: Array = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
    return picture


def _scatter(points: Array) -> Array:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.15, 0.1, 0.82, 0.85))
    second = points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))
    axes.scatter(points[:, 0], second, s=2, alpha=0.5)
    axes.set_aspect("equal", adjustable="datalim")
    canvas.draw()
    picture: Array = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return picture
