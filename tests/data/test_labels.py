"""Labels of a file of their own: which sample each line is for, and every way a file can be wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.conftest import Make
from zerosum.data import DataError, Resident, open_data
from zerosum.data.prepare import empty_classes

IMAGES = np.arange(6 * 144, dtype=np.uint16).reshape(6, 12, 12)


@pytest.fixture
def array(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", IMAGES)
    return tmp_path / "images.npy"


def written(folder: Path, name: str, labels: list[Any]) -> Path:
    """The same labels as each kind of file."""
    path = folder / name
    if path.suffix == ".npy":
        np.save(path, np.array(labels))
    elif path.suffix == ".npz":
        np.savez(path, labels=np.array(labels), other=np.zeros(3))
    else:
        heading = ["class"] if path.suffix == ".csv" else []
        path.write_text("".join(f"{word}\n" for word in [*heading, *labels]), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["l.npy", "l.npz", "l.csv", "l.txt"])
def test_numbers_and_names_of_every_kind_of_file(array: Path, name: str) -> None:
    found = open_data(array, labels=written(array.parent, name, [2, 0, 2, 0, 0, 2]))
    assert found.labels is not None
    assert (found.labels.dtype, found.labels.tolist()) == (np.int64, [2, 0, 2, 0, 0, 2])
    assert found.classes == ("0", "1", "2")
    assert empty_classes(found.labels, found.classes)[0] in found.check.notes
    words = ["dog", "cat", "dog", "äpfel", "cat", "dog"]
    found = open_data(array, labels=written(array.parent, name, words))
    assert found.labels is not None
    assert found.classes == ("cat", "dog", "äpfel")
    assert [found.classes[label] for label in found.labels] == words


def test_the_fingerprint_is_that_of_a_set_with_these_labels_of_its_own(array: Path) -> None:
    labels = [0, 1, 0, 1, 0, 1]
    np.savez(array.parent / "whole.npz", images=IMAGES, labels=labels)
    given = open_data(array, labels=written(array.parent, "l.npy", labels))
    assert given.fingerprint == open_data(array.parent / "whole.npz").fingerprint
    assert given.fingerprint != open_data(array).fingerprint
    assert open_data(array.parent / "whole.npz", labels="own").labels is not None
    with pytest.raises(DataError, match=r"images\.npy: --labels own, and the data have none"):
        open_data(array, labels="own")


@pytest.mark.parametrize("size", [None, 8])
def test_samples_set_aside_take_their_labels_with_them_also_out_of_the_cache(
    photos: Make, tmp_path: Path, size: int | None
) -> None:
    """Five files; the second and the last are broken, so that the lines' and the samples' numbers differ."""
    folder = photos(5)
    means = [open_data(folder).samples[index].mean() for index in range(5)]
    (folder / "good1.png").write_bytes(b"\x89PNG broken")
    (folder / "good4.png").write_bytes(b"")
    labels = written(tmp_path, "l.txt", ["a", "b", "c", "d", "e"])
    for _ in range(2):  # the second time out of the cache
        found = open_data(folder, size=size, labels=labels)
        assert found.labels is not None
        assert [found.classes[label] for label in found.labels] == ["a", "c", "d"]
        assert (found.aside, found.check.kept, found.check.found) == ((1, 4), 3, 5)
        if size is None:
            assert [sample.mean() for sample in found.samples] == [means[0], means[2], means[3]]
        assert "class b: no usable image" in found.check.notes
    shown = Resident(found, seed=3)(0, torch.arange(3))
    assert sorted(shown["labels"].tolist()) == [0, 2, 3]


@pytest.mark.parametrize("points", [True, False])
def test_values_that_are_not_finite_take_their_labels_with_them(tmp_path: Path, points: bool) -> None:
    shape = (5, 2) if points else (5, 12, 12)
    values = np.broadcast_to(np.arange(5.0).reshape(5, *[1] * (len(shape) - 1)), shape).copy()
    values[2] = np.nan
    np.save(tmp_path / "values.npy", values)
    for _ in range(2):
        found = open_data(tmp_path / "values.npy", labels=written(tmp_path, "l.npy", [4, 3, 2, 1, 0]))
        assert found.labels is not None
        assert found.labels.tolist() == [4, 3, 1, 0]
        assert found.aside == (2,)


def test_a_folder_is_in_the_order_of_its_names_parts(photos: Make, tmp_path: Path) -> None:
    folder = photos(3)
    for index, place in enumerate(["b", "a", "a-z"]):  # "a-z/…" sorts before "a/…" as text, after it by parts
        (folder / place).mkdir()
        (folder / f"good{index}.png").rename(folder / place / "1.png")
    own = open_data(folder)
    given = open_data(folder, labels=written(tmp_path, "l.txt", ["first", "second", "third"]))
    assert own.labels is not None
    assert given.labels is not None
    assert [own.classes[label] for label in own.labels] == ["a", "a-z", "b"]
    assert [given.classes[label] for label in given.labels] == ["first", "second", "third"]
    np.testing.assert_array_equal(own.samples, given.samples)
    assert any("taken as labels in place of the data's own" in note for note in given.check.notes)


def test_the_labels_of_a_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x_train=IMAGES, x_test=IMAGES[:2])
    np.savez(tmp_path / "l.npz", y_train=[0, 1, 0, 1, 0, 1], y_test=[1, 1], class_names=["p", "q", "r"])
    found = open_data(tmp_path / "set.npz", labels=tmp_path / "l.npz", split="test")
    assert found.labels is not None
    assert (found.labels.tolist(), found.classes) == ([1, 1], ("p", "q", "r"))
    np.savez(tmp_path / "l.npz", a=[0], b=[1])
    with pytest.raises(DataError, match=r"which array holds the labels.*a, b; name it labels"):
        open_data(tmp_path / "set.npz", labels=tmp_path / "l.npz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.txt", "0\n1\n", r"l\.txt: 2 labels for 6 samples; give one class a sample"),
        ("l.txt", "0\n" * 7, r"l\.txt: 7 labels for 6 samples"),
        ("l.txt", "", r"l\.txt: 0 labels for 6 samples"),
        ("l.txt", "0\n1\n-1\n1\n0\n1\n", r"l\.txt: .*one whole number from 0"),
        ("l.txt", "0\n1\n1.5\n1\n0\n1\n", r"l\.txt: '1\.5' is neither the whole number"),
        ("l.csv", "cat\ndog\n3\ncat\ncat\ncat\n", r"l\.csv: '3' is neither"),
        ("l.csv", "cat\ndog\nnan\ncat\ncat\ncat\n", r"l\.csv: 'nan' is neither"),
        ("l.csv", "cat\n\ncat\ncat\ncat\ncat\n", r"l\.csv, line 2: 'nothing' where one class is expected"),
        ("l.csv", "a.png,cat\nb.png,dog\n", r"l\.csv, line 1: 'a\.png, cat' where one class is expected"),
        ("l.txt", "0\n1\n0\n1\n0\n99999\n", r"l\.txt: a label of 99999 for 6 samples"),
        ("l.txt", "1\n" + "9" * 30 + "\n", r"is neither the whole number"),
        ("l.txt", b"\xff\xfe0\0", r"l\.txt: no UTF-8 text"),
        ("l.pkl", b"\x80\x04", r"l\.pkl: labels are read from \.npy, \.npz, \.csv and \.txt"),
        ("l.npy", b"\x80\x04", r"l\.npy: not a sound \.npy file"),
        ("l.npz", b"PK", r"l\.npz: not a sound \.npz file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(
    array: Path, name: str, content: str | bytes, message: str
) -> None:
    path = array.parent / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        open_data(array, labels=path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(6), "labels float64"),
        (np.zeros((6, 10), int), r"labels int64 \(6, 10\) for 6 samples"),
        (np.array(3), "1 labels for 6"),
        (np.array([{}] * 6), "pickle"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(array: Path, labels: np.ndarray, message: str) -> None:
    np.save(array.parent / "l.npy", labels, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        open_data(array, labels=array.parent / "l.npy")
    with pytest.raises(DataError, match=r"no such file; --labels takes own, or"):
        open_data(array, labels=array.parent / "nothing.npy")
