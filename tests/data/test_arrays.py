import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.data import DataError, open_data
from zerosum.data.arrays import CIFAR_RECORD

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(256, size=(6, 10, 12, 3), dtype=np.uint8)


class Payload:
    """A pickle that writes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.pkl", "a.data", "a.npy", "a.npz", "a.zip", "dir/a.pt"])
def test_a_pickle_is_refused_and_never_run(tmp_path: Path, name: str) -> None:
    mark, path = tmp_path / "ran", tmp_path / name
    path.parent.mkdir(exist_ok=True)
    objects = np.array([Payload(mark)], dtype=object)
    if name in ("a.pt", "a.pth", "a.zip"):
        torch.save({"x": Payload(mark)}, path)
    elif name == "a.npy":
        np.save(path, objects, allow_pickle=True)
    elif name == "a.npz":
        np.savez(path, images=objects)
    else:
        path.write_bytes(pickle.dumps(Payload(mark)))
    mark.unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"pickle.*save (it as an|the) array"):
        open_data(path.parent if name.startswith("dir") else path)
    assert not mark.exists()


LAYOUTS = [IMAGES, IMAGES.transpose(0, 3, 1, 2), IMAGES[..., 0], IMAGES[..., :1], np.asfortranarray(IMAGES)]


@pytest.mark.parametrize("form", ["npy", "npz"])
@pytest.mark.parametrize("images", LAYOUTS)
def test_layouts_are_told_apart(tmp_path: Path, form: str, images: np.ndarray) -> None:
    path = tmp_path / f"a.{form}"
    np.save(path, images) if form == "npy" else np.savez(path, images=images)
    found = open_data(path)
    grey = images.ndim == 3 or images.shape[3] == 1
    np.testing.assert_array_equal(found.samples, IMAGES[..., :1] if grey else IMAGES)


@pytest.mark.parametrize("shape", [(5, 8, 8, 8), (5, 40, 40, 40), (40, 40, 3), (40,), (5, 784)])
def test_layouts_in_doubt_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="not clearly a set of images"):
        open_data(tmp_path / "a.npy")


def test_an_npy_is_mapped_and_not_copied(tmp_path: Path, own_cache: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    for _ in range(2):
        found = open_data(tmp_path / "a.npy")
        assert isinstance(found.samples, np.memmap)
    assert {path.suffix for path in own_cache.iterdir()} == {".json"}
    np.save(tmp_path / "a.npy", IMAGES[:4])
    assert len(open_data(tmp_path / "a.npy")) == 4


@pytest.mark.parametrize("cut", [3, 60, 500])
def test_truncated_arrays_are_errors(tmp_path: Path, cut: int) -> None:
    for name in ("a.npy", "a.npz"):
        np.save(tmp_path / name, IMAGES) if name == "a.npy" else np.savez(tmp_path / name, x=IMAGES)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:cut])
        with pytest.raises(DataError, match=name):
            open_data(tmp_path / name)


def test_an_npz_that_declares_a_terabyte_is_refused(tmp_path: Path) -> None:
    import zipfile

    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000, 1000), }"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(117) + b"\n" + bytes(100))
    with pytest.raises(DataError, match=r"declares 1,000,000,000,000 bytes.*\.npy"):
        open_data(tmp_path / "a.npz")


def test_npz_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x_train=IMAGES, y_train=[0, 1, 0, 1, 2, 2], x_test=IMAGES[:2], y_test=[1, 0])
    found = open_data(path)
    assert (len(found), found.classes) == (6, ("0", "1", "2"))
    assert found.labels is not None
    assert found.labels.dtype == np.int64
    assert len(open_data(path, split="test")) == 2
    with pytest.raises(DataError, match=r"which array holds the val images.*x_train"):
        open_data(path, split="val")
    np.savez(path, data=IMAGES, images=IMAGES)
    with pytest.raises(DataError, match="images, data could each be meant"):
        open_data(path)
    np.savez(path, a=IMAGES, b=IMAGES)
    with pytest.raises(DataError, match="It has a, b"):
        open_data(path)
    np.savez(path, whatever=IMAGES)
    assert len(open_data(path)) == 6


@pytest.mark.parametrize("labels", [[0, 1], [0.5] * 6, [-1] * 6, [10**12] * 6])
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: list[float]) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=labels)
    with pytest.raises(DataError, match="label"):
        open_data(tmp_path / "a.npz")


def test_resizing_keeps_labels_and_notes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=[0, 1, 0, 1, 2, 3], class_names=["p", "q", "r", "s"])
    found = open_data(tmp_path / "a.npz", size=(8, 16))
    assert found.format.shape == (3, 8, 16)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 0, 1, 2, 3]
    assert found.classes == ("p", "q", "r", "s")
    assert found.check.converted == {"enlarged to the size asked for": 6}


def test_float_ranges_are_found_or_declared(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    images = np.linspace(0, 1, 600).reshape(6, 10, 10)
    np.save(path, images.astype(np.float32))
    found = open_data(path)
    assert (found.format.low, found.format.high) == (0, 1)
    assert found.check.notes == ("float values found in [0, 1]: 0 maps to -1 and 1 to 1",)
    declared = open_data(path, value_range=(-1, 1))
    assert (declared.format.low, declared.format.high) == (-1, 1)
    assert declared.samples.base is not None, "mapped, for nothing had to be clipped"
    clipped = open_data(path, value_range=(0.25, 0.5))
    assert (clipped.samples.min(), clipped.samples.max()) == (0.25, 0.5)
    assert clipped.check.notes[1] == "values found in [0, 1]: clipped to the declared range"
    np.save(path, np.full((3, 10, 10), 2.0, np.float32))
    with pytest.raises(DataError, match="every value is 2"):
        open_data(path)


def test_not_finite_samples_are_set_aside_with_their_labels(tmp_path: Path) -> None:
    images = np.linspace(0, 1, 600).reshape(6, 10, 10).astype(np.float32)
    images[2, 3, 3], images[5, 0, 0] = np.nan, np.inf
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(6))
    found = open_data(tmp_path / "a.npz")
    assert [name for name, _ in found.check.set_aside] == ["sample 2", "sample 5"]
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 3, 4]
    assert np.isfinite(found.samples).all()
    assert "class 2: no usable image" in found.check.notes


def test_whole_numbers_of_other_types_are_kept_in_what_holds_them(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for values, dtype in ((IMAGES.astype(np.int64), "uint8"), (IMAGES.astype(np.int32) * 200, "uint16")):
        np.save(path, values)
        found = open_data(path)
        assert found.format.dtype == dtype
        np.testing.assert_array_equal(found.samples, values)
        assert f"kept as {dtype}" in found.check.notes[0]
    np.save(path, IMAGES.astype(">u2"))
    assert open_data(path).samples.dtype == np.uint16
    np.save(path, IMAGES > 100)
    np.testing.assert_array_equal(open_data(path).samples, (IMAGES > 100) * np.uint8(255))
    np.save(path, IMAGES.astype(np.int32) - 9)
    with pytest.raises(DataError, match="int32"):
        open_data(path)


def test_twelve_bits_in_sixteen(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES.astype(np.uint16) * 16)
    found = open_data(tmp_path / "a.npy", value_range=(0, 4095))
    assert found.format.high == 4095
    with pytest.raises(DataError, match="outside that of uint16"):
        open_data(tmp_path / "a.npy", value_range=(-5, 4095))


def test_points_are_read_as_they_are(tmp_path: Path) -> None:
    points = RANDOM.normal(size=(50, 3)) * 7
    points[4, 1] = np.nan
    np.save(tmp_path / "p.npy", points)
    found = open_data(tmp_path / "p.npy")
    assert found.format.shape == (3,)
    np.testing.assert_allclose(found.samples, np.delete(points, 4, 0), rtol=1e-6)
    with pytest.raises(DataError, match="points have no size"):
        open_data(tmp_path / "p.npy", size=16)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_with_their_labels(tmp_path: Path, zipped: bool) -> None:
    pack, end = (gzip.compress, ".gz") if zipped else (bytes, "")
    path = tmp_path / f"train-images-idx3-ubyte{end}"
    path.write_bytes(pack(idx(IMAGES[..., 0])))
    assert open_data(path).labels is None
    (tmp_path / f"train-labels-idx1-ubyte{end}").write_bytes(pack(idx(np.arange(6, dtype=np.uint8))))
    for where in (path, tmp_path):
        found = open_data(where)
        np.testing.assert_array_equal(found.samples[..., 0], IMAGES[..., 0])
        assert found.labels is not None
        assert found.labels.tolist() == list(range(6))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged or truncated"):
        open_data(path)


def test_cifar_binary_records(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for batch in range(1, 7):
            name = f"data_batch_{batch}.bin" if batch < 6 else "test_batch.bin"
            records = RANDOM.integers(256, size=(4, CIFAR_RECORD), dtype=np.uint8)
            records[:, 0] = batch
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = records.size
            archive.addfile(info, io.BytesIO(records.tobytes()))
    found = open_data(tmp_path / "cifar-10-binary.tar.gz")
    assert found.samples.shape == (20, 32, 32, 3)
    assert found.labels is not None
    assert found.labels[::4].tolist() == [1, 2, 3, 4, 5]
    test = open_data(tmp_path / "cifar-10-binary.tar.gz", split="test")
    np.testing.assert_array_equal(test.samples[3].transpose(2, 0, 1).ravel(), records[3, 1:])


def test_encoded_images_with_offsets(tmp_path: Path) -> None:
    files = []
    for image in IMAGES:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        files.append(stream.getvalue())
    files[3] = files[3][:50]
    offsets = np.cumsum([0, *map(len, files)])
    content = np.frombuffer(b"".join(files), np.uint8)
    path = tmp_path / "a.npz"
    np.savez(path, train_bytes=content, train_offsets=offsets, train_labels=np.arange(6))
    found = open_data(path)
    np.testing.assert_array_equal(found.samples, np.delete(IMAGES, 3, 0))
    assert [name for name, _ in found.check.set_aside] == ["sample 3"]
    for wrong in (offsets[::-1], offsets + 5, offsets.astype(float)):
        np.savez(path, train_bytes=content, train_offsets=wrong)
        with pytest.raises(DataError, match="offsets"):
            open_data(path)
