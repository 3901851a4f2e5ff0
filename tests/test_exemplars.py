"""Which samples stand for a concept: by number, from files, by a classifier; nearest training images."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests import small
from zerosum.draws import Latent
from zerosum.exemplars import nearest_training, numbers_in, pick
from zerosum.metrics.extractors import Extractor
from zerosum.rundir import DataFacts, Record, TrainingOptions
from zerosum.trained import Trained


def test_numbers_are_read_from_text_and_file(tmp_path: Path):
    assert numbers_in("3", "--plus") == (3,)
    assert numbers_in(" 3,8 , 21", "--plus") == (3, 8, 21)
    path = tmp_path / "smiling-woman.txt"
    path.write_text("# smiling\n\n12\n  7 # the left one\n100\n")
    assert numbers_in(str(path), "--plus") == (12, 7, 100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "names no sample"),
        ("# none\n", "names no sample"),
        ("3\nfour\n", "line 2: 'four' is no sample number"),
        ("3\n-4\n", "line 2: '-4' is no sample number"),
        ("3\n8\n3\n", "line 3: sample 3 is there already"),
        ("3.5\n", "line 1: '3.5' is no sample number"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, content: str, message: str):
    path = tmp_path / "some.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"--minus {path}.*{message}"):
        numbers_in(str(path), "--minus")


@pytest.mark.parametrize("text", ["3,,8", "-3", "3,8,3"])
def test_a_list_that_holds_something_else_is_refused(text: str):
    with pytest.raises(ValueError, match=f"--plus {text}"):
        numbers_in(text, "--plus")


class Brightness(nn.Module):
    """Latents [n, 2] as flat 8×8 images of their first number; classes, if told, do not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.4))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.scale * z[:, :1, None, None]).expand(-1, 1, 8, 8)


def trained(classes: tuple[str, ...] = (), told: bool = False) -> Trained:
    made = small.system()
    data = DataFacts("nowhere", labels="own" if told else None, classes=classes)
    record = Record("0", "dcgan", {}, data, TrainingOptions(1, 1), {})
    form = small.images().format
    return Trained(Brightness(), Latent(2), form, record, made, Path("run"), "average", 0)


def bright_or_dark(images: Tensor) -> Tensor:
    level = 3 * images.mean((1, 2, 3))
    return torch.stack([-level, level], 1)


JUDGE = Extractor("eye", 8, lambda x: x.flatten(1), bright_or_dark)


@pytest.mark.parametrize(
    ("classes", "name"), [((), "1"), (("dark", "bright"), "bright"), (("a", "b", "c"), "1")]
)
def test_a_classifier_picks_the_first_it_is_sure_of(classes: tuple[str, ...], name: str):
    found = pick(trained(classes), f"class:{name}", "--plus", count=4, seed=3, judge=JUDGE)
    sure = bright_or_dark(trained().sample(64, seed=3)).softmax(1)[:, 1] >= 0.9
    assert found.numbers == tuple(torch.nonzero(sure).flatten()[:4].tolist())
    assert found.label is None


def test_what_a_classifier_cannot_pick_is_refused():
    with pytest.raises(ValueError, match="unknown --plus class '2': There are 0, 1"):
        pick(trained(), "class:2", "--plus", judge=JUDGE)
    never = replace(JUDGE, classifier=lambda x: torch.tensor([[9.0, 0.0]]).expand(len(x), 2))
    with pytest.raises(
        ValueError, match=r"eye reads 0 of the first 4,096 samples of seed 5 .* and 3 are wanted"
    ):
        pick(trained(), "class:1", "--plus", seed=5, judge=never)
    with pytest.raises(ValueError, match="trained without labels"):
        pick(trained(), "class:1", "--plus")


def test_own_labels_name_every_kth_sample_and_one_class_at_a_time():
    told = trained(("cat", "dog", "eel"), told=True)
    assert pick(told, "class:dog", "--plus").numbers == (1, 4, 7)
    assert pick(told, "2,5", "--plus").label == 2
    assert pick(told, "0,1", "--plus", label="eel").label == 2
    with pytest.raises(
        ValueError, match=r"several classes \(0 is of cat, 1 is of dog\): choose one with --label"
    ):
        pick(told, "0,1", "--plus")
    with pytest.raises(ValueError, match="--label makes all samples of one class"):
        pick(told, "class:dog", "--plus", label="eel")


def test_the_nearest_training_image_is_found_though_moved_or_by_features():
    data = small.images(24, side=12)
    images = data.format.decode(data.format.tensor(data.samples))
    moved = images[[3, 17, 5]].roll(2, 3)
    assert nearest_training(moved, data).tolist() == [3, 17, 5]
    assert nearest_training(images[[4]].flip(3), data, mirror=True).tolist() == [4]
    pixels = Extractor("pixels", 12, lambda x: x.flatten(1))
    assert nearest_training(images[[9, 2]], data, pixels).tolist() == [9, 2]
