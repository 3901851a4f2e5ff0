"""The examples run, and show what they say they show."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "one_file_gan.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    spec = importlib.util.spec_from_file_location("one_file_gan", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_own_loop_and_the_librarys_end_in_the_same_weights(example, tmp_path, capsys):
    # Five steps: the lazy penalty is taken at the first and at the last.
    players = {}
    for loop in ("own", "train"):
        out = tmp_path / f"{loop}.png"
        players[loop] = example.main(["--loop", loop, "--steps", "5", "--width", "4", "--out", str(out)])
        with Image.open(out) as picture:
            assert picture.size == (8 * 30 + 2, 8 * 30 + 2)
            assert picture.mode == "L"
        assert str(out) in capsys.readouterr().out
    for own, library in zip(*players.values(), strict=True):
        for (name, a), b in zip(own.state_dict().items(), library.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
    torch.manual_seed(example.SEED)
    untrained = example.build((1, 28, 28), 4)[1]
    assert not torch.equal(players["own"][1].judge.weight, untrained.judge.weight)


def test_one_file_gan_stays_short():
    assert len(EXAMPLE.read_text().splitlines()) < 150
