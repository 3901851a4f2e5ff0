import subprocess
import sys

import numpy as np
import pytest
import torch

from zerosum.data import Check, Dataset, Format, Resident
from zerosum.data.source import coins
from zerosum.draws import mix


def numbered(count: int, dtype: str = "uint8", labels: bool = True) -> Dataset:
    """Images whose top left pixel is their number, with a mark to tell left from right."""
    samples = np.zeros((count, 8, 8, 1), dtype)
    samples[:, :, 0, 0] = np.arange(count)[:, None]
    return Dataset(
        "numbered",
        Format((1, 8, 8), dtype, 0, 255),  # type: ignore[arg-type]
        samples,
        np.arange(count) if labels else None,
        tuple(map(str, range(count))) if labels else (),
        "",
        Check(count, count),
    )


def test_an_epoch_shows_each_sample_once_and_epochs_differ() -> None:
    source = Resident(numbered(50), seed=3)
    first, second = (source(cursor, torch.arange(50))["labels"] for cursor in (0, 50))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()
    assert first.tolist() != Resident(numbered(50), seed=4)(0, torch.arange(50))["labels"].tolist()


def test_images_go_with_their_labels() -> None:
    batch = Resident(numbered(50))(7, torch.arange(20))
    shown = ((batch["real"][:, 0, 0, 0] + 1) * 127.5).round().long()
    assert torch.equal(shown, batch["labels"])


def test_batches_straddle_epochs() -> None:
    source = Resident(numbered(10), seed=1)
    whole = torch.cat([source(at, torch.arange(5))["labels"] for at in range(0, 40, 5)])
    assert torch.equal(source(0, torch.arange(40))["labels"], whole)
    assert torch.equal(source(7, torch.arange(29))["labels"], whole[7:36])


def test_processes_and_resumption_see_what_one_run_sees() -> None:
    one, other = Resident(numbered(30), seed=5, flip=True), Resident(numbered(30), seed=5, flip=True)
    for cursor in (0, 64, 1 << 40):
        ids = torch.arange(16)
        whole = one(cursor, ids)["real"]
        assert torch.equal(whole, torch.cat([other(cursor, ids[:8])["real"], other(cursor, ids[8:])["real"]]))
        assert torch.equal(whole[3:5], other(cursor + 3, torch.arange(2))["real"])
        assert torch.equal(whole.flip(0), other(cursor, ids.flip(0))["real"])


def test_flips_mirror_about_half_and_do_not_depend_on_the_batch() -> None:
    plain, source = Resident(numbered(200), seed=2), Resident(numbered(200), seed=2, flip=True)
    ids = torch.arange(200)
    straight, flipped = plain(0, ids)["real"], source(0, ids)["real"]
    mirrored = torch.tensor([not torch.equal(a, b) for a, b in zip(straight, flipped, strict=True)])
    assert 60 < int(mirrored.sum()) < 140
    assert torch.equal(flipped[mirrored], straight[mirrored].flip(3))
    one_by_one = torch.cat([source(0, ids[i : i + 1])["real"] for i in range(200)])
    assert torch.equal(flipped, one_by_one)
    later = source(200, ids)["real"]
    assert not torch.equal(later[:, 0, 0, 0] == -1, flipped[:, 0, 0, 0] == -1), "each epoch has its own flips"


def test_coins_are_fair_and_uncorrelated() -> None:
    drawn = coins(0, np.arange(100_000)).astype(float)
    assert abs(drawn.mean() - 0.5) < 3 * 0.5 / 100_000**0.5
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.01
    assert abs(np.corrcoef(drawn, coins(1, np.arange(100_000)).astype(float))[0, 1]) < 0.01


def test_another_process_draws_the_same() -> None:
    code = (
        "import numpy as np; from zerosum.data.source import coins;"
        "from zerosum.draws import mix; import torch;"
        "g = torch.Generator().manual_seed(mix(7, 'epoch', 2));"
        "print(coins(7, np.arange(40)).astype(int).tolist(), torch.randperm(20, generator=g).tolist())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    generator = torch.Generator().manual_seed(mix(7, "epoch", 2))
    here = (
        f"{coins(7, np.arange(40)).astype(int).tolist()} {torch.randperm(20, generator=generator).tolist()}"
    )
    assert told.strip() == here


def test_seeds_that_agree_in_32_bits_differ() -> None:
    assert not torch.equal(
        Resident(numbered(50), seed=1).order(0), Resident(numbered(50), seed=1 + 2**32).order(0)
    )


def test_unlabelled_sets_give_no_labels_and_no_ids_give_no_images() -> None:
    source = Resident(numbered(5, labels=False))
    assert set(source(0, torch.arange(3))) == {"real"}
    assert source(0, torch.arange(0))["real"].shape == (0, 1, 8, 8)


def test_sixteen_bits_and_channels_last() -> None:
    dataset = numbered(300, "uint16")
    real = Resident(dataset)(0, torch.arange(300))["real"]
    assert sorted(((real[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()) == list(range(300))
    assert real.is_contiguous(memory_format=torch.channels_last)


def test_points_are_not_mirrored() -> None:
    points = Dataset(
        "p", Format((2,), "float32", -1, 1), np.zeros((4, 2), np.float32), None, (), "", Check(4, 4)
    )
    assert Resident(points)(0, torch.arange(3))["real"].shape == (3, 2)
    with pytest.raises(ValueError, match="flip"):
        Resident(points, flip=True)
