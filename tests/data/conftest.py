"""Small image sets to read, and a cache of the tests' own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ZEROSUM_CACHE", str(folder))
    monkeypatch.delenv("ZEROSUM_DATA", raising=False)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Make:
    """Make a folder of random images, to which a test adds what is wrong."""

    def make(count: int = 3, shape: tuple[int, ...] = (16, 16, 3), dtype: str = "uint8") -> Path:
        folder = tmp_path / "photos"
        folder.mkdir()
        random = np.random.default_rng(0)
        for index in range(count):
            pixels = random.integers(np.iinfo(dtype).max + 1, size=shape, dtype=dtype)
            Image.fromarray(pixels).save(folder / f"good{index}.png")
        return folder

    return make
