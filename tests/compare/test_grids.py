"""The robustness table: seven architectures by four methods, each of them what its row says."""

import pytest
import torch
from torch import nn

from zerosum.compare.grids import GRIDS
from zerosum.compare.plan import Cell, Request, plan_of
from zerosum.nets.activations import Gate
from zerosum.recipes.system import System
from zerosum.recipes.table import RECIPES
from zerosum.rundir import DataOptions

SHAPE = (1, 16, 16)
RATE = 10
PLANS = {name: plan_of(Request(data=(DataOptions("digits"),), grid=name)) for name in GRIDS}


def built(cell: Cell) -> System:
    with torch.device("meta"):  # what it is made of: no numbers are needed
        return RECIPES[cell.recipe].build(SHAPE, cell.arguments)


def of(net: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(isinstance(module, kinds) for module in net.modules())


@pytest.fixture(scope="module")
def table() -> dict[tuple[int, str], tuple[Cell, System]]:
    plan = PLANS["robustness-small"]
    return {(plan.rows.index(cell.row), cell.column): (cell, built(cell)) for cell in plan.cells}


METHODS = ("DCGAN", "LSGAN", "WGAN (clipping)", "WGAN-GP")


def test_it_has_all_cells_and_all_see_the_same_images(table):
    assert set(table) == {(row, method) for row in range(7) for method in METHODS}
    assert len({cell.arguments["images"] for cell, _ in table.values()}) == 1
    assert len({cell.arguments["batch"] for cell, _ in table.values()}) == 1


@pytest.mark.parametrize("row", range(7))
def test_the_columns_are_the_papers_methods(table, row):
    rates = {}
    for method in METHODS:
        game, optimisers = table[row, method][1].game, table[row, method][1].optimisers
        (group,) = optimisers["critic"].param_groups
        rates[method] = group["lr"]
        one = game.objective.critic(torch.tensor([0.5]), torch.tensor([-2.0])).item()
        wasserstein = method.startswith("WGAN")
        assert game.critic_steps == (5 if wasserstein else 1)
        assert (game.constraint is not None) == (method == "WGAN (clipping)")
        assert [p.name for p in game.penalties] == (["wgan-gp"] if method == "WGAN-GP" else [])
        assert type(optimisers["generator"]).__name__ == (
            "Adam" if "GP" in method or method == "DCGAN" else "RMSprop"
        )
        if method == "LSGAN":
            assert one == pytest.approx((0.25 + 4) / 2) or one == pytest.approx(4.25)
        if wasserstein:
            assert one == -2.5
    assert [rates[m] / rates["WGAN (clipping)"] for m in METHODS] == pytest.approx([4, 2, 1, 2])


@pytest.mark.parametrize("method", METHODS)
def test_the_rows_are_the_papers_architectures(table, method):
    nets = [(table[row, method][1].game.generator, table[row, method][1].game.critic) for row in range(7)]
    norms = [tuple(of(net, nn.BatchNorm2d, nn.GroupNorm) for net in pair) for pair in nets]
    usual = of(nets[0][0], nn.BatchNorm2d), of(nets[0][1], nn.BatchNorm2d, nn.GroupNorm)
    assert usual[0] > 0 < usual[1]
    deep = (34, 33)
    assert norms == [usual, (0, usual[1]), (0, usual[1]), (0, 0), usual, usual, deep]
    expected = nn.GroupNorm if method == "WGAN-GP" else nn.BatchNorm2d
    assert of(nets[0][1], expected) == usual[1], "gradient penalties get layer norm"
    filters = [m.in_channels for m in nets[1][0].modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(set(filters)) == 1
    linear = [m.out_features for m in nets[2][0].modules() if isinstance(m, nn.Linear)]
    assert linear == [512] * 4 + [256]
    assert of(nets[2][0], nn.ReLU) == 4
    assert all(of(net, Gate) > 0 == of(net, nn.ReLU, nn.LeakyReLU) for net in nets[4])
    assert all(of(net, nn.Tanh) > 1 and of(net, nn.ReLU, nn.LeakyReLU) == 0 for net in nets[5])
    assert [len(net.blocks) for net in nets[6]] == [33, 33], "101 layers"
    for row in (1, 2, 3, 4, 5):
        plain = [(n, tuple(p.shape)) for n, p in nets[0][1].named_parameters() if "weight" in n]
        here = [(n, tuple(p.shape)) for n, p in nets[row][1].named_parameters() if "weight" in n]
        assert (here == plain) == (row in (1, 2, 5)), "the critic stays DCGAN's"


def test_the_small_one_is_the_papers_but_for_width_and_rate():
    smaller = ("width", "critic_width", "kernel", "latent", "batch", "fakes", "images")
    for small, whole in zip(PLANS["robustness-small"].cells, PLANS["robustness"].cells, strict=True):
        assert (small.column, small.recipe) == (whole.column, whole.recipe)
        assert small.row == whole.row
        assert small.arguments.get("depth") == whole.arguments.get("depth")
        assert whole.arguments.get("depth") == (101 if "ResNet" in whole.row else None)
        assert small.arguments["lr"] == pytest.approx(RATE * whole.arguments["lr"])
        for name in whole.arguments.keys() - {"lr", *smaller}:
            assert small.arguments[name] == whole.arguments[name], name
        assert whole.arguments["width"] == (32 if "ResNet" in whole.row else 64)
        assert whole.arguments["lr"] in (2e-4, 1e-4, 5e-5)


def test_settings_given_win_over_the_grids_own():
    plan = plan_of(
        Request(data=(DataOptions("digits"),), grid="robustness-small", set=("width=4",), images=320)
    )
    assert {cell.arguments["width"] for cell in plan.cells} == {4}
    assert plan.images == 320


def test_the_perceptron_lets_its_latents_through():
    """Four narrow layers of the first GAN's law would give the same image for every latent."""
    cell = next(cell for cell in PLANS["robustness-small"].cells if "MLP" in cell.row)
    generator = RECIPES[cell.recipe].build(SHAPE, cell.arguments).game.generator
    assert 0.1 < generator(torch.randn(64, 64)).std(0).mean() < 0.9
