"""Critics side by side are critics apart."""

import torch

from zerosum.lab.stack import Stack, train_stack
from zerosum.objectives import hinge, minimax


def test_each_critic_of_a_stack_is_a_net_of_its_own():
    both = Stack(2, (3, 5, 4, 1), torch.Generator().manual_seed(0))
    x = torch.randn(2, 7, 3)
    for k in range(2):
        h = x[k]
        for layer, (weight, bias) in enumerate(zip(both.weights, both.biases, strict=True)):
            h = (h.tanh() if layer else h) @ weight[k] + bias[k]
        torch.testing.assert_close(both(x)[k], h.squeeze(1))
    assert not torch.equal(both.weights[0][0], both.weights[0][1])


def test_critics_trained_side_by_side_learn_as_they_would_alone():
    real, fake = torch.randn(2, 16, 2), torch.randn(2, 16, 2) + 1
    both = Stack(2, (2, 6, 1), torch.Generator().manual_seed(0))
    alone = Stack(1, (2, 6, 1), torch.Generator().manual_seed(1))
    with torch.no_grad():
        for one, two in zip(alone.parameters(), both.parameters(), strict=True):
            one.copy_(two[1:])
    assert list(train_stack(both, hinge(), lambda: (real, fake), 5)) == list(range(6))
    list(train_stack(alone, hinge(), lambda: (real[1:], fake[1:]), 5))
    torch.testing.assert_close(alone(real[1:])[0], both(real)[1])


def test_training_lowers_the_loss_of_each():
    real, fake = torch.randn(3, 64, 1), torch.randn(3, 64, 1) + torch.tensor([0.5, 1, 2])[:, None, None]
    stack = Stack(3, (1, 8, 1), torch.Generator().manual_seed(0))
    before = minimax().critic(stack(real), stack(fake)).mean(1)
    list(train_stack(stack, minimax(), lambda: (real, fake), 50))
    after = minimax().critic(stack(real), stack(fake)).mean(1)
    assert (after < before).all()
    assert after[2] < after[1] < after[0]  # the further apart, the easier
