"""What the squared error asks for, in closed form, and what trained nets answer."""

import math

import pytest
import torch
from torch import nn

from zerosum.lab.experiment import Settings
from zerosum.lab.multimodality import (
    MULTIMODALITY,
    STD,
    bars,
    error_of_constant,
    error_of_sampler,
    frames_of,
    nearest,
    regress,
    signs_of,
)


def test_the_closed_errors_are_the_samples():
    random = torch.Generator().manual_seed(0)
    x, other = signs_of(200_000, random), signs_of(200_000, random)
    for c in (0.0, 0.5, -1.0):
        assert (x - c).square().mean().item() == pytest.approx(error_of_constant(c), abs=0.02)
    assert (x - other).square().mean().item() == pytest.approx(error_of_sampler(), abs=0.03)
    assert error_of_sampler() == 2 * error_of_constant(0)
    assert x.abs().std().item() == pytest.approx(STD, rel=0.02)


def test_a_bar_turns_and_its_mirror_turns_the_other_way():
    left, right, upright = bars(torch.tensor([30.0, -30.0, 0.0])).unflatten(1, (16, 16))
    assert torch.allclose(left, right.flip(1), atol=1e-6)
    assert torch.allclose(upright, upright.flip(1), atol=1e-6)
    assert upright[0].argmax() in (7, 8)
    assert left[0].argmax() > 8  # x cos φ + y sin φ = 0: above the centre y < 0, so x > 0
    assert -1 <= left.min() < -0.99
    assert left.max() > 0.9


def test_frames_turn_to_both_sides_alike():
    frames = frames_of(2000, torch.Generator().manual_seed(1))
    both = torch.cdist(frames, bars(torch.tensor([40.0, -40.0]))).argmin(1).float()
    assert both.mean().item() == pytest.approx(0.5, abs=0.05)


def test_the_nearest_frame_of_a_real_one_is_itself():
    frames = frames_of(50, torch.Generator().manual_seed(2))
    assert nearest(frames, frames).max() < 1e-6
    shifted = nearest(torch.full((1, 256), 3.0), torch.tensor([[1.0], [2.0]]).expand(2, 256))
    assert shifted.item() == pytest.approx(1)


def test_regression_on_an_independent_latent_finds_the_mean():
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    data = torch.tensor([[-1.0], [-1.0], [-1.0], [1.0]])
    regress(net, 3, data, 500, torch.Generator().manual_seed(0))
    assert net.bias.item() == pytest.approx(-0.5, abs=0.05)
    assert net.weight.abs().max() < 0.05


def test_the_experiment():
    numbers = MULTIMODALITY.run(Settings(quick=True, seed=1)).numbers
    squared, adversarial = numbers["targets of +1 and -1"].values()
    assert squared["mean |x|"] < 0.1
    assert adversarial["mean |x|"] == pytest.approx(1, abs=0.12)
    assert 0.35 < adversarial["share above 0"] < 0.65
    for answer in (squared, adversarial):
        assert answer["mean-squared error"] == pytest.approx(answer["the same in closed form"], rel=0.12)
    frames = numbers["frames, a pixel"]
    least, error, near = (
        frames["least mean-squared error"],
        "mean-squared error",
        "mean square to the nearest real frame",
    )
    assert frames["mean-squared error"][error] == pytest.approx(least, rel=0.05)
    assert frames["adversarial"][error] == pytest.approx(2 * least, rel=0.15)
    assert frames["adversarial"][near] < 0.4 * frames["mean-squared error"][near]
    assert 0.3 < numbers["share of the GAN's frames that turn left"] < 0.7
    assert numbers["dB of PSNR between the two, for an honest sampler"] == 10 * math.log10(2)
