import numpy as np
import pytest
import torch

from zerosum.data.formats import Format, chunks, fingerprint

EVERY = {
    "uint8": Format((1, 16, 16), "uint8", 0, 255),
    "uint16": Format((1, 256, 256), "uint16", 0, 65535),
}


@pytest.mark.parametrize("dtype", EVERY)
def test_every_stored_value_comes_back(dtype: str) -> None:
    form = EVERY[dtype]
    stored = np.arange(int(form.high) + 1, dtype=dtype).reshape(1, *form.stored_shape)
    images = form.decode(form.tensor(stored))
    assert images.dtype == torch.float32
    assert (images.min().item(), images.max().item()) == (-1.0, 1.0)
    back = form.encode(images)
    assert back.dtype == stored.dtype
    np.testing.assert_array_equal(back, stored)


def test_floats_in_unit_range_come_back_exactly() -> None:
    form = Format((2, 8, 9), "float32", -1, 1)
    stored = np.random.default_rng(0).uniform(-1, 1, (3, 8, 9, 2)).astype(np.float32)
    stored[0, 0, 0] = [1e-37, -1]
    np.testing.assert_array_equal(form.encode(form.decode(torch.from_numpy(stored))), stored)


def test_floats_of_any_range_come_back_to_rounding() -> None:
    form = Format((1, 8, 8), "float32", -1000, 3000)
    stored = np.random.default_rng(0).uniform(-1000, 3000, (2, 8, 8, 1)).astype(np.float32)
    images = form.decode(torch.from_numpy(stored))
    assert images.abs().max() <= 1
    np.testing.assert_allclose(form.encode(images), stored, atol=4000 * 2**-23)


def test_points_pass_unchanged() -> None:
    form = Format((2,), "float32", -1, 1)
    points = torch.tensor([[5.0, -7.0]])
    assert torch.equal(form.decode(points), points)
    np.testing.assert_array_equal(form.encode(points), points.numpy())


def test_decoded_images_are_channels_last_and_apart_from_the_stored() -> None:
    for dtype, low in (("uint8", 0.0), ("float32", -1.0)):
        form = Format((3, 8, 10), dtype, low, 255)  # type: ignore[arg-type]
        stored = torch.ones(2, 8, 10, 3, dtype=getattr(torch, dtype))
        images = form.decode(stored)
        assert images.shape == (2, 3, 8, 10)
        assert images.is_contiguous(memory_format=torch.channels_last)
        images.zero_()
        assert bool((stored == 1).all())


def test_encode_rounds_to_nearest_and_clips() -> None:
    form = Format((1, 1, 4), "uint8", 0, 255)
    images = torch.tensor([-3.0, 3.0, 0.0039, -0.0079]).reshape(1, 1, 1, 4)
    assert form.encode(images).ravel().tolist() == [0, 255, 128, 126]


def test_encode_refuses_what_is_no_image() -> None:
    form = Format((1, 1, 2), "uint8", 0, 255)
    with pytest.raises(ValueError, match="not finite"):
        form.encode(torch.tensor([0.0, float("nan")]).reshape(1, 1, 1, 2))
    with pytest.raises(ValueError, match=r"\(1, 2, 2\)"):
        form.encode(torch.zeros(1, 1, 2, 2))


def test_uint16_is_decoded_from_either_type() -> None:
    form = Format((1, 1, 2), "uint16", 0, 65535)
    stored = np.array([40000, 3], np.uint16).reshape(1, 1, 2, 1)
    assert torch.equal(form.decode(form.tensor(stored)), form.decode(torch.from_numpy(stored)))


@pytest.mark.parametrize(
    "wrong", [((3, 8), "uint8", 0, 1), ((3, 8, 8), "int32", 0, 1), ((3, 8, 8), "uint8", 1, 1)]
)
def test_wrong_formats_are_refused(wrong: tuple[tuple[int, ...], str, float, float]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Format(*wrong)  # type: ignore[arg-type]


def test_fingerprint_sees_content_format_and_labels_but_not_layout_in_memory() -> None:
    form = Format((1, 4, 4), "uint8", 0, 255)
    data = np.random.default_rng(0).integers(256, size=(5, 4, 4, 1), dtype=np.uint8)
    labels = np.arange(5)
    seen = {
        fingerprint(data, form),
        fingerprint(data[::-1], form),
        fingerprint(data, form, labels),
        fingerprint(data, form, labels[::-1]),
        fingerprint(data, Format((1, 4, 4), "uint8", 0, 128)),
    }
    assert len(seen) == 5
    assert fingerprint(np.asfortranarray(data), form) == fingerprint(data, form)


def test_chunks_cover_the_samples() -> None:
    data = np.arange(10)[:, None]
    np.testing.assert_array_equal(np.concatenate(list(chunks(data, 24))), data)
