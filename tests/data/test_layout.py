import pytest

from zerosum.data import DataError
from zerosum.data.layout import layout

A, B = ["cats/1.png", "cats/2.png"], ["dogs/1.png"]


def test_two_folders_or_more_are_classes() -> None:
    found = layout(B + A, "train", "w")
    assert found.names == ("cats/1.png", "cats/2.png", "dogs/1.png")
    assert (found.labels, found.classes) == ((0, 0, 1), ("cats", "dogs"))


@pytest.mark.parametrize("names", [A, [*A, *B, "top.png"], ["a/b/c/1.png", "a/b/c/2.png"], ["./1.png"]])
def test_one_folder_or_files_at_the_top_are_no_classes(names: list[str]) -> None:
    found = layout(names, "train", "w")
    assert (found.labels, found.classes) == (None, ())
    assert len(found.names) == len(names)


def test_wrappers_are_skipped() -> None:
    assert layout([f"./set/all/{name}" for name in A + B], "train", "w").classes == ("cats", "dogs")


@pytest.mark.parametrize(("split", "count"), [("train", 3), ("val", 1)])
def test_a_split_is_taken_where_all_folders_are_splits(split: str, count: int) -> None:
    names = [f"set/Train/{name}" for name in A + B] + ["set/valid/dogs/9.png"]
    found = layout(names, split, "w")
    assert len(found.names) == count
    assert found.classes == (("cats", "dogs") if split == "train" else ())
    assert f"{4 - count} files of" in found.notes[0]


def test_a_split_that_is_not_there_is_an_error() -> None:
    for names in (A, A + B, [f"train/{name}" for name in A]):
        with pytest.raises(DataError, match="has no test split"):
            layout(names, "test", "w")
    assert layout([f"train/{name}" for name in A], "train", "w").names


def test_order_is_by_folder_then_name() -> None:
    assert layout(["b.png", "a-1/x.png", "a/z.png", "a/y.png"], "train", "w").names == (
        *("a/y.png", "a/z.png", "a-1/x.png", "b.png"),
    )
