"""Signals: wherever one comes, the run is whole afterwards, and a second one ends at once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import small
from zerosum.cli import main
from zerosum.interruption import Interruption
from zerosum.rundir import RunDirectory
from zerosum.training import checkpoint

EXITS = {signal.SIGINT: 130, signal.SIGTERM: 143}
# What a process does at a moment of its life: say that it is there, and linger so that a signal hits it.
HOOKS = """
import sys, time
from pathlib import Path
def linger(module, name, seconds):
    original = getattr(module, name)
    def slow(*arguments, **settings):
        Path(MARK).touch()
        time.sleep(seconds)
        return original(*arguments, **settings)
    setattr(module, name, slow)
"""
MOMENTS = {
    "preparing": "import zerosum.data.dataset as m; linger(m, 'adopt', 1)",
    "saving": "import zerosum.training.checkpoint as m; linger(m, '_checksum', 0.5)",
    "stuck": "import zerosum.training.checkpoint as m; linger(m, '_checksum', 50)",
    "training": "import zerosum.training.loop as m; linger(m, 'reduce_move', 0.05)",
}


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., SimpleNamespace]]:
    """Start `zerosum train` in a process that lingers at a moment."""
    data = small.npy(tmp_path / "slopes.npy")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ZEROSUM_CACHE": str(tmp_path / "cache")}

    started: list[subprocess.Popen[str]] = []

    def begin(moment: str) -> SimpleNamespace:
        mark, out = tmp_path / "mark", tmp_path / "run"
        code = f"MARK = {str(mark)!r}\n{HOOKS}\n{MOMENTS[moment]}\nfrom zerosum.cli import main\nmain()"
        tiny = ["--width=2", "--kernel=3", "--latent=4", "--batch=8", "--images=1600", "--every=160"]
        process = subprocess.Popen(
            [sys.executable, "-c", code, "train", "dcgan", "--data", data, *tiny, "--out", out],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        deadline = time.monotonic() + 120
        while not mark.exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return SimpleNamespace(process=process, run=RunDirectory(out), out=out)

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    # A suite started in the background ignores Ctrl-C, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ended(process: subprocess.Popen[str]) -> str:
    """What a process said by its end, which must come soon."""
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("number", EXITS)
def test_a_signal_in_training_saves_the_step_and_resume_finishes(
    begin: Callable[..., SimpleNamespace], number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    begun = begin("training")
    begun.process.send_signal(number)
    said = ended(begun.process)
    assert begun.process.returncode == EXITS[number]
    assert f"`zerosum resume {begun.out}` goes on" in " ".join(said.split())
    saved, passed = begun.run.newest()
    assert passed == []
    log = [json.loads(line) for line in begun.run.metrics.read_text().splitlines()]
    assert log[-1]["event"] == "stopped"
    assert log[-1]["images"] == saved.clock.images == 8 * saved.clock.step
    assert 1 <= saved.clock.step < 200
    assert [p for p in begun.out.rglob(".*") if p.name != ".lock"] == []
    with pytest.raises(SystemExit) as caught:
        main(["resume", str(begun.out), "--images", str(saved.clock.images + 16)])
    assert caught.value.code == 0
    assert begun.run.newest()[0].clock.images == saved.clock.images + 16


@pytest.mark.parametrize("number", EXITS)
def test_a_signal_during_a_save_leaves_it_whole(begin: Callable[..., SimpleNamespace], number: int) -> None:
    begun = begin("saving")
    begun.process.send_signal(number)
    ended(begun.process)
    assert begun.process.returncode == EXITS[number]
    for path in begun.run.numbered():
        checkpoint.read(path)
    assert begun.run.numbered()
    assert [p for p in begun.out.rglob(".*") if p.name != ".lock"] == []


def test_a_second_signal_ends_at_once_and_leaves_no_debris(begin: Callable[..., SimpleNamespace]) -> None:
    begun = begin("stuck")
    begun.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert begun.process.poll() is None
    before = time.monotonic()
    begun.process.send_signal(signal.SIGINT)
    ended(begun.process)
    assert begun.process.returncode == 130
    assert time.monotonic() - before < 5
    with begun.run.locked():  # the lock is free and the debris swept
        assert list(begun.run.checkpoints.glob(".*")) == []
    assert begun.run.numbered() == []


@pytest.mark.parametrize("number", EXITS)
def test_a_signal_before_training_ends_without_a_run(
    begin: Callable[..., SimpleNamespace], number: int
) -> None:
    begun = begin("preparing")
    begun.process.send_signal(number)
    ended(begun.process)
    # Where nothing needs saving, a shell sees the signal itself: 128 + 15.
    assert begun.process.returncode in (EXITS[number], -number)
    assert not begun.out.exists()


def test_handlers_are_those_of_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in EXITS]
    with Interruption() as interruption:
        assert interruption.signal == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
    assert [signal.getsignal(number) for number in EXITS] == before
