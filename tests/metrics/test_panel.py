"""The panel's neighbours are the nearest, and its picture is drawn; modes of channels read one by one."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.judged import judge, shades
from zerosum.cli import main
from zerosum.metrics.comparison import Comparison
from zerosum.metrics.modes import class_modes
from zerosum.metrics.panel import draw, neighbours
from zerosum.metrics.sides import of_images


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))


def sides(fakes: torch.Tensor, train: torch.Tensor) -> Comparison:
    reals = of_images("real", train)
    return Comparison(reals, of_images("fake", fakes), judge(), train=reals)


def test_a_copy_stands_first_at_no_distance(tmp_path):
    train = shades(50, 1)
    panel = neighbours(sides(train[[7, 33, 20]], train), rows=3, k=4)
    assert panel.numbers.tolist() == [0, 1, 2]
    assert panel.indices[:, 0].tolist() == [7, 33, 20]
    assert panel.distances[:, 0].tolist() == [0, 0, 0]
    assert (panel.distances.diff(dim=1) >= 0).all()
    features = judge().features(train).double()
    assert panel.distances[1].tolist() == pytest.approx(
        (features - features[33]).norm(dim=1).sort().values[:4].tolist()
    )
    assert torch.equal(panel.nearest[0, 0], panel.samples[0])
    draw(panel, tmp_path / "panel.png", "three")
    with Image.open(tmp_path / "panel.png") as picture:
        assert picture.width > 400
        assert len(set(picture.convert("L").tobytes())) > 50
    with pytest.raises(ValueError, match=r"panel\.gif: name it panel\.png or"):
        draw(panel, tmp_path / "panel.gif", "three")


def test_too_few_to_be_near():
    with pytest.raises(ValueError, match="shows the 6 nearest of all training images"):
        neighbours(sides(shades(4, 1), shades(4, 2)))


def test_a_panel_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("real", 1), ("fake", 2)):
        np.save(f"{name}.npy", ((shades(30, seed)[:, 0] + 1) * 127.5).round().byte().numpy())
    words = ["--measures", "swd", "--extractor", "pixels", "--panel", "near.png", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "real.npy", "fake.npy", *words])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["card"]["extractor"] == "pixels"
    assert Path("near.png").stat().st_size > 10_000


def spelt(numbers: list[int], parts: int = 1) -> torch.Tensor:
    """Logits [N, C, 10] that are sure of the digits of these numbers."""
    digits = torch.tensor([[int(d) for d in f"{number:0{parts}}"] for number in numbers])
    return 20 * torch.nn.functional.one_hot(digits, 10).double()


def test_classes_are_counted_and_compared_with_the_reals():
    real, fake = spelt([*range(10)] * 10), spelt([1] * 30 + [2] * 10)
    found = class_modes(real, fake)
    assert (found.hit, found.classes) == (2, 10)
    assert found.share_sure == 1
    assert found.kl == pytest.approx(0.75 * math.log(7.5) + 0.25 * math.log(2.5), abs=1e-9)
    uneven = class_modes(spelt([1] * 90 + [2] * 10), spelt([1] * 10 + [2] * 90))
    r = [(90.5 / 105), (10.5 / 105)]
    assert uneven.kl == pytest.approx(0.1 * math.log(0.1 / r[0]) + 0.9 * math.log(0.9 / r[1]))


def test_parts_spell_a_number_and_one_unsure_part_makes_it_unsure():
    real, fake = spelt([*range(1000)], 3), spelt([123, 321, 123], 3)
    assert class_modes(real, fake)[:2] == (2, 1.0)
    fake[0, 1] = 0.0
    assert class_modes(real, fake).share_sure == pytest.approx(2 / 3)


def test_stacked_digits_are_read_channel_by_channel(shared_data, monkeypatch, capsys):
    monkeypatch.setenv("ZEROSUM_DATA", str(shared_data))
    words = ["evaluate", "stacked-mnist:test", "stacked-mnist:test", "--measures", "modes"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--extractor", "lenet", "--count", "300", "--json"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    expected = 1000 * (1 - math.exp(-0.3))
    assert found["modes"] == pytest.approx(expected, abs=5 * math.sqrt(expected * 0.26))
    assert found["share read with confidence"] > 0.85


@pytest.mark.parametrize(
    ("real", "fake", "says"),
    [
        (torch.zeros(3, 10), torch.zeros(3, 9), "logits of as many classes"),
        (torch.zeros(3, 10), torch.full((3, 10), torch.nan), "not finite"),
        (torch.zeros(3, 7, 10), torch.zeros(3, 7, 10), "7 parts of 10 classes spell 10,000,000"),
    ],
)
def test_logits_that_cannot_be_counted(real, fake, says):
    with pytest.raises(ValueError, match=says):
        class_modes(real, fake)
