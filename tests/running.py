"""Tiny runs: starting, stopping and comparing them; fixtures to import by name."""

import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests import small
from zerosum import recorder, runs
from zerosum.rundir import DataOptions
from zerosum.training import checkpoint
from zerosum.training.loop import Moment

TINY = {"latent": 4, "width": 2, "kernel": 3, "batch": 8, "images": 400}
GAN = {"latent": 4, "hidden": (8,), "critic_hidden": (6,), "pieces": 2, "batch": 8, "images": 400}


@pytest.fixture(autouse=True, name="alone")
def work_alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of the test's own, one thread, and no TensorBoard, which takes seconds to import."""
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(recorder, "_tensorboard", lambda run, images: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(name="data")
def random_slopes(tmp_path: Path) -> Path:
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


def edit(out: Path, section: str, **changes: Any) -> None:
    plain = json.loads((out / "recipe.json").read_text())
    (plain[section] if section else plain).update(changes)
    (out / "recipe.json").write_text(json.dumps(plain))
