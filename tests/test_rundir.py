"""The run directory: what a stranger, a crash or a second process may do to it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from tests import small
from zerosum.games.game import Clock
from zerosum.rundir import DataFacts, Record, RunDirectory, RunError, TrainingOptions, find_checkpoint
from zerosum.training.checkpoint import write
from zerosum.training.state import State

RECORD = Record(
    "0.1.0",
    "dcgan",
    {"width": 4, "penalty": ["r1"]},
    DataFacts("photos", size=(16, 24), name="photos", count=3, fingerprint="ab", classes=("a", "b")),
    TrainingOptions(images=100, every=10),
    {"torch": "2"},
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "run")
    made.create(RECORD)
    return made


def checkpoint(run: RunDirectory, images: int) -> None:
    write(run.checkpoint(images), nn.Linear(2, 2), {}, State(clock=Clock(images, images)))


def test_a_record_comes_back_as_it_was(run: RunDirectory) -> None:
    assert run.record() == RECORD
    assert run.record().longer(200).training.images == 200


def plain() -> dict[str, Any]:
    return RECORD.plain()


def changed(section: str | None, **changes: Any) -> str:
    whole = plain()
    (whole[section] if section else whole).update(changes)
    return json.dumps(whole)


def without(section: str | None, key: str) -> str:
    whole = plain()
    del (whole[section] if section else whole)[key]
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("5", "Expected `object`, got `int`"),
        ("[]", "Expected `object`, got `array`"),
        ("null", "Expected `object`"),
        ('{"recipe": "dcgan"', "delimiter"),
        ("[" * 100_000, "recursion"),
        ('{"a":' * 50_000, "recursion"),
        (changed(None, recipe=3), r"Expected `str`, got `int` - at `\$\.recipe`"),
        (changed(None, recipes="dcgan"), "unknown key 'recipes': did you mean 'recipe'"),
        (changed("training", imagse=3), "unknown key 'imagse': did you mean 'images'"),
        (changed("data", chanels=3), "unknown key 'chanels': did you mean 'channels'"),
        (changed("training", images="100"), r"Expected `int`, got `str` - at `\$\.training\.images`"),
        (changed("training", images=0), "--images must be at least 1, not 0"),
        (changed("training", every=-1), "--every must be at least 1, not -1"),
        (changed("training", precision="fp8"), "Invalid enum value 'fp8'"),
        (changed("training", clip=0), "--clip must be positive"),
        (changed("data", size=[16]), r"Expected `array` of length 2"),
        (changed("data", count=1e400), "count"),
        (without(None, "recipe"), "missing required field `recipe`"),
        (without("training", "images"), "missing required field `images`"),
        (without("data", "where"), "missing required field `where`"),
        (json.dumps(plain())[:-1] + ', "recipe": "gan"}', "a key occurs twice"),
        (json.dumps(plain()).replace('"images": 100', '"images": 100, "images": 9'), "a key occurs twice"),
        (" " * 2**21, "over 1 MiB"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(run: RunDirectory, text: str, message: str) -> None:
    run.recipe.write_text(text)
    with pytest.raises(RunError, match=rf"recipe\.json: cannot be used \((?s:.*){message}"):
        run.record()


def test_a_record_that_is_no_text_or_no_file_says_so(run: RunDirectory) -> None:
    run.recipe.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match=r"cannot be used .*decode"):
        run.record()
    run.recipe.unlink()
    with pytest.raises(RunError, match=r"is not a run directory: it has no recipe\.json"):
        run.record()
    run.recipe.mkdir()
    with pytest.raises(RunError, match="is not a run directory"):
        run.record()


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.ckpt", "missing"])
def test_no_file_but_a_checkpoint_or_a_run_is_ever_opened(tmp_path: Path, name: str) -> None:
    if name != "missing":
        (tmp_path / name).write_bytes(b"\x80\x02cos\nsystem\n")
    with pytest.raises(RunError, match=rf"{name} is not a run directory"):
        find_checkpoint(tmp_path / name)


def test_a_run_without_a_checkpoint_says_so(run: RunDirectory) -> None:
    with pytest.raises(RunError, match=r"no usable checkpoint \(there is none yet"):
        find_checkpoint(run.path)


def test_pruning_keeps_the_newest_and_the_best(run: RunDirectory) -> None:
    for images in (1, 2, 30, 400, 5000):
        checkpoint(run, images)
        if images == 2:
            run.keep_as_best(run.checkpoint(images))
    (run.checkpoints / "mine.safetensors").write_bytes(b"")
    run.prune()
    assert [int(path.stem) for path in run.numbered()] == [5000, 400, 30]
    assert sorted(p.name for p in run.checkpoints.glob("[a-z]*")) == ["best.safetensors", "mine.safetensors"]
    assert find_checkpoint(run.best)[0].clock.images == 2


def test_a_best_checkpoint_is_a_copy_where_there_are_no_links(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    checkpoint(run, 7)
    run.keep_as_best(run.checkpoint(7))
    assert run.best.read_bytes() == run.checkpoint(7).read_bytes()
    assert run.best.stat().st_ino != run.checkpoint(7).stat().st_ino


def test_a_rewind_drops_what_will_be_made_again_and_nothing_else(run: RunDirectory) -> None:
    run.metrics.write_bytes(
        b'{"images": 10}\n{"event": "started", "images": 0}\n{"images": 20, "a": 1.5}\n'
        b'{"images": 21}\nnull\n{"event": "stopped", "images": 30}\n\xff\xfe\n{"images": 3'
    )
    for name in ("000000000020.png", "000000000021.png", "mine.png"):
        (run.samples / name).write_bytes(b"")
    checkpoint(run, 20)
    checkpoint(run, 21)
    run.rewind(20)
    assert run.metrics.read_text().splitlines() == [
        '{"images": 10}',
        '{"event": "started", "images": 0}',
        '{"images": 20, "a": 1.5}',
        '{"event": "stopped", "images": 30}',
    ]
    assert sorted(p.name for p in run.samples.iterdir()) == ["000000000020.png", "mine.png"]
    assert [p.name for p in run.numbered()] == ["000000000020.safetensors"]
    assert run.checkpoint(21).with_suffix(".damaged").is_file()


def test_three_damaged_checkpoints_do_not_push_out_the_good_one(run: RunDirectory) -> None:
    checkpoint(run, 1)
    for images in (5, 6, 7):
        run.checkpoint(images).write_bytes(b"damaged")
    found, passed = run.newest()
    assert (found.clock.images, len(passed)) == (1, 3)
    run.rewind(1)
    checkpoint(run, 2)
    run.prune()
    assert run.newest()[0].clock.images == 2


def test_what_a_killed_process_left_is_swept_and_all_else_stays(run: RunDirectory) -> None:
    for folder in (run.path, run.checkpoints, run.samples):
        for name in (".a.123.partial", "mine.partial", ".mine"):
            (folder / name).write_bytes(b"")
    (run.checkpoints / ".tmpAbCdEf").write_bytes(b"")
    with run.locked():
        pass
    left = {p.name for folder in (run.path, run.checkpoints, run.samples) for p in folder.iterdir()}
    assert left == {"mine.partial", ".mine", "recipe.json", "checkpoints", "samples", ".lock"}


def test_a_second_process_is_refused_and_a_killed_one_lets_go(run: RunDirectory) -> None:
    script = Path(small.__file__).with_name("killed.py")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe, text=True, bufsize=1) as server:
        assert server.stdin
        assert server.stdout
        server.stdin.write(f"write {run.path} 1 /tmp\n")
        child = int(server.stdout.readline())
        server.stdout.readline()  # it has the lock
        message = r"run is in use: another process trains in it\. Wait for it or stop it"
        with pytest.raises(RunError, match=message), run.locked():
            pass
        os.kill(child, signal.SIGKILL)
        while server.stdout.readline() != "gone\n":
            pass
        with run.locked():  # nothing needs to be removed by hand
            assert (run.path / ".lock").exists()
        server.kill()


def test_a_place_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match=r"file/run: cannot be written \(Not a directory\)"):
        RunDirectory(tmp_path / "file" / "run").create(RECORD)
    run = RunDirectory(tmp_path / "run")
    run.create(RECORD)
    run.metrics.mkdir()
    with pytest.raises(
        RunError, match=r"metrics\.jsonl: cannot be written \(Is a directory\).*zerosum resume"
    ):
        run.log({"images": 1})
