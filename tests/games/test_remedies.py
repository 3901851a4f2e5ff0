"""What a two-player game takes in beside its objective: corruptions, regularisers, packs, features."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.playing import BATCH, LATENT, Points, nets, optimisers, play, turn_of
from zerosum.corruptions import Corruption
from zerosum.draws import Draws
from zerosum.games.adversarial import Adversarial
from zerosum.games.game import Clock
from zerosum.games.unrolling import Unroll
from zerosum.nets.mlp import MLPCritic
from zerosum.objectives import hinge, non_saturating, wasserstein
from zerosum.penalties import Penalty, dragan, r1, wgan_gp
from zerosum.regularisers import Regulariser, historical_averaging
from zerosum.relativistic import relativistic, relativistic_average
from zerosum.training.loop import train
from zerosum.training.state import State

REAL = Points().points[:BATCH]


class Shift(Corruption):
    """x + `by`, and a record of all calls."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by, self.calls, self.adapted = by, [], []
        self.register_buffer("level", torch.zeros(()))

    def forward(self, x: Tensor, draw: Draws, purpose: str, images: int) -> Tensor:
        self.calls.append((purpose.split("/")[0], images, len(draw), draw.turn))
        return x + self.by


class Adapting(Shift):
    adaptive = True

    def adapt(self, real_sign: Tensor, images: int) -> None:
        self.adapted.append((float(real_sign), images))


def test_the_critic_sees_real_and_fake_corrupted_in_both_players_turns():
    generator, critic = nets()
    seen: list[Tensor] = []
    critic.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    game = Adversarial(
        generator, critic, LATENT, relativistic(), corruptions=[Shift(2.0), Shift(3.0)], penalties=[r1()]
    )
    fake = generator(LATENT(Draws(3, 0, 0, 0, BATCH)))
    for player, expected in (("critic", [REAL, fake, REAL]), ("generator", [REAL, fake])):
        seen.clear()
        turn_of(game, player, REAL)
        assert len(seen) == len(expected)  # the penalty's sample is corrupted too
        for found, x in zip(seen, expected, strict=True):
            torch.testing.assert_close(found, x + 5.0)
        assert seen[1].requires_grad  # the generator learns through the corruption


def test_corruptions_know_how_far_training_is_and_draw_apart():
    shift = Shift(0.0)
    game = Adversarial(*nets(), LATENT, hinge(), corruptions=[shift], critic_steps=2)
    play(game, steps=2)
    critic = [("real", "fake") for _ in range(2)]
    assert [call[0] for call in shift.calls] == [*(p for pair in critic for p in pair), "fake"] * 2
    assert [call[1] for call in shift.calls] == [0] * 5 + [2 * BATCH] * 5
    noise: list[Tensor] = []

    class Noise(Corruption):
        def forward(self, x: Tensor, draw: Draws, purpose: str, images: int) -> Tensor:
            noise.append(draw.normal(purpose, 2))
            return x

    turn_of(Adversarial(*nets(), LATENT, hinge(), corruptions=[Noise(), Noise()]), "critic", REAL)
    assert len({tuple(drawn.flatten().tolist()) for drawn in noise}) == 4


def test_a_corruption_adapts_once_a_step_to_the_sign_of_real():
    shift = Adapting(0.0)
    generator, critic = nets()
    game = Adversarial(generator, critic, LATENT, hinge(), corruptions=[shift], critic_steps=2)
    signs: list[float] = []
    critic.register_forward_hook(lambda module, inputs, output: signs.append(output.sign().mean().item()))
    train(game, Points(), optimisers(game), State(), 2 * 2 * BATCH, batch=BATCH)
    last = [signs[2], signs[7]]  # of real in the second of two critic turns: real, fake, real, fake, fake
    assert [sign for sign, _ in shift.adapted] == pytest.approx(last)
    assert [images for _, images in shift.adapted] == [0, 2 * BATCH]
    assert "sign" in turn_of(game, "critic", REAL).seen
    assert "sign" not in turn_of(Adversarial(*nets(), LATENT, hinge()), "critic", REAL).seen


class Spy(Regulariser):
    """Twice the first weight, and a record."""

    def __init__(self, player: Any) -> None:
        super().__init__("spy", player, 1.0)
        self.said: list[Any] = []

    def prepare(self, player: str, module: nn.Module) -> None:
        self.said.append(("prepare", player))

    def forward(self, player: str, module: nn.Module) -> Tensor:
        self.said.append(("term", player))
        return 2 * next(module.parameters())[0, 0]

    def after(self, player: str, module: nn.Module) -> None:
        self.said.append(("after", player, next(module.parameters())[0, 0].item()))


@pytest.mark.parametrize("player", ["critic", "generator", "both"])
def test_a_regulariser_is_a_term_of_its_players_and_hears_that_they_moved(player):
    spy = Spy(player)
    generator, critic = nets()
    game = Adversarial(generator, critic, LATENT, hinge(), regularisers=[spy])
    players = ["critic", "generator"] if player == "both" else [player]
    assert spy.said == [("prepare", p) for p in players]
    for name in ("critic", "generator"):
        terms = turn_of(game, name, REAL).loss
        if name in players:
            assert terms["spy"].item() == 2 * game.get_submodule(name).get_submodule("0").weight[0, 0].item()
        assert ("spy" in terms) == (name in players)
    before = {name: game.get_submodule(name).get_submodule("0").weight[0, 0].item() for name in players}
    spy.said.clear()
    play(game)
    assert [said[:2] for said in spy.said] == [(word, p) for p in players for word in ("term", "after")]
    assert all(said[2] != before[said[1]] for said in spy.said if said[0] == "after")


def test_what_they_remember_is_the_games_state():
    game = Adversarial(
        *nets(), LATENT, hinge(), corruptions=[Shift(0.0)], regularisers=[historical_averaging(player="both")]
    )
    names = set(game.state_dict())
    assert {"corruptions.0.level", "regularisers.0.critic_mean", "regularisers.0.generator_mean"} <= names


def packing_critic() -> nn.Module:
    torch.manual_seed(6)
    return nn.Sequential(nn.Linear(4, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1), nn.Flatten(0))


def test_packs_are_judged_together_and_each_sample_has_its_packs_loss():
    generator, critic = nets()[0], packing_critic()
    game = Adversarial(generator, critic, LATENT, non_saturating(), pack=2, penalties=[wgan_gp()])
    fake = generator(LATENT(Draws(3, 0, 0, 0, BATCH)))
    on_real, on_fake = critic(REAL.reshape(4, 4)), critic(fake.reshape(4, 4))
    terms = turn_of(game, "critic", REAL)
    expected = non_saturating().critic(on_real, on_fake)
    torch.testing.assert_close(terms.loss["adversarial"], expected.repeat_interleave(2))
    penalty = wgan_gp()(critic, REAL.reshape(4, 4), fake.detach().reshape(4, 4), Draws(3, 0, 0, 0, 4))
    torch.testing.assert_close(terms.loss["wgan-gp"], penalty.repeat_interleave(2))
    assert {name: len(x) for name, x in terms.seen.items()} == {"real": BATCH, "fake": BATCH}
    found = turn_of(game, "generator", REAL).loss["adversarial"]
    torch.testing.assert_close(found, non_saturating().generator(None, on_fake).repeat_interleave(2))


def test_packs_may_be_cut_where_none_is_torn():
    def game() -> Adversarial:
        return Adversarial(nets()[0], packing_critic(), LATENT, hinge(), pack=2, penalties=[wgan_gp(0.5)])

    whole, cut = play(game(), steps=3), play(game(), steps=3, micro=2)
    for name, tensor in whole.items():
        torch.testing.assert_close(cut[name], tensor, msg=name)
    with pytest.raises(ValueError, match="--pack 2: --batch"):
        play(game(), micro=3)


def test_feature_matching_is_the_squared_distance_of_mean_features():
    generator, critic = nets()[0], MLPCritic((2,), hidden=(6, 5), pieces=1, bound=None)
    game = Adversarial(generator, critic, LATENT, wasserstein(), feature_matching=3.0)
    fake = generator(LATENT(Draws(3, 0, 0, 0, BATCH)))
    terms = turn_of(game, "generator", REAL)
    assert list(terms.loss) == ["feature-matching"]
    gap = critic.features(REAL).mean(0) - critic.features(fake).mean(0)
    torch.testing.assert_close(terms.loss["feature-matching"], 3.0 * gap.square().sum())
    torch.testing.assert_close(critic.layers[-1](critic.features(REAL)).squeeze(1), critic(REAL))
    assert list(turn_of(game, "critic", REAL).loss) == ["adversarial"]
    assert {t.player: t.splits for t in game.turns(Clock())} == {"critic": True, "generator": False}


def test_feature_matching_leads_the_generator_to_the_mean():
    generator, critic = nets()[0], MLPCritic((2,), hidden=(8,), pieces=1, bound=None)
    game = Adversarial(generator, critic, LATENT, non_saturating(), feature_matching=1.0)
    target = Points()
    target.points = target.points + 3.0
    train(game, target, optimisers(game), State(), 150 * BATCH, batch=BATCH)
    assert (generator(torch.randn(500, 3)).mean(0) - 3.0).abs().max() < 1.0


@pytest.mark.parametrize(
    ("settings", "critic", "generator"),
    [
        ({}, True, True),
        ({"penalties": [dragan()]}, False, True),
        ({"objective": relativistic_average()}, False, False),
        ({"critic": MLPCritic((2,), hidden=(4,), batch_layer="minibatch-stddev")}, False, False),
        ({"pack": 2}, True, True),
    ],
)
def test_only_per_sample_terms_may_be_cut(settings, critic, generator):
    net = {"critic": nets()[1], "objective": hinge(), **settings}
    game = Adversarial(nets()[0], latent=LATENT, **net)
    assert {t.player: t.splits for t in game.turns(Clock())} == {"critic": critic, "generator": generator}


def twice(name: str) -> Penalty:
    return Penalty(name, lambda critic, real, fake, draw: critic(real), 1.0)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"pack": 0}, "--pack must be at least 1"),
        ({"feature_matching": -1.0}, "--feature-matching must be at least 0"),
        ({"feature_matching": 1.0}, r"give Sequential a method features\(x\)"),
        ({"penalties": [twice("a"), twice("a")]}, "a is given twice"),
        ({"penalties": [twice("spy")], "regularisers": [Spy("both")]}, "spy is given twice"),
        ({"critic": nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())}, "ends in a Sigmoid"),
    ],
)
def test_what_contradicts_is_refused(settings, what):
    with pytest.raises(ValueError, match=what):
        Adversarial(nets()[0], latent=LATENT, **{"critic": nets()[1], "objective": hinge(), **settings})


def test_unrolling_has_nothing_to_do_with_feature_matching():
    critic = MLPCritic((2,), hidden=(4,))
    unroll = Unroll(1, torch.optim.SGD(critic.parameters(), 0.1))
    with pytest.raises(ValueError, match="nothing to --unroll"):
        Adversarial(nets()[0], critic, LATENT, hinge(), feature_matching=1.0, unroll=unroll)
