"""The pictures of a report: every mode and depth, thinned, kept small, or named when they cannot show."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pages import Page, grid, report, run
from zerosum.report import write_report

__all__ = ["run"]  # a fixture


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1"])
def test_png_of_every_mode_is_shown(run: Path, mode: str) -> None:
    Image.new("L", (32, 16), 255).convert(mode).save(run / "samples" / "000000006000.png")
    latest = report(run).pictures()[0].convert("RGB")
    assert latest.getpixel((3, 3)) == (255, 255, 255)


def test_16_bit_png_is_scaled_by_the_datas_range(run: Path) -> None:
    values = np.linspace(0, 4095, 512).reshape(16, 32).astype(np.uint16)
    Image.fromarray(values).save(run / "samples" / "000000006000.png")
    latest = np.asarray(report(run).pictures()[0])
    assert latest.dtype == np.uint8
    np.testing.assert_array_equal(latest, np.round(values / 4095 * 255))


def test_16_bit_png_beyond_the_datas_range_is_scaled_by_its_depth(run: Path) -> None:
    Image.fromarray(np.full((16, 32), 65535, np.uint16)).save(run / "samples" / "000000006000.png")
    assert np.asarray(report(run).pictures()[0]).min() == 255


def test_many_grids_are_thinned_to_twelve_with_both_ends(run: Path) -> None:
    for images in range(1000, 201_000, 1000):
        grid(run, images)
    captions = [image["alt"] or "" for image in report(run).all("img")][1:]
    shown = [int(re.sub(r"\D", "", caption)) for caption in captions]
    assert 8 <= len(shown) <= 12
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1]) == (1000, 200_000)
    assert sum(images <= 20_000 for images in shown) >= 4  # closer together at the start


def test_large_grids_keep_the_page_small(run: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    for images in range(10_000, 34_000, 2000):
        Image.fromarray(noise).save(run / "samples" / f"{images:012d}.png", compress_level=1)
    path = write_report(run)
    assert path.stat().st_size < 5e6
    assert max(Page(path.read_text(encoding="utf-8")).pictures()[0].size) >= 600


def test_pictures_that_cannot_be_shown_are_named_with_the_reason(run: Path) -> None:
    samples = run / "samples"
    (samples / "000000006000.tif").write_bytes(b"II*\0")
    (samples / "000000007000.png").write_bytes((samples / "000000001000.png").read_bytes()[:45])
    (samples / "000000008000.png").write_bytes(b"")
    Image.new("1", (10_000, 10_000)).save(samples / "000000009000.png")  # Pillow warns of this one
    Image.new("1", (20_000, 10_000)).save(samples / "000000009100.png")  # and refuses this one
    os.mkfifo(samples / "000000009500.png")
    (samples / "notes.txt").write_text("not a grid")
    page = report(run)
    for name in (
        "6000.tif: browsers",
        "7000.png: ",
        "8000.png: ",
        "9000.png: 10000×10000 pixels are too many",
        "9100.png: Image size",
        "9500.png: not a regular file",
    ):
        assert name in page.text
    assert "notes.txt" not in page.text
    assert len(page.all("img")) == 1 + 3
    assert "after 5,000 real images" in page.text  # the latest that can be shown is the large one
