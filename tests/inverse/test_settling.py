"""Iterations stop for each image by itself."""

import pytest
import torch

from zerosum.inverse.settling import settle


def halved(state):
    x, goal, count = state
    return x + (goal - x) / 2, goal, count + 1


def start(goals):
    goal = torch.tensor(goals).reshape(-1, 1, 1, 1)
    return torch.ones_like(goal), goal, torch.zeros(len(goals), 2)


def test_each_image_is_frozen_when_it_has_settled():
    together = settle(halved, start([1.0, 1.001, 1e6]), tolerance=1e-5, limit=100)
    assert together.steps.tolist() == [1, 7, 17]
    assert together.settled.all()
    assert together.state[2][:, 0].tolist() == [1, 7, 17]
    for i, goal in enumerate([1.0, 1.001, 1e6]):
        alone = settle(halved, start([goal]), tolerance=1e-5, limit=100)
        assert torch.equal(alone.state[0][0], together.state[0][i])


def test_the_limit_is_told():
    done = settle(halved, start([1.0, 1e6]), tolerance=1e-5, limit=5)
    assert done.settled.tolist() == [True, False]
    assert done.steps.tolist() == [1, 5]


def test_a_part_at_rest_waits_for_one_that_moves():
    """As an image does that only its dual moves at first."""

    def step(state):
        x, p = state
        return torch.where(p >= 3, x + 1, x), p + 1

    start = torch.ones(1, 1, 1, 1), torch.zeros(1)
    assert settle(step, start, tolerance=1e-5, limit=9).steps.tolist() == [1]
    assert settle(step, start, tolerance=1e-5, limit=9, watched=2).steps.tolist() == [9]


def test_divergence_is_an_error():
    with pytest.raises(ValueError, match="diverged"):
        settle(lambda s: (s[0] ** 2 * 10,), (torch.ones(2, 1, 1, 1),), tolerance=1e-5, limit=100)
