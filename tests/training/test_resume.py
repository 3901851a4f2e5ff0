"""A resumed training is the uninterrupted one, to the bit."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import small
from zerosum.draws import Draws
from zerosum.games.game import Clock
from zerosum.trained import generate
from zerosum.training.checkpoint import read, restore, write
from zerosum.training.loop import Moment

LAZY = {"critic_norm": "none", "penalty": ("r1:weight=1,every=4",)}
SCHEDULES = ("linear:start=10,stop=90", "momentum:start=0.3,stop=0.9,images=80")
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dcgan": ("dcgan", {"side": 16}),  # batch norm in the critic too
    "dcgan, shared fakes": ("dcgan", {"fakes": "shared"}),
    "dcgan, generator first": ("dcgan", {"first": "generator"}),
    "dcgan, spectral norm": ("dcgan", {"constraint": "spectral-norm", "critic_norm": "none"}),
    "dcgan, lazy penalty": ("dcgan", LAZY),
    "gan, dropout and schedules": ("gan", {"schedule": SCHEDULES, "lr": 0.05}),
    "wgan-gp, two critic steps": ("wgan-gp", {}),
    "wgan-gp-resnet": ("wgan-gp-resnet", {}),
    "sngan": ("sngan", {"side": 16, "fakes": "shared"}),
    "progan": ("progan", {"side": 16, "fakes": "shared"}),
    "dcgan, unrolled": ("dcgan", {"unroll": 2, "norm": "none", "critic_norm": "none"}),
    "dcgan, packs and their variety": (
        "dcgan",
        {"pack": 2, "batch_layer": "minibatch-discrimination:kernels=4", "unroll": 1, "side": 16},
    ),
    "wgan, clipping": ("dcgan", {"objective": "wasserstein", "constraint": "clip", "optimiser": "rmsprop"}),
}
STEPS = 9
# Before training, after a step, at an epoch's end (24 images are 3 steps, or 1.5 of two turns), before the
# lazy penalty's second step, and within one epoch again and again.
STOPS = (0, 1, 3, 4, 5, 6)


def heard(into: list[Any]) -> Any:
    def hook(moment: Moment) -> None:
        into.append((moment.clock, dict(moment.seen)))

    return hook


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_six_resumes_change_nothing(tmp_path: Path, case: str, precision: str) -> None:
    recipe, settings = CASES[case]
    side = settings.get("side", 8)
    whole, source = small.system(recipe, **settings), small.source(side=side)
    state = small.state(whole)
    images = STEPS * whole.batch * settings.get("critic_steps", small.TINY[recipe].get("critic_steps", 1))
    log: list[Any] = []
    small.play(whole, source, state, images, (heard(log),), precision=precision)
    assert state.clock == Clock(STEPS, images)

    again: list[Any] = []
    shown: list[int] = []
    path = tmp_path / "a.safetensors"
    part = small.system(recipe, **settings)
    at = small.state(part)
    for stop in (*STOPS, STEPS):
        some = small.source(side=side)
        torch.manual_seed(stop)  # what the global stream holds must not matter
        part_images = images // STEPS * stop
        small.play(part, some, at, part_images, (heard(again),), precision=precision)
        shown += some.shown
        if stop == STEPS:
            break
        write(path, part.game, part.optimisers, at)
        part = small.system(recipe, seed=100 + stop, **settings)  # other weights: all must be restored
        at = small.state(part, seed=77)
        restore(read(path), part.game, part.optimisers, at)

    assert small.differing(small.everything(whole, state), small.everything(part, at)) == []
    assert again == log
    assert shown == source.shown
    one, other = (
        generate(s.averages["generator"].module, whole.latent, Draws(1, stop=5)) for s in (state, at)
    )
    assert torch.equal(one, other)


def test_the_steps_tested_are_those_that_could_go_wrong() -> None:
    """The lazy penalty is due at steps 0, 4 and 8; an epoch ends at step 3; epochs differ in order."""
    made, source = small.system(**LAZY), small.source()
    due: list[int] = []

    def hook(moment: Moment) -> None:
        if "critic/r1" in moment.seen:
            due.append(moment.clock.step - 1)

    small.play(made, source, small.state(made), STEPS * 8, (hook,))
    assert due == [0, 4, 8]
    assert sorted(source.shown[:24]) == sorted(source.shown[24:48]) == list(range(24))
    assert source.shown[:24] != source.shown[24:48]


def test_a_resume_on_the_same_seed_is_not_a_fresh_start(tmp_path: Path) -> None:
    """What the commonest fault, a fresh optimiser, would look like: it is seen by these tests."""
    whole, part = small.system(), small.system()
    state, at = small.state(whole), small.state(part)
    small.play(whole, small.source(), state, 40)
    small.play(part, small.source(), at, 24)
    for optimiser in part.optimisers.values():
        optimiser.state.clear()
    small.play(part, small.source(), at, 40)
    assert small.differing(small.everything(whole, state), small.everything(part, at)) != []


def test_the_scaler_of_fp16_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = {"precision": "fp16"}
    whole = small.system()
    state = small.state(whole)
    overflowing = {player: torch.amp.GradScaler("cpu", init_scale=2.0**60) for player in whole.optimisers}
    state.scalers = overflowing
    small.play(whole, small.source(), state, 64, **settings)
    part = small.system()
    at = small.state(part)
    at.scalers = {player: torch.amp.GradScaler("cpu", init_scale=2.0**60) for player in part.optimisers}
    small.play(part, small.source(), at, 24, **settings)
    write(tmp_path / "a.safetensors", part.game, part.optimisers, at)
    part = small.system(seed=9)
    at = small.state(part)
    restore(read(tmp_path / "a.safetensors"), part.game, part.optimisers, at)
    small.play(part, small.source(), at, 64, **settings)
    assert small.differing(small.everything(whole, state), small.everything(part, at)) == []
    assert at.scalers["critic"].get_scale() < 2.0**60  # steps were skipped, and the scale halved
