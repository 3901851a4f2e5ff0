"""What a generator's estimates learn from training images, where the answers are known."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from zerosum import estimators
from zerosum.draws import Latent
from zerosum.estimators import OURS, Learned, Ours, learn, rivals
from zerosum.inverse.descent import LevenbergMarquardt
from zerosum.inverse.law import Law
from zerosum.inverse.linear import fit_spread
from zerosum.reconstruction import GeneratorPrior
from zerosum.sensing import scene

SHAPE, K = (1, 6, 6), 3
BASIS = 0.06 * torch.randn(36, K, generator=torch.Generator().manual_seed(0))
STRETCH = torch.tensor([3.0, 1.0, 0.3])


def decode(z: Tensor) -> Tensor:
    """Images in [−1, 1] along three directions."""
    return (z @ BASIS.mT).view(-1, *SHAPE)


def encode(x: Tensor) -> Tensor:
    return x.flatten(1) @ torch.linalg.pinv(BASIS).mT


def images(count: int, seed: int) -> Tensor:
    """In about [0, 1]: latents whose law is not the generator's own, and a residual."""
    draw = torch.Generator().manual_seed(seed)
    x = decode(torch.randn(count, K, generator=draw) * STRETCH)
    return (x + 0.03 * torch.randn(count, *SHAPE, generator=draw) + 1) / 2


def source(encoder: bool = True, law: str = "normal") -> GeneratorPrior:
    latent = Latent(K, "normal" if law == "normal" else "uniform")
    return GeneratorPrior(Path("run"), (decode,), latent, SHAPE, None, encode if encoder else None)


def error(x: Tensor, truth: Tensor) -> float:
    return float((x - truth).square().mean())


@pytest.mark.parametrize("encoder", [True, False])
def test_the_law_of_training_images_is_learned(encoder: bool) -> None:
    train = images(4000, 1)
    learned = learn(source(encoder), train, fit_spread(train))
    deviations = (learned.law.factor @ learned.law.factor.mT).diagonal().sqrt()
    assert torch.allclose(deviations.float(), STRETCH, rtol=0.03, atol=0.06)
    assert learned.law.mean.abs().max() < 0.5
    # What three directions leave of 36 pixels of deviation .015.
    assert float(learned.residual.covariance().trace()) == pytest.approx(33 * 0.015**2, rel=0.05)
    assert learned.pupils.shape == (estimators.PUPILS, *SHAPE)


def test_few_residuals_have_a_spread_along_the_images_own_directions() -> None:
    train = images(60, 1)
    spread = fit_spread(train)
    learned = learn(source(), train, spread)
    assert torch.equal(learned.residual.directions, spread.directions)
    assert len(learned.pupils) == 60


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_of_a_linear_generator_the_gaussian_residual_is_the_best_linear_estimate(law: str) -> None:
    train, truth = images(4000, 1), images(40, 2)
    spread = fit_spread(train)
    ours = Ours(source(law=law), learn(source(law=law), train, spread), restarts=2)
    one = scene(truth, 8, 0.1)
    best = rivals(spread, ("lmmse",))["lmmse"](one)
    made = {name: way(one).clamp(0, 1) for name, way in ours.estimators().items()}
    assert tuple(made) == OURS
    assert error(made["generator + gaussian"], best) < 0.03 * error(best, truth)
    assert error(made["generator & linear"], best) < 0.03 * error(best, truth)
    assert error(made["generator"], truth) > error(made["generator + gaussian"], truth)
    inside = ((made["generator + gaussian"] - truth).abs() <= 1.96 * ours.deviations[8]).float().mean()
    assert 0.92 < inside < 0.98


def test_a_generator_of_other_images_is_given_no_share() -> None:
    train, truth = images(2000, 1), images(40, 2)
    spread = fit_spread(train)
    learned = learn(source(), train, spread)
    far = Law(learned.law.mean + 20, 0.01 * learned.law.factor)  # where no training image is
    ours = Ours(source(), Learned(far, learned.residual, spread, learned.pupils), restarts=2)
    one = scene(truth, 8, 0.1)
    ways = ours.estimators()
    beside, alone = ways["generator & linear"](one), ways["generator + gaussian"](one)
    best = rivals(spread, ("lmmse",))["lmmse"](one)
    assert ours.shares[8] < 0.05
    assert error(alone, truth) > 3 * error(best, truth)
    assert error(beside.clamp(0, 1), truth) < 1.05 * error(best, truth)


def test_a_mean_is_taken_over_restarts_that_all_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = []
    search = GeneratorPrior.search

    def noted(self: GeneratorPrior, *given: object, method: object = None, **more: object) -> object:
        methods.append(method)
        return search(self, *given, method=method, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(GeneratorPrior, "search", noted)
    monkeypatch.setattr(estimators, "FEW", 1)  # so that the mean is that of restarts
    train = images(200, 1)
    ours = Ours(source(), learn(source(), train, fit_spread(train)), 4, method=LevenbergMarquardt(race=2))
    ways, one = ours.estimators(), scene(images(4, 2), 8, 0.1)
    ways["generator"](one)
    ways["generator + gaussian"](one)
    assert methods == [LevenbergMarquardt(race=2), LevenbergMarquardt(race=0)]
