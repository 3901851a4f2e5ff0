"""The lab's frame: files, gallery, command; and every experiment of the table, run quickly."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from PIL import Image

from zerosum import cli_lab
from zerosum.cli import main
from zerosum.lab import gallery
from zerosum.lab.experiment import Experiment, Result, Settings, perform, write
from zerosum.lab.gallery import write_gallery
from zerosum.lab.table import EXPERIMENTS

# Over 3 s even when quick: run twice only among the slow tests.
LONG = frozenset(
    {
        "clipping-and-penalty",
        "convergence",
        "generalisation",
        "multimodality",
        "ring",
        "sampling",
        "spectral-norm",
    }
)

each = pytest.mark.parametrize("name", EXPERIMENTS)
each_but_long = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in EXPERIMENTS]
)


def _measure(settings: Settings) -> Result:
    settings.advance(0.5)
    return Result(
        {"value": 0.25, "nested": {"list": [1.0, 2.0]}, "seed": settings.seed},
        lambda figure: figure.add_subplot().set(title="<a> & b", xlabel="x", ylabel="y"),
        "What <one> sees & why.",
    )


SMALL = Experiment("small", 7, "A <small> one", ("lecture 1, line 2",), "the ½ is missing", _measure)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of two small experiments in place of the lab's."""
    two = {"small": SMALL, "other": replace(SMALL, name="other", number=9, title="The other", slip="")}
    monkeypatch.setattr(cli_lab, "EXPERIMENTS", two)
    monkeypatch.setattr(gallery, "EXPERIMENTS", two)


def test_an_experiment_leaves_its_figure_numbers_and_paragraph(tmp_path):
    perform(SMALL, Settings(quick=True, seed=3), tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        *("small.svg", "small.png", "small.json", "small.txt")
    }
    record = json.loads((tmp_path / "new/small.json").read_text())
    assert record["numbers"] == {"value": 0.25, "nested": {"list": [1.0, 2.0]}, "seed": 3}
    assert (record["title"], record["lectures"], record["slip"]) == (
        SMALL.title,
        ["lecture 1, line 2"],
        SMALL.slip,
    )
    assert (record["seed"], record["quick"]) == (3, True)
    assert record["seconds"] >= 0
    assert {"python", "torch", "zerosum"} <= record["software"].keys()
    text = (tmp_path / "new/small.txt").read_text()
    assert "What <one> sees" in text
    assert "On the slide: the ½" in text
    with Image.open(tmp_path / "new/small.png") as picture:
        assert picture.size == (1200, 630)
    assert b"<svg" in (tmp_path / "new/small.svg").read_bytes()


def test_the_same_numbers_give_the_same_figure(tmp_path):
    for folder in ("a", "b"):
        write(SMALL, _measure(Settings()), tmp_path / folder)
    for name in ("small.svg", "small.png", "small.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_json_cannot_hold_are_refused(tmp_path, value):
    result = Result({"good": 1.0, "kl": {"at 0": [0.0, value]}}, lambda figure: None, "")
    with pytest.raises(ValueError, match=r"experiment small: the number kl\.at 0\.1"):
        write(SMALL, result, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_generator_for_each_purpose():
    draws = [Settings(seed=seed).generator(purpose).initial_seed() for seed in (0, 1) for purpose in "ab"]
    assert len(set(draws)) == 4


def test_the_gallery_needs_nothing_beside_itself(tmp_path, table):
    perform(SMALL, Settings(), tmp_path)
    page = write_gallery(tmp_path).read_text(encoding="utf-8")
    assert "A &lt;small&gt; one" in page
    assert "What &lt;one&gt; sees &amp; why." in page
    assert "lecture 1, line 2" in page
    assert "nested · list" in page
    assert "On the slide:</b> the ½ is missing" in page
    assert "Not run: 9 other." in page
    assert "Some of it was made with --quick" not in page
    assert re.findall(r'src="([^,"]*)', page) == ["data:image/svg+xml;base64"]
    assert not re.search(r"https?://|<script", page)


def test_the_gallery_says_what_was_made_quickly(tmp_path, table):
    perform(SMALL, Settings(quick=True), tmp_path)
    page = write_gallery(tmp_path).read_text(encoding="utf-8")
    assert "Some of it was made with --quick" in page
    assert "zerosum lab small --quick --seed 0" in page


def test_the_gallery_says_which_file_is_broken(tmp_path, table):
    perform(SMALL, Settings(), tmp_path)
    (tmp_path / "small.json").write_text('{"numbers": 3')
    with pytest.raises(ValueError, match=r"small\.json .*run that experiment again"):
        write_gallery(tmp_path)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code, *capsys.readouterr()


def test_the_command_lists(capsys):
    code, out, _ = said(["lab"], capsys)
    assert code == 0
    lines = out.splitlines()
    for line, experiment in zip(lines, EXPERIMENTS.values(), strict=False):
        assert line.split()[:2] == [str(experiment.number), experiment.name]
        assert experiment.title in line
        assert experiment.lectures[0] in line


def test_the_command_runs_one(tmp_path, table, capsys):
    code, out, _ = said(["lab", "small", "--out", str(tmp_path), "--seed", "4", "--quick"], capsys)
    assert code == 0
    assert "What <one> sees" in out
    assert "On the slide: the ½" in out
    assert str(tmp_path / "small.svg") in out
    record = json.loads((tmp_path / "small.json").read_text())
    assert (record["seed"], record["quick"]) == (4, True)
    assert not (tmp_path / "index.html").exists()


def test_the_command_runs_all_into_a_gallery(tmp_path, table, capsys):
    code, out, _ = said(["lab", "all", "--out", str(tmp_path)], capsys)
    assert code == 0
    assert str(tmp_path / "index.html") in out
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.index('id="small"') < page.index('id="other"')
    assert "Not run" not in page


def test_an_interruption_keeps_what_was_finished(tmp_path, table, monkeypatch, capsys):
    def stop(settings: Settings) -> Result:
        raise KeyboardInterrupt

    two = {"small": SMALL, "other": replace(SMALL, name="other", run=stop)}
    monkeypatch.setattr(cli_lab, "EXPERIMENTS", two)
    code, _, _ = said(["lab", "all", "--out", str(tmp_path)], capsys)
    assert code == 130
    assert (tmp_path / "small.json").exists()
    assert "Not run: 9 other." in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_one_that_cannot_run_does_not_keep_the_others_from_it(tmp_path, table, monkeypatch, capsys):
    def fail(settings: Settings) -> Result:
        raise ValueError("its digits are missing: install them")

    two = {"small": replace(SMALL, name="small", run=fail), "other": replace(SMALL, name="other", number=9)}
    monkeypatch.setattr(cli_lab, "EXPERIMENTS", two)
    code, _, err = said(["lab", "all", "--out", str(tmp_path)], capsys)
    assert (code, (tmp_path / "other.json").exists()) == (1, True)
    assert "small could not run: its digits are missing: install them" in err
    assert said(["lab", "small", "--out", str(tmp_path)], capsys)[0] == 1


def test_an_unknown_name_is_answered_with_the_nearest_before_anything_runs(tmp_path, table, capsys):
    code, _, err = said(["lab", "small", "othr", "--out", str(tmp_path / "new")], capsys)
    assert code == 1
    assert "unknown experiment 'othr': did you mean 'other'?" in err
    assert not (tmp_path / "new").exists()


def test_the_table_is_in_order_and_says_where_everything_is():
    numbers = [experiment.number for experiment in EXPERIMENTS.values()]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(1, 24))
    for name, experiment in EXPERIMENTS.items():
        assert name == experiment.name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert name != "all"
        assert experiment.lectures
        assert all(re.match(r"lecture [1-4], lines? \d+", place) for place in experiment.lectures), name


@cache
def quick(name: str) -> tuple[Result, list[float]]:
    """A quick run with seed 0, once for all tests here, and the shares of work that it called out."""
    shares: list[float] = []
    return EXPERIMENTS[name].run(Settings(quick=True, advance=shares.append)), shares


@each
def test_every_experiment_runs_quickly(name, tmp_path):
    result, shares = quick(name)
    write(EXPERIMENTS[name], result, tmp_path)
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares)
    assert result.numbers
    assert result.says.endswith(".")
    assert not re.search(r"[{}*`]|\bnan\b|\binf\b|tensor", re.sub(r"\w\*", "", result.says))


@each_but_long
def test_the_same_seed_gives_the_same_numbers(name):
    again = EXPERIMENTS[name].run(Settings(quick=True))
    assert dict(_without_times(quick(name)[0].numbers)) == dict(_without_times(again.numbers))


def _without_times(numbers: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(numbers, dict):
        for key, value in numbers.items():
            if not re.search(r"\bseconds?\b", key):
                yield from _without_times(value, f"{path}.{key}")
    else:
        yield path, numbers
