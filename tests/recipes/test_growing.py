"""The recipe `progan`: the paper's settings, a length that follows from the size, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import small
from tests.running import console, lines
from tests.running import work_alone as alone  # noqa: F401, a fixture by name
from zerosum import runs
from zerosum.export import export
from zerosum.recipes.table import RECIPES
from zerosum.rundir import DataOptions, RunDirectory, RunError
from zerosum.trained import load

NARROW = {"fmap_base": 16, "fmap_max": 4}


def test_the_paper_s_settings() -> None:
    """Karras et al. 2018, appendix A.1, and the authors' code for 600,000 images a phase."""
    made = RECIPES["progan"].build((3, 64, 64), NARROW)
    game = made.game
    assert [(p.name, p.weight, p.every) for p in game.penalties] == [("wgan-gp", 10, 1), ("drift", 1e-3, 1)]
    for optimiser in made.optimisers.values():
        (group,) = optimiser.param_groups
        assert (group["lr"], group["betas"], group["eps"]) == (1e-3, (0, 0.99), 1e-8)
    assert (made.batch, made.average, game.critic_steps, made.latent.size) == (16, 0.999, 1, 512)
    assert made.latent.law == "normal"
    assert game.critic.variety.group == 4
    assert (game.growth.stages, game.growth.stable, game.growth.fade) == (4, 600_000, 600_000)
    assert made.resets == game.growth.phases
    settings = RECIPES["progan"].settings
    assert (settings["fmap_base"].default, settings["fmap_max"].default) == (8192, 512)


@pytest.mark.parametrize(("side", "images"), [(8, 1_800_000), (64, 5_400_000), (512, 9_000_000)])
def test_the_length_is_the_plan_s_and_follows_from_the_size(side: int, images: int) -> None:
    assert RECIPES["progan"].build((1, side, side), NARROW).images == images
    assert RECIPES["progan"].build((1, side, side), {**NARROW, "images": 1000}).images == 1000
    for preset, settings in RECIPES["progan"].presets.items():
        made = RECIPES["progan"].build((1, side, side), {**settings, **NARROW})
        assert made.images >= made.game.growth.images, preset


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"constraint": "spectral-norm"}, "leave out --constraint"),
        ({"generator_constraint": "spectral-norm"}, "leave out --constraint and --generator-constraint"),
        ({"stable": 100, "batch": 101}, "--stable 100 is less than one step's images"),
        ({"stddev_group": 1}, "minibatch-stddev: group must be at least 2"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RECIPES["progan"].build((1, 16, 16), {**NARROW, **settings})


def test_another_recipe_has_no_length_of_its_own() -> None:
    with pytest.raises(ValueError, match="--images must be given"):
        RECIPES["dcgan"].build((1, 16, 16), {"images": None})


def test_a_run_is_as_long_as_its_plan_and_its_pictures_have_the_data_s_size(tmp_path: Path) -> None:
    data, out = small.npy(tmp_path / "slopes.npy"), tmp_path / "run"
    settings = {**small.TINY["progan"]}
    runs.start("progan", DataOptions(str(data)), out, console(), arguments=settings, precision="fp32")
    plain = json.loads((out / "recipe.json").read_text())
    assert (plain["training"]["images"], plain["arguments"]["images"], plain["training"]["every"]) == (
        96,
        96,
        8,
    )
    assert lines(out)[-1]["images"] == 96
    trained = load(out)
    assert trained.sample(3).shape == (3, 1, 16, 16)
    assert trained.generator.unfinished is None
    again = load(export(trained, "safetensors"))
    assert torch.equal(again.sample(3), trained.sample(3))
    early = load(min(RunDirectory(out).checkpoints.glob("0*")))  # while its last stage was faded in
    assert early.sample(3).shape == (3, 1, 16, 16)
    with pytest.raises(
        RunError, match="before it has grown: after 72 images stage 2 of 2, 16×16 pixels, is 66%"
    ):
        export(early, "safetensors")
