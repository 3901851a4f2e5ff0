import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import Make
from zerosum.data import DataError, open_data


def test_class_folders_become_labels(photos: Make) -> None:
    folder = photos(4)
    for index in range(4):
        (folder / ("cat", "dog")[index % 2]).mkdir(exist_ok=True)
        (folder / f"good{index}.png").rename(folder / ("cat", "dog")[index % 2] / f"{index}.png")
    found = open_data(folder)
    assert found.classes == ("cat", "dog")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1, 1]
    for path in (folder / "dog").iterdir():
        path.write_bytes(b"")
    found = open_data(folder)
    assert found.classes == ("cat", "dog")
    assert "class dog: no usable image" in found.check.notes


def test_the_second_opening_reads_the_cache(
    photos: Make, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(3)
    stages = []
    first = open_data(folder, size=8, progress=lambda *told: stages.append(told))
    assert stages == [("reading", i, 3) for i in (1, 2, 3)] + [("writing", i, 3) for i in (1, 2, 3)]
    monkeypatch.setattr("zerosum.data.prepare.decode", None)
    second = open_data(folder, size=8)
    assert isinstance(second.samples, np.memmap)
    np.testing.assert_array_equal(first.samples, second.samples)
    assert (first.fingerprint, first.check, first.format) == (second.fingerprint, second.check, second.format)
    assert {path.suffix for path in own_cache.iterdir()} == {".npy", ".json", ".lock"}


@pytest.mark.parametrize("change", ["content", "time", "new", "size"])
def test_what_changes_in_the_source_is_read_again(photos: Make, change: str) -> None:
    folder = photos(3)
    before = open_data(folder, size=8)
    if change == "content":
        Image.new("RGB", (16, 16), "red").save(folder / "good0.png")
    elif change == "time":
        content = (folder / "good1.png").read_bytes()
        (folder / "good0.png").write_bytes(content)
        os.utime(folder / "good0.png", ns=(1, 1))
    elif change == "new":
        Image.new("RGB", (16, 16), "red").save(folder / "more.png")
    after = open_data(folder, size=9 if change == "size" else 8)
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("damage", ["truncated", "no json", "bad json", "other shape", "empty"])
def test_a_damaged_cache_is_made_again(photos: Make, own_cache: Path, damage: str) -> None:
    folder = photos(3)
    good = open_data(folder)
    expected, mark = np.array(good.samples), good.fingerprint
    npy, js = next(own_cache.glob("*.npy")), next(own_cache.glob("*.json"))
    if damage == "truncated":
        npy.write_bytes(npy.read_bytes()[:-1])
    elif damage == "empty":
        npy.write_bytes(b"")
    elif damage == "no json":
        js.unlink()
    elif damage == "bad json":
        js.write_text(js.read_text()[:-20])
    else:
        js.write_text(json.dumps({**json.loads(js.read_text()), "shape": [2, 16, 16, 3]}))
    again = open_data(folder)
    np.testing.assert_array_equal(again.samples, expected)
    assert again.fingerprint == mark
    assert json.loads(js.read_text())["shape"] == [3, 16, 16, 3]


def test_the_cache_may_be_given_and_must_be_writable(photos: Make, tmp_path: Path) -> None:
    folder = photos(2)
    open_data(folder, cache=tmp_path / "mine" / "deep")
    assert list((tmp_path / "mine" / "deep").glob("*.npy"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="ZEROSUM_CACHE"):
        open_data(folder, cache=tmp_path / "file" / "below")


def test_sizes(photos: Make) -> None:
    folder = photos(2, (40, 60, 3))
    assert open_data(folder).format.shape == (3, 40, 60)
    assert open_data(folder, size=16).format.shape == (3, 16, 16)
    found = open_data(folder, size=(48, 80))
    assert found.format.shape == (3, 48, 80)
    assert found.check.converted == {"enlarged to the size asked for": 2}
    Image.new("RGB", (30, 30)).save(folder / "other.png")
    with pytest.raises(DataError, match=r"different sizes \(good0\.png 40x60, other\.png 30x30\).*--size 64"):
        open_data(folder)
    Image.new("RGB", (600, 700)).save(folder / "aaa.png")
    with pytest.raises(DataError, match=r"aaa\.png is 700x600.*--size 64"):
        open_data(folder)
    assert len(open_data(folder, size=64)) == 4


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"size": 7}, "from 8 to 512"),
        ({"size": (64, 513)}, "from 8 to 512"),
        ({"channels": 9}, "from 1 to 8"),
        ({"value_range": (1.0, 1.0)}, "the lower one first"),
        ({"value_range": (0.0, float("inf"))}, "the lower one first"),
        ({"split": "tset"}, "expected one of train, val, test"),
        ({"split": "val"}, "has no val split"),
    ],
)
def test_settings_that_make_no_sense_are_refused(photos: Make, settings: dict, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        open_data(photos(2), **settings)


def test_a_path_wins_over_a_name_and_that_is_said(photos: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(2)
    folder.rename(folder.parent / "ring")
    monkeypatch.chdir(folder.parent)
    found = open_data("ring")
    assert found.format.shape == (3, 16, 16)
    assert found.check.notes[0] == "ring exists and was taken, not the set named ring"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mnits", "did you mean mnist"),
        ("/no/such/thing", "the named sets are mnist"),
        ("", "neither|no images"),
    ],
)
def test_what_is_not_there_is_an_error_with_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=reason):
        open_data(name)


def test_files_of_no_kind_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.txt").write_text("hello, this is text" * 100)
    Image.new("RGB", (16, 16)).save(tmp_path / "one.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, reason in (
        ("empty.npy", "0 bytes"),
        ("text.txt", "of no kind"),
        ("one.png", "one image"),
        ("pipe", "neither a file"),
        ("nowhere", "neither a file"),
        ("loop", "leads to itself|neither a file"),
    ):
        with pytest.raises(DataError, match=reason):
            open_data(tmp_path / name)


def test_two_processes_prepare_once(photos: Make, own_cache: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    folder = photos(40)
    with ThreadPoolExecutor(4) as pool:
        marks = {found.fingerprint for found in pool.map(lambda _: open_data(folder), range(4))}
    assert len(marks) == 1
    assert not list(own_cache.glob("*.spool")) + list(own_cache.glob("*.partial"))
