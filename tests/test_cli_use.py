"""Samples by class and exports from the command line, from one tiny run that tells three classes apart."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zerosum
from tests import told
from tests.running import work_alone
from zerosum import recorder
from zerosum.cli import main

__all__ = ["work_alone"]  # a fixture
TINY = ["--width=2", "--critic-width=2", "--kernel=3", "--latent=4", "--batch=8", "--precision=fp32"]
Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    photos = told.photos(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSUM_CACHE", str(folder / "cache"))
        patch.setattr(recorder, "_tensorboard", lambda run, images: None)
        command = ["train", "acgan", "--data", photos, "--out", folder / "run", "--images", 16, *TINY]
        with pytest.raises(SystemExit, match="0"):
            main(list(map(str, command)))
    return folder / "run"


@pytest.fixture(name="do")
def do_in_a_folder_of_its_own(
    trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained_once, "run")

    def do(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        assert "Traceback" not in err + out
        code = ended.value.code
        return (code if isinstance(code, int) else int(code is not None)), out, err

    return do


def test_a_grid_of_a_row_a_class_and_one_of_a_class_alone(do: Callable[..., Said]) -> None:
    assert do("sample", "run")[:2] == (0, "run/samples-24-0.png\n")
    with Image.open("run/samples-24-0.png") as opened:
        rows = np.asarray(opened)
    assert rows.shape == (3 * 10 + 2, 8 * 10 + 2)
    assert do("sample", "run", "--label", "dog")[:2] == (0, "run/samples-8-0-label1.png\n")
    assert do("sample", "run", "--label", "1", "--count", 8, "--out", "dogs.png")[0] == 0
    assert Path("dogs.png").read_bytes() == Path("run/samples-8-0-label1.png").read_bytes()
    with Image.open("dogs.png") as opened:
        dogs = np.asarray(opened)
    assert dogs.shape == (10 + 2, 8 * 10 + 2)
    assert np.array_equal(dogs[2:10, 12:20], zerosum_tile(8, 1))


def zerosum_tile(count: int, index: int) -> np.ndarray:
    trained = zerosum.load("run", device="cpu")
    return trained.format.encode(trained.sample(count, label="dog"))[index, ..., 0]


def test_files_bear_the_class_and_an_npz_its_labels(do: Callable[..., Said]) -> None:
    assert do("sample", "run", "--count", 4, "--out", "each")[0] == 0
    names = [path.name for path in sorted(Path("each").iterdir())]
    assert names == ["000000-cat.png", "000001-dog.png", "000002-eel.png", "000003-cat.png"]
    assert do("sample", "run", "--label", "eel", "--label", "cat", "--count", 3, "--out", "some.npz")[0] == 0
    with np.load("some.npz") as found:
        assert [found["class_names"][label] for label in found["labels"]] == ["eel", "cat", "eel"]
        assert found["images"].shape == (3, 8, 8, 1)


def test_truncation_and_standing_statistics(do: Callable[..., Said]) -> None:
    assert do("sample", "run", "--truncation", 0, "--label", 0, "--out", "one.npy", "--count", 3)[0] == 0
    one = np.load("one.npy")
    assert np.array_equal(one[0], one[2])
    code, out, _ = do("sample", "run", "--standing", 3, "--truncation", 0.5)
    assert (code, out) == (0, "run/samples-24-0-standing3-truncation0.5.png\n")
    do("sample", "run", "--truncation", 0.5)
    made = [Path(f"run/samples-24-0{more}.png") for more in ("-standing3-truncation0.5", "-truncation0.5")]
    assert made[0].read_bytes() != made[1].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "cow"], "unknown --label 'cow': There are cat, dog, eel"),
        (["--label", "3"], "unknown --label '3': There are cat, dog, eel"),
        (["--label", "dgo"], "did you mean 'dog'"),
        (["--truncation=-1"], "--truncation must be at least 0, not -1"),
        (["--standing=0"], "--standing must be at least 1 batch, not 0"),
        (["--count=0"], "--count must be at least 1, not 0"),
    ],
)
def test_a_slip_is_answered_in_one_line(do: Callable[..., Said], arguments: list[str], message: str) -> None:
    code, out, err = do("sample", "run", *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert message in err


def test_an_exported_folder_is_sampled_as_the_run(do: Callable[..., Said]) -> None:
    assert do("export", "run", "--format", "safetensors")[:2] == (0, "run/generator\n")
    assert do("sample", "run", "--out", "a.npz", "--seed", 3)[0] == 0
    shutil.move("run/generator", "shared")
    shutil.rmtree("run")
    assert do("sample", "shared", "--out", "b.npz", "--seed", 3)[0] == 0
    with np.load("a.npz") as one, np.load("b.npz") as other:
        assert np.array_equal(one["images"], other["images"])
        assert one["class_names"].tolist() == other["class_names"].tolist() == ["cat", "dog", "eel"]
    assert do("sample", "shared")[1] == "shared/samples-24-0.png\n"
    assert do("sample", "shared", "--weights", "last")[0] == 1
    assert do("export", "shared", "--format", "torch-export", "--out", "again.pt2")[:2] == (0, "again.pt2\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--format", "onx"], ("--format", "onx", "onnx")),
        (["run"], ("--format",)),
        (["nothing", "--format", "safetensors"], ("nothing is not a run directory",)),
        (["run", "--format", "safetensors", "--out", "a.bin"], ("--out a.bin", "a folder")),
        (["run", "--format", "onnx", "--out", "a.bin"], ("--out a.bin", "a file named ….onnx")),
        (["run", "--format", "safetensors", "--out", "run"], ("run: holds something else",)),
    ],
)
def test_an_export_that_cannot_be_is_refused(
    do: Callable[..., Said], arguments: list[str], words: tuple[str, ...]
) -> None:
    code, out, err = do("export", *arguments)
    assert code != 0
    for word in words:
        assert word in out + err


def test_labels_on_the_command_line(do: Callable[..., Said], trained_once: Path) -> None:
    photos = trained_once.parent / "photos"
    Path("l.txt").write_text("\n".join("ab" * 12))
    code, out, _ = do("check-data", photos, "--labels", "l.txt", "--json")
    assert (code, json.loads(out)["classes"]) == (0, {"a": 12, "b": 12})
    Path("l.txt").write_text("a\nb\n")
    code, _, err = do("train", "acgan", "--data", photos, "--labels", "l.txt", "--out", "new", *TINY)
    assert (code, "l.txt: 2 labels for 24 samples" in err) == (1, True)
    code, _, err = do("train", "dcgan", "--data", photos, "--labels", "own", "--out", "new")
    assert code == 1
    assert "recipe dcgan takes no labels: leave --labels out, or choose one of" in err
    assert not Path("new").exists()
    code, _, err = do("resume", "run", "--labels", "own", "--images", 24)
    assert code == 0
