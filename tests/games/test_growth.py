"""A game of growing nets: the clock reaches them, and reals come in their size, faded as they are."""

import pytest
import torch
from torch import Tensor

from tests.playing import turn_of
from zerosum.draws import Draws, Latent
from zerosum.games.adversarial import Adversarial
from zerosum.games.game import Batch, Clock
from zerosum.games.growth import faded
from zerosum.nets.progan import Growth, ProGANCritic, ProGANGenerator
from zerosum.objectives import wasserstein
from zerosum.penalties import drift, wgan_gp

PLAN = Growth(2, 100, 50)
X = torch.rand(4, 2, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("images", "side", "share"),
    [(0, 4, 1), (100, 8, 0), (130, 8, 0.6), (150, 8, 1), (260, 16, 0.2), (300, 16, 1)],
)
def test_reals_are_averaged_to_the_stage_s_size_and_faded(images: int, side: int, share: float) -> None:
    def mean(x: Tensor, to: int) -> Tensor:
        return x.unfold(2, 16 // to, 16 // to).unfold(3, 16 // to, 16 // to).mean((4, 5))

    blurred = mean(X, side // 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = share * mean(X, side) + (1 - share) * blurred
    assert torch.allclose(faded(X, PLAN, images), expected, atol=1e-6)


def game() -> Adversarial:
    torch.manual_seed(0)
    nets = {"fmap_base": 16, "fmap_max": 8, "stable": 100, "fade": 50}
    generator = ProGANGenerator((2, 16, 16), latent=3, **nets)
    critic = ProGANCritic((2, 16, 16), **nets)
    return Adversarial(
        generator, critic, Latent(3), wasserstein(), penalties=(wgan_gp(), drift()), growth=PLAN
    )


@pytest.mark.parametrize(("images", "side"), [(0, 4), (130, 8), (300, 16)])
def test_the_critic_and_its_penalty_see_the_stage_s_own_size(images: int, side: int) -> None:
    made = game()
    sides: list[int] = []
    made.critic.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-1]))
    turns = made.turns(Clock(7, images))
    turn = next(turns)
    assert int(made.generator.images) == int(made.critic.images) == images
    terms = turn.terms(Batch({"real": X}, Draws(1, 7, 0, 0, 4), 4))
    assert set(terms.loss) == {"adversarial", "wgan-gp", "drift"}
    assert sides == [side] * 3  # real, fake and between; drift judges the reals no second time
    generators = turns.send({})
    generators.terms(Batch({"real": X}, Draws(1, 7, 1, 0, 4), 4))
    assert sides == [side] * 4


def test_terms_are_those_of_the_faded_reals() -> None:
    made = game()
    turns = made.turns(Clock(0, 130))
    terms = next(turns).terms(Batch({"real": X}, Draws(1, 0, 0, 0, 4), 4))
    logits = made.critic(faded(X, PLAN, 130))
    assert torch.allclose(terms.seen["real"], logits, atol=1e-6)
    assert torch.allclose(terms.loss["drift"], 1e-3 * logits.square(), atol=1e-6)


def test_nets_that_do_not_grow_are_told_nothing() -> None:
    made = Adversarial(torch.nn.Linear(3, 2), torch.nn.Flatten(0), Latent(3), wasserstein())
    assert turn_of(made, "generator", torch.zeros(4, 2)).loss
