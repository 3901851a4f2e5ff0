"""Trainings made to fail in each of the seven ways are told so; ones that train are not troubled."""

from pathlib import Path
from typing import Any

import pytest

from tests.running import work_alone
from tests.training.watched import begun, cloud, pictures, ring, told, train
from zerosum.rundir import _stays

__all__ = ["work_alone"]  # a fixture

STILL = {"lr": 1e-9, "critic_lr": 1e-9}


def test_a_perfect_critic_saturates_and_its_flat_objective_lets_the_gradient_vanish(tmp_path: Path) -> None:
    rules = {"critic_lr": 0.05, "lr": 1e-5, "images": 8000}
    said = train(tmp_path / "run", ring(tmp_path / "ring.npy"), every=2000, objective="minimax", **rules)
    assert {"critic saturated", "generator's gradient vanished"} <= begun(tmp_path / "run")
    assert "--objective non-saturating" in said


def test_a_wasserstein_critic_as_far_ahead_is_not_called_saturated(tmp_path: Path) -> None:
    rules = {"critic_lr": 0.05, "lr": 1e-5, "images": 4000}
    train(tmp_path / "run", ring(tmp_path / "ring.npy"), every=2000, objective="wasserstein", **rules)
    assert begun(tmp_path / "run") <= {"diversity falling", "samples off range"}


def test_a_generator_that_does_not_hear_its_latent_lacks_diversity(tmp_path: Path) -> None:
    train(tmp_path / "run", pictures(tmp_path / "p.npy"), generator="deaf", lr=0.01, images=3200)
    (event,) = [e for e in told(tmp_path / "run") if e["diagnosis"] == "diversity falling"]
    assert event["state"] == "begins"
    assert event["images"] == 3200
    assert "0.00 times as far apart" in event["evidence"]


def test_a_generator_without_bounds_and_too_fast_leaves_the_range(tmp_path: Path) -> None:
    said = train(tmp_path / "run", pictures(tmp_path / "p.npy"), generator="unbounded", lr=0.3, images=3200)
    assert "samples off range" in begun(tmp_path / "run")
    assert "watch, 2,400 images: samples off range: " in said
    assert "--lr 0.15 (half of it) or --clip 1" in said


def test_a_line_against_a_point_goes_round_and_round(tmp_path: Path) -> None:
    game = {"generator": "deaf", "critic": "line", "objective": "wasserstein", "average": 0.0}
    rules = {"optimiser": "sgd:momentum=0", "lr": 0.1, "critic_lr": 0.1, "images": 20_000}
    train(tmp_path / "run", cloud(tmp_path / "cloud.npy"), every=4000, **game, **rules)
    (event,) = [
        e for e in told(tmp_path / "run") if e["diagnosis"] == "oscillation" and e["state"] == "begins"
    ]
    # cos φ = 1 − lr²/2 of this linear map: 2π/φ = 63 steps, 2,010 images.
    period = int(event["evidence"].partition("about ")[2].partition(" images")[0].replace(",", ""))
    assert 1700 < period < 2300


def test_a_generator_that_chooses_among_training_images_is_told_of_memorising(tmp_path: Path) -> None:
    train(tmp_path / "run", pictures(tmp_path / "p.npy"), generator="copier", lr=1e-4, images=2400)
    assert begun(tmp_path / "run") == {"memorising"}


def test_players_that_hardly_move_make_no_progress(tmp_path: Path) -> None:
    train(tmp_path / "run", ring(tmp_path / "ring.npy"), every=2400, images=19_200, **STILL)
    (event,) = [e for e in told(tmp_path / "run") if e["diagnosis"] == "no progress"]
    assert event["images"] == 19_200


DCGAN = {"latent": 8, "width": 8, "kernel": 3, "batch": 16, "images": 4800}
RING = {"penalty": ("r1:weight=1",), "images": 10_000}


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("dcgan", DCGAN),
        ("broken", RING),
        ("broken", {**RING, "objective": "hinge"}),
    ],
    ids=["dcgan", "non-saturating", "hinge"],
)
def test_silent_where_a_tiny_run_trains(tmp_path: Path, recipe: str, settings: dict[str, Any]) -> None:
    data = pictures(tmp_path / "p.npy") if recipe == "dcgan" else ring(tmp_path / "ring.npy")
    train(tmp_path / "run", data, recipe, every=400 if recipe == "dcgan" else 1000, **settings)
    assert told(tmp_path / "run") == []


def test_what_was_told_past_a_checkpoint_is_told_again() -> None:
    assert _stays('{"event": "stopped", "images": 900}', 800)
    assert _stays('{"event": "watch", "images": 800}', 800)
    assert not _stays('{"event": "watch", "images": 900}', 800)


def test_a_resumed_run_is_told_what_the_uninterrupted_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.running import resume, stop_at
    from tests.training.watched import BROKEN
    from zerosum.recipes.table import RECIPES

    data = pictures(tmp_path / "p.npy")
    settings = {"generator": "deaf", "lr": 0.01, "images": 3200}
    train(tmp_path / "whole", data, **settings)
    stop_at(monkeypatch, 60)  # between the looks that tell
    train(tmp_path / "cut", data, **settings)
    assert told(tmp_path / "cut") == []
    monkeypatch.undo()
    monkeypatch.setattr("zerosum.recorder._tensorboard", lambda run, images: None)
    resume(tmp_path / "cut", recipes={**RECIPES, "broken": BROKEN})
    events = [[{**e, "time": ""} for e in told(tmp_path / run)] for run in ("whole", "cut")]
    assert events[0] == events[1]
    assert events[0]
