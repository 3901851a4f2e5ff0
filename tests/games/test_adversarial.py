"""The two-player game: who moves when, on what, and that it is algorithm 1."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.playing import BATCH, LATENT, Points, nets, optimisers, play, turn_of
from zerosum.constraints import Constraint, clip, spectral_norm
from zerosum.draws import Draws
from zerosum.games.adversarial import Adversarial
from zerosum.games.game import Batch, Clock, Game, Terms
from zerosum.objectives import Objective, hinge, minimax, non_saturating, wasserstein
from zerosum.penalties import r1, wgan_gp
from zerosum.training.loop import train
from zerosum.training.state import State


@pytest.mark.parametrize("first", ["critic", "generator"])
@pytest.mark.parametrize("k", [1, 3])
def test_order_of_turns_and_who_takes_new_images(first, k):
    game = Adversarial(*nets(), LATENT, hinge(), critic_steps=k, first=first)
    turns = [(turn.player, turn.take) for turn in game.turns(Clock())]
    critics = [("critic", None)] * k
    assert turns == ([("generator", 0), *critics] if first == "generator" else [*critics, ("generator", 0)])


def test_each_critic_step_sees_new_images():
    game = Adversarial(*nets(), LATENT, hinge(), critic_steps=3)
    source = Points()
    train(game, source, optimisers(game), State(), 2 * 3 * BATCH, batch=BATCH)
    assert source.asked == [0, 8, 16, 24, 32, 40]


def test_the_order_matters():
    ends = [play(Adversarial(*nets(), LATENT, hinge(), first=first)) for first in ("critic", "generator")]
    assert not torch.equal(ends[0]["critic.0.weight"], ends[1]["critic.0.weight"])


@pytest.mark.parametrize(
    ("fakes", "k", "passes"), [("fresh", 1, 2), ("shared", 1, 1), ("fresh", 3, 4), ("shared", 3, 3)]
)
def test_passes_through_the_generator(fakes, k, passes):
    generator, critic = nets()
    game = Adversarial(generator, critic, LATENT, hinge(), critic_steps=k, fakes=fakes)
    counted = []
    generator.register_forward_hook(lambda module, inputs, output: counted.append(len(output)))
    play(game)
    assert counted == [BATCH] * passes


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("k", [1, 2])
def test_shared_fakes_move_as_fresh_ones_of_the_same_latents_would(norm, k):
    fixed = torch.randn(BATCH, 3, generator=torch.Generator().manual_seed(5))

    def same(draw: Draws) -> Tensor:
        return fixed

    shared, fresh = (
        play(Adversarial(*nets(norm), same, non_saturating(), critic_steps=k, fakes=fakes), steps=3)
        for fakes in ("shared", "fresh")
    )
    for name, tensor in shared.items():
        torch.testing.assert_close(tensor, fresh[name], msg=name)


@pytest.mark.parametrize("fakes", ["fresh", "shared"])
def test_the_critics_turn_leaves_the_generator_without_gradient(fakes):
    generator, critic = nets()
    game = Adversarial(generator, critic, LATENT, hinge(), fakes=fakes)
    generator.requires_grad_(False)  # as the loop freezes it
    sum(turn_of(game, "critic", torch.randn(5, 2)).loss.values()).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in generator.parameters())
    assert all(p.grad is not None for p in critic.parameters())


@pytest.mark.parametrize("fakes", ["fresh", "shared"])
def test_the_generators_turn_leaves_the_critics_gradient_as_it_was(fakes):
    generator, critic = nets()
    game = Adversarial(generator, critic, LATENT, non_saturating(), fakes=fakes)
    # What the critic's turn alone gives, at the same weights.
    other = deepcopy(critic)
    fake = generator(LATENT(Draws(3, 0, 0, 0, BATCH))).detach()
    real = Points().points[:BATCH]
    (F.softplus(-other(real)) + F.softplus(other(fake))).mean().backward()
    play(game)
    for mine, alone in zip(critic.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, alone.grad)


@pytest.mark.parametrize("case", ["gan", "wgan_gp", "wgan_clipped", "generator_first"])
def test_algorithm_one_bit_for_bit(case):
    k, lr, momentum, steps = 2, 0.05, 0.5, 3
    objective = wasserstein() if case.startswith("wgan") else minimax()
    penalties = [wgan_gp(weight=2.0)] if case == "wgan_gp" else []
    constraint = clip(0.1) if case == "wgan_clipped" else None
    first = "generator" if case == "generator_first" else "critic"
    generator, critic = nets()
    found = play(
        Adversarial(
            *deepcopy((generator, critic)), LATENT, objective,
            penalties=penalties, constraint=constraint, critic_steps=k, first=first,
        ),
        steps,
    )  # fmt: skip

    velocity: dict[str, Tensor] = {}

    def descend(prefix: str, net: nn.Module, loss: Tensor) -> None:
        names, parameters = zip(*net.named_parameters(prefix), strict=True)
        for name, p, g in zip(names, parameters, torch.autograd.grad(loss, parameters), strict=True):
            velocity[name] = velocity[name] * momentum + g if name in velocity else g
            with torch.no_grad():
                p.add_(velocity[name], alpha=-lr)

    def critic_turn(step: int, turn: int, real: Tensor) -> None:
        draw = Draws(3, step, turn, 0, BATCH)
        fake = generator(LATENT(draw)).detach()
        on_real, on_fake = critic(real), critic(fake)  # in this order: it is that of the gradients' sum
        if case.startswith("wgan"):
            loss = (on_fake - on_real).sum() / BATCH
        else:
            loss = (F.softplus(-on_real) + F.softplus(on_fake)).sum() / BATCH
        if case == "wgan_gp":
            epsilon = draw.uniform("interpolate", 1)
            between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            loss = loss + (2.0 * (slope.square().sum(1).sqrt() - 1).square()).sum() / BATCH
        descend("critic", critic, loss)
        if case == "wgan_clipped":
            with torch.no_grad():
                for p in critic.parameters():
                    p.clamp_(-0.1, 0.1)

    def generator_turn(step: int, turn: int) -> None:
        fake = generator(LATENT(Draws(3, step, turn, 0, BATCH)))
        loss = -critic(fake) if case.startswith("wgan") else -F.softplus(critic(fake))
        descend("generator", generator, loss.sum() / BATCH)

    if case == "wgan_clipped":
        for p in critic.parameters():
            p.data.clamp_(-0.1, 0.1)
    points, shown = Points().points, 0
    for step in range(steps):
        if first == "generator":
            generator_turn(step, 0)
        for j in range(k):
            places = torch.arange(shown, shown + BATCH) % len(points)
            critic_turn(step, j + (first == "generator"), points[places])
            shown += BATCH
        if first == "critic":
            generator_turn(step, k)

    for prefix, net in (("generator", generator), ("critic", critic)):
        for name, p in net.named_parameters(prefix):
            assert torch.equal(found[name], p), name


@pytest.mark.parametrize("fakes", ["fresh", "shared"])
def test_micro_batches_move_as_whole_ones(fakes):
    def game() -> Adversarial:
        return Adversarial(*nets(), LATENT, non_saturating(), penalties=[r1(0.5)], fakes=fakes)

    whole, cut = play(game(), steps=3), play(game(), steps=3, micro=3)
    for name, tensor in whole.items():
        torch.testing.assert_close(cut[name], tensor, msg=name)


def test_batch_norm_forbids_cutting_and_never_mixes_real_with_fake():
    generator, critic = nets(norm=True)
    game = Adversarial(generator, critic, LATENT, hinge())
    assert not any(turn.splits for turn in game.turns(Clock()))
    assert all(turn.splits for turn in Adversarial(*nets(), LATENT, hinge()).turns(Clock()))
    sizes = []
    critic.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    play(game)
    assert sizes == [BATCH] * 3


def test_constraint_acts_around_each_critic_turn():
    said = []
    constraint = Constraint(
        "spy",
        prepare=lambda net: said.append("prepare"),
        before=lambda net: said.append("before"),
        after=lambda net: said.append("after"),
    )
    game = Adversarial(*nets(), LATENT, hinge(), constraint=constraint, critic_steps=2)
    for turn in game.turns(Clock()):
        said.append(turn.player)
    assert said == ["prepare", "before", "critic", "after", "before", "critic", "after", "generator"]


def test_clipping_comes_after_the_step():
    found = play(Adversarial(*nets(), LATENT, wasserstein(), constraint=clip(0.02)), steps=2)
    assert all(p.abs().max() <= 0.02 for name, p in found.items() if name.startswith("critic"))
    assert any(p.abs().max() > 0.02 for name, p in found.items() if name.startswith("generator"))


@pytest.mark.parametrize("fakes", ["fresh", "shared"])
def test_batch_norm_and_spectral_norm_together(fakes):
    game = Adversarial(*nets(norm=True), LATENT, hinge(), constraint=spectral_norm(), fakes=fakes)
    assert all(tensor.isfinite().all() for tensor in play(game, steps=3).values())


def test_penalties_are_terms_of_their_own_when_due():
    game = Adversarial(*nets(), LATENT, wasserstein(), penalties=[wgan_gp(), r1(every=2)])
    critic_turn = [next(iter(game.turns(Clock(step)))) for step in (0, 1)]
    batch = Batch({"real": torch.randn(5, 2)}, Draws(stop=5), 5)
    terms = [turn.terms(batch).loss for turn in critic_turn]
    assert [list(loss) for loss in terms] == [["adversarial", "wgan-gp", "r1"], ["adversarial", "wgan-gp"]]
    assert all(term.shape == (5,) for loss in terms for term in loss.values())


def test_what_is_seen_is_what_d_says_real_and_fake_apart():
    generator, critic = nets()
    real = torch.randn(5, 2)
    fake = generator(LATENT(Draws(3, 0, 0, 0, 5)))
    for objective, reading in ((non_saturating(), torch.sigmoid), (wasserstein(), lambda x: x)):
        game = Adversarial(generator, critic, LATENT, objective)
        seen = turn_of(game, "critic", real).seen
        torch.testing.assert_close(seen["real"], reading(critic(real)))
        torch.testing.assert_close(seen["fake"], reading(critic(fake)))
        assert list(turn_of(game, "generator", real).seen) == ["fake"]


def test_a_paired_objective_hears_both_in_order():
    heard = []

    def generator_loss(real: Tensor | None, fake: Tensor) -> Tensor:
        heard.append((real, fake))
        return fake

    generator, critic = nets()
    game = Adversarial(
        generator, critic, LATENT, Objective(lambda real, fake: fake - real, generator_loss, paired=True)
    )
    real = torch.randn(5, 2)
    turn_of(game, "generator", real)
    ((on_real, on_fake),) = heard
    torch.testing.assert_close(on_real, critic(real))
    torch.testing.assert_close(on_fake, critic(generator(LATENT(Draws(3, 0, 0, 0, 5)))))


@pytest.mark.parametrize(
    ("settings", "norm", "what"),
    [
        ({"critic_steps": 0}, False, "--critic-steps"),
        ({"penalties": [wgan_gp()]}, True, "batch norm"),
        ({"first": "generator", "fakes": "shared"}, False, "fakes"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(settings, norm, what):
    with pytest.raises(ValueError, match=what):
        Adversarial(*nets(norm), LATENT, hinge(), **settings)


def test_a_game_must_say_who_moves():
    with pytest.raises(NotImplementedError, match="turns"):
        Game().turns(Clock())


def test_nothing_seen_is_shared_and_cannot_be_written():
    terms = Terms({"loss": torch.zeros(1)})
    with pytest.raises(TypeError):
        terms.seen["x"] = torch.zeros(1)
