"""The report of a run directory: what it shows, what it refuses, what it never lets through."""

import base64
import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pages import RECIPE, Page, event, line, report, run
from zerosum.report import command_line, write_report

__all__ = ["run"]  # a fixture


def test_one_page_tells_the_whole_run(run: Path) -> None:
    page = report(run)
    for fact in (
        "5,000 of 5,000 real images shown in 1 min 2 s, 80 a second",
        "finished",
        "Loss of critic",
        "D on real and fake",
        "equilibrium",
        "Norm of the gradient",
        "Throughput",
        "ab12" * 16,
        "a processor",
        "resized with antialiasing",
        "2: cat, dog",
        "set aside",
        "000000005000.safetensors",
        "zerosum train dcgan --data 'my photos' --size 48x80",
    ):
        assert fact in page.text, fact
    assert len(page.all("svg")) == 4
    assert [path.name for path in run.iterdir() if "report" in path.name] == ["report.html"]


def test_needs_nothing_beside_itself(run: Path) -> None:
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:image/", "#")), value
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in text


def test_policy_admits_the_pages_own_script_alone(run: Path) -> None:
    page = report(run)
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def poison(value: Any, payload: str) -> Any:
    """`value` with every key but the fixed ones, and every string, turned hostile."""
    if isinstance(value, dict):
        fixed = {*RECIPE, *RECIPE["data"], *RECIPE["data"]["format"], "images"}
        return {
            (key if key in fixed else key + payload): poison(item, payload) for key, item in value.items()
        }
    if isinstance(value, list):
        return [poison(item, payload) for item in value]
    return payload if isinstance(value, str) else value


@pytest.mark.parametrize(
    "payload",
    [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "</td></style></title></script><svg onload=alert(1)>",
        "{{ 7*191 }}{% raw %}",
        "$\\frac{$ \x00\x1b[2J \ud800",
    ],
)
def test_hostile_files_inject_nothing(run: Path, payload: str) -> None:
    clean = report(run)
    (run / "recipe.json").write_text(json.dumps(poison(RECIPE, payload)))
    entries = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    for entry in entries:
        if "event" in entry:
            entry |= {"event": payload, "message": payload, "time": payload}
        else:
            entry["critic/" + payload] = entry.pop("critic/adversarial")
            entry[payload] = 1.0
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, entries)))
    page = report(run)
    assert page.scripts == clean.scripts
    assert len(page.all("img")) == len(clean.all("img"))
    assert len(page.all("svg")) == len(clean.all("svg")) + 1  # the quantity added
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "1337" not in page.text


def test_a_hostile_directory_name_is_text(run: Path) -> None:
    hostile = run.with_name("<img src=x onerror=alert(1)>")
    run.rename(hostile)
    page = report(hostile)
    assert "<img src=x onerror=alert(1)>" in page.text
    assert not [image for image in page.all("img") if "onerror" in image]


def test_command_survives_a_shell(run: Path) -> None:
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["data"]["where"] = "a 'b' $(touch x); `c`"
    words = shlex.split(command_line(recipe))
    assert words[:5] == ["zerosum", "train", "dcgan", "--data", "a 'b' $(touch x); `c`"]
    assert words[-6:] == ["--images", "5000", "--seed", "7", "--precision", "fp32"]


def test_command_of_a_recipe_of_ones_own_spells_every_setting() -> None:
    arguments = {"betas": [-0.5, 0.9], "penalty": [], "bias": False, "norm": True, "ema_decay": None}
    command = command_line({"recipe": "mine", "arguments": arguments, "data": {"range": [-1, 1]}})
    assert command == "zerosum train mine --range=-1 1 --betas=-0.5 --betas 0.9 --norm"


def test_command_is_what_the_command_line_reads_back() -> None:
    from zerosum.cli import app
    from zerosum.recipes.table import RECIPES, arguments_of

    given = {"hidden": (64, 32), "dropout": (0.1, 0.4), "schedule": (), "critic_lr": 0.03, "images": 1000}
    record = json.loads(json.dumps({"recipe": "gan", "arguments": arguments_of(RECIPES["gan"], given)}))
    record["data"] = {"where": "mnist", "size": [32, 48], "range": [0, 0.5], "flip": True, "split": "train"}
    record["training"] = {"images": 2000, "seed": 3, "ghost": False, "clip": None}
    command = command_line(record)
    assert "--pieces" not in command  # as the recipe has it
    _, bound, _ = app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)
    read = bound.arguments
    assert read.pop("schedule") == ("none",)
    assert read == {
        **{name: value for name, value in given.items() if name != "schedule"},
        **{"data": "mnist", "size": "32x48", "range": (0, 0.5), "flip": True, "split": "train"},
        **{"images": 2000, "seed": 3},
    }


def test_command_of_several_processes_starts_as_many() -> None:
    command = command_line({"recipe": "gan", "environment": {"processes": 4}})
    assert command == "torchrun --nproc-per-node 4 -m zerosum train gan"


def test_missing_pieces_are_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"recipe": "gan"}')
    text = report(tmp_path).text
    for missing in (
        "No sample grids",
        "holds no numbers",
        "None in checkpoints/",
        "names no event",
        "not started",
    ):
        assert missing in text
    assert "0 real images" in text


def test_failure_is_told_with_its_message(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(event("failed", 5000, message="critic/loss is nan at step 78") + "\n")
    page = report(run)
    assert "failed: critic/loss is nan at step 78" in " ".join(page.text.split())
    assert any(element.get("class") == "failed" for element in page.all("strong"))


def test_a_cut_line_is_mentioned(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 79, "imag')
    assert "cut or unreadable: line 53." in report(run).text


def test_values_that_are_no_probabilities_have_no_equilibrium(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line(5100, critic__real=3.0) + "\n")
    text = report(run).text
    assert "as D puts them out" in text
    assert "equilibrium" not in text


def test_values_no_axis_holds_are_drawn_as_gaps(run: Path) -> None:
    wild = [np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 0.0] * 10
    text = "\n".join(line(64 * (i + 1), critic__adversarial=v, g__nothing=np.nan) for i, v in enumerate(wild))
    (run / "metrics.jsonl").write_text(text)
    assert len(report(run).all("svg")) == 3


def test_not_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"recipe\.json is missing.*--out"):
        write_report(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "recipe.json")
    with pytest.raises(FileNotFoundError, match="not a run directory"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"recipe": "gan", "data": ' + "[" * 20 + "]" * 20 + "}", "nested over 8 deep"),
        ("\xff\xfe", "is not JSON"),
        ("[]", 'names no "recipe"'),
        ('{"recipe": 3}', 'names no "recipe"'),
        ('{"recipe": "gan", "data": []}', '"data" is not an object'),
        (" " * 2**20 + "{}", "over 1 MiB"),
    ],
)
def test_malformed_recipe_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recipe.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=rf"recipe\.json.*{message}"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_odd_but_valid_recipes_are_shown(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "recipe": "gan",
        "data": {"size": [], "range": [0, 10**300], "classes": [], "format": 3, "name": ["a"]},
        "training": {"images": 10**300},
        "environment": {"processes": True},
        "arguments": {
            "dropout": 3,
            "hidden": "x",
            "a": [[1, 2], {"b": [None]}],
            "nan": float("nan"),
            "long": "x" * 10_000,
        },
    }
    (tmp_path / "recipe.json").write_text(json.dumps(odd))
    assert "xxx …" in report(tmp_path).text


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(run).write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(run)
    assert (run / "report.html").read_text() == "old"
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_a_reader_of_the_old_report_never_meets_half_of_the_new(run: Path) -> None:
    path = write_report(run)
    path.write_text("old")
    with path.open() as reader:
        write_report(run)
        assert reader.read() == "old"
    assert path.read_text(encoding="utf-8").endswith("</html>")
