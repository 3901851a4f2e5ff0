"""The generator's gradients as the critic improves: exact at the best one, and what a trained one gives."""

import math

import pytest
import torch
from torch import nn

from zerosum.lab.costs import pull_on_pair
from zerosum.lab.experiment import Settings
from zerosum.lab.saturation import SATURATION, descend, gradient


@pytest.mark.parametrize("name", ["minimax", "non-saturating", "maximum likelihood"])
@pytest.mark.parametrize("theta", [0.5, 3.0])
def test_at_the_optimal_critic_the_gradient_is_exact(name, theta):
    critic = nn.Linear(1, 1)
    with torch.no_grad():
        critic.weight.fill_(-theta)
        critic.bias.fill_(theta**2 / 2)
    assert gradient(name, critic, theta) == pytest.approx(pull_on_pair(name, theta), rel=1e-5)


def test_a_critic_that_says_nothing_pushes_nowhere():
    critic = nn.Linear(1, 1)
    nn.init.zeros_(critic.weight)
    assert gradient("minimax", critic, 1.0) == 0


@pytest.mark.parametrize("name", ["minimax", "non-saturating"])
def test_near_the_data_both_flows_halve_theta_in_the_same_time(name):
    path = descend(name, 0.1, 0.05, step=0.001)
    assert 0.001 * (len(path) - 1) == pytest.approx(2 * math.log(2), abs=0.01)


def test_a_flow_that_does_not_arrive_stops():
    assert len(descend("minimax", 12.0, 0.5, step=0.1, until=1.0)) == 11


def test_the_minimax_gradient_falls_and_the_other_rises_as_the_critic_trains():
    numbers = SATURATION.run(Settings(quick=True, seed=3)).numbers
    history = numbers["as the critic trains, theta = 8"]
    assert history["minimax"][-1] < max(history["minimax"]) / 2
    assert history["non-saturating"][-1] > 5 * history["non-saturating"][0]
    assert history["loss of the critic"][-1] < 0.1
    best = numbers["at the optimal D"]
    assert best["theta = 1"] == pytest.approx({"minimax": 0.39797287, "non-saturating": 0.60202713}, abs=1e-7)
    assert sum(best["theta = 8"].values()) == pytest.approx(8, abs=1e-6)  # KL(p_g‖p)′ = θ
    times = numbers["time of the flow from 6 to 0.5"]
    assert times["minimax"] > 15 * times["non-saturating"]
