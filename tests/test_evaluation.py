"""Measures with their cards: of runs, of folders, and refusals that say what to do."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import small
from zerosum.cli import main
from zerosum.evaluation import evaluate, for_people
from zerosum.metrics.extractors import extractor
from zerosum.metrics.frechet import Moments, frechet_distance
from zerosum.metrics.measures import MEASURES
from zerosum.metrics.prdc import prdc
from zerosum.metrics.sides import Side, features_of, of_dataset, of_images


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))


def side(name: str, seed: int, count: int = 60, shift: float = 0.0) -> Side:
    draw = torch.Generator().manual_seed(seed)
    return of_images(name, (0.4 * torch.randn(count, 1, 16, 16, generator=draw) + shift).clamp(-1, 1))


def test_numbers_are_those_of_the_measures_and_the_card_says_how():
    real, fake = side("real", 1), side("fake", 2, shift=0.2)
    found = evaluate(real, fake, ["fd", "kid", "prdc", "swd", "ms-ssim"], "random:size=6,side=8")
    judge = extractor("random:size=6,side=8")
    features = [judge.features(s.all()) for s in (real, fake)]
    assert found["fd"] == pytest.approx(frechet_distance(*map(Moments.of, features)), rel=1e-6)
    assert found["precision"] == prdc(*features).precision
    assert found["recall"] == prdc(*features).recall
    for name in ("fd", "kid", "swd", "precision"):
        low, high = found["intervals"][name]
        assert low <= found[name] <= high
    card = found["card"]
    assert (card["real"]["count"], card["fake"]["count"], card["seed"]) == (60, 60, 0)
    assert card["extractor"] == "random"
    assert {"side", "resize", "rounding", "dtype", "zerosum", "torch"} <= set(card)
    assert json.loads(json.dumps(found)) == found
    assert evaluate(real, fake, ["fd"], judge) == evaluate(real, fake, ["fd"], judge)
    assert "60 real, 60 fake; random on 8x8" in for_people(found)


def test_real_against_real_is_the_floor_and_a_collapsed_side_has_little_recall():
    real, other = side("real", 1, 300), side("other", 2, 300)
    one = of_images("one", other.all()[:3].repeat(100, 1, 1, 1))
    judge = "random:size=4,side=8"
    floor, collapsed = (evaluate(real, fake, ["fd", "prdc"], judge) for fake in (other, one))
    assert floor["fd"] < 0.2 * collapsed["fd"]
    assert floor["recall"] > 0.7
    assert collapsed["recall"] < 0.1


def test_features_are_kept_by_content():
    real, judge = side("real", 1), extractor("pixels:side=4")
    first = features_of(real, judge)
    calls = []
    counting = Side(real.name, real.count, lambda a, b: calls.append(a) or real.images(a, b), key=real.key)
    assert torch.equal(features_of(counting, judge), first)
    assert not calls, "found in the cache"
    features_of(counting, extractor("pixels:side=8"))
    assert calls, "another extractor is another entry"
    changed = of_images("real", real.all() * 0.5)
    assert not torch.equal(features_of(changed, judge), first)


def test_choosing_some_of_a_data_set_depends_on_the_seed_alone():
    dataset = small.images(50)
    some = of_dataset(dataset, 10, seed=3)
    assert torch.equal(some.all(), of_dataset(dataset, 10, seed=3).all())
    assert not torch.equal(some.all(), of_dataset(dataset, 10, seed=4).all())
    assert some.labels is not None
    everything = of_dataset(dataset).all()
    assert torch.equal(everything[some.labels], some.all())


def test_memorisation_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    random = np.random.default_rng(0)
    train, held, fresh = random.integers(0, 256, (3, 60, 12, 12), dtype=np.uint8)
    copies = np.concatenate([train[:30, :, ::-1], fresh[:30]])
    for name, images in (("train", train), ("held", held), ("copies", copies)):
        np.save(tmp_path / f"{name}.npy", images)
    words = ["evaluate", str(tmp_path / "train.npy"), str(tmp_path / "copies.npy")]
    words += ["--held", str(tmp_path / "held.npy"), "--measures", "memorisation", "--extractor", "pixels"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["memorisation p-value"] < 1e-6
    assert found["suspected copies"] == pytest.approx(0.5)
    assert found["card"]["held out"]["count"] == 60


def test_a_run_is_judged_against_its_own_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data, run = small.npy(tmp_path / "data.npy", 40), tmp_path / "run"
    words = ["train", "dcgan", "--data", str(data), "--out", str(run), "--images", "16"]
    for code in ([*words, "--batch", "8", "--width", "2", "--latent", "4"], ["evaluate", str(run), "--json"]):
        extra = (
            ["--extractor", "pixels", "--measures", "fd,swd", "--count", "30"]
            if code[0] == "evaluate"
            else []
        )
        with pytest.raises(SystemExit) as ended:
            main(code + extra)
        assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["card"]["fake"]["run"] == str(run)
    assert found["card"]["real"] == {
        "count": 30,
        "data": "data",
        "fingerprint": found["card"]["real"]["fingerprint"],
        "of": 40,
        "chosen by seed": 0,
    }
    assert any("30 images for 256 features" in warning for warning in found["warnings"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.npy"], "is no run: give two sets of images, the real ones first"),
        (["a.npy", "b.npy", "--extractor", "pixels"], "images of (1, 16, 16), "),
        (["a.npy", "a.npy", "--measures", "fdd", "--extractor", "pixels"], "did you mean 'fd'"),
        (["a.npy", "a.npy", "--measures", "memorisation", "--extractor", "pixels"], "--held"),
        (["a.npy", "a.npy", "--measures", "is", "--extractor", "pixels"], "tells no classes"),
        (["a.npy", "one.npy", "--measures", "fd", "--extractor", "pixels"], "at least 2 samples, not 1"),
        (["a.npy", "a.npy", "--count", "0"], "--count must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    small.npy(Path("a.npy"))
    small.npy(Path("b.npy"), side=12)
    np.save("one.npy", np.zeros((1, 16, 16), np.uint8))
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *words])
    assert ended.value.code == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("zerosum: ")
    assert says in error


def test_every_measure_is_named_in_the_help(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in MEASURES)
