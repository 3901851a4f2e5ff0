"""`zerosum compare` as it is typed: a whole table, stopped and gone on with, and every slip in one line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests import running
from tests.running import random_slopes, work_alone
from zerosum.cli import main

__all__ = ["random_slopes", "work_alone"]  # fixtures

TINY = ("--set", "latent=4", "--set", "width=2", "--set", "kernel=3", "--set", "batch=8")


def do(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """Run the command; its exit code and what it says."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, words)])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert isinstance(ended.value.code, int)
    return ended.value.code, out + err


def test_a_table_is_stopped_and_gone_on_with(tmp_path, data, monkeypatch, capsys):
    out = tmp_path / "cmp"
    words = ("--data", data, "--recipe", "dcgan", "--objective", "hinge", "--objective", "minimax", *TINY)
    with monkeypatch.context() as patch:
        running.stop_at(patch, 5)
        code, said = do(capsys, *words, "--images", 80, "--seeds", "3", "--out", out)
    assert code == 128 + 15
    assert f"stopped; `zerosum compare --out {out}` goes on" in said
    code, said = do(capsys, "--out", out)
    assert code == 0
    assert "[2/2] minimax × slopes.npy · dcgan, seed 3: swd" in said
    assert f"table: {out / 'index.html'}" in said
    lines = json.loads((out / "table.json").read_text())["cells"]
    assert [(line["row"], line["seed"], line["state"]) for line in lines] == [
        ("hinge", 3, "finished"),
        ("minimax", 3, "finished"),
    ]
    code, said = do(capsys, *words, "--images", 80, "--seeds", "3", "--out", out)
    assert (code, "2 of 2 cells are done already" in said) == (0, True)
    code, said = do(capsys, *words, "--images", 88, "--seeds", "3", "--out", out)
    assert (code, said) == (
        1,
        f"zerosum: {out} holds another comparison (images was 80 and is 88): choose another --out\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recipe", "dcgan,sngn"), "unknown recipe 'sngn': did you mean 'sngan'"),
        (("--recipe", "dcgan,"), "has an empty name in it"),
        (("--recipe", "dcgan", "--set", "widht=3"), "unknown setting of recipe dcgan 'widht'"),
        (("--grid", "robust"), "unknown grid 'robust': did you mean 'robustness'"),
        (("--grid", "robustness", "--size", "big"), "--size 'big' should be a side"),
        (("--recipe", "dcgan", "--jobs", 0), "--jobs must be at least 1"),
        (("--recipe", "dcgan", "--data", "no-such-folder"), "no-such-folder"),
        (("--size", 16), "nothing to compare"),
        (("--recipe", "dcgan", "--extractor", "lenet"), "give --measures too"),
        (("--recipe", "dcgan", "--measures", "fdd"), "did you mean 'fd'"),
        (("--recipe", "dcgan", "--measures", "fd", "--extractor", "pixel"), "unknown extractor 'pixel'"),
    ],
)
def test_a_slip_is_one_line_and_leaves_nothing_behind(tmp_path, data, capsys, words, message):
    where = () if "--data" in words else ("--data", data)
    code, said = do(capsys, *where, "--images", 80, *words, "--out", tmp_path / "cmp")
    assert code == 1
    assert said.startswith("zerosum: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "cmp").exists()


def test_nothing_to_go_on_with_and_torchrun_are_refused(tmp_path, capsys, monkeypatch):
    assert "holds no comparison to go on with" in do(capsys, "--out", tmp_path / "none")[1]
    assert "--data is missing" in do(capsys, "--size", 16, "--out", tmp_path / "none")[1]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "compare is not for torchrun" in do(capsys, "--out", tmp_path / "none")[1]


@pytest.mark.slow
def test_ctrl_c_stops_several_at_a_time_and_each_is_saved(tmp_path, data):
    out = tmp_path / "cmp"
    words = ("--data", data, "--recipe", "dcgan", "--objective", "hinge", "--objective", "minimax", *TINY)
    command = [
        sys.executable,
        "-m",
        "zerosum",
        "compare",
        *words,
        "--images",
        10**6,
        "--jobs",
        2,
        "--out",
        out,
    ]
    child = subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    until = time.monotonic() + 300
    while len(list(out.glob("cells/*/checkpoints/*.safetensors"))) < 2:
        assert child.poll() is None
        assert time.monotonic() < until
        time.sleep(0.2)
    os.killpg(child.pid, signal.SIGINT)  # to the whole group, as a terminal does
    said = child.communicate(timeout=300)[1]
    assert child.returncode == 128 + signal.SIGINT
    assert f"stopped; `zerosum compare --out {out}` goes on" in said
    runs = sorted(path.parent for path in out.glob("cells/*/metrics.jsonl"))
    assert [running.events(run) for run in runs] == [["started", "stopped"]] * 2
