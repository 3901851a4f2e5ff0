"""Labels through a run: who is told them, samples by class, and classes that are not those of the nets."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests import told
from tests.pages import Page
from tests.running import console, events, same, stop_at, work_alone
from zerosum import recorder, runs
from zerosum.data import DataError, Resident, open_data
from zerosum.draws import Draws, mix
from zerosum.report import write_report
from zerosum.rundir import DataOptions, RunDirectory, RunError
from zerosum.trained import Trained, generate, load
from zerosum.training.checkpoint import CheckpointError

__all__ = ["work_alone"]  # a fixture


@pytest.fixture(name="photos")
def labelled_photos(tmp_path: Path) -> Path:
    return told.photos(tmp_path / "photos")


def start(
    out: Path, data: Path | str, recipe: str = "told", said: io.StringIO | None = None, **changes: Any
) -> int:
    options = DataOptions(str(data), labels=changes.pop("labels", None))
    settings = {"every": 80, "precision": "fp32", "recipes": told.RECIPES, **changes}
    return runs.start(recipe, options, out, console(said), **settings)


def resume(out: Path, said: io.StringIO | None = None, **changes: Any) -> int:
    return runs.resume(out, console(said), recipes=told.RECIPES, **changes)


def loaded(out: Path) -> Trained:
    return load(out, recipes=list(told.RECIPES.values()))


def written(path: Path, labels: list[Any]) -> str:
    path.write_text("\n".join(map(str, labels)))
    return str(path)


# --- who is told labels -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "labels", "classes"),
    [("told", None, 3), ("told", "own", 3), ("told", "file", 2), ("perhaps", None, 0), ("perhaps", "own", 3)],
)
def test_a_recipe_takes_the_labels_it_needs_and_those_it_is_given(
    tmp_path: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    labels: str | None,
    classes: int,
) -> None:
    given = written(tmp_path / "l.txt", [0, 1] * 12) if labels == "file" else labels
    stop_at(monkeypatch, 1)
    start(tmp_path / "run", photos, recipe, labels=given)
    record = RunDirectory(tmp_path / "run").record()
    assert len(record.classes) == classes
    assert record.data.labels == ("own" if (recipe, labels) == ("told", None) else given)
    assert len(loaded(tmp_path / "run").classes) == classes
    assert loaded(tmp_path / "run").system.classes == classes
    monkeypatch.setattr(runs, "Recorder", recorder.Recorder)
    assert resume(tmp_path / "run") == 0
    assert len(RunDirectory(tmp_path / "run").record().classes) == classes


def test_labels_that_are_missing_or_of_no_use_are_named_before_anything_is_written(
    tmp_path: Path, photos: Path
) -> None:
    np.save(tmp_path / "plain.npy", np.zeros((9, 16, 16), np.uint8))
    out = tmp_path / "run"
    with pytest.raises(ValueError, match="recipe told makes samples by class, and the data have no labels"):
        start(out, tmp_path / "plain.npy")
    with pytest.raises(DataError, match=r"plain\.npy: --labels own, and the data have none"):
        start(out, tmp_path / "plain.npy", "perhaps", labels="own")
    with pytest.raises(DataError, match=r"l\.txt: 2 labels for 24 samples"):
        start(out, photos, labels=written(tmp_path / "l.txt", [0, 1]))
    with pytest.raises(ValueError, match="recipe dcgan takes no labels: leave --labels out"):
        runs.start("dcgan", DataOptions(str(photos), labels="own"), out, console())
    assert not out.exists()


def test_a_class_without_a_sample_is_noted_and_is_a_class_all_the_same(tmp_path: Path, photos: Path) -> None:
    for path in (photos / "dog").iterdir():
        path.write_bytes(b"")
    said = io.StringIO()
    assert start(tmp_path / "run", photos, said=said) == 0
    assert "class dog: no usable image" in said.getvalue()
    assert loaded(tmp_path / "run").sample(6, label="dog").shape == (6, 1, 8, 8)


def test_a_run_of_before_there_were_labels_still_loads_and_resumes(tmp_path: Path, photos: Path) -> None:
    start(tmp_path / "run", photos, "perhaps")
    plain = json.loads((tmp_path / "run" / "recipe.json").read_text())
    del plain["data"]["labels"]
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(plain))
    assert loaded(tmp_path / "run").classes == ()
    assert resume(tmp_path / "run", images=240) == 0


def test_a_stopped_conditional_run_is_the_one_that_was_not(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = written(tmp_path / "l.csv", [*"pqr"] * 8)
    start(tmp_path / "whole", photos, labels=labels)
    for step in (3, 7):
        stop_at(monkeypatch, step)
        if step == 3:
            start(tmp_path / "part", photos, labels=labels)
        else:
            resume(tmp_path / "part")
    monkeypatch.setattr(runs, "Recorder", recorder.Recorder)
    assert resume(tmp_path / "part") == 0
    for name in ("whole", "part"):
        for path in RunDirectory(tmp_path / name).numbered()[2:]:
            path.unlink()
    same(tmp_path / "whole", tmp_path / "part")
    assert events(tmp_path / "part")[-1] == "finished"


# --- samples by class -------------------------------------------------------------------------------


def test_sample_i_keeps_its_latent_and_class_whatever_the_count_and_the_others(
    tmp_path: Path, photos: Path
) -> None:
    start(tmp_path / "run", photos)
    trained = loaded(tmp_path / "run")
    many = trained.sample(300, seed=7)
    # Products of few rows may sum in another order than those of many.
    assert torch.allclose(many[:5], trained.sample(5, seed=7), atol=1e-6)
    direct = generate(trained.generator, trained.latent, Draws(7, stop=300), torch.arange(300) % 3)
    assert torch.equal(many, direct)
    for label in (1, "1", "dog", ["dog"], (1, 1)):
        dogs = trained.sample(300, seed=7, label=label)
        assert torch.equal(dogs[1::3], many[1::3])
        assert not torch.equal(dogs[0], many[0])
    both = trained.sample(4, seed=7, label=["eel", "cat"])
    assert torch.allclose(both[:1], trained.sample(1, 7, "eel"), atol=1e-6)
    assert torch.equal(both[3], trained.sample(4, 7, "cat")[3])
    cut = trained.sample(3, truncation=0.0)
    assert torch.equal(cut, trained.sample(3, 9, truncation=0.0))
    for label in ("cow", 3, -1, "-1", ""):
        with pytest.raises(ValueError, match=r"unknown --label '.*There are cat, dog, eel"):
            trained.sample(1, label=label)
    with pytest.raises(ValueError, match="--truncation must be at least 0"):
        trained.sample(1, truncation=-0.5)


def test_a_class_named_by_a_number_goes_by_its_name(tmp_path: Path) -> None:
    start(tmp_path / "run", told.photos(tmp_path / "photos", ("1", "0", "5")))
    trained = loaded(tmp_path / "run")
    assert trained.classes == ("0", "1", "5")
    trained = loaded(tmp_path / "run")
    assert trained.numbers(["5", "1", "2"]) == (2, 1, 2)  # "2" names none, so it is a number
    assert trained.numbers([2, 0]) == (2, 0)


def test_an_unconditional_run_has_no_label_to_choose(tmp_path: Path, photos: Path) -> None:
    start(tmp_path / "run", photos, "perhaps")
    trained = loaded(tmp_path / "run")
    with pytest.raises(ValueError, match="run: trained without labels, so --label has no class to choose"):
        trained.sample(1, label=0)
    assert torch.equal(trained.sample(2), generate(trained.generator, trained.latent, Draws(stop=2)))


def test_the_grid_has_a_row_a_class_of_the_same_latents_and_the_page_names_them(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Draws, Tensor | None]] = []

    def watched(module: Any, latent: Any, draws: Draws, labels: Tensor | None = None) -> Tensor:
        asked.append((draws, labels))
        return generate(module, latent, draws, labels)

    monkeypatch.setattr(recorder, "generate", watched)
    start(tmp_path / "run", photos)
    assert len(asked) == 4  # at each of two intervals the fakes to score and those to show
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in zip(asked[:2], asked[2:], strict=True))  # type: ignore[arg-type]
    reals = Resident(open_data(photos), seed=0)(0, torch.arange(24))["labels"]
    assert torch.equal(asked[0][1], reals)  # type: ignore[arg-type]  # fakes are scored by the reals' classes
    assert not torch.equal(reals, torch.arange(24) % 3)
    trained = loaded(tmp_path / "run")
    seed = mix(0, "grid")
    tiles = trained.format.encode(
        generate(trained.generator, trained.latent, Draws(seed, stop=24), torch.arange(24) % 3)
    )
    with Image.open(tmp_path / "run" / "samples" / "000000000160.png") as opened:
        picture = np.asarray(opened)
    assert picture.shape == (3 * 10 + 2, 8 * 10 + 2)
    for index in range(24):
        top, left = 2 + 10 * (index % 3), 2 + 10 * (index // 3)
        np.testing.assert_array_equal(picture[top : top + 8, left : left + 8], tiles[index, ..., 0])
    page = Page(write_report(tmp_path / "run").read_text())
    assert "Each row is of one class, from the top: cat, dog, eel." in page.text
    assert "--labels own" in page.text


def test_of_very_many_classes_a_grid_shows_the_first_and_says_so(tmp_path: Path, photos: Path) -> None:
    said = io.StringIO()
    labels = written(tmp_path / "l.txt", [*range(23), 39])
    start(tmp_path / "run", photos, said=said, labels=labels)
    assert "grids show the first 32 of 40 classes" in said.getvalue()
    with Image.open(tmp_path / "run" / "samples" / "000000000160.png") as opened:
        assert opened.size == (8 * 10 + 2, 32 * 10 + 2)
    page = Page(write_report(tmp_path / "run").read_text())
    assert "30, 31; the other 8 classes are not shown." in page.text
    assert loaded(tmp_path / "run").sample(80)[79].equal(loaded(tmp_path / "run").sample(80, label=39)[79])


# --- classes that are not those of the nets ---------------------------------------------------------


def test_other_classes_are_refused_on_resume_also_where_it_is_forced(tmp_path: Path, photos: Path) -> None:
    start(tmp_path / "run", photos)
    more = told.photos(tmp_path / "more", ("ape", "cat", "dog", "eel"))
    for force in (False, True):
        with pytest.raises(RunError, match=r"3 classes \(cat, dog, eel\), and its data now have 4 .*new run"):
            resume(tmp_path / "run", images=240, data=str(more), force=force)
    np.save(tmp_path / "plain.npy", np.zeros((9, 8, 9), np.uint8))
    with pytest.raises(DataError, match="--labels own, and the data have none"):
        resume(tmp_path / "run", images=240, data=str(tmp_path / "plain.npy"), force=True)
    (photos / "dog").rename(photos / "dog2")  # the same numbers, another name
    with pytest.raises(
        RunError, match=r"its classes were 3 .*dog, .*and are 3 classes \(cat, dog2, eel\).*--force"
    ):
        resume(tmp_path / "run", images=240)
    assert resume(tmp_path / "run", images=240, force=True) == 0
    assert loaded(tmp_path / "run").classes == ("cat", "dog2", "eel")


def test_changed_or_moved_labels_are_seen_on_resume(tmp_path: Path, photos: Path) -> None:
    labels = written(tmp_path / "l.txt", [0, 1] * 12)
    start(tmp_path / "run", photos, labels=labels)
    written(tmp_path / "l.txt", [1, 0] * 12)
    with pytest.raises(RunError, match="its data changed"):
        resume(tmp_path / "run", images=240)
    (tmp_path / "l.txt").unlink()
    with pytest.raises(DataError, match=r"l\.txt: no such file"):
        resume(tmp_path / "run", images=240)
    moved = written(tmp_path / "moved.txt", [0, 1] * 12)
    assert resume(tmp_path / "run", images=240, labels=moved) == 0
    assert RunDirectory(tmp_path / "run").record().data.labels == moved
    start(tmp_path / "plain", photos, "perhaps")
    with pytest.raises(RunError, match="is told no labels, and goes on without: leave --labels out"):
        resume(tmp_path / "plain", images=240, labels=moved)


def test_init_from_wants_as_many_classes_and_tells_other_names(tmp_path: Path, photos: Path) -> None:
    start(tmp_path / "old", photos)
    said = io.StringIO()
    others = told.photos(tmp_path / "others", ("ant", "bee", "fly"))
    assert start(tmp_path / "new", others, said=said, init_from=tmp_path / "old") == 0
    assert "the classes were 3 classes (cat, dog, eel), and are 3 classes (ant, bee, fly)" in said.getvalue()
    more = told.photos(tmp_path / "more", ("ant", "bee", "cow", "fly"))
    with pytest.raises(
        RunError, match=r"its nets are for 3 .* and the data have 4 classes \(ant, bee, cow, fly\)"
    ):
        start(tmp_path / "more-run", more, init_from=tmp_path / "old")
    with pytest.raises((RunError, CheckpointError), match=r"its nets are for 3 .* have no classes"):
        start(tmp_path / "plain", photos, "perhaps", init_from=tmp_path / "old")
    assert not (tmp_path / "more-run").exists()
