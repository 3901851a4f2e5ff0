"""One file's bytes to one array [H, W, C], in its own depth, and what had to be converted."""

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zerosum.data.containers import SetAside
from zerosum.data.formats import MOST_CHANNELS

if TYPE_CHECKING:
    from PIL.Image import Image

PIXEL_LIMIT = 64 << 20  # of one image; larger ones are refused from their header
ARRAY_LIMIT = 512 << 20  # bytes of one image of many channels, unpacked
READ = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
SHALLOW = "16-bit colour, of which only 8 bits would be kept: save it as TIFF or .npy"


class Decoded(NamedTuple):
    """An image as found: [H, W, C] of uint8, uint16 or float32, and what was converted."""

    image: np.ndarray[Any, Any]
    converted: tuple[str, ...] = ()


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings about odd files silenced, its bomb warning made an error. Enter it in one thread."""
    from PIL import Image

    Image.init()  # load the plugins here, once, before the threads that decode
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\..*")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode(content: bytes, channels: int | None = None) -> Decoded:
    """The image in a file's bytes, told by content, not by name; `channels` 2 or 4 keeps transparency.

    Palettes, CMYK and other colour spaces become RGB, 1-bit images grey, transparency is laid over white, the
    EXIF rotation is applied and the first frame of an animation taken; each is told in `converted`.
    Raises SetAside with the reason where there is no usable image. Use within `quiet()`.
    """
    try:
        if not content:
            raise SetAside("empty file (0 bytes)")
        if content.startswith((b"\x93NUMPY", b"PK\x03\x04")):
            return Decoded(_array(content))
        if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            deep = _tiff(content, channels)
            if deep is not None:
                return deep
        return _picture(content, channels)
    except SetAside:
        raise
    except MemoryError as error:
        raise SetAside("needs more memory to decode than there is") from error
    except Exception as error:  # decoders raise whatever hostile bytes lead them to
        raise SetAside(f"truncated or damaged: {error or type(error).__name__}") from error


def small_enough(height: int, width: int) -> None:
    """Raises SetAside where an image declares more pixels than are decoded."""
    if height * width > PIXEL_LIMIT:
        raise SetAside(f"declares {height}x{width} pixels, over the limit of {PIXEL_LIMIT:,}")


def _picture(content: bytes, channels: int | None) -> Decoded:
    from PIL import Image, ImageOps, UnidentifiedImageError

    _shallow(content)
    try:
        opened = Image.open(io.BytesIO(content), formats=READ)
    except UnidentifiedImageError as error:
        raise SetAside(f"not an image that is read here ({', '.join(READ)}, .npy): convert it") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SetAside(f"declares more pixels than the limit of {PIXEL_LIMIT:,}") from error
    with opened:
        small_enough(opened.height, opened.width)
        converted = ["first of several frames taken"] if getattr(opened, "is_animated", False) else []
        turned = _orientation(opened) not in (0, 1)  # before load: Pillow turns a TIFF there, and forgets
        opened.load()
        image: Image.Image = opened
        if turned and opened.format != "TIFF":  # Pillow turns TIFFs itself
            image = ImageOps.exif_transpose(opened)
        if turned:
            converted.append("EXIF rotation applied")
        return _settled(image, channels, converted)


def _orientation(image: "Image") -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # the pixels may be sound where the EXIF block is not
        return 1


def _settled(image: "Image", channels: int | None, converted: list[str]) -> Decoded:
    """The picture in one of the modes that are kept: L, RGB, 16 bits or float, LA and RGBA where asked."""
    if image.mode.startswith("I;16"):
        return Decoded(np.asarray(image).astype(np.uint16)[..., None], tuple(converted))
    if image.mode == "F":
        return Decoded(np.asarray(image, dtype=np.float32)[..., None], tuple(converted))
    if image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise SetAside("whole numbers beyond 0 to 65535: save them as uint16 or float32")
        return Decoded(values.astype(np.uint16)[..., None], tuple(converted))
    if image.mode == "1":
        image = image.convert("L")
        converted.append("1-bit to grey")
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        converted.append("palette to RGB")
    elif image.mode in ("PA", "La", "RGBa"):
        image = image.convert({"PA": "RGBA", "La": "LA", "RGBa": "RGBA"}[image.mode])
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        converted.append(f"{image.mode} to RGB")
        image = image.convert("RGB")
    elif image.mode in ("L", "RGB") and "transparency" in image.info:  # one colour stands for transparent
        image = image.convert(image.mode + "A")
    if channels == 4 or (channels == 2 and image.mode in ("L", "LA")):
        if not image.mode.endswith("A"):
            converted.append("opaque transparency added")
        image = image.convert("RGBA" if channels == 4 else "LA")
    elif image.mode in ("LA", "RGBA"):
        image = _over_white(image)
        converted.append("transparency over white")
    pixels = np.asarray(image)
    return Decoded(pixels if pixels.ndim == 3 else pixels[..., None], tuple(converted))


def _over_white(image: "Image") -> "Image":
    from PIL import Image as Images

    solid = image.mode[:-1]
    ground = Images.new(solid, image.size, "white")
    ground.paste(image.convert(solid), mask=image.getchannel("A"))
    return ground


def _shallow(content: bytes) -> None:
    """Raises SetAside for a file of which Pillow would keep 8 bits of 16 without a word."""
    if content.startswith(b"\x89PNG") and len(content) >= 26:
        height, width = struct.unpack(">II", content[16:24])[::-1]
        small_enough(height, width)
        if content[24] == 16 and content[25] != 0:
            raise SetAside(SHALLOW)
    colour = re.match(rb"P[36]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+(\d+)", content[:1024])
    if colour and int(colour[1]) > 255:
        raise SetAside(SHALLOW)


def _tiff(content: bytes, channels: int | None) -> Decoded | None:
    """A TIFF that Pillow cannot hold (many channels, 16-bit colour, float), or None to leave it to Pillow."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        if not isinstance(page, tifffile.TiffPage):
            raise SetAside("a TIFF without a first page")
        small_enough(page.imagelength, page.imagewidth)
        if _plain(page):
            return None
        if page.samplesperpixel > MOST_CHANNELS:
            raise SetAside(f"has {page.samplesperpixel} channels; at most {MOST_CHANNELS} are read")
        if page.nbytes > ARRAY_LIMIT:
            raise SetAside(f"unpacks to {page.nbytes:,} bytes, over the limit of {ARRAY_LIMIT:,}")
        if page.imagedepth > 1:
            raise SetAside("a volume: save its slices as images")
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = pixels.transpose(1, 2, 0)
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            raise SetAside("white is stored as zero: convert it to an ordinary grey TIFF")
        converted = ["first of several frames taken"] if len(file.pages) > 1 else []
        code = int(page.tags.valueof("Orientation", default=1))
        if code not in (0, 1):
            converted.append("EXIF rotation applied")
        return Decoded(whole(oriented(pixels, code)), tuple(converted))


def _plain(page: Any) -> bool:
    """Whether Pillow holds a page without loss: one sample of any depth, or colour of 8 bits."""
    if page.dtype is None or page.samplesperpixel == 1:
        return page.dtype is None or page.dtype.str[1:] in ("b1", "u1", "u2", "f4")
    transparent = any(int(kind) in (1, 2) for kind in page.extrasamples)
    colour = page.samplesperpixel == 3 or (
        page.samplesperpixel == 4 and (transparent or page.photometric == 5)
    )
    return page.dtype == np.uint8 and colour


def oriented(pixels: np.ndarray[Any, Any], code: int) -> np.ndarray[Any, Any]:
    """[H, W, C] turned upright from EXIF orientation 1 to 8.

    >>> oriented(np.array([[[1], [2]]]), 6)[:, 0, 0].tolist()
    [1, 2]
    """
    if code in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if code in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if code in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _array(content: bytes) -> np.ndarray[Any, Any]:
    """The one image in an .npy or .npz file, [H, W] or [H, W, C]."""
    from zerosum.data.arrays import read_npy, read_npz

    if content.startswith(b"PK"):
        arrays = read_npz(io.BytesIO(content), limit=ARRAY_LIMIT)
        if len(arrays) != 1:
            raise SetAside(f"holds {len(arrays)} arrays ({', '.join(arrays)}): keep one image a file")
        pixels = next(iter(arrays.values()))()
    else:
        pixels = read_npy(io.BytesIO(content), limit=len(content))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3:
        raise SetAside(f"an array of shape {pixels.shape}, no image: expected HxW or HxWxC")
    small_enough(*pixels.shape[:2])
    if not 1 <= pixels.shape[2] <= MOST_CHANNELS:
        raise SetAside(f"an array of shape {pixels.shape}: expected HxWxC with C from 1 to {MOST_CHANNELS}")
    return whole(pixels)


def whole(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Values as uint8, uint16 or float32, or SetAside where their type does not tell their full range.

    >>> whole(np.array([0.5])).dtype, whole(np.array([True]))
    (dtype('float32'), array([255], dtype=uint8))
    """
    kind = values.dtype.newbyteorder("=")
    if kind in (np.uint8, np.uint16):
        return values.astype(kind, copy=False)
    if kind.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind.kind == "f":
        with np.errstate(over="ignore"):  # what overflows is infinite, and set aside as such
            return values.astype(np.float32, copy=False)
    raise SetAside(f"values of type {kind}: save them as uint8, uint16 or float32")
