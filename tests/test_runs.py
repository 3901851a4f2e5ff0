"""Runs: a resume is the uninterrupted run, and what changed or broke since is said, not guessed."""

import io
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import small
from tests.running import edit, events, lines, random_slopes, resume, same, start, stop_at, work_alone
from zerosum import recorder, runs
from zerosum.rundir import RunDirectory, RunError
from zerosum.training import checkpoint
from zerosum.training.checkpoint import CheckpointError
from zerosum.training.loop import Moment

__all__ = ["random_slopes", "work_alone"]  # fixtures


# --- resume is the uninterrupted run ----------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("recipe", "arguments"),
    [
        ("dcgan", {"fakes": "shared"}),
        (
            "dcgan",
            {"critic_norm": "layer", "penalty": ("r1:weight=1,every=4",), "constraint": "spectral-norm"},
        ),
        ("gan", {}),
    ],
)
def test_a_run_that_is_stopped_again_and_again_is_the_one_that_was_not(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    arguments: dict[str, Any],
    precision: str,
) -> None:
    made = {"recipe": recipe, "arguments": arguments, "precision": precision, "options": {"flip": True}}
    made["every"] = 320  # a line of metrics is then the mean of two steps
    assert start(tmp_path / "whole", data, **made) == 0
    part = tmp_path / "part"
    # The first and second step, an epoch's end (24 images), a lazy penalty's step, between two metrics lines
    # and within one epoch again and again (steps 13 to 15).
    steps = (1, 2, 3, 4, 13, 14, 15, 21)
    stop_at(monkeypatch, steps[0])
    assert start(part, data, **made) == signal.SIGTERM
    for step in steps[1:]:
        stop_at(monkeypatch, step)
        assert resume(part) == signal.SIGTERM
        assert RunDirectory(part).newest()[0].clock == (step, 8 * step)
    # Then it is killed after some steps: the newest checkpoint is from before what was logged.
    shutil.copyfile(part / "metrics.jsonl", tmp_path / "behind")
    (tmp_path / "behind").write_text((tmp_path / "behind").read_text() + '{"images": 390, "step": 49}\n{"ima')
    shutil.copyfile(tmp_path / "behind", part / "metrics.jsonl")
    (part / "samples" / "000000000390.png").write_bytes(b"half")
    monkeypatch.setattr(runs, "Recorder", recorder.Recorder)
    assert resume(part) == 0
    # Checkpoints that stops made in between have been pruned; the newest three are those of the intervals.
    for name in ("whole", "part"):
        for path in RunDirectory(tmp_path / name).numbered()[2:]:
            path.unlink()
    same(tmp_path / "whole", part)
    assert events(part) == ["started", "stopped", *["resumed", "stopped"] * 7, "resumed", "finished"]


def test_a_run_killed_before_its_first_interval_goes_on_from_the_start(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(tmp_path / "whole", data, init_from=None)
    stop_at(monkeypatch, 5)
    start(tmp_path / "part", data)
    RunDirectory(tmp_path / "part").checkpoint(40).unlink()  # as if it had never been written
    assert [p.name for p in RunDirectory(tmp_path / "part").numbered()] == ["000000000000.safetensors"]
    monkeypatch.setattr(runs, "Recorder", recorder.Recorder)
    assert resume(tmp_path / "part") == 0
    same(tmp_path / "whole", tmp_path / "part")


def test_a_longer_run_is_the_run_that_was_as_long_from_the_first(tmp_path: Path, data: Path) -> None:
    start(tmp_path / "whole", data)
    start(tmp_path / "part", data, arguments={"images": 160})
    said = io.StringIO()
    assert resume(tmp_path / "part", said) == 0
    assert "has shown 160 images: --images N makes it longer" in said.getvalue()
    assert resume(tmp_path / "part", said, images=80) == 0  # shorter: nothing is done, nothing is written
    assert RunDirectory(tmp_path / "part").record().training.images == 160
    assert resume(tmp_path / "part", images=400) == 0
    assert lines(tmp_path / "whole") == lines(tmp_path / "part")
    whole, part = (RunDirectory(tmp_path / name).newest()[0] for name in ("whole", "part"))
    assert small.differing(whole.tensors, part.tensors) == []
    with pytest.raises(ValueError, match="--images must be at least 1, not 0"):
        resume(tmp_path / "part", images=0)


@pytest.mark.parametrize("cut", ["truncated", "flipped"])
def test_a_damaged_checkpoint_is_told_and_the_run_goes_on_from_the_one_before(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    start(tmp_path / "whole", data)
    stop_at(monkeypatch, 21)
    start(tmp_path / "part", data)
    monkeypatch.setattr(runs, "Recorder", recorder.Recorder)
    newest = RunDirectory(tmp_path / "part").checkpoint(168)
    content = bytearray(newest.read_bytes())
    content[-5] ^= 16
    newest.write_bytes(content[:-100] if cut == "truncated" else content)
    said = io.StringIO()
    assert resume(tmp_path / "part", said) == 0
    assert "passed over:" in said.getvalue()
    assert str(newest) in said.getvalue()
    assert newest.with_suffix(".damaged").exists()
    newest.with_suffix(".damaged").unlink()
    same(tmp_path / "whole", tmp_path / "part")


# --- what changed since -----------------------------------------------------------------------------


def test_a_changed_recipe_is_shown_and_refused_and_with_force_it_takes_effect(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    start(out, data, arguments={"images": 80})
    edit(out, "arguments", lr=0.125)
    edit(out, "training", seed=5, images=160)
    with pytest.raises(RunError) as caught:
        resume(out)
    assert "arguments.lr was 0.0002 and is 0.125; training.seed was 0 and is 5" in str(caught.value)
    assert "--force" in str(caught.value)
    assert "images" not in str(caught.value).partition("changed since the checkpoint")[2]
    assert RunDirectory(out).newest()[0].clock.images == 80
    rates: list[float] = []

    class Looking(recorder.Recorder):
        def __call__(self, moment: Moment) -> bool:
            rates.append(moment.optimisers["critic"].param_groups[0]["lr"])
            return super().__call__(moment)

    monkeypatch.setattr(runs, "Recorder", Looking)
    assert resume(out, force=True) == 0
    assert set(rates) == {0.125}
    assert resume(out, images=240) == 0  # the change is now the run's own
    edit(out, "", recipe="wgan-gp")
    with pytest.raises(ValueError, match=r"recipe was 'dcgan' and is 'wgan-gp'|no place|lacks"):
        resume(out, images=400)


def test_changed_data_are_shown_and_refused_unless_forced(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    start(out, data, arguments={"images": 80})
    moved = data.rename(tmp_path / "elsewhere.npy")
    with pytest.raises(ValueError, match=r"slopes\.npy: no such file"):
        resume(out, images=160)
    assert resume(out, images=160, data=str(moved)) == 0  # the same data elsewhere are the same data
    assert resume(out, images=168) == 0  # and it is remembered where
    small.npy(moved, count=30, seed=1)
    with pytest.raises(
        RunError, match=r"its data changed\. Then 24 samples, fingerprint .*; now 30, .* --force"
    ):
        resume(out, images=240)
    assert resume(out, images=240, force=True) == 0
    assert resume(out, images=320) == 0  # these are its data now
    assert RunDirectory(out).record().data.count == 30
    small.npy(moved, side=32)
    with pytest.raises(RunError, match=r"the data are \(1, 32, 32\), and the run's \(1, 16, 16\)"):
        resume(out, images=400, force=True)


def test_init_from_takes_weights_alone(tmp_path: Path, data: Path) -> None:
    start(tmp_path / "old", data, arguments={"images": 160})
    other = small.npy(tmp_path / "other.npy", count=9, seed=4)
    for name, source in (("run", tmp_path / "old"), ("file", RunDirectory(tmp_path / "old").checkpoint(160))):
        start(tmp_path / name, other, init_from=source, seed=7, arguments={"images": 8, "lr": 1e-3})
        old = RunDirectory(tmp_path / "old").newest()[0]
        new = checkpoint.read(RunDirectory(tmp_path / name).checkpoint(0))
        weights = [n for n in old.tensors if n.startswith("game/")]
        assert all(torch.equal(old.tensors[n], new.tensors[n]) for n in weights)
        assert (new.clock, new.meta["seed"]) == ((0, 0), 7)
        assert not any(n.startswith("optimiser/") for n in new.tensors)
        assert RunDirectory(tmp_path / name).record().data.count == 9
    with pytest.raises(CheckpointError, match=r"'game/.*' is .*, and the recipe's"):
        start(tmp_path / "wide", other, init_from=tmp_path / "old", arguments={"width": 3})
    assert not (tmp_path / "wide").exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "nothing", "model.safetensors"])
def test_init_from_what_is_no_run_is_refused_unread(tmp_path: Path, data: Path, name: str) -> None:
    mark = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(mark),)

    if name != "nothing":
        torch.save(Payload(), tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}(/checkpoints)?(:| is not a run directory)"):
        start(tmp_path / "run", data, init_from=tmp_path / name)
    with pytest.raises(RunError, match="is not a run directory"):
        resume(tmp_path / name)
    assert not (tmp_path / "run").exists()
    assert not mark.exists()
