"""What benchmarks/latent.py counts as success, on a generator whose latent space is known."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks import latent as benchmark
from tests import small
from zerosum.draws import Latent
from zerosum.latent import l2
from zerosum.metrics.extractors import Extractor
from zerosum.rundir import DataFacts, Record, TrainingOptions
from zerosum.trained import Trained

CLASSES = 3


class Known(nn.Module):
    """z [B, 4]: the largest of three is the class, its pixel white; the fourth is the ink elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor) -> Tensor:
        images = torch.full((len(z), 1, 8, 8), -1.0)
        images[:, 0, 0, :CLASSES] = torch.tanh(z[:, :CLASSES] * self.one)
        images[:, 0, 4:] = torch.tanh(z[:, 3, None, None])
        return images


def read(images: Tensor) -> Tensor:
    return 8 * images[:, 0, 0, :CLASSES]


def known(generator: nn.Module | None = None) -> Trained:
    record = Record("0", "dcgan", {}, DataFacts("nowhere"), TrainingOptions(1, 1), {})
    form = small.images().format
    made = generator or Known()
    return Trained(made, Latent(4), form, record, small.system(), Path("run"), "average", 0)


def test_arithmetic_succeeds_in_a_linear_space_and_random_triples_by_chance():
    found = benchmark.arithmetic_scores(known(), read, benchmark.ink, pool=600, each=20)
    rates = {name: each["both"][0] for name, each in found.items()}
    assert rates["three"] > rates["one"] > rates["random"]
    assert found["random"]["class"][0] == pytest.approx(1 / 3, abs=0.12)
    assert rates["still"] < 0.1
    for each in found.values():
        for value, low, high in each.values():
            assert low <= value <= high


def test_a_generator_without_the_attribute_gains_nothing():
    class Flat(Known):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(torch.cat([z[:, :3], torch.zeros(len(z), 1)], 1))

    found = benchmark.arithmetic_scores(
        known(Flat()), read, lambda x: x[:, 0, 4:].mean((1, 2)), pool=600, each=5
    )
    assert found["three"]["attribute"] == [0, 0, 0]
    with pytest.raises(ValueError, match="of 20 samples are read as 0: give a larger --pool"):
        benchmark.arithmetic_scores(known(), read, benchmark.ink, pool=20)


def test_walks_are_told_smooth_or_not_and_even_ones_are_smoother():
    class Jumps(Known):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(torch.tanh(30 * z))

    smooth, jumps = (
        benchmark.walk_scores(known(net), {"l2": l2}, count=60)["l2"] for net in (Known(), Jumps())
    )
    assert smooth["largest over mean"][0] < 3 < jumps["largest over mean"][0]
    assert smooth["at most 3"][0] > jumps["at most 3"][0]
    even = benchmark.walk_scores(known(Jumps()), {"l2": l2}, count=60, even=l2)["l2"]
    assert even["largest over mean"][0] < jumps["largest over mean"][0]
    assert smooth["ends over random pair"][0] == pytest.approx(1, abs=0.25)


def test_slant_is_the_slope_of_the_strokes():
    upright = torch.full((1, 1, 9, 9), -1.0)
    upright[..., 4] = 1
    right = 2 * torch.eye(9).flip(0)[None, None] - 1
    assert benchmark.slant(torch.cat([upright, right, right.flip(3)])).tolist() == pytest.approx([0, 1, -1])


def test_intervals_hold_the_value_and_shrink():
    draw = torch.Generator().manual_seed(0)
    few, many = (torch.rand(n, generator=draw) for n in (20, 2000))
    widths = []
    for values in (few, many):
        value, low, high = benchmark.interval(values, lambda x: x.mean(-1))
        assert low < value < high
        widths.append(high - low)
    assert widths[1] < 0.2 * widths[0]
    assert widths[0] == pytest.approx(2 * 1.96 * float(few.std()) / 20**0.5, rel=0.2)


def test_it_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(benchmark, "load", lambda run: known())
    monkeypatch.setattr(benchmark, "lpips", lambda: l2)
    benchmark.main(["walks", "run", "--count", "3", "--steps", "4", "--even", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == ["lpips", "l2"]
    judge = Extractor("eye", 8, read, read)
    monkeypatch.setattr(benchmark, "extractor", lambda text: judge)
    benchmark.main(["arithmetic", "run", "--pool", "300", "--each", "2"])
    assert "thick, three        both" in capsys.readouterr().out
