"""Whole comparisons of tiny cells: each trained once, stopped and gone on with, failed, shown on a page."""

import csv
import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests import running, small
from tests.pages import Page
from tests.running import random_slopes, work_alone
from zerosum.compare.cells import Place
from zerosum.compare.plan import Plan, Request, plan_of
from zerosum.compare.run import Outline, compare, settle_plan
from zerosum.rundir import DataOptions, RunError

__all__ = ["random_slopes", "work_alone"]  # fixtures

TINY = ("latent=4", "width=2", "kernel=3", "batch=8")


def planned(data: Path, **asked: Any) -> Plan:
    usual = {
        "data": (DataOptions(str(data)),),
        "recipe": ("dcgan",),
        "set": TINY,
        "images": 80,
        "precision": "fp32",
    }
    return plan_of(Request(**{**usual, **asked}))


def carry_out(out: Path, plan: Plan, **how: Any) -> int:
    outline = Outline(**{"device": "cpu", **how})
    return compare(settle_plan(out, plan), out, running.console(), outline)


def table(out: Path) -> list[dict[str, str]]:
    """The lines of table.csv, but for how long it took."""
    with (out / "table.csv").open() as file:
        return [{k: v for k, v in line.items() if k != "seconds"} for line in csv.DictReader(file)]


@pytest.fixture(name="asked")
def two_by_two(data: Path) -> Plan:
    return planned(data, recipe=("dcgan", "wgan-gp"), objective=("hinge", "minimax"), seeds="0-1")


def test_every_cell_is_an_ordinary_run_and_all_stand_on_one_page(tmp_path, asked):
    out = tmp_path / "cmp"
    assert carry_out(out, asked) == 0
    lines = table(out)
    assert [(line["row"], line["column"], line["seed"]) for line in lines] == [
        (row, column, seed)
        for seed in "01"
        for row in ("dcgan", "wgan-gp")
        for column in ("hinge", "minimax")
    ]
    assert {(line["state"], line["images"], line["reason"]) for line in lines} == {("finished", "80", "")}
    runs = [out / line["run"] for line in lines]
    assert len(set(runs)) == 8
    for run in runs:
        assert running.events(run) == ["started", "finished"]
    text = (out / "index.html").read_text()
    page = Page(text)
    assert not re.findall(r"https?://", text)
    assert not page.all("script")
    assert len(page.pictures()) == 4 + 8, "a grid a square, and one a seed"
    assert "8 of 8 finished" in page.text
    for line in lines:
        assert f"{float(line['swd']):.4f}" in page.text
    numbers = json.loads((out / "table.json").read_text())
    square = numbers["table"][0]
    mine = [float(line["swd"]) for line in lines if (line["row"], line["column"]) == ("dcgan", "hinge")]
    assert square["swd"] == pytest.approx(sum(mine) / 2)
    assert square["swd_deviation"] == pytest.approx(abs(mine[0] - mine[1]) / 2**0.5)
    scores = [p["class"] for p in page.all("p") if "score" in (p.get("class") or "")]
    means = [one["swd"] for one in numbers["table"]]
    assert [" best" in str(score) for score in scores] == [
        mean == min(means[:2] if i < 2 else means[2:]) for i, mean in enumerate(means)
    ]
    assert f"{square['swd']:.4f} ± {square['swd_deviation']:.4f}" in page.text
    assert f"{numbers['protocol']['data'][str(asked.request.data[0].where)]['floor']:.4f}" in page.text


def test_it_is_the_same_the_second_time_and_by_each_run_alone(tmp_path, data):
    asked = planned(data, objective=("hinge", "minimax"))
    for name in ("one", "two"):
        carry_out(tmp_path / name, asked)
    assert table(tmp_path / "one") == table(tmp_path / "two")
    cell = asked.cells[1]
    running.start(
        tmp_path / "alone", data, arguments={**cell.arguments}, options={}, every=20, seed=0, device="cpu"
    )
    running.same(Place(tmp_path / "one").run(cell).path, tmp_path / "alone")


def test_a_stopped_one_goes_on_and_ends_the_same(tmp_path, data, monkeypatch):
    asked = planned(data, objective=("hinge", "minimax"), images=160)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    carry_out(whole, asked)
    with monkeypatch.context() as patch:
        running.stop_at(patch, 13)  # each cell has 20 steps
        assert carry_out(stopped, asked) == signal.SIGTERM
    assert [line["state"] for line in table(stopped)] == ["not done", "not done"]
    assert "2 not done yet" in Page((stopped / "index.html").read_text()).text
    place, plan = Place(stopped), settle_plan(stopped, None)
    assert plan == asked, "--out alone says what to go on with"
    assert carry_out(stopped, plan) == 0
    assert running.events(place.run(plan.cells[0]).path) == ["started", "stopped", "resumed", "finished"]
    assert table(stopped) == table(whole)
    before = {path: path.stat().st_mtime_ns for path in (stopped / "cells").rglob("*")}
    assert carry_out(stopped, plan) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (stopped / "cells").rglob("*")}, "none again"


def test_ctrl_c_between_two_trainings_stops_it_too(tmp_path, data, monkeypatch):
    def interrupted(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("zerosum.compare.run.play", interrupted)
    assert carry_out(tmp_path / "cmp", planned(data)) == signal.SIGINT
    assert (tmp_path / "cmp" / "index.html").is_file()


def test_a_cell_killed_before_its_first_checkpoint_begins_anew(tmp_path, data):
    place, asked = Place(tmp_path / "cmp"), planned(data)
    carry_out(place.path, asked)
    before = table(place.path)
    run = place.run(asked.cells[0])
    shutil.rmtree(run.checkpoints)
    run.path.with_suffix(".json").unlink()
    carry_out(place.path, asked)
    assert table(place.path) == before
    assert running.events(run.path) == ["started", "finished"]


def test_a_failing_cell_is_shown_as_one_and_stops_no_other(tmp_path, data):
    out = tmp_path / "cmp"
    nets = ("good norm=batch", "wild lr=1e30 norm=none critic_norm=none", "torn penalty=wgan-gp")
    asked = planned(data, net=nets)
    assert carry_out(out, asked) == 0
    good, wild, torn = table(out)
    assert (good["state"], wild["state"], torn["state"]) == ("finished", "failed", "failed")
    assert "step" in wild["reason"]
    assert (wild["swd"], torn["swd"], torn["images"]) == ("", "", "0")
    assert "batch norm" in torn["reason"]
    page = Page((out / "index.html").read_text())
    assert "1 of 3 finished, 2 failed" in page.text
    for words in (wild["reason"], torn["reason"], f"after {wild['images']} images"):
        assert words in page.text, words
    place = Place(out)
    before = place.run(asked.cells[1]).metrics.read_text()
    carry_out(out, asked)
    assert place.run(asked.cells[1]).metrics.read_text() == before, "a failure is not tried again"


def test_another_comparison_or_other_data_are_refused(tmp_path, data):
    out, asked = tmp_path / "cmp", planned(data, images=16)
    carry_out(out, asked)
    with pytest.raises(
        ValueError, match=r"another comparison \(images was 16 and is 24\): choose another --out"
    ):
        settle_plan(out, planned(data, images=24))
    with pytest.raises(ValueError, match=r"another comparison \(seeds was 0 and is 0-1\)"):
        settle_plan(out, planned(data, images=16, seeds="0-1"))
    small.npy(data, seed=1)
    with pytest.raises(RunError, match="its data changed"):
        carry_out(out, asked)
    with pytest.raises(ValueError, match="holds no comparison to go on with"):
        settle_plan(tmp_path / "nothing", None)
    with pytest.raises(ValueError, match="is there already and holds no comparison"):
        settle_plan(tmp_path, asked)
    (out / "plan.json").write_text("{")
    with pytest.raises(ValueError, match="is not what `zerosum compare` writes"):
        settle_plan(out, asked)
    with pytest.raises(ValueError, match="--jobs must be at least 1, not 0"):
        Outline(jobs=0)


@pytest.mark.slow
def test_several_at_a_time_make_the_same_table(tmp_path, data):
    asked = planned(data, net=("good norm=batch", "wild lr=1e30 norm=none critic_norm=none"), seeds="0-1")
    carry_out(tmp_path / "one", asked)
    carry_out(tmp_path / "two", asked, jobs=2)
    assert table(tmp_path / "one") == table(tmp_path / "two")
