"""Mixtures of players: the target, the losses, the regrets, each against what is known of it."""

import math

import pytest
import torch

from zerosum.draws import Draws
from zerosum.games.game import Batch, Clock
from zerosum.lab.densities import integrate, jensen_shannon, log_normal
from zerosum.lab.mixtures import (
    MODES,
    SHARES,
    STD,
    MixtureGame,
    Target,
    X,
    log_generated,
    log_target,
    play,
    regrets,
    shares,
)
from zerosum.objectives import minimax


def game(generators: int = 3, critics: int = 2) -> MixtureGame:
    return MixtureGame(generators, critics, minimax(), torch.Generator().manual_seed(0))


def test_the_target_is_drawn_as_its_density_says():
    x = Target(3)(0, torch.arange(20_000))["real"]
    assert integrate(log_target().exp(), X) == pytest.approx(1, abs=1e-9)
    mean = sum(mode * share for mode, share in zip(MODES, SHARES, strict=True))
    assert x.mean().item() == pytest.approx(mean, abs=3 * x.std().item() / math.sqrt(len(x)))
    for mode, share in zip(MODES, SHARES, strict=True):
        found = ((x - mode).abs() < 1).float().mean().item()
        assert found == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / len(x)))
    assert torch.equal(
        Target(3)(0, torch.arange(32))["real"][16:], Target(3)(0, torch.arange(16, 32))["real"]
    )
    assert not torch.equal(Target(3)(0, torch.arange(9))["real"], Target(3)(9, torch.arange(9))["real"])


def test_each_player_minimises_the_weighted_losses_of_all_pairs():
    mixed = game()
    with torch.no_grad():
        mixed.u.copy_(torch.tensor([0.0, 1.0, 2.0]))
        mixed.v.copy_(torch.tensor([0.5, -0.5]))
    batch = Batch({"real": torch.randn(5, 1)}, Draws(7, stop=5), 5)
    fake = mixed.generate(batch.draw.normal("latent", 1))
    u, v = mixed.u.softmax(0), mixed.v.softmax(0)
    of_critic, of_generator = torch.zeros(5), torch.zeros(5)
    for i in range(3):
        for j in range(2):
            on_real, on_fake = mixed.judge(batch.data["real"])[j], mixed.judge(fake[i])[j]
            of_critic += u[i] * v[j] * minimax().critic(on_real, on_fake)
            of_generator += u[i] * v[j] * minimax().generator(None, on_fake)
    critic, generator = (turn.terms(batch).loss for turn in mixed.turns(Clock()))
    torch.testing.assert_close(critic["adversarial"], of_critic)
    torch.testing.assert_close(generator["adversarial"], of_generator)
    assert critic["entropy"].item() == pytest.approx(-0.01 * v.log().mean().item())
    assert generator["entropy"].item() == pytest.approx(-0.01 * u.log().mean().item())


def test_at_the_equilibrium_nobody_regrets():
    mixed = game()
    with torch.no_grad():
        mixed.means.copy_(torch.tensor(MODES).view(3, 1, 1))
        mixed.u.copy_(torch.tensor(SHARES).log())
        for bias, weight in zip(mixed.nets.biases, mixed.nets.weights, strict=True):
            bias.zero_()
            weight.zero_()  # D = ½ everywhere
    found = regrets(mixed)
    assert found.value == pytest.approx(-math.log(4), abs=1e-6)
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert found.jsd == pytest.approx(0, abs=1e-6)
    assert shares(mixed) == pytest.approx(SHARES)


def test_regrets_away_from_it():
    mixed = game(1, 1)
    with torch.no_grad():
        mixed.means.fill_(2.0)
        for bias, weight in zip(mixed.nets.biases, mixed.nets.weights, strict=True):
            bias.zero_()
            weight.zero_()
        mixed.nets.biases[-1].fill_(1.0)  # D = σ(1) everywhere: no fake is better than another
    found = regrets(mixed)
    value = -math.log1p(math.exp(-1)) - math.log1p(math.exp(1))
    assert found.value == pytest.approx(value, abs=1e-6)
    assert found.generator == pytest.approx(0, abs=1e-6)
    assert found.jsd == pytest.approx(jensen_shannon(log_target(), log_normal(2.0, STD, X), X), abs=1e-9)
    assert found.critic == pytest.approx(2 * found.jsd - math.log(4) - value, abs=1e-6)
    torch.testing.assert_close(log_generated(mixed), log_normal(2.0, STD, X))
    with torch.no_grad():
        for weight, value in zip(mixed.nets.weights, (0.1, 0.01, 0.5), strict=True):
            weight.fill_(value)  # D rises with x: the best answer is the rightmost
    found, d = regrets(mixed), torch.sigmoid(mixed.judge(X[:, None].float())[0].double()).detach()
    p, q = log_target().exp(), log_normal(2.0, STD, X).exp()
    assert found.value == pytest.approx(integrate(p * d.log() + q * (1 - d).log(), X), abs=1e-6)
    best = log_normal(4.0, STD, X).exp()
    assert found.generator == pytest.approx(integrate((q - best) * (1 - d).log(), X), abs=1e-6)
    assert found.generator > 0.01


def test_a_mixture_comes_to_an_approximate_equilibrium_and_one_generator_does_not():
    seen = []
    many = play(8, 3, 250, 0, lambda step, game: seen.append(step))
    alone = play(1, 1, 120, 0, lambda step, game: None)
    assert seen == list(range(1, 251))
    assert regrets(many).gap < 0.3
    assert shares(many) == pytest.approx(SHARES, abs=0.08)
    assert regrets(alone).gap > 2
