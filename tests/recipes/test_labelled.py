"""Recipes with labels: their papers' settings, who needs labels and who may have them."""

import pytest
import torch

from tests import small
from zerosum.draws import Draws
from zerosum.games.game import Clock
from zerosum.nets.conditioning import ClassifyingCritic, ConditionalBatchNorm2d, ProjectedCritic
from zerosum.recipes.table import RECIPES
from zerosum.trained import generate

NEEDED = ("cgan", "acgan", "projection-gan")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_cgans_settings():
    """Mirza & Osindero 2014, section 4.1; the layers are in tests/nets/test_conditional_mlp.py."""
    made = RECIPES["cgan"].build((1, 28, 28), classes=10)
    assert (made.batch, made.latent.size, made.latent.law, made.classes) == (100, 100, "uniform", 10)
    for player in ("generator", "critic"):
        assert made.optimisers[player].param_groups[0]["momentum"] == 0.5
        law = made.schedules[player]
        assert law(Clock(0, 0)) == {"lr": 0.1, "momentum": 0.5}
        assert law(Clock(1, 100))["lr"] == pytest.approx(0.1 / 1.00004)
        end = law(Clock(made.images // 100, made.images))
        assert end == {"lr": pytest.approx(1e-6, rel=0.01), "momentum": pytest.approx(0.7)}
        assert law(Clock(10**6, 10**8))["lr"] == 1e-6
    rates = [m.p for m in made.game.modules() if isinstance(m, torch.nn.Dropout)]
    assert rates == [0.5, 0.5, 0.0, 0.5, 0.5], "the critic's input, the third, keeps all"


def test_acgans_settings():
    """Odena et al. 2017, appendix A: the table of CIFAR-10's nets."""
    made = RECIPES["acgan"].build((3, 32, 32), classes=10)
    game = made.game
    group = made.optimisers["critic"].param_groups[0]
    assert (made.batch, group["lr"], group["betas"], made.images) == (100, 2e-4, (0.5, 0.999), 50_000 * 100)
    assert game.generator.net.project.in_features == 100 + 10
    shapes = [tuple(p.shape) for p in game.generator.parameters() if p.dim() == 4]
    assert shapes == [(384, 192, 5, 5), (192, 96, 5, 5), (96, 3, 5, 5)]
    assert isinstance(game.critic, ClassifyingCritic)
    assert (game.auxiliary.weight, game.auxiliary.generator_weight, game.auxiliary.on) == (1, 1, "both")
    settings = {"auxiliary": "real", "class_weight": 2.0, "generator_class_weight": 0.1}
    told = RECIPES["acgan"].build((3, 32, 32), settings, 10).game.auxiliary
    assert (told.weight, told.generator_weight, told.on) == (2.0, 0.1, "real")


def test_projection_gans_settings():
    """Miyato & Koyama 2018, section 5.1: ImageNet at 128×128, the rate falling in 50,000 of 450,000 steps."""
    defaults = RECIPES["projection-gan"].settings
    assert (defaults["width"].default, defaults["critic_width"].default) == (64, 64)
    made = RECIPES["projection-gan"].build((3, 128, 128), {"width": 2, "critic_width": 2}, 1000)
    group = made.optimisers["generator"].param_groups[0]
    assert (made.batch, group["lr"], group["betas"]) == (256, 2e-4, (0, 0.9))
    assert made.images == 450_000 * 5 * 256
    assert [made.schedules["critic"](Clock(0, k * 5 * 256))["lr"] for k in (0, 400_000, 425_000)] == [
        2e-4, 2e-4, 1e-4
    ]  # fmt: skip
    game = made.game
    assert (game.critic_steps, game.constraint.name, game.generator_constraint) == (5, "spectral-norm", None)
    assert game.objective.critic(torch.tensor([0.5]), torch.tensor([-2.0])) == 0.5, "hinge"
    assert game.generator.project.out_features == 4 * 4 * 32
    norms = [m for m in game.generator.modules() if isinstance(m, ConditionalBatchNorm2d)]
    assert [m.gain.weight.shape[1] for m in norms] == [32, 32, 32, 16, 16, 8, 8, 4, 4, 2]
    assert isinstance(game.critic, ProjectedCritic)
    assert tuple(game.critic.embed.parametrizations.weight.original.shape) == (1000, 32)


def test_wgan_gps_supervised_form():
    """Gulrajani et al. 2017, appendix: class batch norm, a classifier on reals of weights 1 and .1."""
    plain, told = (RECIPES["wgan-gp-resnet"].build((3, 32, 32), {"width": 4}, k) for k in (0, 10))
    assert plain.game.auxiliary is None
    auxiliary = told.game.auxiliary
    assert (auxiliary.weight, auxiliary.generator_weight, auxiliary.on) == (1.0, 0.1, "real")
    norms = [m for m in told.game.generator.modules() if isinstance(m, ConditionalBatchNorm2d)]
    assert len(norms) == 6
    assert isinstance(told.game.critic, ClassifyingCritic)


@pytest.mark.parametrize("recipe", NEEDED)
def test_labels_are_needed(recipe):
    with pytest.raises(
        ValueError, match=f"recipe {recipe} makes samples by class, and the data have no labels"
    ):
        RECIPES[recipe].build((1, 16, 16))


def test_labels_are_refused_where_there_is_no_use_for_them():
    able = "|".join(NEEDED)
    with pytest.raises(ValueError, match=f"recipe gan takes no labels: .* choose one of .*({able})"):
        RECIPES["gan"].build((1, 16, 16), classes=3)


def test_bottleneck_nets_take_no_labels():
    for recipe in ("projection-gan", "wgan-gp-resnet"):
        with pytest.raises(ValueError, match="--depth 26: bottleneck nets take no labels"):
            RECIPES[recipe].build((1, 16, 16), {"depth": 26}, 3)


@pytest.mark.parametrize("recipe", NEEDED)
def test_points_by_class_and_their_refusal(recipe):
    settings = {**small.TINY[recipe], "latent": 3}
    if recipe == "cgan":
        made = RECIPES[recipe].build((2,), settings, 4)
        assert made.game.generator(torch.zeros(5, 3), torch.arange(5) % 4).shape == (5, 2)
        return
    with pytest.raises(ValueError, match=r"use gan, or cgan with labels"):
        RECIPES[recipe].build((2,), settings, 4)


@pytest.mark.parametrize("recipe", NEEDED)
def test_training_makes_classes_differ(recipe):
    made = small.system(recipe)
    if made.begin:
        made.begin(torch.randn(16, 1, 8, 8))
    small.play(made, small.source(), small.state(made), 48)

    def drawn(labels: torch.Tensor) -> torch.Tensor:
        return generate(made.game.generator, made.latent, Draws(1, stop=6), labels)

    one, other = drawn(torch.zeros(6, dtype=torch.int64)), drawn(torch.ones(6, dtype=torch.int64))
    assert torch.equal(one, drawn(torch.zeros(6, dtype=torch.int64)))
    assert (one - other).flatten(1).abs().amax(1).min() > 1e-5
