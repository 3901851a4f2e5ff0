"""invert, inpaint and sense from the command line, on a small VAE of slopes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests import small
from tests.priors import SIDE, trained_vae
from tests.running import work_alone
from zerosum import recorder
from zerosum.cli import main
from zerosum.cli_inverse import method_of
from zerosum.inverse.descent import LBFGS, Adam, LevenbergMarquardt

__all__ = ["work_alone"]  # a fixture
Said = tuple[int, str, str]
Do = Callable[..., Said]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prior")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSUM_CACHE", str(folder / "cache"))
        patch.setattr(recorder, "_tensorboard", lambda run, images: None)
        trained_vae(folder)
    return folder


@pytest.fixture(name="do")
def do_there(trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Do:
    monkeypatch.chdir(trained)

    def do(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        said = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 1), said.out, said.err

    return do


def test_photographs_are_inverted(do: Do, tmp_path: Path) -> None:
    target = tmp_path / "latents.safetensors"
    code, out, _ = do("invert", "vae", "others.npy", "--out", target, "--restarts", 2, "--json")
    assert code == 0
    told = json.loads(out)
    found = load_file(target)
    assert found["latents"].shape == (6, 4)
    assert found["restarts"].shape == (2, 6, 4)
    assert torch.equal(found["errors"], found["restart_errors"].amin(0))
    psnr = -10 * torch.log10(found["errors"] / SIDE**2 / 4)
    assert np.allclose(told["psnr"], psnr, atol=1e-3)
    assert psnr.mean() > 20  # it has learned slopes
    assert (tmp_path / "latents.png").is_file()


def test_restarts_race_if_asked(do: Do, tmp_path: Path) -> None:
    found = []
    for race in (0, 1):
        target = tmp_path / f"{race}.safetensors"
        code, _, _ = do("invert", "vae", "others.npy", "--out", target, "--restarts", 6, "--race", race)
        assert code == 0
        found.append(load_file(target))
    whole, raced = found
    assert torch.allclose(raced["errors"], whole["errors"], rtol=0.1)
    assert (raced["restart_errors"] > 1.1 * whole["restart_errors"]).any()  # some gave up


def test_an_encoder_is_a_start(do: Do, tmp_path: Path) -> None:
    target = tmp_path / "latents.safetensors"
    code, _, _ = do("invert", "vae", "others.npy", "--out", target, "--starts", "encoder", "--restarts", 1)
    assert code == 0
    code, _, _ = do("invert", "vae", "others.npy", "--out", target, "--starts", "nearest", "--count", 2)
    assert code == 0
    assert load_file(target)["latents"].shape == (2, 4)


def test_holes_are_filled_and_scored(do: Do, tmp_path: Path) -> None:
    code, out, _ = do(
        "inpaint",
        "vae",
        "others.npy",
        "--mask",
        "centre",
        "--baselines",
        "tv,nearest-image",
        "--out",
        tmp_path,
        "--json",
    )
    assert code == 0
    told = json.loads(out)
    assert set(told["scores"]) == {"generator", "generator, not blended", "tv", "nearest-image"}
    assert told["scores"]["generator"]["psnr"][0] > 20
    assert len(list(tmp_path.glob("0*.png"))) == 6
    real = np.load("others.npy")[3]
    with Image.open(tmp_path / "000003.png") as opened:
        filled = np.asarray(opened)
    hole = np.zeros((SIDE, SIDE), bool)
    hole[4:12, 4:12] = True
    assert (filled[~hole] == real[~hole]).all()  # known pixels to the last bit
    assert (filled[hole] != real[hole]).any()


def test_a_mask_may_be_a_picture(do: Do, tmp_path: Path) -> None:
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    mask[:5] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    code, out, _ = do(
        "inpaint", "vae", "others.npy", "--mask", tmp_path / "mask.png", "--damaged", "--out", tmp_path / "a"
    )
    assert code == 0
    assert "psnr" not in out
    assert "scores" not in json.loads((tmp_path / "a" / "results.json").read_text())


def test_a_hole_takes_settings(do: Do, tmp_path: Path) -> None:
    command = ["inpaint", "vae", "others.npy", "--mask", "random:0.8", "--count", 2, "--out", tmp_path]
    assert do(*command)[0] == 0
    with Image.open(tmp_path / "comparison.png") as opened:
        rows = np.asarray(opened)
    hidden = rows[2 + SIDE + 2 : 2 + 2 * SIDE + 2, 2 : 2 + SIDE]
    assert 0.7 < (hidden == 128).mean() < 0.9


def test_sensing_is_compared(do: Do, tmp_path: Path) -> None:
    command = [
        "sense",
        "vae",
        "--images",
        "others.npy",
        "--measurements",
        "40,12",
        "--restarts",
        2,
        "--count",
        6,
    ]
    code, out, _ = do(*command, "--baselines", "lasso-dct,lmmse", "--out", tmp_path, "--json")
    assert code == 0
    told = json.loads(out)
    rows = {(row["method"], row["measurements"]): row for row in told["results"]}
    assert len(rows) == 2 * 6
    assert rows["generator", 12]["mse"] < rows["lasso-dct", 12]["mse"]
    assert rows["generator + gaussian", 40]["mse"] < rows["generator", 40]["mse"]
    assert rows["lmmse", 12]["p"] < 1
    assert told["card"]["images"] == 6
    assert [row["measurements"] for row in told["coverage"]] == [12, 40]
    assert all(0.5 < row["share"] <= 1 for row in told["coverage"])
    assert [row["measurements"] for row in told["theorem"]] == [12, 40]
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "curve.png", "pictures.png"}
    again = json.loads(do(*command, "--baselines", "none", "--out", tmp_path, "--json")[1])
    assert again["results"][0]["mse"] == pytest.approx(rows["generator", 12]["mse"])


def test_what_is_finished_is_kept_at_ctrl_c(do: Do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zerosum import estimators

    before = estimators.Ours._gaussian

    def stopped(self: estimators.Ours, scene: estimators.Scene) -> torch.Tensor:
        if scene.operator.m > 12:
            raise KeyboardInterrupt
        return before(self, scene)

    monkeypatch.setattr(estimators.Ours, "_gaussian", stopped)
    code, _, _ = do(
        "sense",
        "vae",
        "--images",
        "others.npy",
        "--measurements",
        "12,40",
        "--restarts",
        1,
        "--count",
        6,
        "--baselines",
        "none",
        "--out",
        tmp_path,
    )
    assert code == 130
    told = json.loads((tmp_path / "results.json").read_text())
    assert {(row["method"], row["measurements"]) for row in told["results"]} >= {("generator + gaussian", 12)}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["invert", "vae", "big.npy"], "makes"),
        (["invert", "vae", "nowhere"], "nowhere"),
        (["invert", "vae", "others.npy", "--realism", "0.1"], "has no critic"),
        (["invert", "vae", "others.npy", "--restarts", "0"], "--restarts"),
        (["invert", "vae", "others.npy", "--count", "0"], "--count"),
        (["invert", "vae", "others.npy", "--steps", "0"], "--steps"),
        (["invert", "vae", "others.npy", "--race", "-1"], "--race must be at least 0"),
        (["invert", "vae", "others.npy", "--race", "5", "--method", "adam"], "lm or lbfgs"),
        (["invert", "vae", "others.npy", "--label", "3"], "without labels"),
        (["inpaint", "vae", "others.npy", "--mask", "middle"], "centre"),
        (["inpaint", "vae", "others.npy", "--mask", "gone.png"], "no such file"),
        (["inpaint", "vae", "others.npy", "--mask", "small.png"], "does not fit"),
        (["inpaint", "vae", "others.npy", "--mask", "white.png"], "hides no pixel"),
        (["inpaint", "vae", "others.npy", "--mask", "black.png"], "hides every pixel"),
        (["inpaint", "vae", "others.npy", "--baselines", "magic"], "magic"),
        (["inpaint", "vae", "others.npy", "--realism", "0.1"], "no critic"),
        (["inpaint", "vae", "others.npy", "--context-encoder", "vae"], "context-encoder"),
        (["sense", "vae", "--measurements", "25"], "--images"),
        (["sense", "vae", "--images", "others.npy", "--measurements", "257"], "--measurements 257"),
        (["sense", "vae", "--images", "others.npy", "--measurements", "a"], "whole numbers"),
        (["sense", "vae", "--images", "others.npy", "--noise", "-1", "--measurements", "9"], "--noise"),
        (["sense", "vae", "--images", "others.npy", "--baselines", "magic"], "lasso-dct"),
        (["sense", "vae", "--images", "others.npy", "--protocol", "mnits"], "mnist"),
    ],
)
def test_what_cannot_be_done_is_refused(do: Do, trained: Path, command: list[str], words: str) -> None:
    small.npy(trained / "big.npy", 3, 20)
    for name, size, value in (("small", 8, 0), ("white", SIDE, 255), ("black", SIDE, 0)):
        Image.fromarray(np.full((size, size), value, np.uint8)).save(trained / f"{name}.png")
    code, _, err = do(*command)
    assert code == 1
    assert words in err
    assert "Traceback" not in err


def test_the_method_is_that_of_the_name() -> None:
    assert method_of("auto", None, 20) == LevenbergMarquardt()
    assert method_of("auto", 7, 100) == LBFGS(steps=7)
    assert method_of("auto", None, 20, race=5) == LevenbergMarquardt(race=5)
    assert method_of("lbfgs", 9, 20, race=40) == LBFGS(steps=9, race=40)
    assert method_of("adam", None, 100) == Adam(0.1, 500)
    assert method_of("adam", None, 20) == Adam(0.01, 1000)
