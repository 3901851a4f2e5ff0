"""SAGAN and BigGAN as recipes: their papers' settings, and what training does with labels and averages."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import small
from zerosum.constraints import spectral_norm
from zerosum.data import Resident
from zerosum.nets.conditioning import ProjectedCritic
from zerosum.recipes.table import RECIPES
from zerosum.training.state import Average

CLASSES = 4
TINY = {"biggan": {"latent": 4, "latent_to": "all"}, "sagan": {}}


class Labelled:
    """Random images of `CLASSES` classes."""

    size = 24

    def __init__(self) -> None:
        self.source = Resident(small.images(), seed=5)

    def __call__(self, cursor: int, ids: Tensor) -> dict[str, Tensor]:
        batch = dict(self.source(cursor, ids))
        return {**batch, "labels": batch["labels"] % CLASSES}


def built(recipe: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    return RECIPES[recipe].build(
        (1, 8, 8), {**small.TINY[recipe], **TINY[recipe], **settings}, classes=CLASSES
    )


def rates(made: Any) -> tuple[float, float]:
    return tuple(made.optimisers[name].param_groups[0]["lr"] for name in ("generator", "critic"))


def test_the_papers_settings() -> None:
    """Zhang 2019 and Brock 2019, ImageNet at 128×128."""
    thin = {"width": 1, "critic_width": 1}
    sagan, biggan = (RECIPES[name].build((3, 128, 128), thin, classes=3) for name in ("sagan", "biggan"))
    for name, width in (("sagan", 64), ("biggan", 96)):
        for setting in thin:
            assert RECIPES[name].settings[setting].default == width
    for made, betas in ((sagan, (0, 0.9)), (biggan, (0, 0.999))):
        for optimiser in made.optimisers.values():
            assert optimiser.param_groups[0]["betas"] == betas
        assert made.game.constraint.name == made.game.generator_constraint.name == "spectral-norm"
        assert made.game.objective.critic(torch.tensor([0.5]), torch.tensor([-2.0])) == 0.5, "hinge"
        assert isinstance(made.game.critic, ProjectedCritic)
        assert not made.game.penalties
        assert made.game.fakes == "fresh"
    assert rates(sagan) == (1e-4, 4e-4)
    assert (sagan.batch, sagan.game.critic_steps, sagan.latent.size) == (256, 1, 128)
    assert sagan.images == 1_000_000 * 256
    assert not sagan.game.regularisers
    generator, critic = sagan.game.generator, sagan.game.critic.critic
    assert (generator.attends_before, critic.attends_before) == (3, 2), "at 32×32"
    assert generator.embed is None
    assert generator.project.out_features == 4 * 4 * 16
    assert rates(biggan) == (5e-5, 2e-4)
    assert (biggan.batch, biggan.game.critic_steps, biggan.latent.size) == (2048, 2, 120)
    assert biggan.images == 165_000 * 2 * 2048
    assert biggan.average == 0.9999
    (term,) = biggan.game.regularisers
    assert (term.name, term.player, term.weight) == ("orthogonal", "generator", 1e-4)


def test_the_authors_settings_on_cifar() -> None:
    preset = RECIPES["biggan"].presets["cifar"]
    thin = {"width": 1, "critic_width": 1}
    made = RECIPES["biggan"].build((3, 32, 32), {**preset, **thin}, classes=10)
    assert [preset[setting] for setting in thin] == [256, 256]
    assert rates(made) == (2e-4, 2e-4)
    assert (made.batch, made.game.critic_steps, made.images) == (50, 4, 500 * 50_000)
    assert (made.latent.size, made.average) == (128, 0.9999)
    assert not made.game.regularisers
    assert made.game.generator.embed is None
    assert [b.conv2.out_channels for b in made.game.critic.critic.blocks] == [1] * 4


@pytest.mark.parametrize("recipe", ["sagan", "biggan"])
def test_training_moves_all_weights_and_averages_all_of_them(recipe: str) -> None:
    made = built(recipe, average=0.5, images=64)
    before = {name: p.clone() for name, p in made.game.named_parameters()}
    where = small.state(made)
    small.play(made, Labelled(), where, 64)
    unmoved = [name for name, p in made.game.named_parameters() if torch.equal(p, before[name])]
    assert not unmoved
    average = where.averages["generator"].module
    for name, p in average.named_parameters():
        old, new = before[f"generator.{name}"], made.game.generator.get_parameter(name)
        assert not torch.equal(p, old), name
        assert not torch.equal(p, new), name


@pytest.mark.parametrize("recipe", ["sagan", "biggan"])
def test_the_nets_stay_bounded_and_classes_apart(recipe: str) -> None:
    made = built(recipe)
    where = small.play(made, Labelled(), small.state(made), 64)
    for net in (made.game.generator, made.game.critic):
        for layer in net.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) < 1.2
    average: Average = where.averages["generator"]
    z = torch.randn(1, made.latent.size).expand(CLASSES, -1)
    images = average.module(z, torch.arange(CLASSES))
    assert len(images.flatten(1).unique(dim=0)) == CLASSES


def test_an_averages_spectral_norm_is_its_own_weights() -> None:
    nets = [nn.Linear(2, 2, bias=False) for _ in range(2)]
    for net, diagonal in zip(nets, ((3.0, 1.0), (1.0, 3.0)), strict=True):
        net.weight.data = torch.diag(torch.tensor(diagonal))
        spectral_norm().prepare(net)
    average = Average(nets[0], 0.5)
    average.update(nets[1], 1000)
    # The mean of the weights is 2·1, while that of their singular vectors has length √½.
    assert torch.allclose(average.module(torch.eye(2)), torch.eye(2), atol=1e-3)


def test_a_projections_embedding_begins_by_the_same_law() -> None:
    embed = built("biggan", critic_width=8).game.critic.embed
    matrix = embed.parametrizations.weight.original
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(CLASSES), rtol=0.0, atol=1e-5)
