"""Relativistic objectives: worked by hand on small batches, and their means differentiated."""

import pytest
import torch

from zerosum.relativistic import FORMS, relativistic, relativistic_average

REAL, FAKE = torch.tensor([2.0, 0.0, 1.0]), torch.tensor([-1.0, -1.0, 0.5])
BOTH = [relativistic, relativistic_average]


def test_pairs_are_taken_in_order():
    z = REAL - FAKE  # 3, 1, ½
    assert torch.equal(relativistic("hinge").critic(REAL, FAKE), torch.tensor([0.0, 0.0, 0.5]))
    assert torch.equal(relativistic("least-squares").generator(REAL, FAKE), (z + 1).square())
    torch.testing.assert_close(relativistic().critic(REAL, FAKE), (1 + (-z).exp()).log())


def test_means_are_of_the_other_kind():
    # E D(x) = 1, E D(G(z)) = −½: leads 2½, ½, 1½ of the real and 2, 2, ½ over the fake.
    found = relativistic_average("least-squares").critic(REAL, FAKE)
    assert found.tolist() == [1.5**2 + 1, 0.5**2 + 1, 0.5**2 + 0.5**2]
    found = relativistic_average("hinge").generator(REAL, FAKE)
    assert found.tolist() == [3.5 + 3.0, 1.5 + 3.0, 2.5 + 1.5]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", BOTH)
def test_the_generator_wants_what_the_critic_would_with_real_and_fake_exchanged(make, form):
    objective = make(form)
    assert torch.equal(objective.generator(REAL, FAKE), objective.critic(FAKE, REAL))
    assert not torch.allclose(objective.generator(REAL, FAKE), objective.generator(FAKE, REAL))
    # What all logits have in common does not matter.
    torch.testing.assert_close(objective.critic(REAL + 7, FAKE + 7), objective.critic(REAL, FAKE))


@pytest.mark.parametrize("form", ["non-saturating", "least-squares"])
@pytest.mark.parametrize("make", BOTH)
def test_gradients_go_through_the_means_too(make, form):
    both = [x.double().requires_grad_() for x in (REAL, FAKE)]
    objective = make(form)
    assert torch.autograd.gradcheck(objective.critic, both)
    assert torch.autograd.gradcheck(objective.generator, both)


@pytest.mark.parametrize("make", BOTH)
def test_what_is_refused(make):
    with pytest.raises(ValueError, match=r"unknown form of relativistic.* 'hing': did you mean 'hinge'"):
        make("hing")
    with pytest.raises(ValueError, match="needs the critic's logits of real samples, not None"):
        make().generator(None, FAKE)
