"""The VAE's recipe: its papers' settings, its two forms, points, resume, and the encoder of a loaded run."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests import small
from zerosum import recorder, runs
from zerosum.draws import Latent
from zerosum.recipes.table import RECIPES
from zerosum.rundir import DataOptions
from zerosum.trained import load
from zerosum.training.checkpoint import read, restore, write
from zerosum.training.loop import Moment

CONVOLUTIONAL = {"form": "convolutional", "likelihood": "gaussian:deviation=0.5", "kernel": 3}
VAE = RECIPES["vae"]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_papers_settings() -> None:
    """Bora et al. 2017 and their code: Adam .001, batch 100, 20 latents, 75 epochs of 55,000."""
    made = VAE.build((1, 28, 28))
    (group,) = made.optimisers["autoencoder"].param_groups
    assert (made.batch, made.images, group["lr"], group["betas"]) == (100, 75 * 55_000, 1e-3, (0.9, 0.999))
    assert made.latent == Latent(20, "normal")
    held = {id(p) for p in group["params"]}
    assert held == {id(p) for net in (made.game.encoder, made.game.generator) for p in net.parameters()}


@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 9, 40), (3, 64, 64)])
def test_the_convolutional_form_fits_any_size(shape: tuple[int, int, int]) -> None:
    made = VAE.build(shape, {**small.TINY["vae"], **CONVOLUTIONAL})
    mean, _ = made.game.encoder(torch.zeros(2, *shape))
    drawn = made.game.generator(mean)
    assert drawn.shape == (2, *shape)
    assert drawn.abs().max() < 1


FORMS = pytest.mark.parametrize("settings", [{}, CONVOLUTIONAL], ids=["perceptron", "convolutional"])


@FORMS
def test_it_learns(settings: dict[str, Any]) -> None:
    made = small.system("vae", **settings)
    heard: list[float] = []

    def hook(moment: Moment) -> None:
        heard.append(moment.seen["autoencoder/reconstruction"] + moment.seen["autoencoder/kl"])

    small.play(made, small.source(), small.state(made), 800, (hook,))
    assert sum(heard[-20:]) < sum(heard[:20])


@FORMS
def test_a_resume_changes_nothing(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = small.system("vae", **settings)
    state = small.play(whole, small.source(), small.state(whole), 48)
    part = small.system("vae", **settings)
    at = small.play(part, small.source(), small.state(part), 16)
    write(tmp_path / "a.safetensors", part.game, part.optimisers, at)
    again = small.system("vae", seed=9, **settings)
    at = small.state(again, seed=77)
    restore(read(tmp_path / "a.safetensors"), again.game, again.optimisers, at)
    small.play(again, small.source(), at, 48)
    assert small.differing(small.everything(whole, state), small.everything(again, at)) == []


def test_points_need_perceptrons_and_a_gaussian() -> None:
    made = VAE.build((2,), {"latent": 1, "hidden": (4,), "likelihood": "gaussian:deviation=0.05"})
    assert made.game.generator(torch.full((3, 1), 99.0)).abs().max() > 1
    for wrong in ({}, {**CONVOLUTIONAL}):
        with pytest.raises(ValueError, match="--form perceptron and --likelihood gaussian:deviation"):
            VAE.build((2,), wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent": 0}, "--latent must be at least 1, not 0"),
        ({"form": "convolutional", "kernel": 1}, "--kernel must be 2 to 9, not 1"),
        ({"likelihood": "gauss"}, "unknown likelihood 'gauss': did you mean 'gaussian'"),
        ({"likelihood": "gaussian:deviation=-1"}, "deviation must be positive, not -1"),
        ({"form": "linear"}, "choose perceptron, convolutional"),
        ({"lr": 0.0}, "--lr must be positive"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VAE.build((1, 16, 16), settings)


def test_a_loaded_run_gives_its_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recorder, "_tensorboard", lambda run, images: None)
    options = DataOptions(str(small.npy(tmp_path / "slopes.npy")))
    given = {**small.TINY["vae"], "images": 160}
    runs.start("vae", options, tmp_path / "run", Console(file=StringIO()), arguments=given, precision="fp32")
    trained = load(tmp_path / "run")
    assert trained.sample(3).shape == (3, 1, 16, 16)
    real = torch.rand(5, 1, 16, 16) * 2 - 1
    fresh = VAE.build((1, 16, 16), given).game.encoder
    fresh.load_state_dict(
        {
            name.removeprefix("game/encoder."): tensor
            for name, tensor in read(tmp_path / "run/checkpoints/000000000160.safetensors").tensors.items()
            if name.startswith("game/encoder.")
        }
    )
    for got, want in zip(trained.system.game.encoder(real), fresh(real), strict=True):
        assert torch.equal(got, want)
