import pytest
import torch
from torch import nn

from zerosum.draws import Latent
from zerosum.lab.play import PointGame
from zerosum.recipes.duel import Rules


def game(seed: int = 0) -> PointGame:
    torch.manual_seed(7)
    critic = nn.Sequential(nn.Linear(1, 1), nn.Flatten(0))
    data = torch.arange(50.0)[:, None]
    return PointGame(
        data, nn.Linear(2, 1), critic, Latent(2), Rules(lr=1e-2, batch=8, images=1, critic_steps=2), seed
    )


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


def test_points_must_be_finite():
    with pytest.raises(ValueError, match="no finite points"):
        PointGame(
            torch.full((3, 1), torch.nan),
            nn.Linear(1, 1),
            nn.Linear(1, 1),
            Latent(1),
            Rules(lr=1.0, batch=1, images=1),
        )
