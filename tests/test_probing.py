"""`zerosum probe`: the critic against controls, its card, and what cannot be probed."""

import json
from pathlib import Path

import pytest
import torch

from tests import told
from tests.running import work_alone
from zerosum import recorder
from zerosum.cli import main
from zerosum.games.game import Game
from zerosum.metrics.probe import layers
from zerosum.probing import probe_run
from zerosum.trained import load

__all__ = ["work_alone"]  # a fixture
TINY = ["--width=2", "--kernel=3", "--latent=4", "--batch=8", "--precision=fp32"]


def say(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on photos of three classes, with a folder of others for tests."""
    folder = tmp_path_factory.mktemp("run")
    told.photos(folder / "photos" / "train", count=45)
    told.photos(folder / "photos" / "test", count=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSUM_CACHE", str(folder / "cache"))
        patch.setattr(recorder, "_tensorboard", lambda run, images: None)
        command = ["train", "dcgan", "--data", folder / "photos", "--out", folder / "run", "--images", 16]
        assert say(*command, *TINY) == 0
    return folder / "run"


def test_a_run_is_probed_on_its_own_labels(run: Path, capsys: pytest.CaptureFixture[str]):
    assert say("probe", run, "--count", 30, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    names = ["critic", "critic before training", "pixels", "random projections"]
    assert list(found)[:4] == names
    for name in names:
        low, high = found["intervals"][name]
        assert low <= found[name] <= high
    assert found["pixels"] > 0.8, "brightness tells the classes"
    assert found["verdict"].startswith("the critic ")
    card = found["card"]
    assert (card["train"]["count"], card["test"]["count"], card["seed"]) == (30, 30, 0)
    assert card["train"]["fingerprint"] != card["test"]["fingerprint"]
    assert card["sizes"]["pixels"] == 64
    assert card["sizes"]["critic"] == card["sizes"]["random projections"] == 2 * 16
    assert found["warnings"] == []
    assert say("probe", run, "--count", 30) == 0
    text = capsys.readouterr().out
    assert found["verdict"] in text
    assert "30 labels of " in text


def test_the_critic_is_the_trained_one_and_its_control_is_not(run: Path, monkeypatch: pytest.MonkeyPatch):
    from zerosum import probing
    from zerosum.data import open_data

    seen = []
    monkeypatch.setattr(probing, "layers", lambda net, x: seen.append(net.state_dict()) or layers(net, x))
    trained = load(run, weights="last", device="cpu")
    data = open_data(run.parent / "photos")
    found = probe_run(trained, data, count=30, test_count=15)
    after, before = seen[0], seen[-1]
    assert torch.equal(after["judge.weight"], trained.system.game.critic.state_dict()["judge.weight"])
    assert not torch.equal(after["judge.weight"], before["judge.weight"])
    assert "seen the test images" in found["warnings"][0]
    assert found == probe_run(trained, data, count=30, test_count=15)


def test_a_run_that_was_told_labels_says_so(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    data = run.parent / "photos"
    words = ["train", "acgan", "--data", data, "--out", tmp_path / "told", "--images", 16, "--critic-width=2"]
    assert say(*words, *TINY) == 0
    capsys.readouterr()
    assert say("probe", tmp_path / "told", "--count", 30) == 0
    assert "beware: the run was told labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "photos/train/cat", "--count", "9"], "has no labels, and a probe needs some"),
        (["--data", "photos", "--size", "12"], "give --data with --size and --channels"),
        (
            ["--data", "photos", "--channels", "3"],
            "samples of (3, 8, 8), and the run judges images of (1, 8, 8)",
        ),
        (["--size", "12"], "--size and --channels are for --data"),
        (["--count", "46"], "there are 45 labelled images, and 30 to test on"),
        (["--count", "30", "--test", "31"], "--test 31"),
    ],
)
def test_what_cannot_be_probed_is_said(run: Path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(run.parent)
    assert say("probe", "run", *words) == 1
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_exports_games_without_critics_and_packed_ones_are_refused(run: Path, tmp_path: Path, capsys):
    assert say("export", run, "--format", "safetensors", "--out", tmp_path / "kept") == 0
    capsys.readouterr()
    assert say("probe", tmp_path / "kept") == 1
    assert "holds a generator alone" in capsys.readouterr().err
    from dataclasses import replace

    from zerosum.data import open_data

    trained, data = load(run, device="cpu"), open_data(run.parent / "photos")
    alone = replace(trained, system=replace(trained.system, game=Game()))
    with pytest.raises(ValueError, match="neither a critic nor an encoder"):
        probe_run(alone, data, count=9, test_count=9)
    packed = replace(trained.record, arguments={**trained.record.arguments, "pack": 2})
    with pytest.raises(ValueError, match="--pack"):
        probe_run(replace(trained, record=packed), data, count=9, test_count=9)
