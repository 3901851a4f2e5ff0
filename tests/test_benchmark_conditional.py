"""The reader and the pupil of benchmarks/conditional.py: what each would be pleased with, and what not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import conditional
from tests import small
from tests.judged import bars
from tests.running import console
from zerosum import runs
from zerosum.rundir import DataOptions


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_worst_class_is_told():
    images, labels = torch.zeros(6, 1, 2, 2), torch.tensor([0, 0, 0, 0, 1, 1])
    says = torch.tensor([[1.0, 0.0]]).repeat(6, 1)
    says[0] = torch.tensor([0.0, 1.0])
    found = conditional.accuracy(lambda x: says[: len(x)], images, labels)
    assert found == {"right": 0.5, "worst": 0.0}


def test_it_reads_a_run_and_prints_json(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    (x, y), (x_test, y_test) = (bars(count, seed=count) for count in (120, 40))

    def stored(images: Tensor) -> np.ndarray:
        return ((images[:, 0] + 1) * 127.5).byte().numpy()

    data = tmp_path / "bars.npz"
    np.savez(data, x_train=stored(x), y_train=y, x_test=stored(x_test), y_test=y_test)
    arguments = {**small.TINY["cgan"], "images": 16}
    runs.start(
        "cgan", DataOptions(str(data)), tmp_path / "run", console(), arguments=arguments, precision="fp32"
    )
    options = ["--each", "5", "--seeds", "2", "--lessons", "50", "--steps", "20", "--json"]
    conditional.main([str(tmp_path / "run"), *options])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["case"], line["of"]) for line in lines] == [
        ("reader", "real test set"),
        ("reader", "samples, seed 0"),
        ("reader", "samples, seed 1"),
        ("pupil of samples", "real test set"),
        ("pupil of reals", "real test set"),
    ]
    assert all(0 <= line["worst"] <= line["right"] <= 1 for line in lines)
    arguments = {**small.TINY["gan"], "images": 16}
    runs.start("gan", DataOptions(str(data)), tmp_path / "plain", console(), arguments=arguments)
    with pytest.raises(SystemExit):
        conditional.main([str(tmp_path / "plain")])
    assert "was trained without labels" in capsys.readouterr().err
