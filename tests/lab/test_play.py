import pytest
import torch
from torch import nn

from zerosum.draws import Latent
from zerosum.lab.play import PointGame, trained
from zerosum.recipes.duel import Rules


def game(seed: int = 0, average: float = 0.0) -> PointGame:
    torch.manual_seed(7)
    critic = nn.Sequential(nn.Linear(1, 1), nn.Flatten(0))
    data = torch.arange(50.0)[:, None]
    rules = Rules(lr=1e-2, batch=8, images=1, critic_steps=2, average=average)
    return PointGame(data, nn.Linear(2, 1), critic, Latent(2), rules, seed)


def test_a_game_played_in_pieces_is_the_game_played_at_once():
    whole, pieces = game(), game()
    told: list[int] = []
    whole.play(5)
    for steps in (2, 0, 3):
        pieces.play(steps, hook=told.append)
    assert told == [1, 2, 3, 4, 5]
    assert whole.state.clock == pieces.state.clock
    assert whole.state.clock.images == 5 * 2 * 8
    assert torch.equal(whole.sample(100), pieces.sample(100))


def test_samples_are_the_seeds_own_and_change_as_the_generator_does():
    one, other = game(0), game(1)
    before = one.sample(20)
    assert torch.equal(before, one.sample(20))
    assert not torch.equal(before, other.sample(20))
    one.play(1)
    assert not torch.equal(before, one.sample(20))


def test_a_schedule_can_keep_a_player_still():
    one = game()
    before = one.sample(20)
    one.play(3, {"generator": lambda clock: {"lr": 0.0}})
    assert torch.equal(before, one.sample(20))
    assert one.state.clock.step == 3


def test_samples_are_of_the_average_where_one_is_kept():
    plain, averaged = game(), game(average=0.9)
    for one in (plain, averaged):
        one.play(1)
    start = game().sample(20)
    assert torch.equal(plain.generator.weight, averaged.generator.weight)
    moved, kept = (one.sample(20) - start for one in (plain, averaged))
    assert torch.allclose(kept, 0.9 * moved, atol=1e-5)  # the first decay is (1+0)/(10+0)


def test_a_trained_game_has_found_the_data():
    random = torch.Generator().manual_seed(0)
    data = 3 + 0.5 * torch.randn(2000, 1, generator=random)
    generator = nn.Linear(1, 1)
    nn.init.constant_(generator.weight, 1.0)
    nn.init.constant_(generator.bias, 2.0)
    made = trained(data, generator, 1, (32,), 300, 0, weight=0.01, lr=1e-2).sample(2000)
    assert made.mean().item() == pytest.approx(3, abs=0.2)
    assert made.std().item() == pytest.approx(0.5, abs=0.2)


def test_points_must_be_finite():
    with pytest.raises(ValueError, match="no finite points"):
        PointGame(
            torch.full((3, 1), torch.nan),
            nn.Linear(1, 1),
            nn.Linear(1, 1),
            Latent(1),
            Rules(lr=1.0, batch=1, images=1),
        )
