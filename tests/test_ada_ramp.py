"""Augmentation whose probability follows a plan, not the critic."""

import pytest
import torch

from zerosum.ada import ada, ada_ramp
from zerosum.draws import Draws

MANY = 4000


def changed(shown: int, policy: str, **settings: float) -> float:
    """The share of images that are not what they were."""
    x = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(MANY, -1, -1, -1)
    out = ada_ramp(policy=policy, **settings)(x, Draws(stop=MANY), "real", shown)
    return float((out != x).flatten(1).any(1).float().mean())


def test_the_probability_follows_a_cosine():
    assert changed(0, "brightness", p=0.8, images=1000, color=1.0) == 0
    for images, p in ((500, 0.4), (1000, 0.8), (9000, 0.8), (250, 0.8 * (1 - 0.5**0.5) / 2)):
        error = (p * (1 - p) / MANY) ** 0.5
        assert changed(images, "brightness", p=0.8, images=1000, color=1.0) == pytest.approx(p, abs=4 * error)


def test_colours_change_less_often():
    error = (0.3 * 0.7 / MANY) ** 0.5
    assert changed(1000, "saturation", p=0.6, images=1000) == pytest.approx(0.3, abs=4 * error)
    cut = changed(1000, "cutout", p=0.6, images=1000)
    assert cut == pytest.approx(0.6, abs=4 * (0.24 / MANY) ** 0.5)


def test_it_makes_what_ada_makes():
    x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    adaptive = ada(policy="blit+geom+color+cutout")
    adaptive.p.fill_(0.7)
    ramp = ada_ramp(p=0.7, images=1, color=1.0)
    for purpose in ("real", "fake"):
        draw = Draws(seed=3, stop=8)
        torch.testing.assert_close(ramp(x, draw, purpose, 5), adaptive(x, draw, purpose, 5))
    assert not ramp.adaptive
    assert not ramp.state_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"p": 1.5}, "ada-ramp: p must be 0 to 1"),
        ({"color": -0.5}, "ada-ramp: color must be 0 to 1"),
        ({"images": 0}, "ada-ramp: images must be at least 1"),
        ({"policy": "blur"}, "unknown policy of ada-ramp 'blur'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ada_ramp(**settings)


def test_points_are_refused():
    with pytest.raises(ValueError, match="ada-ramp needs images"):
        ada_ramp()(torch.zeros(2, 2), Draws(stop=2), "real", 0)
