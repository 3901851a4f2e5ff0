"""Path lengths against closed forms; LPIPS of random pairs; refusals."""

import math

import pytest
import torch

from tests.judged import apart, judge, shades
from zerosum.draws import Latent
from zerosum.evaluation import evaluate
from zerosum.metrics.extractors import extractor
from zerosum.metrics.path_length import kept, path_lengths
from zerosum.metrics.sides import Maker, Side, of_images


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))


def test_on_a_circle_the_length_is_the_square_of_radius_times_angle():
    a, b = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 3.0], [1.0, math.sqrt(3.0)]])
    found = path_lengths(lambda z, _: z, apart, (a, b), torch.tensor([0.2, 0.9]))
    assert found.tolist() == pytest.approx([(3 * math.pi / 2) ** 2, (2 * math.pi / 6) ** 2], rel=1e-4)


def test_each_path_keeps_its_class():
    told = []

    def decode(z, labels):
        told.append(labels.tolist())
        return z * labels[:, None]

    ends = torch.zeros(3, 2), torch.tensor([[1.0, 0.0]]).repeat(3, 1)
    found = path_lengths(decode, apart, ends, torch.zeros(3), torch.tensor([1, 2, 3]), way=torch_lerp)
    assert found.tolist() == pytest.approx([1, 4, 9], rel=1e-6)
    assert told == [[1, 2, 3]] * 2


def torch_lerp(a, b, t):
    return a + t[:, None] * (b - a)


def test_jumps_are_left_out():
    lengths = torch.ones(500)
    lengths[7] = 1e9
    assert kept(lengths).max() == 1
    assert len(kept(torch.arange(50.0))) == 50, "of few samples no percentile lies inside"


def test_a_flat_generator_has_no_length_and_a_steeper_one_more():
    def run(gain: float) -> Side:
        def decode(z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
            return (gain * z[:, :1]).float().reshape(-1, 1, 1, 1).repeat(1, 1, 16, 16)

        maker = Maker(Latent(8), decode)
        return Side("run", 64, lambda start, stop: torch.zeros(stop - start, 1, 16, 16), maker=maker)

    real = of_images("real", shades(8, 0))
    flat, one, two = (evaluate(real, run(gain), ["ppl"], judge())["ppl"] for gain in (0.0, 0.1, 0.2))
    assert flat == 0
    assert two == pytest.approx(4 * one, rel=1e-3)
    found = evaluate(real, run(0.1), ["ppl"], judge())
    assert found["card"]["taken"]["ppl"] == "64 paths in z by slerp, epsilon 0.0001, 1st to 99th percentile"


def test_path_lengths_need_a_run_and_lpips_a_net_that_has_it():
    real, fake = (of_images("real", shades(8, 0)), of_images("fake", shades(8, 1)))
    with pytest.raises(ValueError, match="fake is no run"):
        evaluate(real, fake, ["ppl"], judge())
    with pytest.raises(ValueError, match="pixels has no LPIPS: choose --extractor alexnet or vgg16"):
        evaluate(real, fake, ["lpips-diversity"], "pixels")


def test_a_collapsed_side_has_little_lpips_diversity(shared_data, monkeypatch):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(12, 3, 32, 32, generator=draw) * 2 - 1
    collapsed = (images[:1] + 0.02 * torch.randn(images.shape, generator=draw)).clamp(-1, 1)
    found = evaluate(of_images("real", images), of_images("fake", collapsed), ["lpips-diversity"], "alexnet")
    assert found["lpips-diversity"] < 0.1 * found["lpips-diversity of reals"]


def test_lpips_is_taken_at_the_images_own_size_if_large_enough(shared_data, monkeypatch):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    import numpy as np

    with np.load(shared_data / "lpips_examples.npz") as arrays:
        ref, p0 = (torch.from_numpy(arrays[k]).permute(2, 0, 1)[None] / 127.5 - 1 for k in ("ref", "p0"))
    net = extractor("alexnet:side=32")
    assert float(net.distance(ref, p0)) == pytest.approx(0.72186, abs=2e-5)
    small = [x[:, :1, :28, :20].repeat(3, 1, 1, 1) for x in (ref, p0)]
    assert net.distance(*small).shape == (3,)
