"""Measures of a comparison's cells: of what is trained, once, with intervals over seeds, failures as such."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ttest_1samp

from tests import running
from tests.pages import Page
from tests.running import random_slopes, work_alone
from zerosum.compare.cells import Place
from zerosum.compare.measuring import Asked, Judge, asked_of, read_measured
from zerosum.compare.plan import Plan, Request, plan_of
from zerosum.compare.run import Outline, compare, settle_plan
from zerosum.data import open_data
from zerosum.rundir import DataOptions

__all__ = ["random_slopes", "work_alone"]  # fixtures

ASKED = Asked(("fd", "swd"), "pixels:side=2", 20)


def planned(where: Path | str, **asked: Any) -> Plan:
    usual = {
        "data": (DataOptions(str(where)),),
        "recipe": ("dcgan",),
        "set": ("latent=4", "width=2", "kernel=3", "batch=8"),
        "images": 16,
        "precision": "fp32",
    }
    return plan_of(Request(**{**usual, **asked}))


def carry_out(out: Path, plan: Plan, asked: Asked | None = None, jobs: int = 1) -> int:
    return compare(settle_plan(out, plan), out, running.console(), Outline(jobs, "cpu"), asked)


def lines(out: Path) -> list[dict[str, str]]:
    with (out / "table.csv").open() as file:
        return list(csv.DictReader(file))


def stamps(out: Path, pattern: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob(pattern)}


def test_measures_are_added_to_what_is_trained_and_nothing_is_trained_again(tmp_path, data):
    out = tmp_path / "cmp"
    plan = planned(data, net=("good norm=batch", "wild lr=1e30 norm=none critic_norm=none"), seeds="0-1")
    assert carry_out(out, plan) == 0
    assert "measures" not in json.loads((out / "table.json").read_text())
    trained = stamps(out, "*.safetensors")
    assert carry_out(out, plan, ASKED) == 0
    assert stamps(out, "*.safetensors") == trained

    cells = lines(out)
    assert [cell["state"] for cell in cells] == ["finished", "failed"] * 2
    mine = [float(cell["measures.fd"]) for cell in cells if cell["state"] == "finished"]
    assert [cell["measures.fd"] for cell in cells if cell["state"] == "failed"] == ["", ""]
    for cell in cells[::2]:
        low, value, high = (float(cell[f"measures.fd{end}"]) for end in (".low", "", ".high"))
        assert low < value < high
    numbers = json.loads((out / "table.json").read_text())
    good, wild = numbers["table"]
    low, high = ttest_1samp(mine, 0).confidence_interval(0.95)
    assert good["measures"]["fd"] == pytest.approx(
        {"mean": sum(mine) / 2, "low": low, "high": high, "seeds": 2}
    )
    assert "measures" not in wild
    (card,) = numbers["measures"]["cards"].values()
    assert (card["real"]["count"], card["fake"], card["extractor"]) == (
        20,
        {"count": 20, "seed": 0},
        "pixels",
    )
    page = Page((out / "index.html").read_text())
    assert f"{sum(mine) / 2:.4g} ({low:.4g} to {high:.4g})" in page.text
    assert "20 real, 20 fake; pixels on 2x2, weights none, seed 0" in page.text
    assert "Beware: 20 images: Fréchet distances of fewer" in page.text
    assert "--measures fd,swd --count 20 --extractor pixels:side=2" in page.text

    measured = stamps(out, "*.measures.json")
    assert len(measured) == 2, "failed cells are not measured"
    assert carry_out(out, settle_plan(out, None)) == 0, "--out alone goes on as asked"
    assert stamps(out, "*.measures.json") == measured
    assert "measures.fd" in lines(out)[0]
    carry_out(out, plan, Asked(("fd",), "pixels:side=2", 22))
    assert all(before != stamps(out, "*.measures.json")[path] for path, before in measured.items())
    assert "measures.swd" not in lines(out)[0]


def test_new_cells_are_measured_as_they_end_and_one_seed_has_the_measures_own_interval(tmp_path, data):
    out = tmp_path / "cmp"
    assert carry_out(out, planned(data), ASKED) == 0
    (cell,) = lines(out)
    fd = json.loads((out / "table.json").read_text())["table"][0]["measures"]["fd"]
    assert fd == {
        "mean": float(cell["measures.fd"]),
        "low": float(cell["measures.fd.low"]),
        "high": float(cell["measures.fd.high"]),
        "seeds": 1,
    }


def test_a_measure_that_cannot_be_taken_is_shown_as_a_failure(tmp_path, data):
    out = tmp_path / "cmp"
    carry_out(out, planned(data), Asked(("is",), "pixels"))
    reason = "extractor pixels tells no classes"
    assert reason in Page((out / "index.html").read_text()).text
    assert "Not measured" in (out / "index.html").read_text()
    assert lines(out)[0]["state"] == "finished"
    measured = stamps(out, "*.measures.json")
    carry_out(out, planned(data))
    assert stamps(out, "*.measures.json") != measured, "tried again, as weights may be there now"


def test_files_that_are_damaged_are_measured_again_or_said(tmp_path, data):
    place, plan = Place(tmp_path / "cmp"), planned(data)
    carry_out(place.path, plan, ASKED)
    (cell,) = plan.cells
    found = read_measured(place, cell, ASKED)
    assert found is not None
    for text in ("", "[]", "{}", '{"asked": {}, "found": {}}', '{"found": 3}'):
        place.measured(cell).write_text(text)
        assert read_measured(place, cell, ASKED) is None
    carry_out(place.path, plan)
    again = read_measured(place, cell, ASKED)
    assert again == found
    (place.path / "measures.json").write_text("{")
    with pytest.raises(ValueError, match=r"measures\.json: cannot be used .*; delete it, or give --measures"):
        asked_of(place, None)


def test_what_cannot_be_asked_is_refused_before_anything_is_trained(tmp_path, data, monkeypatch):
    with pytest.raises(ValueError, match="did you mean 'prdc'"):
        Asked(("fd", "prcd"))
    with pytest.raises(ValueError, match="--measures: name at least one of fd"):
        Asked(())
    with pytest.raises(ValueError, match="--count must be at least 1"):
        Asked(("fd",), count=0)
    with pytest.raises(ValueError, match="unknown extractor 'pixel'"):
        carry_out(tmp_path / "cmp", planned(data), Asked(("fd",), "pixel"))
    monkeypatch.setenv("ZEROSUM_DATA", "")
    with pytest.raises(ValueError, match=r"vgg16.*ZEROSUM_DATA is not set"):
        carry_out(tmp_path / "cmp", planned(data), Asked(("swd", "fd")))
    assert not (tmp_path / "cmp").exists()
    Judge(Asked(("swd",)), {"data": open_data(data)}, open_data)  # needs no weights


@pytest.mark.slow
def test_several_at_a_time_are_measured_alike(tmp_path, data):
    plan = planned(data, seeds="0-1")
    for jobs in (1, 2):
        carry_out(tmp_path / str(jobs), plan, ASKED, jobs)
    one, two = ([line["measures.fd"] for line in lines(tmp_path / str(jobs))] for jobs in (1, 2))
    assert one == two
    assert all(one)
