"""Following a run: every checkpoint that is due once, the best kept, whatever training does meanwhile."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from filelock import FileLock

from tests import running
from tests.pages import Page
from tests.running import random_slopes, work_alone
from zerosum.cli import main
from zerosum.following import KEPT_BY, follow
from zerosum.metrics.measures import MEASURES
from zerosum.metrics_log import read_measures
from zerosum.report import write_report
from zerosum.rundir import RunDirectory, RunError
from zerosum.trained import load
from zerosum.training.checkpoint import CheckpointError

__all__ = ["random_slopes", "work_alone"]  # fixtures

CARD = {"real": {"count": 9}, "fake": {"count": 9, "trained on": 0}, "extractor": "lenet", "side": 32}


@pytest.fixture(name="run")
def an_empty_run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    run.recipe.write_text("{}")
    return run


def save(run: RunDirectory, *images: int) -> None:
    for count in images:
        run.checkpoint(count).write_text(str(count))


def end(run: RunDirectory, event: str = "finished") -> None:
    run.log({"event": event, "images": 0})


def taking(
    values: Mapping[int, float],
    name: str = "fd",
    then: Callable[[int], None] = lambda images: None,
    **card: Any,
) -> Callable[[Path], dict[str, Any]]:
    """What measures a checkpoint that holds its own number of images."""

    def take(path: Path) -> dict[str, Any]:
        images = int(path.read_text())
        then(images)
        fake = {"count": 9, "trained on": images}
        return {
            name: values[images],
            "intervals": {name: [values[images] - 1, values[images] + 1]},
            "warnings": [],
            "card": {**CARD, "fake": fake, **card},
        }

    return take


def followed(
    run: RunDirectory, take: Callable[[Path], dict[str, Any]], *measures: str
) -> list[tuple[int, bool]]:
    told: list[tuple[int, bool]] = []
    follow(
        run.path,
        measures or ("fd",),
        100,
        take,
        lambda entry, best: told.append((entry["images"], best)),
        poll=0.0,
    )
    return told


def debris(run: RunDirectory) -> list[str]:
    return [path.name for path in run.path.rglob(".*") if path.name != ".measuring.lock"]


def test_each_due_checkpoint_is_measured_once_and_the_best_is_kept(run):
    save(run, 0, 100, 150, 200, 310, 320)
    end(run)
    values = {100: 9.0, 200: 4.0, 310: 7.0, 320: 5.0}
    assert followed(run, taking(values)) == [(100, True), (200, True), (310, False), (320, False)]
    assert [(one.images, one.values) for one in read_measures(run.path)] == [
        (images, {"fd": value}) for images, value in values.items()
    ]
    best = run.checkpoints / "best-fd.safetensors"
    assert best.read_text() == "200"
    assert debris(run) == []
    assert followed(run, taking({})) == [], "all is measured"
    save(run, 500)
    assert followed(run, taking({500: 3.0})) == [(500, True)]
    assert best.read_text() == "500"
    assert RunDirectory(run.path).best.exists() is False, "training's own best is another"


@pytest.mark.parametrize(("measure", "value"), [("is", "is"), ("prdc", "coverage")])
def test_of_some_measures_more_is_better(run, measure, value):
    save(run, 100, 200, 300)
    end(run)
    values = {100: 0.5, 200: 0.7, 300: float("nan")}
    assert followed(run, taking(values, value), measure, "fd") == [(100, True), (200, True), (300, False)]
    assert (run.checkpoints / f"best-{value}.safetensors").read_text() == "200"


def test_training_goes_on_and_prunes_while_it_measures(run):
    save(run, 100)

    def goes_on(images: int) -> None:
        run.checkpoint(images).unlink()
        if images < 400:
            save(run, images + 50, images + 100)
        else:
            end(run, "stopped")

    values = {100: 1.0, 200: 2.0, 300: 0.5, 400: 3.0}
    told = followed(run, taking(values, then=goes_on))
    assert told == [(100, True), (200, False), (300, True), (400, False)]
    assert (run.checkpoints / "best-fd.safetensors").read_text() == "300", "held while it was measured"


def test_one_that_vanishes_and_one_that_is_damaged_are_passed_over(run, monkeypatch):
    from zerosum import following

    save(run, 100, 200, 300)
    end(run)
    link = following.second_name

    def vanishing(path: Path, other: Path) -> None:
        if path.stem.endswith("100"):
            path.unlink()
        link(path, other)

    def damaged(images: int) -> None:
        if images == 200:
            raise CheckpointError("checkpoint 200 is damaged")

    monkeypatch.setattr(following, "second_name", vanishing)
    with pytest.warns(UserWarning, match="passed over: checkpoint 200 is damaged"):
        assert followed(run, taking({300: 1.0}, then=damaged)) == [(300, True)]
    assert debris(run) == []


def test_stopped_in_the_midst_it_leaves_nothing_half_done_and_goes_on(run):
    save(run, 100, 200)
    end(run)

    def interrupted(images: int) -> None:
        if images == 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        followed(run, taking({100: 1.0}, then=interrupted))
    assert debris(run) == []
    with run.measures.open("a") as file:
        file.write('{"images": 200, "fd": 1')  # as a crash leaves it
    assert followed(run, taking({200: 2.0})) == [(200, False)]
    assert [one.images for one in read_measures(run.path)] == [100, 200]


def test_a_training_that_was_killed_is_measured_to_its_last_checkpoint_and_said_to_be_dead(run):
    save(run, 100, 150)
    run.log({"event": "started", "images": 0})
    values = {100: 2.0, 150: 1.0}
    told: list[int] = []

    def follows(**limits: float) -> None:
        follow(
            run.path,
            ["fd"],
            100,
            taking(values),
            lambda entry, best: told.append(entry["images"]),
            poll=0.01,
            **limits,
        )

    with run.locked():
        watching = Thread(target=follows, kwargs={"grace": 0.0}, daemon=True)
        watching.start()
        watching.join(0.5)
        assert watching.is_alive(), "it trains: its lock is held"
        assert told == [100]
        end(run)
        watching.join(30)
    assert told == [100, 150]
    save(run, 170)
    values[170] = 3.0
    run.log({"event": "resumed", "images": 150})
    with pytest.warns(UserWarning, match="no process trains it any more.*zerosum resume"):
        follows(grace=0.02)
    assert told == [100, 150, 170]


def test_measures_that_do_not_compare_are_refused(run):
    save(run, 100)
    end(run)
    followed(run, taking({100: 1.0}))
    save(run, 200)
    with pytest.raises(ValueError, match=r"measures\.jsonl: measured with extractor lenet, and now vgg16"):
        followed(run, taking({200: 0.5}, extractor="vgg16"))
    assert (run.checkpoints / "best-fd.safetensors").read_text() == "100"
    run.measures.write_text('{"images": 3}\n')
    with pytest.raises(ValueError, match="line 1 holds no measures"):
        followed(run, taking({}))


def test_what_cannot_be_followed_is_said(run, tmp_path):
    with pytest.raises(ValueError, match="to keep the best checkpoint by 'ms-ssim'"):
        followed(run, taking({}), "ms-ssim")
    with pytest.raises(ValueError, match="--every must be at least 1, not 0"):
        follow(run.path, ["fd"], 0, taking({}), lambda entry, best: None)
    with pytest.raises(ValueError, match="name at least one"):
        follow(run.path, [], 1, taking({}), lambda entry, best: None)
    with pytest.raises(RunError, match="not a run directory"):
        follow(tmp_path, ["fd"], 1, taking({}), lambda entry, best: None)
    with FileLock(run.path / ".measuring.lock"), pytest.raises(RunError, match="measures it already"):
        followed(run, taking({}))
    assert set(KEPT_BY) <= set(MEASURES)


def test_a_real_run_from_the_command_line_to_its_report(tmp_path, data, capsys):
    run = tmp_path / "run"
    running.start(run, data)

    def do(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *words, "--extractor", "pixels:side=2"])
        out, err = capsys.readouterr()
        assert ended.value.code == 0, err
        return out

    said = do(str(run), "--every", "160", "--measures", "fd,swd", "--count", "20")
    assert said.count("20 real, 20 fake; pixels on 2x2") == 3
    assert said.startswith("160 images, the best so far\nfd  ")
    lines = read_measures(run)
    assert [line.images for line in lines] == [160, 320, 400]
    best = min(lines, key=lambda line: line.values["fd"])
    kept = run / "checkpoints" / "best-fd.safetensors"
    assert load(kept).images == best.images
    again = json.loads(do(str(kept), "--measures", "fd", "--count", "20", "--json"))
    assert again["fd"] == pytest.approx(best.values["fd"], rel=1e-9)
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "20 real, 20 fake; pixels on 2x2, weights none; the band is the 95 % interval" in page.text
    assert do(str(run), "--every", "160", "--measures", "fd,swd", "--count", "20") == ""


def test_a_hostile_line_is_text_on_the_page(run):
    bad = "<script>alert(1)</script>"
    run.recipe.write_text('{"recipe": "gan"}')
    line = {
        "images": 1,
        bad: 2.0,
        "intervals": {bad: [1, 3]},
        "warnings": [],
        "card": {**CARD, "extractor": bad},
    }
    run.measures.write_text(json.dumps({**line, "card": {**line["card"], "weights": bad}}) + "\n")
    page = Page(write_report(run.path).read_text(encoding="utf-8"))
    assert len(page.scripts) == 1
    assert bad in page.text
    assert len(page.all("svg")) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.npy", "--every", "5"], "a.npy is no run"),
        (["a.npy", "a.npy", "--every", "5"], "leave a.npy out"),
        (["a.npy:test", "a.npy"], "has no test split; it can only be read whole"),
        (["a.npy:rest", "a.npy"], "a.npy:rest: no such file or folder"),
    ],
)
def test_a_slip_is_one_line(tmp_path, monkeypatch, capsys, data, words, says):
    data.rename(tmp_path / "a.npy")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *words, "--extractor", "pixels"])
    assert ended.value.code == 1
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_split_stands_behind_its_set(tmp_path, capsys):
    from PIL import Image

    for split, grey in (("train", 40), ("test", 90)):
        (tmp_path / "set" / split).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (8, 8), grey + number).save(tmp_path / "set" / split / f"{number}.png")
    words = [f"{tmp_path / 'set'}", f"{tmp_path / 'set'}:test", "--measures", "swd"]
    with pytest.raises(SystemExit):
        main(["evaluate", *words, "--extractor", "pixels", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["card"]["real"]["data"] == "set"
    assert found["card"]["fake"]["data"] == "set:test"
    assert found["swd"] > 0.1
