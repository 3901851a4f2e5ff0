"""Unrolling: real steps of the critic's optimiser, and the generator's gradient through them."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from tests import small
from tests.playing import BATCH, LATENT, Points, nets, play, turn_of
from zerosum.constraints import spectral_norm
from zerosum.corruptions import instance_noise
from zerosum.draws import Draws
from zerosum.games.adversarial import Adversarial
from zerosum.games.unrolling import Unroll
from zerosum.objectives import Objective, non_saturating
from zerosum.relativistic import relativistic

MAKE: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "sgd": lambda p: SGD(p, 0.3),
    "momentum": lambda p: SGD(p, 0.3, momentum=0.5),
    "rmsprop": lambda p: RMSprop(p, 0.02),
    "adam": lambda p: Adam(p, 0.03, (0.5, 0.99)),
    "fused adam": lambda p: Adam(p, 0.03, (0.0, 0.9), fused=True),
    "two groups": lambda p: SGD([{"params": p[:2], "lr": 0.5}, {"params": p[2:]}], 0.1, momentum=0.9),
}
every_kind = pytest.mark.parametrize("kind", MAKE)
REAL = Points().points[:BATCH].double()


def smooth() -> tuple[nn.Module, nn.Module]:
    """Nets without kinks, for finite differences."""
    torch.manual_seed(2)
    critic = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))
    return nn.Linear(3, 2).double(), critic.double()


def optimiser_of(kind: str, critic: nn.Module, warm: bool) -> Optimizer:
    """An optimiser, with some steps behind it if `warm`."""
    optimiser = MAKE[kind](list(critic.parameters()))
    for _ in range(3 * warm):
        optimiser.zero_grad()
        critic(torch.randn(4, 2, dtype=torch.float64)).square().sum().backward()
        optimiser.step()
    return optimiser


def stepped(
    critic: nn.Module, optimiser: Optimizer, objective: Objective, fake: Tensor, steps: int
) -> nn.Module:
    """A copy of the critic after `steps` true steps of a copy of the optimiser."""
    ahead, mover = deepcopy((critic, optimiser))  # together: the copied optimiser holds the copied weights
    for _ in range(steps):
        mover.zero_grad()
        objective.critic(ahead(REAL), ahead(fake.detach())).mean().backward()
        mover.step()
    return ahead


@every_kind
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("objective", [non_saturating(), relativistic()])
def test_the_generators_gradient_is_that_of_its_loss_after_true_steps(kind, warm, objective):
    generator, critic = smooth()
    optimiser = optimiser_of(kind, critic, warm)
    latents = LATENT(Draws(3, 0, 0, 0, BATCH)).double()

    def loss_at() -> Tensor:
        fake = generator(latents)
        ahead = stepped(critic, optimiser, objective, fake, 3)
        with torch.no_grad():
            return objective.generator(ahead(REAL), ahead(fake)).mean()

    game = Adversarial(generator, critic, double_latent, objective, unroll=Unroll(3, optimiser))
    found = turn_of(game, "generator", REAL).loss["adversarial"].mean()
    torch.testing.assert_close(found.detach(), loss_at(), rtol=1e-10, atol=1e-12)
    gradient = torch.autograd.grad(found, generator.weight)[0]
    plain = turn_of(Adversarial(generator, critic, double_latent, objective), "generator", REAL)
    through_nothing = torch.autograd.grad(plain.loss["adversarial"].mean(), generator.weight)[0]
    expected = torch.empty_like(gradient)
    h = 1e-6
    weights = generator.weight.data.view(-1)
    for i in range(len(weights)):
        sides = []
        for move in (h, -h):
            weights[i] += move
            sides.append(loss_at())
            weights[i] -= move
        expected.view(-1)[i] = (sides[0] - sides[1]) / (2 * h)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)
    assert not torch.allclose(gradient, through_nothing, rtol=1e-2)


def double_latent(draw: Draws) -> Tensor:
    return LATENT(draw).double()


def test_a_weight_that_never_had_a_gradient_gives_no_nan():
    generator, critic = smooth()
    with torch.no_grad():
        critic[2].weight[0, 0] = 0  # nothing flows to the first unit: its v stays 0
        critic[2].weight[0, 1:] = 1
    for make in (lambda p: Adam(p, 0.1, (0.0, 0.9), eps=1e-8), lambda p: RMSprop(p, 0.1)):
        held = [critic[0].weight]
        game = Adversarial(generator, critic, double_latent, non_saturating(), unroll=Unroll(2, make(held)))
        critic.requires_grad_(False)
        held[0].requires_grad_(True)
        loss = turn_of(game, "generator", REAL).loss["adversarial"].mean()
        assert torch.autograd.grad(loss, generator.weight)[0].isfinite().all()


def test_no_steps_are_the_plain_game():
    ends = []
    for steps in (None, 0):
        generator, critic = nets()
        unroll = None if steps is None else Unroll(0, SGD(critic.parameters(), 0.1))
        ends.append(play(Adversarial(generator, critic, LATENT, non_saturating(), unroll=unroll), steps=3))
    assert not small.differing(*ends)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("kind", ["momentum", "rmsprop", "adam"])
def test_the_critic_and_its_optimiser_stay_to_the_bit(kind, steps):
    generator, critic = nets(norm=True)
    spectral_norm().prepare(critic)
    optimiser = MAKE[kind](list(critic.parameters()))
    game = Adversarial(
        generator,
        critic,
        LATENT,
        non_saturating(),
        unroll=Unroll(steps, optimiser),
        corruptions=[instance_noise()],
    )
    for warm in range(2):
        before = deepcopy((critic.state_dict(), optimiser.state_dict()))
        turn_of(game, "generator", REAL.float()).loss["adversarial"].sum().backward()
        after = critic.state_dict(), optimiser.state_dict()
        assert not small.differing(before[0], after[0])
        assert not small.differing(flat(before[1]), flat(after[1]))
        assert warm or not optimiser.state
        optimiser.step()


def flat(state: dict) -> dict:
    tensors = {f"{i}/{k}": v for i, values in state["state"].items() for k, v in values.items()}
    return {**tensors, "groups": state["param_groups"]}


def test_with_batch_norm_real_and_fake_are_judged_apart():
    generator, critic = nets(norm=True)
    sizes = []
    critic.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    game = Adversarial(
        generator, critic, LATENT, non_saturating(), unroll=Unroll(2, SGD(critic.parameters(), 0.1))
    )
    turn_of(game, "generator", REAL.float())
    assert sizes == [BATCH] * 5  # twice real and fake, and the fakes at last
    assert not any(turn.splits for turn in game.turns(None) if turn.player == "generator")


def test_the_turn_cannot_be_cut_but_the_critics_can():
    generator, critic = nets()
    unroll = Unroll(1, SGD(critic.parameters(), 0.1))
    game = Adversarial(generator, critic, LATENT, non_saturating(), unroll=unroll)
    assert {turn.player: turn.splits for turn in game.turns(None)} == {"critic": True, "generator": False}


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda p: AdamW(p, 0.1), "cannot differentiate AdamW: choose --optimiser among SGD, RMSprop, Adam"),
        (lambda p: Adam(p, 0.1, amsgrad=True), "Adam with amsgrad"),
        (lambda p: SGD(p, 0.1, 0.5, nesterov=True), "SGD with nesterov"),
        (lambda p: SGD(p, 0.1, weight_decay=0.1), "SGD with weight_decay"),
        (lambda p: RMSprop(p, 0.1, momentum=0.5), "RMSprop with momentum"),
    ],
)
def test_what_cannot_be_unrolled_is_refused(make, what):
    with pytest.raises(ValueError, match=what):
        Unroll(1, make(nn.Linear(1, 1).parameters()))


def test_an_optimiser_of_others_too_and_negative_steps_are_refused():
    generator, critic = nets()
    joint = SGD([*generator.parameters(), *critic.parameters()], 0.1)
    game = Adversarial(generator, critic, LATENT, non_saturating(), unroll=Unroll(1, joint))
    with pytest.raises(ValueError, match="the critic's parameters alone"):
        turn_of(game, "generator", REAL.float())
    with pytest.raises(ValueError, match="--unroll must be at least 0"):
        Unroll(-1, joint)
