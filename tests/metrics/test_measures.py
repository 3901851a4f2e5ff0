"""What holds of every measure: neither the order of samples nor the size of batches matters; sides do."""

from functools import partial

import pytest
import torch

from tests.judged import judge, shades
from zerosum.draws import Draws, Latent
from zerosum.evaluation import evaluate
from zerosum.metrics import comparison, extractors, pairs, reading, sides
from zerosum.metrics.measures import MEASURES, UNJUDGED
from zerosum.metrics.sides import Maker, Side, of_images

NAMES = ("dark", "dusk", "dawn", "light")
COUNT = 60


@pytest.fixture(autouse=True)
def _small(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    monkeypatch.setattr(reading, "LESSONS", 2)


def made(
    name: str, seed: int, shift: float = 0.0, *, order=None, spread: float = 0.3, channels: int = 1
) -> Side:
    images = shades(COUNT, seed, shift, spread).repeat(1, channels, 1, 1)
    labels = torch.arange(COUNT) % 4
    order = torch.arange(COUNT) if order is None else order
    return of_images(name, images[order], labels[order], NAMES)


def decode(z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
    return z.sum(1).tanh().float().reshape(-1, 1, 1, 1).repeat(1, 1, 16, 16)


def taken(measure: str, order: torch.Tensor | None = None) -> dict[str, float]:
    some = partial(made, order=order, channels=3 if measure.endswith("-y") else 1)
    real, fake, train, held = some("real", 1), some("fake", 2, 0.2), some("real", 1), some("held", 3)
    if measure == "ppl":  # of a generator, whose samples have numbers
        maker = Maker(Latent(3), decode)
        fake = Side("run", COUNT, partial(_draw, maker), maker=maker)
    found = evaluate(real, fake, [measure], judge(), train=train, held=held)
    assert ("extractor" in found["card"]) == (measure not in UNJUDGED)
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _draw(maker: Maker, start: int, stop: int) -> torch.Tensor:
    return maker.decode(maker.latent(Draws(0, start=start, stop=stop)), None)


@pytest.mark.parametrize("measure", MEASURES)
def test_order_and_batches_do_not_matter(measure: str, tmp_path, monkeypatch):
    expected = taken(measure)
    shuffled = torch.randperm(COUNT, generator=torch.Generator().manual_seed(9))
    assert taken(measure, shuffled) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    monkeypatch.setattr(extractors, "_AT_ONCE", 7)
    monkeypatch.setattr(pairs, "_AT_ONCE", 5)
    for module in (sides, comparison):
        monkeypatch.setattr(module, "AT_ONCE", 11)
    monkeypatch.setattr(sides, "CHUNK", 22)
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "another"))
    assert taken(measure) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_sides_cannot_be_swapped():
    """Fakes that lie within the reals and miss half: precise, of little recall; and the other way round."""
    reals, fakes = made("real", 1, spread=0.5), made("fake", 2, spread=0.05)
    there, back = (evaluate(*pair, ["prdc", "modes"], judge()) for pair in ((reals, fakes), (fakes, reals)))
    assert there["precision"] > there["recall"] + 0.3
    assert there["precision"] == back["recall"]
    assert there["recall"] == back["precision"]
    assert there["coverage"] < 0.6
    assert there["modes"] < back["modes"]
    assert there["modes KL"] != pytest.approx(back["modes KL"], rel=0.1)


def test_random_pairs_are_not_of_neighbours():
    """Classes go in turn in a run: pairs of neighbours would always be of two classes."""
    images = torch.tensor([-0.5, 0.5])[torch.arange(COUNT) % 2].reshape(-1, 1, 1, 1).repeat(1, 1, 16, 16)
    run = Side("run", COUNT, lambda start, stop: images[start:stop])
    found = evaluate(made("real", 1), run, ["lpips-diversity"], judge())
    every = 64 * 64 * 1.0**2  # small images are enlarged to 64 pixels for LPIPS
    assert 0.2 * every < found["lpips-diversity"] < 0.8 * every
