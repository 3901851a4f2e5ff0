"""Labels in a game of two, against plain loops: who is told, penalties, pairs, looking ahead, AC-GAN."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from math import log
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.playing import BATCH, LATENT, Points, optimisers
from zerosum.constraints import spectral_norm
from zerosum.draws import Draws
from zerosum.games.adversarial import Adversarial
from zerosum.games.conditional import Auxiliary, bound, labels_of
from zerosum.games.game import Batch, Clock, Terms
from zerosum.games.unrolling import Unroll
from zerosum.nets.conditioning import (
    ClassifyingCritic,
    ConcatenatedCritic,
    ConcatenatedGenerator,
    ProjectedCritic,
)
from zerosum.nets.mlp import MLPCritic, MLPGenerator
from zerosum.objectives import hinge, minimax, non_saturating, wasserstein
from zerosum.penalties import r1, r2, wgan_gp
from zerosum.relativistic import relativistic
from zerosum.training.loop import train
from zerosum.training.state import State

CLASSES = 3
POINTS = Points()
REAL = POINTS.points[:BATCH]
LABELS = torch.arange(64) * 7 % 5 % CLASSES


class Labelled(Points):
    def __call__(self, cursor: int, ids: Tensor) -> Mapping[str, Tensor]:
        return {**super().__call__(cursor, ids), "labels": LABELS[(cursor + ids) % self.size]}


def judge(inputs: int = 2) -> MLPCritic:
    return MLPCritic((inputs,), hidden=(6,), pieces=1, bound=None)


CRITICS: Mapping[str, Callable[[], nn.Module]] = {
    "concatenated": lambda: ConcatenatedCritic(judge(2 + CLASSES), CLASSES),
    "projected": lambda: ProjectedCritic(judge(), CLASSES),
    "classifying": lambda: ClassifyingCritic(judge(), CLASSES),
}
TOLD = ("concatenated", "projected")


def nets(kind: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    net = MLPGenerator((2,), latent=3 + CLASSES, hidden=(6,), bound=None)
    return ConcatenatedGenerator(net, CLASSES), CRITICS[kind]()


def how(kind: str, **settings: Any) -> dict[str, Any]:
    if kind == "classifying":
        return {"auxiliary": Auxiliary(0.7, 0.3), **settings}
    return {"labelled": True, **settings}


def turn_of(game: Adversarial, player: str, count: int = BATCH) -> Terms:
    """What a player minimises on the first points and their labels."""
    batch = Batch({"real": REAL[:count], "labels": LABELS[:count]}, Draws(3, 0, 0, 0, count), count)
    return next(turn for turn in game.turns(Clock()) if turn.player == player).terms(batch)


def fakes(generator: nn.Module, count: int = BATCH) -> Tensor:
    return generator(LATENT(Draws(3, 0, 0, 0, count)), LABELS[:count])


def play(game: Adversarial, steps: int = 2, **settings: Any) -> dict[str, Tensor]:
    until = steps * game.critic_steps * BATCH
    train(game, Labelled(), optimisers(game), State(seed=3), until, batch=BATCH, **settings)
    return {name: p.detach().clone() for name, p in game.named_parameters()}


@pytest.mark.parametrize("kind", TOLD)
def test_both_players_are_judged_by_the_labels_of_the_reals_beside_them(kind):
    generator, critic = nets(kind)
    game = Adversarial(generator, critic, LATENT, non_saturating(), **how(kind))
    fake, y = fakes(generator), LABELS[:BATCH]
    on_real, on_fake = (
        torch.stack([critic(x[i : i + 1], y[i : i + 1])[0] for i in range(BATCH)]) for x in (REAL, fake)
    )
    terms = turn_of(game, "critic")
    torch.testing.assert_close(terms.loss["adversarial"], F.softplus(-on_real) + F.softplus(on_fake))
    torch.testing.assert_close(terms.seen["real"], on_real.sigmoid())
    terms = turn_of(game, "generator")
    torch.testing.assert_close(terms.loss["adversarial"], F.softplus(-on_fake))
    assert list(terms.loss) == ["adversarial"]


@pytest.mark.parametrize("kind", TOLD)
def test_a_relativistic_generator_is_paired_with_a_real_of_its_own_class(kind):
    generator, critic = nets(kind)
    game = Adversarial(generator, critic, LATENT, relativistic(), **how(kind))
    y = LABELS[:BATCH]
    gap = critic(fakes(generator), y) - critic(REAL, y)
    torch.testing.assert_close(turn_of(game, "generator").loss["adversarial"], F.softplus(-gap))
    torch.testing.assert_close(turn_of(game, "critic").loss["adversarial"], F.softplus(gap))


@pytest.mark.parametrize("kind", CRITICS)
def test_penalties_interpolate_samples_and_keep_the_label(kind):
    generator, critic = nets(kind)
    penalties = [wgan_gp(weight=2.0), r1(3.0), r2(5.0)]
    game = Adversarial(generator, critic, LATENT, wasserstein(), penalties=penalties, **how(kind))
    terms, fake = turn_of(game, "critic").loss, fakes(generator).detach()
    epsilon = Draws(3, 0, 0, 0, BATCH).uniform("interpolate", 1)

    def slope(x: Tensor, label: Tensor) -> Tensor:
        x = x.detach().clone().requires_grad_()
        logits = critic(x[None]) if kind == "classifying" else critic(x[None], label[None])
        return torch.autograd.grad(logits.sum(), x)[0].norm()

    for i in range(BATCH):
        between = epsilon[i] * REAL[i] + (1 - epsilon[i]) * fake[i]
        by_hand = {
            "wgan-gp": 2.0 * (slope(between, LABELS[i]) - 1).square(),
            "r1": 1.5 * slope(REAL[i], LABELS[i]).square(),
            "r2": 2.5 * slope(fake[i], LABELS[i]).square(),
        }
        for name, expected in by_hand.items():
            torch.testing.assert_close(terms[name][i], expected, msg=f"{name} {i}")


@pytest.mark.parametrize("kind", TOLD)
def test_an_unrolled_generator_looks_ahead_through_the_labels(kind):
    generator, critic = nets(kind)
    optimiser = torch.optim.SGD(critic.parameters(), lr=0.5)
    game = Adversarial(generator, critic, LATENT, non_saturating(), unroll=Unroll(1, optimiser), **how(kind))
    turn_of(game, "generator").loss["adversarial"].mean().backward()
    found = [p.grad.clone() for p in generator.parameters()]

    y, fake = LABELS[:BATCH], fakes(generator)
    names, weights = zip(*critic.named_parameters(), strict=True)

    def ahead(x: Tensor, weights: Any) -> Tensor:
        return torch.func.functional_call(critic, dict(zip(names, weights, strict=True)), (x, y))

    loss = (F.softplus(-ahead(REAL, weights)) + F.softplus(ahead(fake, weights))).mean()
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    moved = [w - 0.5 * g for w, g in zip(weights, gradients, strict=True)]
    expected = torch.autograd.grad(F.softplus(-ahead(fake, moved)).mean(), [*generator.parameters()])
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    short = torch.autograd.grad(F.softplus(-critic(fakes(generator), y)).mean(), [*generator.parameters()])
    assert any((mine - other).abs().max() > 1e-4 for mine, other in zip(found, short, strict=True))


@pytest.mark.parametrize("kind", CRITICS)
def test_shared_fakes_with_labels_move_as_fresh_ones_of_the_same_latents_would(kind):
    fixed = torch.randn(BATCH, 3, generator=torch.Generator().manual_seed(5))
    shared, fresh = (
        play(Adversarial(*nets(kind), lambda draw: fixed, non_saturating(), **how(kind, fakes=way)), 3)
        for way in ("shared", "fresh")
    )
    for name, tensor in shared.items():
        torch.testing.assert_close(tensor, fresh[name], msg=name)


@pytest.mark.parametrize("fakes", ["fresh", "shared"])
@pytest.mark.parametrize("kind", CRITICS)
def test_micro_batches_with_labels_move_as_whole_ones(kind, fakes):
    def game() -> Adversarial:
        settings = how(kind, fakes=fakes, penalties=[r1(0.5)], constraint=spectral_norm())
        return Adversarial(*nets(kind), LATENT, hinge(), **settings)

    whole, cut = play(game(), 3), play(game(), 3, micro=3)
    for name, tensor in whole.items():
        torch.testing.assert_close(cut[name], tensor, msg=name)


@pytest.mark.parametrize("on", ["both", "real"])
def test_the_auxiliary_terms_are_cross_entropies_of_the_batchs_labels(on):
    generator, critic = nets("classifying")
    game = Adversarial(generator, critic, LATENT, hinge(), auxiliary=Auxiliary(0.7, 0.3, on))
    y = LABELS[:BATCH]
    (real_logits, real_class), (fake_logits, fake_class) = (
        critic.judged(x) for x in (REAL, fakes(generator))
    )
    said = turn_of(game, "critic").loss
    expected = F.cross_entropy(real_class, y, reduction="none")
    if on == "both":
        expected = expected + F.cross_entropy(fake_class, y, reduction="none")
    torch.testing.assert_close(said["classes"], 0.7 * expected)
    torch.testing.assert_close(said["adversarial"], F.relu(1 - real_logits) + F.relu(1 + fake_logits))
    said = turn_of(game, "generator").loss
    torch.testing.assert_close(said["classes"], 0.3 * F.cross_entropy(fake_class, y, reduction="none"))
    torch.testing.assert_close(said["adversarial"], -fake_logits)


def test_a_uniform_head_costs_log_k_a_sample():
    generator, critic = nets("classifying")
    nn.init.zeros_(critic.classify.weight)
    nn.init.constant_(critic.classify.bias, 4.0)
    for on, times in (("both", 2), ("real", 1)):
        game = Adversarial(generator, critic, LATENT, hinge(), auxiliary=Auxiliary(on=on))
        uniform = torch.full((BATCH,), log(CLASSES))
        torch.testing.assert_close(turn_of(game, "critic").loss["classes"], times * uniform)
        torch.testing.assert_close(turn_of(game, "generator").loss["classes"], uniform)


def test_generator_and_classifier_are_given_the_same_labels():
    heard: list[Tensor] = []

    class Spy(Auxiliary):
        def of_critic(self, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
            heard.append(labels)
            return super().of_critic(real, fake, labels)

        def of_generator(self, fake: Tensor, labels: Tensor) -> Tensor:
            heard.append(labels)
            return super().of_generator(fake, labels)

    generator, critic = nets("classifying")
    generator.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[1]))
    for way in ("fresh", "shared"):
        heard.clear()
        game = Adversarial(generator, critic, LATENT, hinge(), fakes=way, auxiliary=Spy())
        given = LABELS[:BATCH]
        batch = Batch({"real": REAL, "labels": given}, Draws(stop=BATCH), BATCH)
        for turn in game.turns(Clock()):
            turn.terms(batch)
        assert len(heard) == (4 if way == "fresh" else 3)
        assert all(labels is given for labels in heard)


def test_the_critic_climbs_source_plus_class_and_the_generator_class_minus_source():
    """Odena et al. 2017, equations 2 and 3: L_S and L_C as they stand there, their slopes by differences."""
    generator, critic = (net.double() for net in nets("classifying"))
    real, y, z = REAL.double(), LABELS[:BATCH], LATENT(Draws(3, 0, 0, 0, BATCH)).double()
    game = Adversarial(generator, critic, lambda draw: z, minimax(), auxiliary=Auxiliary())
    batch = Batch({"real": real, "labels": y}, Draws(stop=BATCH), BATCH)

    @torch.no_grad()
    def likelihoods() -> tuple[Tensor, Tensor]:
        on_real, on_fake = critic.judged(real), critic.judged(generator(z, y))
        source = (on_real[0].sigmoid().log() + (1 - on_fake[0].sigmoid()).log()).mean()
        right = [logits.softmax(1)[torch.arange(BATCH), y].log() for _, logits in (on_real, on_fake)]
        return source, (right[0] + right[1]).mean()

    def slope(parameters: list[Tensor], along: list[Tensor], sign: float) -> float:
        """Of L_C + sign·L_S."""
        ends = []
        for step in (1e-5, -2e-5, 1e-5):
            for p, d in zip(parameters, along, strict=True):
                p.data += step * d
            source, classes = likelihoods()
            ends.append(float(classes + sign * source))
        return (ends[0] - ends[1]) / 2e-5

    for player, net, sign in (("critic", critic, 1.0), ("generator", generator, -1.0)):
        turn = next(turn for turn in game.turns(Clock()) if turn.player == player)
        loss = sum(term.mean() for term in turn.terms(batch).loss.values())
        parameters = [*net.parameters()]
        gradients = torch.autograd.grad(loss, parameters)
        along = [torch.randn_like(p) for p in parameters]
        down = sum(float((g * d).sum()) for g, d in zip(gradients, along, strict=True))
        assert abs(down) > 1e-2
        assert slope(parameters, along, sign) == pytest.approx(-down, rel=1e-5)


@pytest.mark.parametrize("kind", CRITICS)
def test_unlabelled_data_are_refused(kind):
    game = Adversarial(*nets(kind), LATENT, hinge(), **how(kind))
    with pytest.raises(ValueError, match=r"needs labelled data: .* or --labels"):
        train(game, Points(), optimisers(game), State(), BATCH, batch=BATCH)


def test_without_labels_a_net_is_what_it_is():
    net = nn.Identity()
    assert bound(net, None) is net
    with pytest.raises(ValueError, match="--labels"):
        labels_of(Batch({"real": REAL}, Draws(), 1))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        *((kind, {"pack": 2}, "--pack 2: samples of a pack differ in class") for kind in CRITICS),
        *((kind, {"feature_matching": 1.0}, "--feature-matching") for kind in CRITICS),
        ("classifying", {"unroll": True}, "--unroll looks ahead by the objective alone"),
    ],
)
def test_what_labels_cannot_go_with_is_refused(kind, settings, message):
    generator, critic = nets(kind)
    if "unroll" in settings:
        settings = {"unroll": Unroll(1, torch.optim.SGD(critic.parameters(), lr=0.1))}
    with pytest.raises(ValueError, match=message):
        Adversarial(generator, critic, LATENT, hinge(), **how(kind, **settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on": "fake"}, "--auxiliary must be both or real, not 'fake'"),
        ({"weight": -1.0}, "--class-weight must not be negative, not -1"),
        ({"generator_weight": float("nan")}, "--generator-class-weight must not be negative, not nan"),
    ],
)
def test_auxiliary_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        Auxiliary(**settings)


def test_labels_change_nothing_of_a_game_that_is_told_none():
    def ends(source: Points) -> dict[str, Tensor]:
        torch.manual_seed(1)
        game = Adversarial(MLPGenerator((2,), latent=3, hidden=(6,), bound=None), judge(), LATENT, hinge())
        train(game, source, optimisers(game), State(seed=3), 2 * BATCH, batch=BATCH)
        return deepcopy(game.state_dict())

    plain, beside = ends(Points()), ends(Labelled())
    assert all(torch.equal(plain[name], beside[name]) for name in plain)
