"""Odd and broken images are converted, or set aside with the reason, before anything is trained."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data.conftest import Make
from zerosum.data import DataError, open_data

RANDOM = np.random.default_rng(1)
RGB = RANDOM.integers(256, size=(16, 16, 3), dtype=np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, body: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, metadata=None, **options)
    return stream.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(RGB), "PNG", exif=exif)


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)


CONVERTED = {
    "cmyk": (saved(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "c.jpg", ["CMYK to RGB"]),
    "palette": (saved(Image.fromarray(RGB).quantize(8), "PNG"), "p.png", ["palette to RGB"]),
    "RGBA": (saved(Image.fromarray(RGB).convert("RGBA"), "PNG"), "a.png", ["transparency over white"]),
    "LA": (saved(Image.new("LA", (16, 16)), "PNG"), "la.png", ["grey to RGB", "transparency over white"]),
    "1-bit": (saved(Image.new("1", (16, 16)), "PNG"), "b.png", ["1-bit to grey", "grey to RGB"]),
    "grey": (saved(Image.new("L", (16, 16)), "PNG"), "g.png", ["grey to RGB"]),
    "rotated": (rotated(), "r.png", ["EXIF rotation applied"]),
    "gif": (animated("GIF"), "x.gif", ["first of several frames taken", "palette to RGB"]),
    "webp": (animated("WEBP"), "x.webp", ["first of several frames taken"]),
    "wrong suffix": (saved(Image.fromarray(RGB), "PNG"), "really-a-png.jpg", []),
    "no suffix": (saved(Image.fromarray(RGB), "BMP"), "0f3a", []),
    "unicode": (saved(Image.fromarray(RGB), "PNG"), "фото 写真 é.png", []),
    "npy": (b"", "n.npy", []),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_odd_images_are_converted_and_counted(photos: Make, case: str) -> None:
    folder = photos(2)
    content, name, expected = CONVERTED[case]
    (folder / name).write_bytes(content)
    if case == "npy":
        np.save(folder / name, RGB)
    check = open_data(folder).check
    assert check.set_aside == ()
    assert dict(check.converted) == dict.fromkeys(expected, 1)
    assert (check.found, check.kept) == (3, 3)


def _pixel(folder: Path, name: str, content: bytes, **options: int) -> np.ndarray:
    (folder / name).write_bytes(content)
    return open_data(folder, **options).samples[0]


def test_rotation_turns_the_pixels(tmp_path: Path) -> None:
    np.testing.assert_array_equal(_pixel(tmp_path, "r.png", rotated()), np.rot90(RGB, -1))


def test_the_first_frame_is_the_one_taken(tmp_path: Path) -> None:
    np.testing.assert_array_equal(_pixel(tmp_path, "x.webp", animated("WEBP")), RGB)


def test_transparency_is_laid_over_white_or_kept_where_asked(tmp_path: Path) -> None:
    image = np.zeros((16, 16, 4), np.uint8)
    image[:8, :, 3] = 255
    image[8:, :, :3] = 77  # a colour nobody should see
    content = saved(Image.fromarray(image), "PNG")
    shown = _pixel(tmp_path, "a.png", content)
    assert (shown[:8] == 0).all()
    assert (shown[8:] == 255).all()
    np.testing.assert_array_equal(_pixel(tmp_path, "a.png", content, channels=4), image)


BROKEN = {
    "empty": (b"", "empty file"),
    "truncated": (saved(Image.fromarray(RGB), "PNG")[:500], "truncated or damaged"),
    "truncated jpeg": (saved(Image.fromarray(RGB.repeat(8, 0)), "JPEG")[:900], "truncated or damaged"),
    "text": (b"this is no image at all", "not an image"),
    "1x1": (saved(Image.new("RGB", (1, 1)), "PNG"), "too small to learn from"),
    "1e9 pixels": (png(50_000, 20_000, 8, 2, zlib.compress(bytes(100))), "declares 20000x50000"),
    "16-bit colour": (png(16, 16, 16, 2, zlib.compress(bytes(16 * 97))), "save it as TIFF or .npy"),
    "16-bit ppm": (b"P6 16 16 65535 " + bytes(16 * 16 * 6), "save it as TIFF or .npy"),
    "9 channels": (
        tiff(np.zeros((16, 16, 9), np.uint8), photometric="minisblack", planarconfig="contig"),
        "9 channels",
    ),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n", "not an image"),
    "pickle": (b"\x80\x04\x95.", "not an image"),
    "torch": (b"PK\x03\x04" + bytes(40), "not a sound .npz"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_images_are_set_aside_with_their_reason(photos: Make, case: str) -> None:
    folder = photos(2)
    content, reason = BROKEN[case]
    (folder / "sub").mkdir()
    (folder / "sub" / "broken.png").write_bytes(content)
    for _ in range(2):  # decoded, then out of the cache
        check = open_data(folder).check
        assert [path for path, _ in check.set_aside] == ["sub/broken.png"]
        assert reason in check.set_aside[0][1]
        assert (check.found, check.kept) == (3, 2)


def bmp(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, *([0] * 5))
    return b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + info + bytes(100)


def bare_tiff(width: int, height: int) -> bytes:
    tags = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, 9),
    ]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + body + bytes(100)


def huge_npy() -> bytes:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000, 10000, 3), }"
    return b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(117) + b"\n"


def test_a_billion_declared_pixels_take_no_memory(tmp_path: Path) -> None:
    bombs = {
        "a.png": png(50_000, 20_000, 8, 2, zlib.compress(bytes(1 << 20))),
        "b.bmp": bmp(40_000, 25_000),
        "c.bmp": bmp(9_000, 8_000),  # over our limit, under Pillow's
        "d.gif": b"GIF89a" + struct.pack("<HH", 65_000, 65_000) + animated("GIF")[10:],
        "e.npy": huge_npy(),
        "f.tif": bare_tiff(40_000, 25_000),
    }
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
    Image.fromarray(RGB).save(tmp_path / "good.png")
    tracemalloc.start()
    check = open_data(tmp_path).check
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert check.kept == 1
    assert [name for name, _ in check.set_aside] == list(bombs)
    assert all("declares" in reason for _, reason in check.set_aside), check.set_aside
    assert peak < 50 << 20


def test_only_broken_images_is_an_error_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"bad\.png: empty file"):
        open_data(tmp_path)


def test_grey_stays_grey_and_sixteen_bits_stay(photos: Make) -> None:
    folder = photos(3, (48, 80), "uint16")
    found = open_data(folder)
    assert (found.format.shape, found.format.dtype, found.format.high) == ((1, 48, 80), "uint16", 65535)
    np.testing.assert_array_equal(found.samples[1, ..., 0], np.asarray(Image.open(folder / "good1.png")))


def test_eight_bits_among_sixteen_are_scaled(photos: Make) -> None:
    folder = photos(2, (16, 16), "uint16")
    Image.fromarray(RGB[..., 0]).save(folder / "shallow.png")
    found = open_data(folder)
    np.testing.assert_array_equal(found.samples[2, ..., 0], RGB[..., 0].astype(np.uint16) * 257)
    assert found.check.converted == {"8 to 16 bits": 1}


DEEP = {
    "uint16 colour": (RANDOM.integers(65536, size=(16, 20, 3), dtype=np.uint16), {"photometric": "rgb"}),
    "eight channels": (RANDOM.integers(256, size=(16, 20, 8), dtype=np.uint8), {"photometric": "minisblack"}),
    "two channels": (RANDOM.integers(256, size=(16, 20, 2), dtype=np.uint8), {"photometric": "minisblack"}),
    "float": (RANDOM.normal(size=(16, 20)).astype(np.float32), {}),
    "float64 colour": (RANDOM.normal(size=(16, 20, 3)), {"photometric": "rgb"}),
    "grey": (RANDOM.integers(65536, size=(16, 20), dtype=np.uint16), {"compression": "zlib"}),
    "colour": (RANDOM.integers(256, size=(16, 20, 3), dtype=np.uint8), {"photometric": "rgb"}),
}


@pytest.mark.parametrize("case", DEEP)
def test_tiffs_keep_depth_and_channels(tmp_path: Path, case: str) -> None:
    pixels, options = DEEP[case]
    planar = {"planarconfig": "contig"} if pixels.ndim == 3 else {}
    (tmp_path / "a.tif").write_bytes(tiff(pixels, **options, **planar))
    found = open_data(tmp_path)
    expected = pixels.astype(np.float32) if pixels.dtype == np.float64 else pixels
    np.testing.assert_array_equal(found.samples[0], expected.reshape(16, 20, -1))
    assert found.samples.dtype == expected.dtype


def test_a_separate_planes_tiff_is_turned_channels_last(tmp_path: Path) -> None:
    pixels = RANDOM.integers(65536, size=(5, 16, 20), dtype=np.uint16)
    (tmp_path / "a.tif").write_bytes(tiff(pixels, photometric="minisblack", planarconfig="separate"))
    np.testing.assert_array_equal(open_data(tmp_path).samples[0], pixels.transpose(1, 2, 0))


def test_not_finite_images_are_set_aside_and_the_range_is_of_the_others(tmp_path: Path) -> None:
    for index, (low, high) in enumerate([(0.0, 1.0), (0.25, 3.0), (-9.0, 9.0)]):
        image = np.linspace(low, high, 100, dtype=np.float32).reshape(10, 10)
        image[5, 5] = np.nan if index == 2 else image[5, 5]
        np.save(tmp_path / f"{index}.npy", image)
    found = open_data(tmp_path)
    assert (found.format.low, found.format.high) == (0.0, 3.0)
    assert found.check.set_aside == (("2.npy", "holds values that are not finite (NaN or infinity)"),)
    assert found.check.notes == ("float values found in [0, 3]: 0 maps to -1 and 3 to 1",)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (np.zeros((16, 16), np.float32), "whole numbers and floats"),
        (np.zeros((16, 16, 5), np.uint8), "different numbers of channels"),
        (np.zeros((20, 16, 3), np.uint8), "different sizes"),
        (np.zeros((600, 600, 3), np.uint8), "different sizes"),
    ],
)
def test_what_cannot_be_made_alike_is_an_error(photos: Make, other: np.ndarray, reason: str) -> None:
    folder = photos(2)
    np.save(folder / "other.npy", other)
    with pytest.raises(DataError, match=reason):
        open_data(folder)


def test_a_broken_image_does_not_decide_for_the_rest(photos: Make) -> None:
    folder = photos(2, (16, 16))
    (folder / "broken.png").write_bytes(
        saved(Image.fromarray(RANDOM.integers(256, size=(40, 40, 3), dtype=np.uint8)), "PNG")[:900]
    )
    found = open_data(folder)
    assert found.format.shape == (1, 16, 16)
    assert len(found.check.set_aside) == 1


def test_channels_asked_for(photos: Make) -> None:
    folder = photos(2)
    grey = open_data(folder, channels=1)
    assert grey.format.shape == (1, 16, 16)
    expected = np.asarray(Image.open(folder / "good0.png").convert("L")).astype(int)
    assert np.abs(grey.samples[0, ..., 0] - expected).max() <= 1
    opaque = open_data(folder, channels=4)
    assert opaque.samples[..., 3].min() == 255
    assert opaque.check.converted == {"opaque transparency added": 2}
    with pytest.raises(DataError, match="3 channels, where 2 were asked for"):
        open_data(folder, channels=2)
    with pytest.raises(DataError, match="5 were asked for"):
        open_data(folder, channels=5)
