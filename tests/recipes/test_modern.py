"""R3GAN: its authors' settings, its schedules, and labels where there are some."""

import pytest
import torch

from tests import small
from zerosum.draws import Draws
from zerosum.games.game import Clock
from zerosum.recipes.parts import schedule_of
from zerosum.recipes.table import RECIPES

FEW = {"width": 8, "group": 8}


def test_the_authors_settings_on_cifar():
    """The released code's CIFAR-10 preset: all of it by cosines over 20 million images."""
    made = RECIPES["r3gan"].build((3, 32, 32), FEW, classes=10)
    assert (made.batch, made.images, made.latent.size, made.latent.law) == (512, 200_000_000, 64, "normal")
    halves_in = made.batch * torch.tensor(0.5).log() / torch.tensor(made.average).log()
    assert float(halves_in) == pytest.approx(5e6, rel=0.02)
    (group,) = made.optimisers["critic"].param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (2e-4, (0.0, 0.9), 1e-8)
    law = made.schedules["generator"]
    assert law(Clock(0, 0)) == {"lr": pytest.approx(2e-4), "betas": (0.0, pytest.approx(0.9))}
    assert law(Clock(0, 30_000_000)) == {"lr": 5e-5, "betas": (0.0, pytest.approx(0.99))}
    weights = {p.name: (p.weight, p.at(20_000_000).weight, p.every) for p in made.game.penalties}
    assert weights == {"r1": (0.05, 0.005, 1), "r2": (0.05, 0.005, 1)}
    (ramp,) = made.game.corruptions
    assert (ramp.p, ramp.images, ramp.shares["rotate90"], ramp.shares["hue"]) == (0.55, 20_000_000, 1.0, 0.5)
    assert (made.game.critic_steps, made.game.constraint, made.game.objective.paired) == (1, None, True)
    default = RECIPES["r3gan"].settings
    nets = {name: default[name].default for name in ("width", "growth", "blocks", "expansion", "group")}
    assert nets == {"width": 768, "growth": 1, "blocks": 2, "expansion": 2, "group": 16}


@pytest.mark.parametrize("classes", [0, 3])
def test_it_trains_with_labels_and_without(classes):
    class Labelled:
        size = 24

        def __init__(self):
            self.plain = small.source()

        def __call__(self, cursor, ids):
            batch = dict(self.plain(cursor, ids))
            return {**batch, "labels": batch["labels"] % 3}

    torch.manual_seed(0)
    settings = {**small.TINY["r3gan"], "penalty": ("r1:weight=1", "r2:weight=1,final=0.1,over=16")}
    made = RECIPES["r3gan"].build((1, 8, 8), settings, classes=classes)
    assert made.classes == classes
    before = {name: p.clone() for name, p in made.game.named_parameters()}
    state = small.play(made, Labelled(), small.state(made), 24)
    assert state.clock == Clock(3, 24)
    still = [name for name, p in made.game.named_parameters() if torch.equal(p, before[name])]
    assert not still, "every weight has moved"
    (group,) = made.optimisers["generator"].param_groups
    assert group["betas"] == (0.0, pytest.approx(0.9, abs=1e-6)), "β₂ follows its plan"
    if classes:
        z = made.latent(Draws(stop=2))
        one, other = (made.game.generator(z, torch.tensor([label, label])) for label in (0, 1))
        assert not torch.allclose(one, other)


def test_schedules_by_cosine_are_what_they_say():
    law = schedule_of(("cosine:images=100,to=0.5", "betas:images=200,beta1=0.1,start=0.9,stop=0.99"), 0.2)
    assert law(Clock(0, 0)) == {"lr": pytest.approx(0.2), "betas": (0.1, pytest.approx(0.9))}
    assert law(Clock(9, 50)) == {
        "lr": pytest.approx(0.15),
        "betas": pytest.approx((0.1, 0.9 + 0.09 * 0.1464466)),
    }
    assert law(Clock(9, 300)) == {"lr": pytest.approx(0.1), "betas": pytest.approx((0.1, 0.99))}


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosine", "needs images, as in cosine:images="),
        ("cosine:images=0", "images must be at least 1, not 0"),
        ("cosine:images=9,to=2", "a share of lr, 0 to 1, not 2"),
        ("betas:images=9", "needs beta1"),
        ("betas:images=9,beta1=1", "beta1 must be at least 0 and below 1"),
        ("betas:images=0,beta1=0", "images must be at least 1, not 0"),
    ],
)
def test_wrong_schedules_are_refused(schedule, message):
    with pytest.raises(ValueError, match=message):
        schedule_of((schedule,), 0.1)
