"""Pupils and readers: what each would be pleased with, and what not; the measures that are made of them."""

import pytest
import torch

from tests.judged import bars
from zerosum.evaluation import evaluate
from zerosum.metrics import reading
from zerosum.metrics.labelled import read_right, taught
from zerosum.metrics.sides import Side, of_images

NAMES = ("down", "across")


@pytest.fixture(autouse=True)
def _one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def side(name: str, count: int, seed: int, wrong: int = 0) -> Side:
    """Bars, the first `wrong` of which are asked for as the other class."""
    images, labels = bars(count, seed)
    labels = labels.clone()
    labels[:wrong] = 1 - labels[:wrong]
    return of_images(name, images, labels, NAMES)


def accuracy(read, images, labels) -> float:
    return float(read_right(read, images, labels).double().mean())


def test_a_pupil_of_one_picture_a_class_fails_where_the_reader_is_pleased():
    exam = bars(400, seed=1)
    reader = taught(*bars(400, seed=0), 2, steps=60)
    assert accuracy(reader, *exam) > 0.97
    picture, label = bars(2, seed=3)
    lessons = picture.repeat(200, 1, 1, 1), label.repeat(200)
    assert accuracy(reader, *lessons) == 1
    pupil = taught(*lessons, 2, steps=60)
    assert accuracy(pupil, *lessons) == 1
    assert accuracy(pupil, *exam) < 0.9


def test_lessons_are_seeded_and_leave_the_callers_numbers():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, other, third = (taught(*bars(40, 0), 2, steps=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one[0].weight, other[0].weight)
    assert not torch.equal(one[0].weight, third[0].weight)


def test_conditional_accuracy_by_a_taught_reader(monkeypatch):
    monkeypatch.setattr(reading, "LESSONS", 20)
    real, fake, held = side("real", 1000, 0), side("fake", 200, 1, wrong=50), side("held", 200, 2)
    found = evaluate(real, fake, ["conditional-accuracy"], "pixels", train=real, held=held)
    assert found["reader on held-out images"] > 0.95
    assert found["conditional-accuracy"] == pytest.approx(0.75, abs=0.04)
    low, high = found["intervals"]["conditional-accuracy"]
    assert low < found["conditional-accuracy"] < high < 0.85
    assert {"conditional-accuracy of down", "conditional-accuracy of across"} < set(found)
    assert found["card"]["taken"] == {"conditional-accuracy": "read by a small net taught on 1,000 reals"}


def test_the_accuracy_score_sees_what_samples_lack(monkeypatch):
    monkeypatch.setattr(reading, "LESSONS", 60)
    real, held = side("real", 400, 0), side("held", 300, 2)
    picture, label = bars(2, seed=3)
    collapsed = of_images("one", picture.repeat(200, 1, 1, 1), label.repeat(200), NAMES)
    found = evaluate(real, collapsed, ["cas"], "pixels", train=real, held=held)
    assert found["cas of reals"] > 0.97
    assert found["cas"] < 0.9
    assert found["intervals"]["cas"][1] < found["intervals"]["cas of reals"][0]


def test_what_cannot_be_read_is_said():
    real, fake = side("real", 40, 0), side("fake", 40, 1)
    plain = of_images("plain", bars(40, 1)[0])
    others = of_images("others", *bars(40, 1), ("a", "b"))
    for measure, sides, extra, says in (
        ("conditional-accuracy", (real, plain), {}, "needs the classes of plain"),
        ("cas", (real, fake), {}, "give --held"),
        (
            "cas",
            (real, fake),
            {"train": real, "held": others},
            "the classes a, b, not down, across",
        ),
    ):
        with pytest.raises(ValueError, match=says):
            evaluate(*sides, [measure], "pixels", **extra)
    with pytest.raises(ValueError, match="labels from 0 to 1, and there are 1 classes"):
        taught(*bars(4, 0), 1, steps=1)
    with pytest.raises(ValueError, match="4 images and 3 labels"):
        taught(bars(4, 0)[0], bars(3, 0)[1], 2, steps=1)


def test_a_classifier_of_other_classes_is_refused(shared_data, monkeypatch):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    with pytest.raises(ValueError, match=r"lenet tells 0, 1, 2, .*, and samples are of down, across"):
        evaluate(side("real", 10, 0), side("fake", 10, 1), ["conditional-accuracy"], "lenet")
