"""The benchmark of searches runs on a small run, and its curves are told rightly."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import search
from tests.priors import trained_vae
from tests.running import work_alone
from zerosum.inverse.descent import LevenbergMarquardt

__all__ = ["work_alone"]  # a fixture


def test_a_run_is_searched_both_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _, others = trained_vae(tmp_path)
    races: list[int] = []
    before = LevenbergMarquardt.__call__

    def noted(self: LevenbergMarquardt, *given: object) -> torch.Tensor:
        races.append(self.race)
        return before(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(LevenbergMarquardt, "__call__", noted)
    common = [str(run), "--images", str(others), "--measurements", "40", "--restarts", "2"]
    common += ["--count", "4", "--rounds", "1", "--steps", "40", "--json"]
    for more in ([], ["--no-race"]):
        capsys.readouterr()
        search.main([*common, *more])
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["case"] for line in lines] == ["lm", "batch"]
        assert lines[0]["ratio"] >= 0
        assert lines[1]["ratio"] > 0
    assert races == [4, 0]


def test_best_restarts_are_averaged_and_never_as_low_is_no_ratio() -> None:
    assert search.best_of(torch.tensor([[3.0, 1.0], [2.0, 5.0]])) == 1.5
    assert search.sooner([(1.0, 2.0), (4.0, 1.0)], [(0.5, 3.0), (1.0, 1.5)]) == 0
