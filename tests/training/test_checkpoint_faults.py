"""Checkpoints under fire: damage, strangers' files, full disks and SIGKILL at any moment."""

import json
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import small
from zerosum.games.game import Clock
from zerosum.rundir import RunDirectory, RunError
from zerosum.training.checkpoint import CheckpointError, read, restore, write
from zerosum.training.state import State

OPTIMISERS = ("adam", "rmsprop", "sgd:momentum=0.5", "sgd:momentum=0")


# --- damage -----------------------------------------------------------------------------------------


def test_every_truncation_is_told_and_the_one_before_is_taken(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.checkpoints.mkdir()
    small.saved(run.checkpoint(100))
    whole = run.checkpoint(100).read_bytes()
    last = run.checkpoint(200)
    for length in np.linspace(0, len(whole) - 1, 100).astype(int):
        last.write_bytes(whole[:length])
        found, passed = run.newest()
        assert found.path == run.checkpoint(100)
        assert len(passed) == 1
        assert str(last) in passed[0]
    last.write_bytes(whole)
    assert run.newest()[0].path == last


def test_every_flipped_bit_is_told_and_the_one_before_is_taken(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.checkpoints.mkdir()
    small.saved(run.checkpoint(100))
    whole = run.checkpoint(100).read_bytes()
    random = np.random.default_rng(0)
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    bits = [*random.integers(8 * len(whole), size=600), *random.integers(8 * header, size=336), *range(64)]
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        run.checkpoint(200).write_bytes(damaged)
        found, passed = run.newest()
        assert (found.path, len(passed)) == (run.checkpoint(100), 1), bit
    run.checkpoint(100).unlink()
    with pytest.raises(RunError, match=r"no usable checkpoint .*000000000200.safetensors"):
        run.newest()


def test_an_upper_case_exponent_is_damage_too(tmp_path: Path) -> None:
    small.saved(tmp_path / "a.safetensors", optimiser="adam:eps=1e-8")
    whole = (tmp_path / "a.safetensors").read_bytes()
    assert b"1e-08" in whole
    (tmp_path / "a.safetensors").write_bytes(whole.replace(b"1e-08", b"1E-08", 1))
    with pytest.raises(CheckpointError, match="checksum"):
        read(tmp_path / "a.safetensors")


# --- strangers' files -------------------------------------------------------------------------------


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "a.safetensors").write_bytes(pickle.dumps(Payload(mark)))
    torch.save({"weights": Payload(mark)}, tmp_path / "b.safetensors")
    for name in "ab":
        with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
            read(tmp_path / f"{name}.safetensors")
    assert not mark.exists()


def header(meta: Any, size: int | None = None) -> bytes:
    text = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text


HUGE = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}
ODD = {
    "empty": b"",
    "short": b"\x01",
    "length beyond the file": header({}, 2**63),
    "length of a gigabyte": header({}, 2**30),
    "no JSON": header(b"\xff" * 32),
    "deep": header(b"[" * 100_000),
    "shape of 1e12": header({"a": HUGE}),
    "shape that overflows": header({"a": {**HUGE, "shape": [2**63, 2**63]}}),
    "negative": header({"a": {**HUGE, "shape": [-1, 4]}}),
    "offsets reversed": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}) + b"\0" * 4,
    "unknown type": header({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}) + b"\0" * 4,
    "metadata of a list": header({"__metadata__": ["zerosum"]}),
    "metadata too deep": header({"__metadata__": {"zerosum": "[" * 100_000, "checksum": ""}}),
    "metadata twice": header({"__metadata__": {"zerosum": '{"format": 1, "format": 1}', "checksum": ""}}),
    "metadata of a number": header({"__metadata__": {"zerosum": "3", "checksum": ""}}),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_an_odd_header_gives_a_checkpoint_error_and_takes_no_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        read(tmp_path / "a.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 * 1024  # KiB


@pytest.mark.parametrize("seed", range(4))
def test_a_fuzzed_header_gives_a_checkpoint_error_and_takes_no_memory(tmp_path: Path, seed: int) -> None:
    small.saved(tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    head = 8 + struct.unpack("<Q", whole[:8])[0]
    random = np.random.default_rng(seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pieces = [
        b'"F32"',
        b'"F64"',
        b'"BOOL"',
        b'"F8_E8M0"',
        b'"F4"',
        b"[",
        b"]",
        b"{",
        b"9" * 15,
        b"-",
        b"null",
    ]
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            at, length = random.integers(8, head), random.integers(0, 6)
            piece = pieces[random.integers(len(pieces))] if random.random() < 0.7 else random.bytes(length)
            content[at : at + len(piece)] = piece  # the same length, so that the rest stays in place
        if random.random() < 0.2:
            content[:8] = struct.pack("<Q", int(random.integers(2**62)))
        if content == whole:
            continue
        (tmp_path / "b.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError):
            read(tmp_path / "b.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 * 1024


def test_fields_of_the_wrong_kind_are_refused_though_the_checksum_is_right(tmp_path: Path) -> None:
    made, state = small.saved(tmp_path / "a.safetensors")
    whole = read(tmp_path / "a.safetensors")
    for field in whole.meta:
        if field in ("format", "about"):
            continue
        for wrong in (None, "text", [[1]], {"a": [1]}):
            small.rewrite(tmp_path / "b.safetensors", dict(whole.tensors), {**whole.meta, field: wrong})
            with pytest.raises(CheckpointError):
                restore(read(tmp_path / "b.safetensors"), made.game, made.optimisers, state)


def test_a_deflated_bomb_is_not_a_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.safetensors", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(50_000_000))
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        read(tmp_path / "a.safetensors")


# --- disks ------------------------------------------------------------------------------------------


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the right to mount a tmpfs ({error})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def big(megabytes: float) -> nn.Module:
    return nn.Linear(int(megabytes * 2**18), 1, bias=False)


def test_a_full_disk_leaves_the_last_checkpoint_and_no_debris(tiny_disk: Path) -> None:
    write(tiny_disk / "1.safetensors", big(0.6), {}, State(clock=Clock(1, 1)))
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"2\.safetensors: cannot be written .*make room"):
            write(tiny_disk / "2.safetensors", big(0.6), {}, State(clock=Clock(2, 2)))
        with pytest.raises(CheckpointError, match="cannot be written"):  # nor is one overwritten
            write(tiny_disk / "1.safetensors", big(0.9), {}, State(clock=Clock(2, 2)))
        assert [path.name for path in tiny_disk.iterdir()] == ["1.safetensors"]
    assert read(tiny_disk / "1.safetensors").clock == Clock(1, 1)


@pytest.fixture(scope="module")
def killed() -> Iterator[subprocess.Popen[str]]:
    """A process that forks children to be killed."""
    command = [sys.executable, str(Path(small.__file__).with_name("killed.py"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as server:
        yield server
        server.kill()


def told(server: subprocess.Popen[str], *command: object) -> tuple[int, Iterator[str]]:
    """Start a child; its process id, and what it says."""
    assert server.stdin
    assert server.stdout
    server.stdin.write(" ".join(map(str, command)) + "\n")
    return int(server.stdout.readline()), iter(lambda: server.stdout.readline().strip(), "gone")


def test_a_directory_that_became_read_only_is_named(tmp_path: Path, killed: subprocess.Popen[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to become another user")
    write(tmp_path / "1.safetensors", big(0.1), {}, State(clock=Clock(1, 1)))
    _, (answer,) = told(killed, "nobody", tmp_path)
    assert "2.safetensors: cannot be written" in answer
    assert "write permission" in answer
    assert [path.name for path in tmp_path.iterdir()] == ["1.safetensors"]
    assert read(tmp_path / "1.safetensors").clock == Clock(1, 1)


@pytest.mark.parametrize(("kills", "temporary"), [(75, "/tmp"), (25, "/dev/shm")])
def test_sigkill_at_any_moment_costs_at_most_the_checkpoint_being_written(
    tmp_path: Path, killed: subprocess.Popen[str], kills: int, temporary: str
) -> None:
    if not Path(temporary).is_dir():
        pytest.skip(f"needs {temporary}")
    run = RunDirectory(tmp_path)
    run.checkpoints.mkdir()
    write(run.checkpoint(0), nn.Linear(2**19, 1), {}, State())
    random = np.random.default_rng(kills)
    in_a_write = 0
    for _ in range(kills):
        first = run.newest()[0].clock.images + 1
        pid, said = told(killed, "write", tmp_path, first, temporary)
        started = [next(said) for _ in range(random.integers(1, 4))]
        time.sleep(random.uniform(0, 0.015))
        if random.random() < 0.5:  # where a machine is busy, chance alone may never meet a write
            until = time.monotonic() + 1
            while time.monotonic() < until and not list(run.checkpoints.glob(".*")):
                pass
        os.kill(pid, signal.SIGKILL)
        last = int([*started, *said][-1])
        in_a_write += bool(list(run.checkpoints.glob(".*")))
        for path in run.numbered()[:2]:  # what bears the name of a checkpoint is whole, always
            whole = read(path)
            assert whole.clock.images == int(path.stem)
            assert not whole.clock.images or float(whole.tensors["game/weight"].max()) == whole.clock.images
        found, passed = run.newest()
        assert not passed
        assert found.clock.images >= last - 1
        if run.best.exists():
            assert read(run.best).clock.images >= last - 2
        with run.locked():  # the dead process's lock is free, and its debris is swept
            assert list(run.checkpoints.glob(".*")) == []
    run.prune()
    assert (len(run.numbered()), run.newest()[0].clock.images >= last - 1) == (3, True)
    assert in_a_write > kills / 10  # kills did land inside writes
