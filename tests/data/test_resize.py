import numpy as np
import pytest
from PIL import Image

from zerosum.data.containers import SetAside
from zerosum.data.resize import central, resized

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "size", "box"),
    [
        ((109, 89), (64, 64), (10, 0, 89, 89)),
        ((48, 80), (48, 80), (0, 0, 48, 80)),
        ((100, 200), (64, 64), (0, 50, 100, 100)),
        ((100, 100), (32, 64), (25, 0, 50, 100)),
    ],
)
def test_the_largest_central_box_of_the_right_shape(
    shape: tuple[int, int], size: tuple[int, int], box: tuple[int, ...]
) -> None:
    assert central(*shape, size) == box


def test_faces_take_the_central_square_antialiased() -> None:
    image = RANDOM.integers(256, size=(109, 89, 3), dtype=np.uint8)
    expected = Image.fromarray(image[10:99]).resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(resized(image, (64, 64)), np.asarray(expected))
    fine = np.indices((128, 128)).sum(0) % 2 * np.uint8(255)
    grey = resized(fine.astype(np.uint8)[..., None], (32, 32))
    assert np.abs(grey.astype(int) - 127).max() <= 2, "a checkerboard shrinks to grey, not to a pattern"


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 5), ("uint16", 1), ("uint16", 3), ("float32", 8)])
def test_every_depth_is_resized_alike(dtype: str, channels: int) -> None:
    scale = {"uint8": 1, "uint16": 257, "float32": 1}[dtype]
    base = RANDOM.integers(64, 192, size=(40, 60, channels), dtype=np.uint8)
    done = resized((base.astype(np.int64) * scale).astype(dtype), (16, 24))
    assert done.dtype == np.dtype(dtype)
    for channel in range(channels):
        plain = resized(base[..., channel : channel + 1], (16, 24))
        assert np.abs(done[..., channel] / scale - plain[..., 0]).max() <= 2  # Pillow rounds bytes twice


def test_values_stay_in_the_images_own_range() -> None:
    image = np.zeros((32, 32, 1), np.float32)
    image[:16] = 1
    done = resized(image, (13, 13))
    assert (done.min(), done.max()) == (0, 1)
    deep = resized((image * 65535).astype(np.uint16), (45, 45))
    assert deep.max() == 65535
    assert deep.min() == 0


def test_the_right_size_is_untouched_and_tiny_images_are_refused() -> None:
    image = RANDOM.integers(256, size=(16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resized(image, (16, 16)), image)
    with pytest.raises(SetAside, match="7x16 pixels"):
        resized(image[:7], (16, 16))
