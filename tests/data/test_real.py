"""The real sets that lie beside the checkout, read as they are."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from zerosum.data import Resident, open_data


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


def test_celeba_becomes_ten_thousand_faces(shared_data: Path, kept: Path) -> None:
    found = open_data(shared_data / "celeba_10k.tar.gz", size=64, cache=kept)
    assert found.samples.shape == (10_000, 64, 64, 3)
    assert (found.check.kept, found.check.set_aside, found.labels) == (10_000, (), None)
    centre, border = found.samples[:, 20:44, 20:44].mean((0, 1, 2)), found.samples[:, :4].mean((0, 1, 2))
    assert centre[0] > centre[1] > centre[2], "skin is redder than it is blue"
    assert centre[0] - centre[2] > 2 * (border[0] - border[2])
    start = time.perf_counter()
    again = open_data(shared_data / "celeba_10k.tar.gz", size=64, cache=kept)
    assert time.perf_counter() - start < 1
    assert again.fingerprint == found.fingerprint


def test_a_batch_of_faces_takes_well_under_what_a_step_takes(shared_data: Path, kept: Path) -> None:
    source = Resident(open_data(shared_data / "celeba_10k.tar.gz", size=64, cache=kept))
    ids, times = torch.arange(64), []
    for step in range(50):
        start = time.perf_counter()
        source(64 * step, ids)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.002, "0.2 ms on an idle core; loading through Pillow takes 15"


def test_both_forms_of_cifar_agree(shared_data: Path, kept: Path) -> None:
    jpeg = open_data(shared_data / "cifar10_jpeg.npz", split="test", cache=kept)
    exact = open_data(shared_data / "cifar10_lossless.npz", split="test", cache=kept)
    assert jpeg.samples.shape == (10_000, 32, 32, 3)
    assert jpeg.classes == exact.classes
    assert jpeg.classes[:2] == ("airplane", "automobile")
    with np.load(shared_data / "cifar10_lossless.npz") as arrays:
        where = arrays["index_test"]
    assert jpeg.labels is not None
    assert exact.labels is not None
    np.testing.assert_array_equal(jpeg.labels[where], exact.labels)
    error = ((jpeg.samples[where].astype(float) - exact.samples) ** 2).mean((1, 2, 3))
    assert (10 * np.log10(255**2 / error)).min() > 20


def test_mnist_by_name(shared_data: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    train, test = open_data("mnist", cache=kept), open_data("mnist", split="test", cache=kept)
    assert (train.samples.shape, test.samples.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    assert train.labels is not None
    assert train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert train.format.shape == (1, 28, 28)
    ours = {image.tobytes() for image in train.samples}
    digits = open_data("digits")
    assert all(image.tobytes() in ours for image in digits.samples), "the demo's digits are MNIST's"


def test_tiny_imagenet_has_classes_and_splits(shared_data: Path, kept: Path) -> None:
    found = open_data(shared_data / "tiny_imagenet_20.tar.gz", split="val", cache=kept)
    assert found.samples.shape == (1_000, 64, 64, 3)
    assert len(found.classes) == 20
    assert found.labels is not None
    assert np.bincount(found.labels).tolist() == [50] * 20
    assert found.check.converted["grey to RGB"] == 4
