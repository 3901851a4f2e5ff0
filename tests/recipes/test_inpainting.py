"""The context encoder's recipe: published settings, runs, grids of holes filled, nothing from latents."""

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests import small
from zerosum import recorder, runs
from zerosum.export import export
from zerosum.recipes.table import RECIPES
from zerosum.rundir import DataOptions, RunError
from zerosum.trained import load
from zerosum.training.checkpoint import read, restore, write

CONTEXT = RECIPES["context-encoder"]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_published_settings() -> None:
    """The authors' train_random.lua at 64×64: 64-128-256-512-4000, λ .999, rates 2e-3 and 2e-4, β₁ .5."""
    with torch.device("meta"):
        made = CONTEXT.build((3, 64, 64))
    rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in made.optimisers.items()}
    assert rates == {"generator": 2e-3, "critic": 2e-4}
    assert {o.param_groups[0]["betas"] for o in made.optimisers.values()} == {(0.5, 0.999)}
    assert (made.batch, made.images, made.game.reconstruction) == (64, 500 * 14_900, 0.999)
    encoder = [tuple(p.shape) for p in made.game.generator.encoder.parameters() if p.dim() > 1]
    assert encoder == [(64, 4, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (4000, 512 * 16)]
    decoder = [tuple(p.shape) for p in made.game.generator.decoder.parameters() if p.dim() == 4]
    assert decoder == [(512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 48, 80), (3, 9, 17)])
def test_every_size_and_number_of_channels_builds_and_runs(shape: tuple[int, int, int]) -> None:
    made = CONTEXT.build(shape, small.TINY["context-encoder"])
    images = torch.rand(2, *shape) * 2 - 1
    mask = torch.ones(1, *shape[1:])
    mask[:, :4] = 0
    filled = made.game.generator.eval().fill(images, mask)
    assert filled.shape == (2, *shape)
    assert made.game.critic(filled).shape == (2,)


def test_a_resume_changes_nothing(tmp_path: Path) -> None:
    whole = small.system("context-encoder")
    state = small.play(whole, small.source(), small.state(whole), 48)
    part = small.system("context-encoder")
    at = small.play(part, small.source(), small.state(part), 16)
    write(tmp_path / "a.safetensors", part.game, part.optimisers, at)
    again = small.system("context-encoder", seed=9)
    at = small.state(again, seed=77)
    restore(read(tmp_path / "a.safetensors"), again.game, again.optimisers, at)
    small.play(again, small.source(), at, 48)
    assert small.differing(small.everything(whole, state), small.everything(again, at)) == []


def test_it_learns_to_fill() -> None:
    """Slopes: what is missing follows from what is known."""
    made = small.system("context-encoder", width=4, hole=("half",), lr=5e-3)
    torch.manual_seed(0)
    ways = torch.randn(64, 2, 1, 1)
    across, down = torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8)[:, None]
    images = torch.tanh(ways[:, :1] * across + ways[:, 1:] * down)

    class Slopes:
        size = 64

        def __call__(self, cursor: int, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"real": images[(cursor + ids) % 64]}

    heard: list[float] = []
    hook = (lambda moment: heard.append(moment.seen["generator/hole"]),)
    small.play(made, Slopes(), small.state(made), 2400, hook)
    assert sum(heard[-20:]) < 0.5 * sum(heard[:20])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hole": ("center",)}, "unknown hole 'center': did you mean 'centre'"),
        ({"hole": ("random:missing=0",)}, "hole random: missing must lie between 0 and 1, not 0"),
        ({"hole": ()}, "--hole: name at least one"),
        ({"reconstruction": 1.5}, "--reconstruction is a share"),
        ({"bottleneck": 0}, "--bottleneck must be at least 1, not 0"),
        ({"kernel": 1}, "--kernel must be 2 to 9"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CONTEXT.build((1, 16, 16), {**small.TINY["context-encoder"], **settings})


def test_points_are_refused() -> None:
    with pytest.raises(ValueError, match="fills holes in images, and the data are points"):
        CONTEXT.build((2,))


def test_a_run_shows_holes_filled_and_fills_and_says_that_it_has_no_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recorder, "_tensorboard", lambda run, images: None)
    options = DataOptions(str(small.npy(tmp_path / "slopes.npy", count=200)))
    given = {**small.TINY["context-encoder"], "hole": ("centre",), "images": 160}
    out = tmp_path / "run"
    runs.start("context-encoder", options, out, Console(file=StringIO()), arguments=given, precision="fp32")
    grid = np.asarray(Image.open(out / "samples/000000000160.png"))
    holed, filled = grid[2:18, 2:18], grid[2:18, 20:36]  # the first pair
    inside = (slice(4, 12), slice(4, 12))
    around = np.ones((16, 16), bool)
    around[inside] = False
    assert (holed[inside] == 128).all(), "the hole is grey"
    assert (holed[around] == filled[around]).all()
    assert filled[inside].std() > 0
    assert "copied" not in (out / "metrics.jsonl").read_text(), (
        "what was filled is like its original, as it should"
    )
    trained = load(out)
    image, mask = torch.rand(3, 1, 16, 16) * 2 - 1, torch.ones(1, 16, 16)
    mask[:, 4:12, 4:12] = 0
    fill: Any = trained.generator.fill
    assert torch.equal(fill(image, mask)[:, :, :4], image[:, :, :4])
    for use in (lambda: trained.sample(4), lambda: trained.truncated(0.5).sample(4)):
        with pytest.raises(ValueError, match=r"makes nothing from latents: it fills holes in images"):
            use()
    with pytest.raises(RunError, match="exported nets are fed latents, not this one: it fills holes"):
        export(trained, "safetensors", tmp_path / "shared")
    assert not (tmp_path / "shared").exists()
