"""Runs that cannot work, or break on the way: said in time, and nothing good is lost."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import small
from tests.running import edit, events, lines, random_slopes, resume, start, work_alone
from zerosum import recorder, runs
from zerosum.rundir import RunDirectory, RunError
from zerosum.training import checkpoint
from zerosum.training.checkpoint import CheckpointError
from zerosum.training.gradients import NonFiniteError
from zerosum.training.loop import Moment

__all__ = ["random_slopes", "work_alone"]  # fixtures


# --- what is refused before anything is written -----------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "dgcan"}, "unknown recipe 'dgcan': did you mean 'dcgan'"),
        ({"arguments": {"widht": 8}}, "unknown setting of recipe dcgan 'widht': did you mean 'width'"),
        ({"arguments": {"width": "wide"}}, "width='wide' is not usable: Expected `int`"),
        ({"arguments": {"images": 0}}, "--images must be at least 1, not 0"),
        ({"arguments": {"batch": 0}}, "--batch 0 leaves some of 1 processes without a sample"),
        ({"arguments": {"lr": -1.0}}, "--lr must be positive"),
        ({"arguments": {"penalty": ("r1",)}}, "penalty r1 needs a critic that judges each sample alone"),
        ({"arguments": {"average": 1.0}}, "decay must be at least 0 and below 1"),
        ({"preset": "smal"}, "unknown preset of dcgan 'smal': did you mean 'small'"),
        ({"every": 0}, "--every must be at least 1, not 0"),
        ({"micro": 0}, "--micro must be at least 1, not 0"),
        ({"clip": -1.0}, "--clip must be positive, not -1"),
        ({"device": "tpu9"}, "device 'tpu9' cannot be used"),
        ({"precision": "fp16"}, "--precision fp16 needs CUDA"),
        ({"options": {"size": (4, 4)}}, "8 to 512"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, data: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start(tmp_path / "run", data, **changes)
    assert not (tmp_path / "run").exists()


def test_points_cannot_be_mirrored_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="points cannot be mirrored"):
        start(tmp_path / "run", Path("ring"), recipe="gan", options={"flip": True})
    assert not (tmp_path / "run").exists()


def test_a_directory_that_holds_a_run_or_is_none_is_refused(tmp_path: Path, data: Path) -> None:
    start(tmp_path / "run", data, arguments={"images": 8})
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    with pytest.raises(RunError, match="already holds a run: `zerosum resume"):
        start(tmp_path / "run", data)
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before
    with pytest.raises(RunError, match=r"slopes\.npy: cannot be written"):
        start(data, data)


def test_a_second_process_is_refused_while_one_trains(tmp_path: Path, data: Path) -> None:
    start(tmp_path / "run", data, arguments={"images": 8})
    with (
        RunDirectory(tmp_path / "run").locked(),
        pytest.raises(RunError, match="in use: another process trains"),
    ):
        resume(tmp_path / "run", images=80)
    assert resume(tmp_path / "run", images=80) == 0


# --- what breaks on the way -------------------------------------------------------------------------


def test_numbers_that_are_not_finite_end_the_run_at_the_last_good_checkpoint_each_time(
    tmp_path: Path, data: Path
) -> None:
    out, said = tmp_path / "run", []
    settings = {"lr": 1e25, "objective": "least-squares", "norm": "none", "critic_norm": "none"}
    with pytest.raises(NonFiniteError) as caught:
        start(out, data, arguments=settings)
    said.append(str(caught.value))
    for _ in range(2):
        with pytest.raises(NonFiniteError) as caught:
            resume(out)
        said.append(str(caught.value))
    assert said[0] == said[1] == said[2]
    assert "step " in said[0]
    assert "--lr" in said[0]
    saved = [checkpoint.read(path) for path in RunDirectory(out).numbered()]
    assert saved
    assert all(torch.isfinite(t).all() for one in saved for t in one.tensors.values())
    assert events(out) == ["started", "failed", "resumed", "failed", "resumed", "failed"]


@pytest.mark.parametrize("player", ["generator", "critic"])
def test_weights_spoilt_by_the_last_step_are_named_and_not_saved(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, player: str
) -> None:
    class Spoiling(recorder.Recorder):
        def __call__(self, moment: Moment) -> bool:
            if moment.clock.step == 10:
                module = moment.game.get_submodule(player)
                next(module.parameters()).data.fill_(torch.nan)
                if player == "generator":
                    next(moment.state.averages["generator"].module.parameters()).data.fill_(torch.nan)
            return super().__call__(moment)

    monkeypatch.setattr(runs, "Recorder", Spoiling)
    with pytest.raises((NonFiniteError, CheckpointError), match=r"step 10.* is NaN|is NaN at step 10"):
        start(tmp_path / "run", data, arguments={"images": 80})
    assert [p.name for p in RunDirectory(tmp_path / "run").numbered()] == ["000000000000.safetensors"]
    assert list((tmp_path / "run" / "samples").iterdir()) == [] or player == "critic"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the right to mount a tmpfs ({error})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_is_named_and_the_last_checkpoint_goes_on(
    tmp_path: Path, data: Path, tiny_disk: Path
) -> None:
    """With another amount of room each time, so that checkpoints, grids and metrics meet the end in turn."""
    start(tmp_path / "whole", data, every=16, arguments={"images": 48})
    whole = RunDirectory(tmp_path / "whole").newest()[0]
    out, ballast, full = tiny_disk / "run", tiny_disk / "ballast", set()
    for room in range(4, 200, 4):
        ballast.write_bytes(bytes(1024 * (400 - room)))
        try:
            start(out, data, every=16, arguments={"images": 48})
        except (RunError, CheckpointError) as error:
            said = str(error)
        else:
            break
        finally:
            ballast.unlink()
        path, _, reason = said.partition(": cannot be written (")
        assert path.startswith(str(out)), said
        assert "No space left on device" in reason
        assert "make room" in reason
        full.add(Path(path).suffix)
        if RunDirectory(out).numbered():
            assert RunDirectory(out).newest()[1] == []
            assert resume(out) == 0
            assert lines(out) == lines(tmp_path / "whole")
            assert small.differing(RunDirectory(out).newest()[0].tensors, whole.tensors) == []
        shutil.rmtree(out, ignore_errors=True)
    assert full >= {".safetensors", ".png"}, full


def test_nothing_is_left_half_written_after_a_run(tmp_path: Path, data: Path) -> None:
    start(tmp_path / "run", data)
    hidden = [p for p in (tmp_path / "run").rglob(".*") if p.name != ".lock"]
    assert hidden == []
    kept = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == [*(f"{n:012d}.safetensors" for n in (160, 320, 400)), "best.safetensors"]


def test_what_a_stranger_adds_to_a_recipe_is_not_imported(tmp_path: Path, data: Path) -> None:
    start(tmp_path / "run", data, arguments={"images": 8})
    for name in ("os.system", "zerosum.recipes.classic.dcgan", "__import__('os')", "../dcgan"):
        edit(tmp_path / "run", "", recipe=name)
        with pytest.raises(ValueError, match="unknown recipe"):
            resume(tmp_path / "run", images=80)


def test_bytes_of_the_data_are_not_changed_by_training(tmp_path: Path, data: Path) -> None:
    before = np.load(data).copy()
    start(tmp_path / "run", data, arguments={"images": 80}, options={"flip": True})
    assert np.array_equal(np.load(data), before)
