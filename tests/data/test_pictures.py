from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from zerosum.data import Format, open_data
from zerosum.data.pictures import class_rows, grid, picture, preview, save_image, save_samples

CASES = [("uint8", 1), ("uint8", 2), ("uint8", 3), ("uint8", 4), ("uint8", 8), ("uint16", 1), ("uint16", 3)]
CASES += [("uint16", 5), ("float32", 1), ("float32", 3), ("float32", 6)]


def some(count: int, channels: int, dtype: str) -> np.ndarray:
    random = np.random.default_rng(0)
    if dtype == "float32":
        return random.uniform(-1, 1, (count, 9, 12, channels)).astype(np.float32)
    return random.integers(np.iinfo(dtype).max + 1, size=(count, 9, 12, channels), dtype=dtype)


def test_a_grid_holds_each_tile_where_it_belongs() -> None:
    tiles = some(5, 3, "uint16")
    picture = grid(tiles, columns=2, padding=3)
    assert picture.shape == (3 * 9 + 4 * 3, 2 * 12 + 3 * 3, 3)
    assert picture.dtype == tiles.dtype
    for index in range(5):
        top, left = 3 + (index // 2) * 12, 3 + (index % 2) * 15
        np.testing.assert_array_equal(picture[top : top + 9, left : left + 12], tiles[index])
    assert picture.astype(int).sum() == tiles.astype(int).sum()
    with pytest.raises(ValueError, match="N, H, W, C"):
        grid(tiles[:0])


@pytest.mark.parametrize(("dtype", "channels"), CASES)
def test_files_come_back_as_they_were(tmp_path: Path, dtype: str, channels: int) -> None:
    stored = some(3, channels, dtype)
    form = Format((channels, 9, 12), dtype, -1 if dtype == "float32" else 0, 1)  # type: ignore[arg-type]
    save_samples(tmp_path / "out", stored, form)
    paths = sorted((tmp_path / "out").iterdir())
    png = (dtype, channels) in (("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1))
    assert [path.name for path in paths] == [f"00000{i}.{'png' if png else 'tiff'}" for i in range(3)]
    again = open_data(tmp_path / "out", channels=channels)
    assert again.samples.dtype == stored.dtype
    np.testing.assert_array_equal(again.samples, stored)


def test_another_reader_finds_the_same_pixels(tmp_path: Path) -> None:
    deep = some(1, 1, "uint16")[0]
    save_image(tmp_path / "a.png", deep)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), deep[..., 0])
    save_image(tmp_path / "a.tif", deep.repeat(3, 2))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), deep.repeat(3, 2))
    save_image(tmp_path / "a.npy", deep)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), deep)


@pytest.mark.parametrize(
    ("dtype", "channels", "name"), [("uint16", 3, "a.png"), ("uint8", 2, "a.png"), ("uint8", 3, "a.jpg")]
)
def test_a_suffix_that_loses_something_is_refused_with_the_right_one(
    tmp_path: Path, dtype: str, channels: int, name: str
) -> None:
    right = "a.png" if name == "a.jpg" else "a.tiff"
    with pytest.raises(ValueError, match=f"name it {right}"):
        save_image(tmp_path / name, some(1, channels, dtype)[0])
    assert not list(tmp_path.iterdir())


def test_previews_are_eight_bits_of_grey_or_rgb() -> None:
    for dtype, channels, shown in (("uint16", 1, 1), ("uint16", 5, 3), ("float32", 2, 1), ("uint8", 4, 3)):
        high = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
        stored = some(2, channels, dtype)
        form = Format((channels, 9, 12), dtype, -1 if dtype == "float32" else 0, high)  # type: ignore[arg-type]
        picture = preview(stored, form)
        assert picture.dtype == np.uint8
        assert picture.shape == (2, 9, 12, shown)
        unit = (stored[..., :shown].astype(float) - form.low) / (form.high - form.low)
        assert np.abs(picture / 255 - unit).max() <= 0.5 / 255 + 1e-9


def test_points_are_drawn(tmp_path: Path) -> None:
    ring = open_data("ring")
    picture = preview(ring.samples[:500], ring.format)
    assert picture.shape == (400, 400, 3)
    assert (picture < 128).any()
    save_samples(tmp_path / "points", ring.samples[:5], ring.format)
    np.testing.assert_array_equal(np.load(tmp_path / "points" / "points.npy"), ring.samples[:5])


def test_a_row_a_class_where_samples_go_through_the_classes() -> None:
    tiles = some(8, 1, "uint8")  # of 3 classes: samples 0, 3, 6 of the first, 2 and 5 of the last
    form = Format((1, 9, 12), "uint8", 0, 255)
    rows = class_rows(tiles, 3)
    assert rows.shape == (3 * 11 + 2, 3 * 14 + 2, 1)
    for index in range(8):
        top, left = 2 + (index % 3) * 11, 2 + (index // 3) * 14
        np.testing.assert_array_equal(rows[top : top + 9, left : left + 12], tiles[index])
    assert rows.astype(int).sum() == tiles.astype(int).sum()
    np.testing.assert_array_equal(picture(tiles, form, 3), rows)
    for classes in (0, 9, 33):  # none, more than samples, more than a picture should have rows
        np.testing.assert_array_equal(picture(tiles, form, classes), grid(tiles))


def test_samples_with_labels_are_data_again(tmp_path: Path) -> None:
    tiles, form = some(4, 3, "uint8"), Format((3, 9, 12), "uint8", 0, 255)
    labels, names = np.array([1, 0, 1, 0]), ("T-shirt/top", "../coat")
    save_samples(tmp_path / "all.npz", tiles, form, labels, names)
    found = open_data(tmp_path / "all.npz")
    np.testing.assert_array_equal(found.samples, tiles)
    assert found.labels is not None
    assert (found.labels.tolist(), found.classes) == (labels.tolist(), names)
    save_samples(tmp_path / "plain.npz", tiles, form)
    assert open_data(tmp_path / "plain.npz").labels is None
    save_samples(tmp_path / "each", tiles, form, labels, names)
    made = ["000000-.._coat.png", "000001-T_shirt_top.png", "000002-.._coat.png", "000003-T_shirt_top.png"]
    assert [path.name for path in sorted((tmp_path / "each").iterdir())] == made
    points = np.zeros((4, 2), np.float32)
    save_samples(tmp_path / "points", points, Format((2,), "float32", -1, 1), labels, names)
    with np.load(tmp_path / "points" / "points.npz") as found:
        assert found["labels"].tolist() == labels.tolist()
