"""Several processes compute what one would: the same weights, the same samples, the same errors."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests import several, small
from zerosum.cli import main
from zerosum.rundir import RunDirectory

Found = dict[str, Tensor]
SCRIPT = Path(several.__file__)
ALONE = {"OMP_NUM_THREADS": "1", **{k: v for k, v in os.environ.items() if k != "WORLD_SIZE"}}


def together(folder: Path, count: int, *rest: object) -> list[Found]:
    """Run the script in `count` processes that meet in a file; each one's results."""
    outs = [folder / f"{count}-{rank}-{len(rest)}" for rank in range(count)]
    started = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(rank), str(count), folder / f"meet{count}", out, *map(str, rest)],
            stderr=subprocess.PIPE,
            text=True,
            env=ALONE,
        )
        for rank, out in enumerate(outs)
    ]
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    return [load_file(out) for out in outs]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def one(folder: Path) -> Found:
    return together(folder, 1)[0]


@pytest.fixture(scope="module")
def two(folder: Path) -> list[Found]:
    return together(folder, 2)


def of(found: Found, case: str) -> Found:
    return {k.removeprefix(f"{case}|"): v for k, v in found.items() if k.startswith(f"{case}|")}


def close(one: Found, other: Found, within: float) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if value.is_floating_point() and not name.endswith("/step"):
            assert value.dtype == torch.float64, name
        gap = (value.double() - other[name].double()).abs().max().item()
        assert gap <= within, f"{name}: {gap:.2g}"


APART = ("shown", "latents")


def state_of(found: Found, case: str) -> Found:
    return {k: v for k, v in of(found, case).items() if k not in APART}


@pytest.mark.parametrize("case", several.EXACT)
def test_two_processes_take_the_step_that_one_would(one: Found, two: list[Found], case: str) -> None:
    start = small.system(several.EXACT[case][0], **several.EXACT[case][1]).game.double().state_dict()
    alone = state_of(one, case)
    assert any((alone[f"game/{k}"] - v.double()).abs().max() > 1e-6 for k, v in start.items())  # it did move
    for found in two:
        close(alone, state_of(found, case), 1e-12)


@pytest.mark.parametrize("case", several.BATCH_NORM)
def test_batch_norm_takes_its_statistics_over_all_processes(one: Found, two: list[Found], case: str) -> None:
    alone = state_of(one, case)
    assert sum("running_var" in name for name in alone) > 2
    for found in two:
        close(alone, state_of(found, case), 1e-10)


def test_terms_of_the_whole_batch_are_exact_by_gather_and_average(one: Found, two: list[Found]) -> None:
    assert (of(one, "matching")["generator.weight"] - several.Matching().generator.weight).abs().max() > 1e-4
    for found in two:
        close(of(one, "matching"), of(found, "matching"), 1e-12)


@pytest.mark.parametrize("case", [*several.EXACT, *several.BATCH_NORM])
def test_samples_and_latents_are_shared_out_none_twice(one: Found, two: list[Found], case: str) -> None:
    shown, latents = (sorted_rows(of(one, case)[name]) for name in APART)
    for name, whole in zip(APART, (shown, latents), strict=True):
        parts = [of(found, case)[name] for found in two]
        assert torch.equal(sorted_rows(torch.cat(parts)), whole), name
    rows = [{tuple(row.tolist()) for row in of(found, case)["latents"]} for found in two]
    assert rows[0].isdisjoint(rows[1])
    assert len(rows[0]) > 8


def sorted_rows(x: Tensor) -> Tensor:
    rows = x.reshape(len(x), -1)
    return torch.from_numpy(rows.numpy()[np.lexsort(rows.numpy().T)])


def message(found: Found, case: str) -> str:
    return bytes(of(found, case)["error"].tolist()).decode() if of(found, case) else ""


def test_a_gradient_that_one_process_lacks_is_an_error_on_all(one: Found, two: list[Found]) -> None:
    assert message(one, "lopsided") == ""
    for found in two:
        assert (
            "RuntimeError: a gradient of shape (3,) of the player exists on some processes only"
            in message(found, "lopsided")
        )


def test_a_bad_number_on_one_process_stops_all_at_the_same_step(one: Found, two: list[Found]) -> None:
    for found in (one, *two):
        assert "NonFiniteError: step 1 (8 images), the critic's turn" in message(found, "spoilt")
    assert "the input 'real' is NaN" in message(one, "spoilt")
    assert "the input 'real' is NaN" in message(two[1], "spoilt")
    assert "the loss term 'adversarial' is NaN" in message(two[0], "spoilt")


def test_a_signal_to_one_process_stops_all_after_the_same_step(one: Found, two: list[Found]) -> None:
    assert [of(found, "stopped")["step"].item() for found in (one, *two)] == [2, 2, 2]


@pytest.mark.parametrize("count", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_saved_by_two_goes_on_with_another_number(
    folder: Path, one: Found, two: list[Found], count: int
) -> None:
    checkpoint = (folder / "2-0-0").with_suffix(".checkpoint")
    assert checkpoint.is_file()
    assert not (folder / "2-1-0").with_suffix(".checkpoint").exists()  # the first process alone writes
    found = together(folder, count, checkpoint)
    made, data = small.system(), small.source()
    where = small.play(made, data, small.state(made), 56)  # one process, uninterrupted
    batches = [of(part, "resumed")["shown"].reshape(5, -1) for part in found]
    assert torch.cat(batches, 1).flatten().tolist() == data.shown[16:]
    first = torch.cat([of(part, "saved")["shown"].reshape(2, -1) for part in two], 1)
    assert first.flatten().tolist() == data.shown[:16]
    for name, value in small.everything(made, where).items():
        if isinstance(value, Tensor) and name.startswith(("game/", "average/")):
            assert torch.allclose(value.float(), of(found[0], "resumed")[name].float(), atol=1e-3), name


def test_torchrun_trains_a_run_that_one_process_goes_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    data = small.npy(tmp_path / "slopes.npy")
    settings = ["--width=4", "--kernel=3", "--latent=4", "--batch=7", "--every=28", "--precision=fp32"]
    command = ["train", "dcgan", "--data", str(data), *settings]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "zerosum", *command, "--images", "56", "--out", str(tmp_path / "two")],
        env={**ALONE, "ZEROSUM_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for arguments in (
        ["resume", str(tmp_path / "two"), "--images", "84"],
        [*command, "--images", "84", "--out", str(tmp_path / "one")],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    ends = [RunDirectory(tmp_path / name).newest()[0] for name in ("two", "one")]
    assert [end.clock for end in ends] == [(12, 84), (12, 84)]
    assert RunDirectory(tmp_path / "two").record().environment["processes"] == 2
    for name, value in ends[1].tensors.items():
        if name.startswith(("game/", "average/")):
            assert torch.allclose(ends[0].tensors[name].float(), value.float(), atol=5e-3), name
