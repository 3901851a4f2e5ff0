"""Optimisers that begin anew at given counts of images, and resume there to the bit."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import small
from zerosum.training.checkpoint import read, restore, write
from zerosum.training.loop import Moment

# tests.small's progan: 8 images a step at a side of 16, phases at 16, 40, 56 and 80 images.
IMAGES = 96
RESETS = (16, 40, 56, 80)


def whole(**settings: Any) -> dict[str, Any]:
    made = small.system("progan", side=16)
    assert made.resets == RESETS
    return small.everything(
        made, small.play(made, small.source(side=16), small.state(made), IMAGES, **settings)
    )


def moments(steps: list[tuple[int, set[float]]]) -> Any:
    """A hook that notes, after each step, how many steps the critic's Adam has counted for its weights."""

    def hook(moment: Moment) -> None:
        counts = {float(values["step"]) for values in moment.optimisers["critic"].state.values()}
        steps.append((moment.clock.images, counts))

    return hook


def test_all_moments_are_forgotten_when_a_phase_begins() -> None:
    made = small.system("progan", side=16)
    steps: list[tuple[int, set[float]]] = []
    state = small.play(made, small.source(side=16), small.state(made), IMAGES, (moments(steps),))
    counted = {images: max(counts) for images, counts in steps}
    assert counted == {8: 1, 16: 2, 24: 1, 32: 2, 40: 3, 48: 1, 56: 2, 64: 1, 72: 2, 80: 3, 88: 1, 96: 2}
    assert state.phase == len(RESETS)


def test_the_average_warms_up_again_in_each_phase() -> None:
    made = small.system("progan", side=16, average=0.7)
    expected = {name: p.detach().clone() for name, p in made.game.generator.named_parameters()}

    def hook(moment: Moment) -> None:
        began = max((phase for phase in (0, *RESETS) if phase < moment.clock.images), default=0)
        t = (moment.clock.images - 8 - began) // 8
        decay = min(0.7, (1 + t) / (10 + t))
        for name, p in made.game.generator.named_parameters():
            expected[name].mul_(decay).add_(p.detach(), alpha=1 - decay)

    state = small.play(made, small.source(side=16), small.state(made), IMAGES, (hook,))
    for name, p in state.averages["generator"].module.named_parameters():
        torch.testing.assert_close(p, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stops", [(8,), (16,), (24,), (40, 56, 80), tuple(range(0, IMAGES, 8))])
def test_a_resume_before_at_and_after_a_phase_s_beginning_changes_nothing(
    tmp_path: Path, stops: tuple[int, ...]
) -> None:
    path = tmp_path / "a.safetensors"
    part = small.system("progan", side=16)
    at = small.state(part)
    for number, stop in enumerate(stops):
        small.play(part, small.source(side=16), at, stop)
        write(path, part.game, part.optimisers, at)
        part = small.system("progan", seed=100 + number, side=16)  # other weights: all must be restored
        at = small.state(part, seed=77)
        restore(read(path), part.game, part.optimisers, at)
    small.play(part, small.source(side=16), at, IMAGES)
    assert small.differing(whole(), small.everything(part, at)) == []


def test_without_resets_training_would_go_another_way() -> None:
    assert small.differing(whole(), whole(resets=())) != []


def test_a_step_over_two_beginnings_is_one_beginning() -> None:
    made = small.system()
    steps: list[tuple[int, set[float]]] = []
    state = small.play(made, small.source(), small.state(made), 32, (moments(steps),), resets=(3, 5, 24))
    assert [max(counts) for _, counts in steps] == [1, 1, 2, 1]
    assert state.phase == 3


def test_a_checkpoint_from_before_there_were_phases_is_read(tmp_path: Path) -> None:
    made, state = small.saved(tmp_path / "a.safetensors")
    saved = read(tmp_path / "a.safetensors")
    assert saved.meta["format"] == 2
    meta = {"format": 1, **{k: v for k, v in saved.meta.items() if k not in ("format", "phase")}}
    small.rewrite(tmp_path / "b.safetensors", dict(saved.tensors), meta)
    state.phase = 3
    restore(read(tmp_path / "b.safetensors"), made.game, made.optimisers, state)
    assert state.phase == 0
    assert all(torch.equal(v, saved.tensors[f"game/{k}"]) for k, v in made.game.state_dict().items())
