"""Reading metrics.jsonl: what a crash or a resume leaves, and what is refused."""

import os
from pathlib import Path

import pytest

from zerosum.metrics_log import Metrics, read_metrics


def read(run: Path, text: str) -> Metrics:
    (run / "metrics.jsonl").write_text(text, encoding="latin-1")
    return read_metrics(run)


def test_nothing_logged_yet(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == Metrics([], [], [])
    assert read(tmp_path, "") == Metrics([], [], [])


def test_lines_and_events_are_told_apart(tmp_path: Path) -> None:
    metrics = read(
        tmp_path, '{"event": "started", "images": 0, "message": null}\n\n{"images": 64, "g/fake": 1}\n'
    )
    assert metrics == Metrics([{"images": 64.0, "g/fake": 1.0}], [{"event": "started", "images": "0"}], [])


@pytest.mark.parametrize("end", ['{"images": 128, "rat', '{"images": 128', "{", "\x00\x00\x00", "\xff{"])
def test_a_line_cut_by_a_crash_is_left_out_and_numbered(tmp_path: Path, end: str) -> None:
    metrics = read(tmp_path, '{"images": 64}\n' + end)
    assert (metrics.lines, metrics.cut) == ([{"images": 64.0}], [2])


def test_a_cut_before_a_resume_is_left_out_too(tmp_path: Path) -> None:
    metrics = read(tmp_path, '{"images": 64}\n{"ima\n{"event": "resumed", "images": 64}\n{"images": 128}\n')
    assert ([line["images"] for line in metrics.lines], metrics.cut) == ([64.0, 128.0], [2])


def test_lines_trained_again_after_a_resume_replace_the_earlier(tmp_path: Path) -> None:
    metrics = read(
        tmp_path, "".join(f'{{"images": {n}, "rate": {r}}}\n' for r, n in enumerate([1, 2, 3, 2, 3, 4]))
    )
    assert [(line["images"], line["rate"]) for line in metrics.lines] == [(1, 0), (2, 3), (3, 4), (4, 5)]


def test_values_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    (line,) = read(tmp_path, '{"images": 1, "a": NaN, "b": -Infinity}').lines
    assert line["a"] != line["a"]
    assert line["b"] == -float("inf")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "line 1 is neither"),
        ('{"step": 3}', "line 1 is neither"),
        ('{"images": 1}\n{"images": 2, "a": "x"}', "line 2: 'a' is not a number"),
        ('{"images": 1, "a": true}', "'a' is not a number"),
        ('{"images": NaN}', '"images" is nan'),
        ('{"images": -1}', '"images" is -1'),
        ('{"images": 1, "a": 1' + "0" * 400 + "}", "beyond all floats"),
        ('{"event": "started", "message": [[]]}', "more than text and numbers"),
        ("not\na log\n", "holds no line of JSON"),
        ('{"images": 1,' + ",".join(f'"p/{i}": 0' for i in range(300)) + "}", "over 256"),
    ],
)
def test_what_is_no_log_is_refused_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"metrics\.jsonl.*{message}"):
        read(tmp_path, text)


def test_a_pipe_or_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="over 64 MiB"):
        read_metrics(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="not a regular file"):
        read_metrics(tmp_path)
