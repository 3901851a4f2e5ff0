"""Trained generators: loaded whole or not at all, and the same samples whoever asks."""

import json
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests import small
from zerosum import recorder, runs
from zerosum.recipes.table import RECIPES, Recipe
from zerosum.rundir import DataOptions, RunDirectory, RunError
from zerosum.trained import load
from zerosum.training.checkpoint import CheckpointError, read

TINY = {"latent": 4, "width": 2, "kernel": 3, "batch": 8, "images": 80, "average": 0.5}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recorder, "_tensorboard", lambda run, images: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    options = DataOptions(str(small.npy(tmp_path / "slopes.npy")))
    console = Console(file=StringIO())
    runs.start("dcgan", options, tmp_path / "run", console, arguments=TINY, every=40, precision="fp32")
    return RunDirectory(tmp_path / "run")


def test_sample_i_of_a_seed_is_the_same_whatever_the_count(run: RunDirectory) -> None:
    trained = load(run.path)
    many = trained.sample(300, seed=7)
    assert many.shape == (300, 1, 16, 16)
    assert torch.equal(many[:5], trained.sample(5, seed=7))
    assert torch.allclose(many[:1], trained.sample(1, seed=7), atol=1e-6)
    assert not torch.equal(many[:5], trained.sample(5, seed=8))
    with pytest.raises(ValueError, match="--count must be at least 1, not 0"):
        trained.sample(0)


def test_the_average_the_last_weights_and_each_checkpoint_are_told_apart(run: RunDirectory) -> None:
    average, last = load(run.path).sample(4), load(run.path, weights="last").sample(4)
    earlier, newest = (load(run.checkpoint(images)).sample(4) for images in (40, 80))
    assert torch.equal(average, newest)
    assert not torch.equal(average, last)
    assert not torch.equal(average, earlier)
    trained = load(run.path)
    assert not trained.generator.training
    assert not any(p.requires_grad for p in trained.generator.parameters())


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(run: RunDirectory) -> None:
    content = bytearray(run.checkpoint(80).read_bytes())
    content[-1] ^= 1
    run.checkpoint(80).write_bytes(content)
    with pytest.warns(UserWarning, match=r"passed over: .*000000000080\.safetensors: damaged"):
        assert load(run.path).images == 40
    with pytest.raises(CheckpointError, match=r"000000000080\.safetensors: damaged"):
        load(run.checkpoint(80))


def edit(run: RunDirectory, section: str, **changes: Any) -> None:
    plain = json.loads(run.recipe.read_text())
    (plain[section] if section else plain).update(changes)
    run.recipe.write_text(json.dumps(plain))


@pytest.mark.parametrize("name", ["os.system", "zerosum.recipes.classic:dcgan", "posix.mkdir", ""])
def test_a_recipe_is_looked_up_never_imported(run: RunDirectory, name: str) -> None:
    edit(run, "", recipe=name)
    with pytest.raises(ValueError, match=f"unknown recipe '{name}'.*There are .*dcgan, gan, .*wgan-gp"):
        load(run.path)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("arguments", {"widht": 2}, "unknown setting of recipe dcgan 'widht': did you mean 'width'"),
        ("arguments", {"width": "os.system"}, "width='os.system' is not usable"),
        ("arguments", {"objective": "os.system"}, "unknown objective 'os.system'"),
        ("arguments", {"penalty": ["os:system=1"]}, "unknown penalty 'os'"),
        ("arguments", {"width": 3}, r"'game/generator\.project\.weight' is .*the recipe's"),
        ("data", {"format": {}}, r"data\.format cannot be used"),
        (
            "data",
            {"format": {"shape": [1], "dtype": "O", "low": 0, "high": 1}},
            r"data\.format cannot be used",
        ),
        ("data", {"format": {"shape": [1, 4, 4], "dtype": "uint8", "low": 0, "high": 1}}, "8 to 512"),
    ],
)
def test_an_edited_recipe_is_refused_by_what_is_wrong(
    run: RunDirectory, section: str, changes: dict[str, Any], message: str
) -> None:
    edit(run, section, **changes)
    with pytest.raises(ValueError, match=message):
        load(run.path)


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.safetensors", "folder"])
def test_a_pickle_is_refused_wherever_a_run_is_expected(tmp_path: Path, run: RunDirectory, name: str) -> None:
    mark = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(mark),)

    if name == "folder":
        (tmp_path / name).mkdir()
        torch.save(Payload(), tmp_path / name / "model.pt")
    else:
        torch.save(Payload(), tmp_path / name)
        torch.save(Payload(), run.checkpoints / f"000000000099{Path(name).suffix}")
    with pytest.raises(RunError, match="is not a run directory"):
        load(tmp_path / name)
    if name == "model.safetensors":  # one that lies where checkpoints do is passed over
        with pytest.warns(UserWarning, match="passed over"):
            load(run.path)
    else:
        load(run.path)
    assert not mark.exists()


def test_a_recipe_of_ones_own_comes_in_by_python(run: RunDirectory) -> None:
    edit(run, "", recipe="mine")
    mine = Recipe("mine", RECIPES["dcgan"].function, "none")
    assert load(run.path, recipes=[mine]).sample(1).shape == (1, 1, 16, 16)


def test_an_average_that_does_not_fit_is_named(run: RunDirectory) -> None:
    whole = read(run.checkpoint(80))
    tensors = {k: v for k, v in whole.tensors.items() if k != "average/generator/project.weight"}
    small.rewrite(run.checkpoint(80), tensors, {**whole.meta, "names": sorted(tensors)})
    with pytest.raises(CheckpointError, match=r"lacks the tensor 'average/generator/project\.weight'"):
        load(run.checkpoint(80))
