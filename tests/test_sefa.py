"""The first layer of every recipe's generator, and its directions against NumPy's singular vectors."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import small
from zerosum.constraints import spectral_norm
from zerosum.nets.biggan import BigGANGenerator
from zerosum.nets.dcgan import DCGANGenerator
from zerosum.recipes.table import RECIPES
from zerosum.sefa import first_layer, sefa

FIRST = {
    "gan": lambda net: net.layers[0].weight,
    "dcgan": lambda net: net.project.weight,
    "wgan-gp": lambda net: net.project.weight,
    "wgan-gp-resnet": lambda net: net.project.weight,
    "sngan": lambda net: net.project.weight,
    "sagan": lambda net: net.project.weight,
    "biggan": lambda net: net.project.weight,
    "cgan": lambda net: net.of_latent.weight,
    "acgan": lambda net: net.net.project.weight[:, :4],
    "projection-gan": lambda net: net.project.weight,
    "progan": lambda net: next(m for m in net.modules() if isinstance(m, nn.Linear)).weight,
    "r3gan": lambda net: net.strengths.weight,
}


def generator(recipe: str) -> nn.Module:
    return small.system(recipe).game.get_submodule("generator")


def like_numpy(found: Tensor, weight: Tensor) -> None:
    """Right singular vectors up to sign, and the share of the strongest that each value has."""
    _, values, rows = np.linalg.svd(weight.detach().double().numpy(), full_matrices=False)
    known = min(len(found.directions), len(values))  # of what the layer does not see, any direction will do
    cosines = np.abs((found.directions.double().numpy()[:known] * rows[:known]).sum(1))
    assert cosines == pytest.approx(np.ones(known), abs=1e-4)
    shares = (found.strengths / found.strengths[0]).numpy()
    assert shares[:known] == pytest.approx(values[:known] / values[0], rel=1e-3)
    assert shares[known:] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("recipe", sorted(FIRST))
def test_directions_are_singular_vectors_of_the_first_layer_of_every_recipe(recipe):
    net = generator(recipe)
    found = sefa(net, 4, labels=RECIPES[recipe].labels == "needed")
    like_numpy(found, FIRST[recipe](net))
    assert torch.allclose(found.directions @ found.directions.mT, torch.eye(4), atol=1e-5)


def test_a_recipe_left_out_of_this_file_still_has_a_first_layer():
    for recipe in set(small.TINY) - set(FIRST):
        made = small.system(recipe)
        net, size = made.game.get_submodule(made.generator), made.latent.size
        if size:
            assert first_layer(net, size, labels=RECIPES[recipe].labels == "needed").shape[1] == size


def test_virtual_batch_norms_reference_is_not_taken_for_the_probe():
    net = DCGANGenerator((1, 8, 8), latent=5, width=2, norm="virtual")
    like_numpy(sefa(net, 5), net.project.weight)


def test_a_split_latent_counts_in_every_layer_that_is_fed_a_part():
    net = BigGANGenerator((1, 16, 16), classes=3, latent=6, width=2, shared=4)
    for block in net.blocks:  # gains are 0 for all latents at the start: give each part something to do
        for norm in (block.norm1, block.norm2):
            nn.init.normal_(norm.gain.weight)
    layer = first_layer(net, 6, labels=True)
    first = net.project.weight.double()
    assert torch.allclose(layer[: len(first), : net.chunk], first, atol=1e-5)
    assert not layer[: len(first), net.chunk :].any()
    rest = layer[len(first) :]
    expected = torch.zeros(0, 6)
    for j, block in enumerate(net.blocks):
        for norm in (block.norm1, block.norm2):
            for law in (norm.gain, norm.bias):
                part = torch.zeros(len(law.weight), 6)
                part[:, net.chunk * (j + 1) : net.chunk * (j + 2)] = law.weight[:, 4:].detach()
                expected = torch.cat([expected, part])
    assert torch.allclose(rest.square().sum(0), expected.double().square().sum(0), atol=1e-4)


def test_a_constrained_layer_is_taken_as_it_acts():
    net = nn.Sequential(nn.Linear(4, 6))
    spectral_norm().prepare(net)
    assert sefa(net, 4).strengths[0] == pytest.approx(1, abs=0.05)


def test_a_direction_moves_the_first_layer_by_its_strength_and_the_mode_is_kept():
    net = generator("dcgan").train()
    found = sefa(net, 4, 2)
    assert net.training
    moved = (net.project.weight @ found.directions.mT).norm(dim=0)
    assert torch.allclose(moved, found.strengths, rtol=1e-4)
    assert found.strengths[0] >= found.strengths[1]


def test_what_has_no_first_layer_and_wrong_counts_are_refused():
    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, z: Tensor) -> Tensor:
            out: Tensor = self.layer(torch.cat([z, z], 1).cumsum(1)[:, :3])
            return out

    with pytest.raises(ValueError, match="Squared: no linear layer of it is fed the latent itself"):
        sefa(Squared(), 3)
    for count in (0, 5):
        with pytest.raises(ValueError, match="--count must be from 1 to 4, the latent's size"):
            sefa(generator("dcgan"), 4, count)
