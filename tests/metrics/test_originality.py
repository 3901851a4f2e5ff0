"""Copies are found, however moved or mirrored; honest generators are left in peace."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import zerosum.metrics.originality as module
from zerosum.data import open_data
from zerosum.lab.memorisation import gaussian_per_class
from zerosum.metrics.originality import birthday_support, duplicates, nearest, originality


def slowly(image: Tensor, train: Tensor, moves: int) -> list[float]:
    """The distance to each training image over all views, by loops."""
    size = image.shape[1] - 2 * moves
    inner = train[:, :, moves : moves + size, moves : moves + size].double()
    found = []
    for other in inner:
        found.append(
            min(
                float((view[:, i : i + size, j : j + size].double() - other).square().sum().sqrt())
                for view in (image, image.flip(2))
                for i in range(2 * moves + 1)
                for j in range(2 * moves + 1)
            )
        )
    return found


@pytest.mark.parametrize("scores", [2**24, 500])
def test_nearest_equals_loops(monkeypatch, scores):
    monkeypatch.setattr(module, "_SCORES", scores)
    draw = torch.Generator().manual_seed(0)
    images, train = torch.rand(5, 2, 7, 7, generator=draw), torch.rand(11, 2, 7, 7, generator=draw)
    found = nearest(images, train, k=3, moves=1)
    for image, distances, indices in zip(images, *found, strict=True):
        expected = slowly(image, train, 1)
        order = sorted(range(11), key=lambda i: expected[i])[:3]
        assert indices.tolist() == order
        assert distances.tolist() == pytest.approx([expected[i] for i in order], rel=1e-5)


def digits(shared_data: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training digits, a pool of others for honest samples, held-out digits; labels of the first."""
    dataset = open_data(shared_data / "mnist.npz")
    assert dataset.labels is not None
    chosen = torch.randperm(60_000, generator=torch.Generator().manual_seed(1))[:6000]
    images = dataset.format.decode(dataset.format.tensor(dataset.samples[chosen.numpy()])).contiguous()
    return images[:1000], images[1000:4000], images[4000:], torch.from_numpy(dataset.labels[chosen.numpy()])


def planted(train: Tensor, pool: Tensor, seed: int, count: int = 200) -> Tensor:
    """Honest images, a tenth replaced by training ones: as they are, mirrored, moved by two pixels."""
    draw = torch.Generator().manual_seed(seed)
    copies = train[torch.randperm(len(train), generator=draw)[: count // 10]]
    kinds = (copies, copies.flip(3), copies.roll((2, -2), (2, 3)), copies.flip(3).roll((-2, 1), (2, 3)))
    which = torch.randint(4, (len(copies), 1, 1, 1), generator=draw)
    copies = sum((kind * (which == i) for i, kind in enumerate(kinds)), torch.zeros_like(copies))
    honest = pool[torch.randperm(len(pool), generator=draw)[: count - len(copies)]]
    return torch.cat([copies, honest])


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 10), marks=pytest.mark.slow)])
def test_a_planted_memoriser_is_found_in_ten_runs_of_ten_and_its_copies_named(shared_data: Path, seeds):
    train, pool, held, _ = digits(shared_data)
    for seed in seeds:
        draw = torch.Generator().manual_seed(100 + seed)
        others = held[torch.randperm(len(held), generator=draw)[:200]]
        found = originality(planted(train, pool, seed), train, others)
        assert found.p_value < 0.01
        assert set(range(20)) <= set(found.suspects.tolist())


@pytest.mark.slow
def test_an_honest_generator_is_accused_at_most_once_in_twenty(shared_data: Path):
    train, pool, held, labels = digits(shared_data)
    smooth = gaussian_per_class(train[:, 0], labels[:1000])
    accused = {"new digits": 0, "a normal law a class": 0}
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        others = held[torch.randperm(len(held), generator=draw)[:100]]
        fresh = pool[torch.randperm(len(pool), generator=draw)[:100]]
        for name, images in (("new digits", fresh), ("a normal law a class", smooth(100, draw)[:, None])):
            accused[name] += originality(images, train, others, moves=1).p_value < 0.01
    assert max(accused.values()) <= 1, accused


def test_the_tail_is_scipys():
    from scipy.stats import hypergeom

    for ours, theirs, drawn, mine in ((50, 70, 12, 9), (20, 20, 4, 0), (200, 200, 20, 20)):
        expected = float(hypergeom.sf(mine - 1, ours + theirs, ours, drawn))
        assert module._tail(ours, theirs, drawn, mine) == pytest.approx(expected, rel=1e-9)


def test_birthdays():
    """Coverage of the interval for 1,000 equally likely images, 80 samples at a time."""
    draw = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(300):
        values = torch.randint(1000, (80, 1), generator=draw).float()
        low, high = birthday_support(80, len(duplicates(values, 0.5)))
        held += low <= 1000 <= high
    assert held / 300 > 0.93
    assert birthday_support(80, 0)[1] == math.inf


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: nearest(x, x[:, :, :4]), "differ in shape"),
        (lambda x: nearest(x, x, k=31), "31 nearest of 30"),
        (lambda x: nearest(x, x, moves=4), "leave nothing"),
        (lambda x: originality(x[:5], x, x), "at least 20 samples and 20 held-out images, not 5 and 30"),
        (lambda x: birthday_support(1, 0), "needs 2 samples"),
    ],
)
def test_what_cannot_be_tested_is_said(call, says):
    with pytest.raises(ValueError, match=says):
        call(torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
