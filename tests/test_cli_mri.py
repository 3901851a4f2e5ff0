"""zerosum mri from the command line: a run of gancs, one that is searched, and bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import small
from tests.running import console, work_alone
from zerosum import mri, recorder, runs
from zerosum.cli import main
from zerosum.mri import tv, wavelet
from zerosum.rundir import DataOptions

__all__ = ["work_alone"]  # a fixture
Said = tuple[int, str, str]
Do = Callable[..., Said]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slopes with a test split, a black one and ones of another size; runs of gancs and of a VAE."""
    folder = tmp_path_factory.mktemp("mri")
    slopes = np.load(small.npy(folder / "slopes.npy", 20))
    np.savez(folder / "slopes.npz", x_train=slopes[:16], x_test=slopes[16:])
    np.save(folder / "black.npy", np.concatenate([slopes[:2], np.zeros_like(slopes[:1])]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSUM_CACHE", str(folder / "cache"))
        patch.setattr(recorder, "_tensorboard", lambda run, images: None)
        for recipe in ("gancs", "vae"):
            given = {**small.TINY[recipe], "images": 16}
            options = DataOptions(str(folder / "slopes.npz"))
            runs.start(recipe, options, folder / recipe, console(), arguments=given, precision="fp32")
    return folder


@pytest.fixture(name="do")
def do_there(there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Do:
    monkeypatch.chdir(there)
    few = {"tv": {"a": tv(0.1), "b": tv(0.3)}, "wavelet": {"c": wavelet("db1", 0.3)}}  # quick ones
    monkeypatch.setattr(mri, "RIVALS", few)

    def do(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["mri", *map(str, arguments)])
        said = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 1), said.out, said.err

    return do


def test_held_out_slices_are_reconstructed_by_all_ways(do: Do, tmp_path: Path) -> None:
    code, out, _ = do("gancs", "--acceleration", 2, "--noise", 0.01, "--out", tmp_path, "--json")
    assert code == 0
    told: dict[str, Any] = json.loads(out)
    assert told == json.loads((tmp_path / "results.json").read_text())
    assert [row["method"] for row in told["results"]] == ["zero-filled", "tv", "wavelet", "gancs"]
    assert told["card"]["slices"] == 4
    assert told["card"]["settings, chosen on training slices"].keys() == {"tv", "wavelet"}
    for row in told["results"]:
        assert 5 < row["psnr"] < 60
        assert ("ours over it" in row) == (row["method"] != "gancs")
    assert np.asarray(Image.open(tmp_path / "comparison.png")).std() > 10


def test_a_table_for_people_other_masks_and_few_slices(do: Do, there: Path) -> None:
    code, out, said = do("gancs", "--mask", "equispaced", "--count", 2, "--baselines", "tv")
    assert code == 0
    assert [line.split(" |")[0] for line in out.splitlines()[2:5]] == ["| zero-filled", "| tv", "| gancs"]
    assert "s a slice" in said
    report = json.loads((there / "gancs/mri/results.json").read_text())
    assert (report["card"]["slices"], report["card"]["mask"]) == (2, "equispaced")


def test_a_generator_s_latents_are_searched(do: Do, tmp_path: Path) -> None:
    given = ("--count", 2, "--restarts", 2, "--baselines", "none", "--out", tmp_path, "--json")
    code, out, _ = do("vae", *given)
    assert code == 0
    assert [row["method"] for row in json.loads(out)["results"]] == ["zero-filled", "vae"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--acceleration", 0.5), "--acceleration must be at least 1, not 0.5"),
        (("--acceleration", 33), "--acceleration 33 of 16 lines leaves none: give 1 to 16"),
        (("--centre", 0.5), "--centre 8: with --acceleration 4 there are 4 lines"),
        (("--noise", -1), "--noise must be at least 0"),
        (("--count", 0), "--count must be at least 1, not 0"),
        (("--baselines", "tv,lasso"), "unknown --baselines 'lasso'"),
        (("black.npy",), "image 2 is 0 everywhere: leave it out"),
        (("nothing.npy",), "no such file"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(do: Do, arguments: tuple[object, ...], message: str) -> None:
    code, out, said = do("gancs", *arguments)
    assert (code, out) == (1, "")
    assert message in said
    assert "Traceback" not in said
