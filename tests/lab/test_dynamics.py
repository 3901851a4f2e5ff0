"""The update's eigenvalues against what paths do, and the lab's paths against the training loop's."""

import math

import pytest
import torch

from zerosum.lab.dynamics import (
    SADDLE_POINT,
    Dirac,
    alternating,
    looped,
    measured,
    moduli,
    path,
    simultaneous,
    update,
)
from zerosum.lab.experiment import Settings
from zerosum.objectives import minimax, non_saturating, wasserstein
from zerosum.penalties import r1, wgan_gp

BILINEAR = Dirac(wasserstein())
ONE = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
both = pytest.mark.parametrize("move", [simultaneous, alternating])


def test_the_gradients_are_the_papers():
    theta, psi = torch.tensor([0.5, -1.2], dtype=torch.float64), torch.tensor([2.0, 0.7], dtype=torch.float64)
    down_theta, down_psi = Dirac(minimax(), r1(3.0)).gradients(theta, psi)
    assert torch.allclose(down_theta, -torch.sigmoid(theta * psi) * psi)
    assert torch.allclose(down_psi, torch.sigmoid(theta * psi) * theta + 3 * psi)
    down_theta, down_psi = Dirac(wasserstein(), wgan_gp(2.0)).gradients(theta, psi)
    assert torch.allclose(down_theta, -psi)
    assert torch.allclose(down_psi, theta + 4 * (psi.abs() - 1) * psi.sign())


@both
@pytest.mark.parametrize("objective", [minimax(), non_saturating(), wasserstein()])
@pytest.mark.parametrize("weight", [0.0, 0.4, 3.0])
def test_the_update_is_the_moves_derivative_at_the_equilibrium(move, objective, weight):
    tiny = 1e-7 * torch.eye(2, dtype=torch.float64)
    moved = torch.stack(move(Dirac(objective, r1(weight)), *tiny.unbind(1), 0.3)) / 1e-7
    slope = 1.0 if objective.reading is not torch.sigmoid else 0.5
    assert torch.allclose(moved, update(move, 0.3, slope, weight), atol=1e-6)


@both
@pytest.mark.parametrize(
    ("rate", "slope", "damping"), [(0.1, 1, 0), (0.3, 0.5, 0.2), (0.2, 0.5, 3), (0.4, 1, 2)]
)
def test_moduli_are_those_of_the_eigenvalues(move, rate, slope, damping):
    values = torch.linalg.eigvals(update(move, rate, slope, damping)).abs().sort(descending=True).values
    assert values.tolist() == pytest.approx(moduli(move, rate, slope, damping), abs=1e-9)


def test_at_once_the_bilinear_game_grows_by_the_same_factor_each_step():
    lengths = path(BILINEAR, simultaneous, ONE, 0.3, 20)[:, 0].norm(dim=1)
    assert torch.allclose(lengths[1:] / lengths[:-1], torch.full((20,), math.sqrt(1.09), dtype=torch.float64))


def test_in_turns_the_bilinear_game_keeps_an_ellipse():
    theta, psi = path(BILINEAR, alternating, ONE, 0.3, 500)[:, 0].unbind(1)
    kept = theta**2 - 0.3 * theta * psi + psi**2
    assert torch.allclose(kept, torch.ones_like(kept))
    assert psi.max() > 0.9  # and goes round it


@both
@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_a_paths_rate_is_the_leading_modulus(move, weight):
    places = path(Dirac(minimax(), r1(weight)), move, 1e-6 * ONE, 0.2, 30)[:, 0]
    rate = measured(places, update(move, 0.2, 0.5, weight))
    assert rate == pytest.approx(moduli(move, 0.2, 0.5, weight)[0], abs=1e-9)


def test_at_once_the_friction_must_exceed_rate_times_slope_squared():
    assert moduli(simultaneous, 0.2, 0.5, 0.049)[0] > 1 > moduli(simultaneous, 0.2, 0.5, 0.051)[0]
    assert moduli(alternating, 0.2, 0.5, 0.001)[0] < 1


@pytest.mark.parametrize(
    ("objective", "penalty", "game"),
    [
        ("wasserstein", (), BILINEAR),
        ("minimax", ("r1:weight=0.5",), Dirac(minimax(), r1(0.5))),
        ("wasserstein", ("wgan-gp:weight=0.3",), Dirac(wasserstein(), wgan_gp(0.3))),
    ],
)
def test_the_training_loop_goes_in_turns(objective, penalty, game):
    start = torch.tensor([[0.7, 0.2]], dtype=torch.float64)
    loop = looped(objective, penalty, (0.7, 0.2), 0.1, 25)
    assert torch.allclose(loop.double(), path(game, alternating, start, 0.1, 25)[:, 0], atol=1e-5)
    assert not torch.allclose(loop.double(), path(game, simultaneous, start, 0.1, 25)[:, 0], atol=1e-3)


def test_the_experiment():
    numbers = SADDLE_POINT.run(Settings(quick=True)).numbers
    for rate in numbers["largest |eigenvalue| of the update"].values():
        assert rate["measured"] == pytest.approx(rate["closed form"], abs=1e-8)
    assert max(numbers["largest distance between the training loop's path and this one"].values()) < 1e-5
    end = numbers["distance at the end"]
    assert end["bilinear, at once"] == pytest.approx(0.7 * (1 + 0.15**2) ** 50, rel=1e-9)
    assert end["bilinear, in turns, R1"] < 0.01
    assert end["Dirac, in turns, R1"] < 0.05
    last = numbers["least and largest distance over the last half"]
    for how in ("bilinear, in turns", "bilinear, in turns, WGAN-GP", "Dirac, in turns, WGAN-GP"):
        assert 0.5 < last[how][0] < last[how][1] < 2
