"""The recipe gancs: published settings, resume, learning, what is refused, and what a run shows."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests import small
from zerosum import recorder, runs
from zerosum.draws import Draws
from zerosum.export import export
from zerosum.games.game import Clock
from zerosum.kspace import consistent
from zerosum.recipes.table import RECIPES
from zerosum.rundir import DataOptions, RunError
from zerosum.trained import load
from zerosum.training.checkpoint import read, restore, write

GANCS = RECIPES["gancs"]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_published_settings() -> None:
    """Adam at 1e-5, β₁ .5, halved in 10,000 batches of 4; .9 and .001; five blocks of 128 maps."""
    made = GANCS.build((1, 96, 96))
    rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in made.optimisers.items()}
    assert rates == {"generator": 1e-5, "critic": 1e-5}
    assert {o.param_groups[0]["betas"] for o in made.optimisers.values()} == {(0.5, 0.999)}
    later = {name: law(Clock(10_000, 40_000))["lr"] for name, law in made.schedules.items()}
    assert later == {name: pytest.approx(5e-6, rel=1e-4) for name in rates}
    game = made.game
    assert (made.batch, game.dc, game.mse, game.l1, game.noise) == (4, 0.9, 0.001, 0.0, 0.0)
    shapes = [tuple(p.shape) for p in game.generator.parameters() if p.dim() == 4]
    assert shapes == [(128, 2, 3, 3), *[(128, 128, 3, 3)] * 10, *[(128, 128, 1, 1)] * 2, (1, 128, 1, 1)]
    assert game.sampling(Draws(stop=2), (96, 96))[:, 0, 0].sum(1).tolist() == [24, 24]


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 48, 80), (3, 9, 17)])
def test_every_size_and_number_of_channels_builds_and_runs(shape: tuple[int, int, int]) -> None:
    made = GANCS.build(shape, small.TINY["gancs"])
    shown = made.game.shown(made.game.generator.eval(), torch.rand(2, *shape), Draws(stop=2))
    assert shown.shape == (2, 2, *shape)
    assert made.game.critic(shown[:, 1]).shape == (2,)


def test_a_resume_changes_nothing(tmp_path: Path) -> None:
    settings = {"noise": 0.1, "shift": 1, "contrast": 0.2}
    whole = small.system("gancs", **settings)
    state = small.play(whole, small.source(), small.state(whole), 48)
    part = small.system("gancs", **settings)
    at = small.play(part, small.source(), small.state(part), 16)
    write(tmp_path / "a.safetensors", part.game, part.optimisers, at)
    again = small.system("gancs", seed=9, **settings)
    at = small.state(again, seed=77)
    restore(read(tmp_path / "a.safetensors"), again.game, again.optimisers, at)
    small.play(again, small.source(), at, 48)
    assert small.differing(small.everything(whole, state), small.everything(again, at)) == []


def test_it_learns_what_zero_filling_cannot_know() -> None:
    """Slopes: the lines that are not measured follow from those that are."""
    made = small.system("gancs", width=8, norm="none", mse=0.9, lr=5e-3, sampling="equispaced:2,centre=0.25")
    torch.manual_seed(0)
    ways = torch.randn(64, 2, 1, 1)
    across, down = torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8)[:, None]
    images = torch.tanh(ways[:, :1] * across + ways[:, 1:] * down)

    class Slopes:
        size = 64

        def __call__(self, cursor: int, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"real": images[(cursor + ids) % 64]}

    heard: list[float] = []
    small.play(
        made,
        Slopes(),
        small.state(made),
        800,
        (lambda moment: heard.append(moment.seen["generator/error"]),),
    )
    y, keep = made.game.measured((images + 1) / 2, Draws(stop=64))
    zero = consistent(torch.zeros_like(images), y, keep)
    before = float((zero - (images + 1) / 2).square().mean())
    assert heard[0] == pytest.approx(before, rel=0.5)
    assert sum(heard[-20:]) / 20 < 0.5 * before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampling": "radial"}, "unknown sampling 'radial'"),
        ({"sampling": "variable:acceleration=0.5"}, "--acceleration must be at least 1, not 0.5"),
        ({"sampling": "variable:acceleration=40"}, "--acceleration 40 of 16 lines leaves none: give 1 to 16"),
        ({"mse": 1.5}, "--mse is a share"),
        ({"fold": 3}, "--fold 3 does not divide 16×16"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GANCS.build((1, 16, 16), {**small.TINY["gancs"], **settings})


def test_points_are_refused() -> None:
    with pytest.raises(ValueError, match="reconstructs images, and the data are points"):
        GANCS.build((2,))


def test_a_run_shows_its_work_and_says_that_it_has_no_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recorder, "_tensorboard", lambda run, images: None)
    options = DataOptions(str(small.npy(tmp_path / "slopes.npy")))
    given = {**small.TINY["gancs"], "images": 16}
    out = tmp_path / "run"
    runs.start("gancs", options, out, Console(file=StringIO()), arguments=given, precision="fp32")
    assert (out / "samples/000000000016.png").is_file()
    trained = load(out)
    with pytest.raises(ValueError, match="makes nothing from latents: it reconstructs images from spectra"):
        trained.sample(4)
    with pytest.raises(RunError, match="exported nets are fed latents, not this one: it reconstructs"):
        export(trained, "safetensors", tmp_path / "shared")
