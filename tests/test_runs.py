"""Runs: a resume is the uninterrupted run, and what changed or broke since is said, not guessed."""

import io
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from tests import small
from zerosum import recorder, runs
from zerosum.rundir import DataOptions, RunDirectory, RunError
from zerosum.training import checkpoint
from zerosum.training.checkpoint import CheckpointError
from zerosum.training.gradients import NonFiniteError
from zerosum.training.loop import Moment

TINY = {"latent": 4, "width": 2, "kernel": 3, "batch": 8, "images": 400}
GAN = {"latent": 4, "hidden": (8,), "critic_hidden": (6,), "pieces": 2, "batch": 8, "images": 400}


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of the test's own, one thread, and no TensorBoard, which takes seconds to import."""
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(recorder, "_tensorboard", lambda run, images: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return small.npy(tmp_path / "slopes.npy")


def start(
    out: Path, data: Path, recipe: str = "dcgan", said: io.StringIO | None = None, **changes: Any
) -> int:
    arguments = {**(GAN if recipe == "gan" else TINY), **changes.pop("arguments", {})}
    options = DataOptions(str(data), **changes.pop("options", {}))
    settings = {"every": 160, "precision": "fp32", "arguments": arguments, **changes}
    return runs.start(recipe, options, out, console(said), **settings)


def console(said: io.StringIO | None = None) -> Console:
    return Console(file=said or io.StringIO(), width=1000)


def resume(out: Path, said: io.StringIO | None = None, **changes: Any) -> int:
    return runs.resume(out, console(said), **changes)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """Send this process a signal during a step."""

    class Stopping(recorder.Recorder):
        def __call__(self, moment: Moment) -> bool:
            if moment.clock.step == step:
                os.kill(os.getpid(), number)
            return super().__call__(moment)

    monkeypatch.setattr(runs, "Recorder", Stopping)


def lines(out: Path) -> list[dict[str, Any]]:
    """The numbers of metrics.jsonl, but for how fast it went."""
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in entry.items() if k not in ("seconds", "rate")}
        for entry in entries
        if "event" not in entry
    ]


def events(out: Path) -> list[str]:
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [entry["event"] for entry in entries if "event" in entry]


def same(one: Path, other: Path) -> None:
    """Both runs hold the same checkpoints, metrics and samples, to the bit."""
    names = [sorted(p.name for p in (run / "checkpoints").iterdir()) for run in (one, other)]
    assert names[0] == names[1]
    for name in names[0]:
        found = [checkpoint.read(run / "checkpoints" / name) for run in (one, other)]
        assert small.differing(found[0].tensors, found[1].tensors) == []
        metas = [{**saved.meta, "seconds": 0} for saved in found]
        assert metas[0] == metas[1]
    assert lines(one) == lines(other)
    pictures = [{p.name: p.read_bytes() for p in (run / "samples").iterdir()} for run in (one, other)]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) >= 2


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


def edit(out: Path, section: str, **changes: Any) -> None:
    plain = json.loads((out / "recipe.json").read_text())
    (plain[section] if section else plain).update(changes)
    (out / "recipe.json").write_text(json.dumps(plain))


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
